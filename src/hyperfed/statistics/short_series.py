"""Remove the bias that each client's own means bring into lagged effects (Nickell 1981).

1. A client of T rows subtracts its means. The mean of its noise is then part of every earlier row,
   and the moment of a target with a regressor at lag l falls short by Omega C_l, where
   C_l = sum over k of (T - l - k) / T Psi_k', Psi_k are the moving-average matrices of the process,
   and Omega is the covariance of its noise. A variable's effect on itself falls by about
   (1 + effect) / T: at T = 20, one variable in six seems to act on itself.
2. Both are estimated from the sum itself, `_ROUNDS` times in turn, and added to the moments. No
   client sends more. What is left is of order 1 / T^2.
3. A process that does not die out has no such sums, and nothing is removed; nor where clients have
   unlike variables or missing cells.
4. Products are added one after the other, so that all machines find the same bits.

Sources: Nickell 1981, Econometrica 49; Hahn & Kuersteiner 2002, Econometrica 70, theorem 2.

What it does not do: it leaves each client's own effects (`clients`) as they are.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hyperfed.statistics.record import block_lags
from hyperfed.statistics.sums import Summed
from hyperfed.statistics.sweeping import regressions

__all__ = ["without_short_bias"]

_ROUNDS = 3
_GONE = 1e-12  # of the largest entry: where a moving average has died out
_GROWN = 10.0
_MOST_STEPS = 2000

Floats = npt.NDArray[np.float64]


def without_short_bias(covariance: Floats, summed: Summed) -> Floats:
    """Return the covariance with the moments of targets and regressors as own means left them."""
    lags = [lag for lag in block_lags(summed.lags) if lag]
    width = summed.variables
    known = np.flatnonzero(summed.degrees.diagonal()[:width] > 0)
    at = np.concatenate([block * width + known for block in range(len(lags) + 1)])
    degrees = summed.degrees[np.ix_(at, at)]
    if not summed.lengths or not lags or (degrees != degrees[0, 0]).any():
        return covariance
    target, regressors = at[: len(known)], at[len(known) :]
    out = covariance.copy()
    for _ in range(_ROUNDS):
        fit = regressions(out, regressors.tolist(), target.tolist())
        effect = fit.coefficient.reshape(len(lags), len(known), len(known))  # [lag, source, target]
        explained = _multiplied(out[np.ix_(target, regressors)], np.asarray(fit.coefficient))
        left = out[np.ix_(target, target)] - explained
        short = _shortfalls(effect, lags, summed.lengths)
        if short is None:
            return covariance
        for block, of_lag in enumerate(short):
            moved = _multiplied(left, of_lag) / degrees[0, 0]
            columns = regressors[block * len(known) : (block + 1) * len(known)]
            out[np.ix_(target, columns)] = covariance[np.ix_(target, columns)] + moved
            out[np.ix_(columns, target)] = covariance[np.ix_(columns, target)] + moved.T
    return out


def _multiplied(first: Floats, second: Floats) -> Floats:
    """Return the product of two matrices, added in one order."""
    out = np.zeros((first.shape[0], second.shape[1]))
    for inner in range(first.shape[1]):
        out += first[:, inner, None] * second[None, inner, :]
    return out


def _shortfalls(
    effect: Floats, lags: list[int], lengths: Mapping[int, float]
) -> list[Floats] | None:
    """Return for each lag the sum over clients of C_l; None where the process does not die out."""
    width = effect.shape[1]
    sizes = sorted(lengths.items())
    most = min(sizes[-1][0], _MOST_STEPS)
    out = [np.zeros((width, width)) for _ in lags]
    average = [np.eye(width)]  # Psi_k', [source, target]
    for k in range(most):
        if k:
            parts = [
                _multiplied(average[k - lag], effect[place])
                for place, lag in enumerate(lags)
                if lag <= k
            ]
            average.append(sum(parts, np.zeros((width, width))))
        size = float(np.abs(average[-1]).max())
        if size > _GROWN or not np.isfinite(size):
            return None
        for place, lag in enumerate(lags):
            share = sum(weight * max(0, rows - lag - k) / rows for rows, weight in sizes)
            if share > 0:
                out[place] += share * average[k]
        if max(float(np.abs(one).max()) for one in average[-lags[-1] :]) < _GONE:
            return out
    return out if most == sizes[-1][0] else None
