"""Estimate each client's own effects from its statistics, for forest plots and I2.

1. Given the edges of a model, each client's target is regressed on the target's causes among the
   variables that the client measured, with an intercept.
2. A client has no estimate of an edge that it did not measure both ends of, into a variable that
   its experiment set, or with fewer than `FEW` degrees of freedom left.

What it does not do: it does not pool them (`merge.pooling`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.statistics.record import Statistics, block_lags
from hyperfed.statistics.sums import columns_of
from hyperfed.statistics.sweeping import regressions

__all__ = ["FEW", "ClientEffects", "client_effects"]

FEW = 3
"""The fewest degrees of freedom with which a client's own effect is estimated."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClientEffects:
    """Holds the clients' own estimates, [clients, edges] each, in public units."""

    effect: Floats
    """float64: the effect; NaN where the client has no estimate."""
    std_error: Floats
    """float64: its standard error; NaN where the client has no estimate."""
    degrees: Ints
    """int64: the degrees of freedom of its t; 0 where the client has no estimate."""


def client_effects(
    statistics: Sequence[Statistics],
    *,
    variables: int,
    source: Ints,
    target: Ints,
    lag: Ints,
) -> ClientEffects:
    """Return each client's own effects along some edges, each given by source, target and lag.

    variables: how many the vocabulary has. All statistics have the same lags, those of the edges
    among them.
    """
    shape = (len(statistics), len(source))
    effect, error = np.full(shape, np.nan), np.full(shape, np.nan)
    degrees = np.zeros(shape, dtype=np.int64)
    if not statistics:
        return ClientEffects(effect=effect, std_error=error, degrees=degrees)
    blocks = block_lags(statistics[0].lags)
    column = np.array([blocks.index(one) for one in lag.tolist()], dtype=np.int64) * variables
    column = column + source
    width = variables * len(blocks)
    at = np.full((len(statistics), width), -1, dtype=np.int64)
    for client, one in enumerate(statistics):
        at[client, columns_of(one, variables)] = np.arange(one.width)
    matrices = [one.matrix for one in statistics]
    rows = [one.rows for one in statistics]
    for into in np.unique(target).tolist():
        edges = np.flatnonzero(target == into)
        wanted = [*column[edges].tolist(), into]
        stack = np.zeros((len(statistics), len(wanted), len(wanted)))
        number = np.zeros(len(statistics))
        for client, (matrix, count) in enumerate(zip(matrices, rows, strict=True)):
            own = at[client, wanted]
            if own[-1] < 0 or into in statistics[client].intervened:
                continue
            there = np.flatnonzero(own >= 0)
            block = np.ix_(own[there], own[there])
            number[client] = count[block].min() - 1
            stack[client][np.ix_(there, there)] = matrix[block] / np.maximum(count[block] - 1, 1.0)
        last = len(edges)
        fit = regressions(stack, range(last), [last])
        left = number - fit.used.sum(axis=1)
        estimated = fit.used & (left[:, None] >= FEW) & (fit.left > 0)
        effect[:, edges] = np.where(estimated, fit.coefficient[..., 0], np.nan)
        error[:, edges] = np.where(estimated, fit.errors(number)[..., 0], np.nan)
        degrees[:, edges] = np.where(estimated, left[:, None], 0).astype(np.int64)
    return ClientEffects(effect=effect, std_error=error, degrees=degrees)
