"""Give edges that a sum leaves undirected the direction that clients' own edges vote for.

1. Second moments do not tell some directions; clients' engines may, such as DirectLiNGAM, by the
   shape of their data. An edge x --- y or x o-o y of the sum gets the direction with the larger
   |weighted mean vote|, where that reaches vote_min and the other does not equal it.
2. The edge then has both halves of its stability, and the effects on its target are estimated
   again, with the new cause beside the others.
3. Whether there is an edge is the sum's to say: no vote adds or removes one.
"""

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery
from hyperfed.engines.summed.engine import summed_effects
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import Z95
from hyperfed.statistics import Scaling, Sums
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["oriented"]

_OPEN = ("---", "o-o")
Floats = npt.NDArray[np.float64]


def oriented(
    table: EdgeTable,
    discovery: Discovery,
    sums: Sums,
    others: HypergraphStore,
    *,
    vote_min: float,
    vocabulary: Vocabulary,
) -> EdgeTable:
    """Return a sum's edges with the directions that votes give.

    table: what `discovery` found in `sums`. others: the merge of the clients' own edges, with its
    evidence.
    """
    index = {name: i for i, name in enumerate(vocabulary.names)}
    marks = discovery.endpoints if discovery.endpoints is not None else [""] * len(discovery)
    text = {
        (index[str(s)], index[str(t)]): mark
        for s, t, lag, mark in zip(
            discovery.source, discovery.target, discovery.lag, marks, strict=True
        )
        if lag == 0
    }
    votes = _votes(others)
    place = {
        (int(s), int(t)): row
        for row, (s, t, lag) in enumerate(zip(table.source, table.target, table.lag, strict=True))
        if lag == 0
    }
    width = len(vocabulary)
    definite, possible = (np.zeros((width, width), dtype=bool) for _ in range(2))
    for ends in place:
        possible[ends] = True
        definite[ends] = text.get(ends) == "-->"
    stability, gone, into = table.stability.astype(np.float64).copy(), [], set[int]()
    for (i, j), row in place.items():
        back = place.get((j, i))
        if i > j or back is None or text.get((i, j)) not in _OPEN:
            continue
        there, other = abs(votes.get((i, j), 0.0)), abs(votes.get((j, i), 0.0))
        if max(there, other) < vote_min or there == other:
            continue
        kept, lost = (row, back) if there > other else (back, row)
        ends = (i, j) if there > other else (j, i)
        stability[kept] = min(1.0, stability[row] + stability[back])
        definite[ends], possible[ends[::-1]] = True, False
        gone.append(lost)
        into.add(ends[1])
    if not gone:
        return table
    return _estimated(table, stability, gone, into, definite, possible, sums, vocabulary)


def _votes(others: HypergraphStore) -> dict[tuple[int, int], float]:
    """Return the weighted mean vote of each edge at lag 0."""
    if others.evidence is None:
        return {}
    edges, vote = others.edges, others.evidence.edges.vote
    return {
        (int(s), int(t)): float(v)
        for s, t, lag, v in zip(edges.source, edges.target, edges.lag, vote, strict=True)
        if lag == 0
    }


def _estimated(
    table: EdgeTable,
    stability: Floats,
    gone: list[int],
    into: set[int],
    definite: npt.NDArray[np.bool_],
    possible: npt.NDArray[np.bool_],
    sums: Sums,
    vocabulary: Vocabulary,
) -> EdgeTable:
    """Return the table without the rows that are gone, with effects on new targets anew."""
    pairs = sums.pairs
    width = len(vocabulary)
    found = summed_effects(
        pairs.covariance[:width, :width], pairs.effective[:width, :width], definite, possible
    )
    scale = np.ones(width) if sums.form == "ranks" else Scaling.of(vocabulary).scale
    effect, confidence = (
        getattr(table, name).astype(np.float64).copy() for name in ("effect", "confidence")
    )
    low, high = (
        (effect if end is None else end.astype(np.float64)).copy()
        for end in (table.ci_low, table.ci_high)
    )
    for row in np.flatnonzero(np.isin(table.target, sorted(into)) & (table.lag == 0)).tolist():
        ends = (int(table.source[row]), int(table.target[row]))
        if not np.isfinite(found.effect[ends]):
            continue
        unit = scale[ends[1]] / scale[ends[0]]
        effect[row], half = found.effect[ends] * unit, Z95 * found.std_error[ends] * unit
        low[row], high[row] = effect[row] - half, effect[row] + half
        confidence[row] = found.confidence[ends]
    stays = np.ones(len(table), dtype=bool)
    stays[gone] = False
    return EdgeTable.build(
        source=table.source[stays],
        target=table.target[stays],
        lag=table.lag[stays],
        effect=effect[stays],
        ci_low=low[stays],
        ci_high=high[stays],
        confidence=confidence[stays],
        stability=stability[stays],
        hits=table.hits[stays],
        n=table.n[stays],
    )
