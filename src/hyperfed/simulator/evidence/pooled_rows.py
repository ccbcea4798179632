"""Find edges in all clients' rows in one place, as if data could be shared.

1. `centred`: each client's own means are taken away first, as clients do before they sum. One model
   of these rows has an intercept for each client, and no difference between clients is an effect.
   Not `centred`: there is one intercept, as for whoever pools rows and forgets whose they were.
2. Rows at lags are made of each client's series: no row joins two of them.
3. Engine, tests and cut are those that a plan names for sums (`engines.summed`), on the moments of
   the stacked rows. No client's statistics, no weights and no corrections take part.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.engines.summed import make_summed_engine
from hyperfed.simulator.evidence.linear_worlds import Edges, World
from hyperfed.statistics import Summed, Sums
from hyperfed.statistics.making import lagged
from hyperfed.statistics.record import block_lags
from hyperfed.tables.tables import EdgeTable

__all__ = ["CUT", "RESAMPLES", "edges_of", "found_in_rows", "stacked"]

CUT = 0.5
"""The least |vote| with which an edge, or a pair, is kept."""
RESAMPLES = 5
"""How many parametric resamples the stability of PC comes from."""

Floats = npt.NDArray[np.float64]


def stacked(world: World, data: Sequence[Floats], *, centred: bool) -> Floats:
    """Return the rows of all clients at the world's lags, float64[rows, columns], of mean 0."""
    parts = [lagged(one, block_lags(world.lags)) for one in data]
    if centred:
        parts = [part - part.mean(axis=0) for part in parts]
    rows = np.concatenate(parts)
    return np.asarray(rows - rows.mean(axis=0))


def found_in_rows(world: World, data: Sequence[Floats], *, centred: bool) -> Edges:
    """Return the edges that the engine for sums finds in all rows."""
    rows = stacked(world, data, centred=centred)
    intercepts = len(data) if centred else 1
    moments = rows.T @ rows
    degrees = np.full(moments.shape, float(len(rows) - intercepts))
    sums = Sums(variables=len(world.names), lags=world.lags)
    sums.put(
        Summed(
            variables=len(world.names),
            lags=world.lags,
            moments=moments,
            degrees=degrees,
            squares=degrees,
            clients=np.full(moments.shape, float(intercepts)),
        )
    )
    name = "var" if world.kind == "var" else "pc"
    engine = make_summed_engine(name, sums, world.vocabulary, resamples=RESAMPLES)
    table = engine.discover().to_edges(world.vocabulary)[1]
    if world.kind == "var":
        table = table.take(np.abs(table.vote) >= CUT)
    return edges_of(world, table, table.vote.astype(np.float64))


def edges_of(world: World, table: EdgeTable, votes: Floats) -> Edges:
    """Return a table's edges as what F1 compares: of a SEM, pairs by both directions' votes."""
    rows = zip(
        table.source.tolist(), table.target.tolist(), table.lag.tolist(), table.effect.tolist(),
        strict=True,
    )  # fmt: skip
    if world.kind == "var":
        return {(s, t, lag, int(np.sign(effect))) for s, t, lag, effect in rows}
    strength: dict[tuple[int, int, int, int], float] = {}
    for (s, t, _, _), vote in zip(rows, np.abs(votes).tolist(), strict=True):
        pair = (min(s, t), max(s, t), 0, 1)
        strength[pair] = strength.get(pair, 0.0) + vote
    return {pair for pair, vote in strength.items() if vote >= CUT}
