"""Measure how far a sum's effects move where one client is left out.

1. Each target is regressed on the causes that the model has, in the sum of all and in each sum
   without one client (`leave_one_out`). What is returned are the differences, so that they can be
   laid around an effect that was estimated beside more regressors.
2. Where one client alone has weight, nothing is left: the difference is not a number.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hyperfed.statistics.record import Statistics, block_lags
from hyperfed.statistics.sums import Sums, leave_one_out
from hyperfed.statistics.sweeping import regressions

__all__ = ["without_one"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def without_one(
    statistics: Mapping[str, Statistics],
    *,
    variables: int,
    weights: Mapping[str, float],
    source: Ints,
    target: Ints,
    lag: Ints,
) -> tuple[Floats, Floats]:
    """Return by how much the effects fall and rise at most, float64[edges] each, in public units.

    The first is 0 or less, the second 0 or more; NaN where nothing is left without one client.
    """
    heard = {client: one for client, one in statistics.items() if weights[client] > 0}
    nothing = np.full(len(source), np.nan)
    if not len(source) or len(heard) < 2:
        return nothing, nothing
    lags = next(iter(heard.values())).lags
    blocks = block_lags(lags)
    column = np.array([blocks.index(one) for one in lag.tolist()], dtype=np.int64) * variables
    column = column + source
    all_sums = Sums.of(heard, variables=variables, lags=lags, weights=weights)
    whole = _effects(all_sums, column, target)
    low, high = np.zeros(len(source)), np.zeros(len(source))
    for _, others in leave_one_out(heard, variables=variables, lags=lags, weights=weights):
        difference = _effects(others, column, target) - whole
        low, high = np.minimum(low, difference), np.maximum(high, difference)
    return low, high


def _effects(sums: Sums, column: Ints, target: Ints) -> Floats:
    """Return the effect of each edge beside the target's other causes; NaN where none is left."""
    effect, total = np.full(len(column), np.nan), sums.total.covariance
    for into in np.unique(target).tolist():
        covariance = sums.into(into).covariance if into in sums.intervened else total
        edges = np.flatnonzero(target == into)
        fit = regressions(covariance, column[edges].tolist(), [into])
        usable = fit.used & (covariance[into, into] > 0)
        effect[edges] = np.where(usable, fit.coefficient[:, 0], np.nan)
    return effect
