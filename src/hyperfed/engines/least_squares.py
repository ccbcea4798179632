"""Fit least squares by an orthogonal basis of the regressors, and the same fit on many resamples.

1. X = QR. The coefficients are R⁻¹Q'y and their errors the rows of R⁻¹: the regressors' moments,
   whose condition is the square of theirs, are never formed. Where two columns are nearly the same
   the normal equations lose the answer, and this does not (Golub & Van Loan, Matrix Computations,
   5.3).
2. A resample takes rows of Q and of the residuals. Its moments are near the identity whatever the
   regressors are, so normal equations lose nothing there; and it differs little from the whole
   sample, so nothing cancels.
3. The moments of all resamples are sums of the same rows' products, each as often as the row was
   drawn: one matrix product for all, and no second pass over the rows. Their Cholesky factors give
   coefficients and errors; only a resample that may be dependent has its eigenvalues looked at.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LeastSquares", "dependent"]

_CHUNK_VALUES = 1 << 22  # float64 values of moments at once: 32 MiB
_DEPENDENT = 1e-10  # smallest over largest eigenvalue of a resample's moments
_DOUBTFUL = 1e-5  # of a Cholesky factor's diagonal, squared: below it eigenvalues decide
_FOLLOWS = 1e-8  # of its own size: what a regressor must have that others have not

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastSquares:
    """Holds a fit of y on x, both with standardised columns except for x's intercept."""

    basis: Floats
    """float64[rows, k]: Q, orthonormal columns that span the regressors."""
    inverse: Floats
    """float64[k, k]: R⁻¹, by which coefficients of the basis become those of the regressors."""
    rest: Floats
    """float64[rows, d]: the residuals."""
    coefficient: Floats
    """float64[k, d]: the coefficients."""
    error: Floats
    """float64[k, d]: their standard errors, with rows - k degrees of freedom."""
    left: Floats
    """float64[d]: the root mean square of the residuals."""

    @classmethod
    def of(cls, x: Floats, y: Floats) -> "LeastSquares":
        """Return the fit. No regressor may follow from the others (`dependent`)."""
        n, k = x.shape
        basis, r = np.linalg.qr(x)
        inverse = np.linalg.solve(r, np.eye(k))
        along = basis.T @ y
        residuals = y - basis @ along
        squares = np.einsum("nd,nd->d", residuals, residuals)
        error = np.sqrt(np.sum(inverse**2, axis=1)[:, None] * (squares / (n - k))[None, :])
        return cls(
            basis=basis,
            inverse=inverse,
            rest=residuals,
            coefficient=inverse @ along,
            error=np.maximum(error, 1e-150),
            left=np.sqrt(squares / n),
        )

    def hits(self, rows: npt.NDArray[np.int64], least_t2: float) -> npt.NDArray[np.int64]:
        """Return in how many resamples each coefficient has its sign, and t² above `least_t2`.

        `rows` is int64[resamples, rows]. A resample whose regressors are dependent shows nothing.
        The result is int64[k, d].
        """
        sign = np.sign(self.coefficient)
        hits = np.zeros(sign.shape, dtype=np.int64)
        chunk = max(1, _CHUNK_VALUES // (self.basis.shape[1] + self.rest.shape[1]) ** 2)
        for first in range(0, len(rows), chunk):
            coefficient, error, sound = self._resampled(rows[first : first + chunk])
            significant = (coefficient**2 > least_t2 * error**2) & (np.sign(coefficient) == sign)
            hits += (significant & sound[:, None, None]).sum(axis=0)
        return hits

    def _resampled(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        """Return coefficients and errors, [resamples, k, d] each, and which are determined."""
        n, k = self.basis.shape
        moments, rest = self._moments(rows)
        root, sound = _inverse_roots(moments[:, :, :k])
        along = root.transpose(0, 2, 1) @ moments[:, :, k:]
        factor = self.inverse @ root
        # A resample changes the whole sample's coefficients by what its residuals say.
        coefficient = self.coefficient + factor @ along
        variance = np.maximum(rest - np.sum(along**2, axis=1), 0.0) / (n - k)
        spread = np.sum(factor**2, axis=2)[:, :, None]
        return coefficient, np.sqrt(np.maximum(spread * variance[:, None, :], 1e-300)), sound

    def _moments(self, rows: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return the moments of each resample, a row counting as often as it was drawn.

        They are those of the basis with itself and the residuals, [resamples, k, k + d], and of
        each residual with itself, [resamples, d].
        """
        n, k = self.basis.shape
        times = np.empty((n, len(rows)))
        for at, drawn in enumerate(rows):
            times[:, at] = np.bincount(drawn, minlength=n)
        columns = np.ascontiguousarray(np.concatenate([self.basis, self.rest], axis=1).T)
        moments = np.empty((k, len(columns), len(rows)))
        for at in range(k):
            moments[at, at:] = (columns[at:] * columns[at]) @ times
            moments[at:, at] = moments[at, at:k]
        rest = columns[k:] ** 2 @ times
        return np.ascontiguousarray(moments.transpose(2, 0, 1)), np.ascontiguousarray(rest.T)


def _inverse_roots(moments: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return for each matrix a root of its inverse, R with RR' = M⁻¹, and which have one.

    One that is nearly dependent gets the root of what is left of it, by its eigenvalues.
    """
    try:
        lower = np.linalg.cholesky(moments)
        diagonal = np.diagonal(lower, axis1=1, axis2=2)
        doubtful = diagonal.min(axis=1) ** 2 <= _DOUBTFUL * diagonal.max(axis=1) ** 2
        root = np.linalg.inv(lower).transpose(0, 2, 1)
    except np.linalg.LinAlgError:  # at least one is dependent
        doubtful, root = np.ones(len(moments), dtype=bool), np.empty_like(moments)
    sound = np.ones(len(moments), dtype=bool)
    if doubtful.any():
        value, vector = np.linalg.eigh(moments[doubtful])
        sound[doubtful] = value[:, 0] > _DEPENDENT * value[:, -1]
        value = np.maximum(value, _DEPENDENT * value[:, -1:])
        root[doubtful] = vector / np.sqrt(value)[:, None, :]
    return root, sound


def dependent(x: Floats) -> tuple[int, list[int]] | None:
    """Return the first regressor that follows from those before it, and from which it does most.

    The columns of x are standardised, after an intercept in column 0. Returns None where none
    follows.
    """
    r: Floats = np.asarray(np.linalg.qr(x, mode="r"))
    follows = np.abs(np.diagonal(r)) <= _FOLLOWS * np.sqrt(len(x))
    if not follows.any():
        return None
    at = int(np.argmax(follows))
    share = np.abs(np.linalg.solve(r[:at, :at], r[:at, at]))
    share[0] = 0.0
    from_most = [int(i) for i in np.argsort(-share)[:3] if share[i] > 1e-3]
    return at, from_most
