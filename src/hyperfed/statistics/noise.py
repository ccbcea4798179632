"""Carry the noise on a sum of moments into what is computed from it.

1. Every moment of the upper triangle has noise of its own, of one standard deviation. The matrix
   need not be positive semidefinite then: eigenvalues below the noise's own size, std *
   sqrt(columns), are raised to it (`definite`). That is post-processing, and shrinks what cannot be
   distinguished from noise.
2. A regression's coefficients b = X^-1 y move by X^-1 (n_y - N b) to first order, where N is the
   noise on the regressors' moments, and n_y on those with the target. With independent noise the
   inner part has covariance std^2 ((1 + b'b) I + b b' - diag(b^2)) (`coefficient_noise`).
3. A partial correlation of 0 moves by W N W, with W the inverse of the correlations
   (`partial_noise`). To first order, the noise on the variances does not move it.
4. These variances add to those of sampling: the noise is independent of the rows.

Source: Fuller 1987, Measurement Error Models, 2.2 (moments with errors of known size).

What it does not do: it draws no noise, and corrects no bias of second order.
"""

import numpy as np
import numpy.typing as npt

from hyperfed.statistics.record import Statistics
from hyperfed.statistics.sums import Summed, Sums

__all__ = ["coefficient_noise", "definite", "noised_sums", "partial_noise"]

Floats = npt.NDArray[np.float64]


def definite(matrix: Floats, std: float) -> tuple[Floats, bool]:
    """Return a positive definite matrix, and whether eigenvalues had to be raised."""
    least = std * float(np.sqrt(len(matrix)))
    value, vector = np.linalg.eigh(matrix)
    if value[0] >= least:
        return matrix, False
    raised = (vector * np.maximum(value, least)) @ vector.T
    # the last bits of an eigenvector differ from machine to machine
    digits = 9 - int(np.ceil(np.log10(np.abs(raised).max())))
    return np.round((raised + raised.T) / 2, digits), True


def noised_sums(
    statistics: Statistics, *, variables: int, clients: int, std: float, centred: bool = True
) -> Sums:
    """Return a noised sum, of that many clients, as sums that an engine takes.

    std: the standard deviation of the noise on each moment. centred: whether clients took away
    their own means; they count as of equally many rows.
    """
    sums = Sums(variables=variables, lags=statistics.lags, form=statistics.form)
    moments, _ = definite(statistics.matrix, std)
    degrees = np.full(moments.shape, float(max(1, statistics.n - clients)))
    sums.put(
        Summed(
            variables=variables,
            lags=statistics.lags,
            moments=moments,
            degrees=degrees,
            squares=degrees,
            clients=np.full(moments.shape, float(clients)),
            noise=std,
            lengths={max(1, statistics.n // clients): float(clients)} if centred else {},
        )
    )
    return sums


def coefficient_noise(covariance: Floats, coefficient: Floats, std: float) -> Floats:
    """Return float64[regressors]: what noise does to each coefficient, as a standard deviation.

    covariance: that of the regressors, with noise of `std` on each entry.
    """
    inverse = np.linalg.inv(covariance)
    square = coefficient * coefficient
    inner = np.outer(coefficient, coefficient) + np.diag(1.0 + square.sum() - square)
    variance = np.einsum("ij,jk,ki->i", inverse, inner, inverse)
    # few digits: those of an inverse differ from machine to machine
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)).astype(np.float32) * std)


def partial_noise(inverse: Floats, std: Floats) -> float:
    """Return the variance that noise adds to the partial correlation of the first two columns.

    inverse: that of their correlations and those of the columns held fixed. std: the standard
    deviation of the noise on each correlation.
    """
    first, second = inverse[0], inverse[1]
    both = np.outer(first, second)
    moved = (both + both.T) ** 2 * std * std
    variance = float(np.triu(moved, 1).sum() + (moved.diagonal() / 4).sum())
    return variance / abs(float(inverse[0, 0] * inverse[1, 1]))
