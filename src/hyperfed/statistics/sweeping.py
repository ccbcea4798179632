"""Regress by sweeps: least squares from a covariance, to the same bits on every machine.

1. The sweep of a pivot turns a covariance into that of what a regression on it leaves, with the
   coefficients beside it (Goodnight 1979). It multiplies and subtracts element by element, which
   IEEE 754 rounds in one way; a library's matrix product may not.
2. Matrices are scaled to a unit diagonal first, and pivots taken in the order given. A regressor
   that is left with less than `_DEPENDENT` of its variance follows from those before it: it is not
   swept, and has no effect.
3. A matrix of pairs with rows of their own need not be positive semidefinite. Then its eigenvalues
   below `_LEAST` are raised to it, the diagonal is made 1 again (`repaired`), and that is said.

Source: Goodnight 1979, Am. Stat. 33(3); Higham 2002, IMA J. Numer. Anal. 22 (repair).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Regression", "regressions", "repaired"]

_DEPENDENT = 1e-10
_LEAST = 1e-6
_BELOW = -1e-9  # an eigenvalue that rounding alone may bring about

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regression:
    """Holds regressions of some targets on the same regressors, of one matrix or of a stack.

    Leading axes are those of the stack.
    """

    coefficient: Floats
    """float64[..., regressors, targets]: effects in units of the covariance."""
    spread: Floats
    """float64[..., regressors]: the diagonal of the inverse of the regressors' covariance."""
    left: Floats
    """float64[..., targets]: the variance that is left, over the degrees of the covariance."""
    used: Bools
    """bool[..., regressors]: which regressors do not follow from those before them."""

    def errors(self, degrees: Floats) -> Floats:
        """Return standard errors, float64[..., regressors, targets].

        degrees: float64[...]: the rows beyond their means behind the covariance. A regression takes
        one more for each regressor.
        """
        free = degrees - self.used.sum(axis=-1)
        scale = np.divide(1.0, free, out=np.zeros_like(free), where=free > 0)
        variance = self.spread[..., :, None] * self.left[..., None, :]
        return np.asarray(np.sqrt(np.maximum(variance, 0.0) * scale[..., None, None]))


def regressions(
    covariance: Floats, regressors: Sequence[int], targets: Sequence[int]
) -> Regression:
    """Return the regressions of the targets on the regressors.

    covariance: float64[..., m, m], with a diagonal of 0 or more. No target is a regressor.
    """
    columns = [*regressors, *targets]
    matrix = np.array(covariance[..., columns, :][..., :, columns], dtype=np.float64)
    diagonal = np.diagonal(matrix, axis1=-2, axis2=-1)
    unit = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    matrix = matrix / unit[..., :, None] / unit[..., None, :]
    count = len(regressors)
    used = np.zeros((*matrix.shape[:-2], count), dtype=bool)
    for at in range(count):
        pivot = matrix[..., at, at].copy()
        sound = (pivot > _DEPENDENT) & (diagonal[..., at] > 0)
        used[..., at] = sound
        inverse = np.divide(1.0, pivot, out=np.zeros_like(pivot), where=sound)
        column = matrix[..., :, at].copy()
        row = matrix[..., at, :].copy()
        matrix -= (column * inverse[..., None])[..., :, None] * row[..., None, :]
        matrix[..., :, at] = -column * inverse[..., None]
        matrix[..., at, :] = row * inverse[..., None]
        matrix[..., at, at] = inverse
        # one that is not swept leaves the others as they are, and takes no part
        matrix[..., :, at] = np.where(sound[..., None], matrix[..., :, at], 0.0)
        matrix[..., at, :] = np.where(sound[..., None], matrix[..., at, :], 0.0)
    scale = unit[..., None, count:] / unit[..., :count, None]
    inverse_diagonal = np.diagonal(matrix, axis1=-2, axis2=-1)
    return Regression(
        coefficient=matrix[..., :count, count:] * scale,
        spread=inverse_diagonal[..., :count] / unit[..., :count] ** 2,
        left=np.maximum(inverse_diagonal[..., count:], 0.0) * unit[..., count:] ** 2,
        used=used,
    )


def repaired(correlation: Floats) -> tuple[Floats, bool]:
    """Return a positive definite correlation matrix, and whether it had to be repaired."""
    value, vector = np.linalg.eigh(correlation)
    if value[0] >= _BELOW:
        return correlation, False
    raised = (vector * np.maximum(value, _LEAST)) @ vector.T
    spread = np.sqrt(raised.diagonal())
    return (raised + raised.T) / 2 / spread[:, None] / spread[None, :], True
