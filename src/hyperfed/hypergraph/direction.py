"""Say how far clients agree on which end of an edge is the cause.

1. At a lag above 0 time decides: the share is 1.
2. At lag 0 the share is that of this direction among the votes on the pair. Where clients voted on
   the graph's marks (`dag_edges`), these votes count; else the votes of both edges do.
3. A direction that did not stay in the merge counts as no vote, so that a share of 1 says that the
   other direction fell below the cut, not that nobody holds it.

What it does not do: it orients nothing.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.tables.tables import EdgeTable, pack_keys

__all__ = ["DISPUTED", "direction_shares"]

DISPUTED = 0.75
"""The direction share below which a direction is disputed."""

Floats = npt.NDArray[np.float64]


def direction_shares(
    edges: EdgeTable, vote: Floats, dag_edges: Sequence[tuple[int, int, float]]
) -> Floats:
    """Return float64[edges] in [0, 1]: the share of the votes on a pair that run this way."""
    keys = edges.keys
    back = pack_keys(edges.target, edges.source, edges.lag)
    forward, backward = np.abs(vote), _looked_up(keys, np.abs(vote), back)
    marks = {(source, target): max(0.0, weight) for source, target, weight in dag_edges}
    ends = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    for row, (source, target) in enumerate(ends) if marks else ():
        both = (marks.get((source, target), 0.0), marks.get((target, source), 0.0))
        if sum(both) > 0:
            forward[row], backward[row] = both
    whole = forward + backward
    share = np.divide(forward, whole, out=np.ones(len(keys)), where=whole > 0)
    return np.where(edges.lag > 0, 1.0, share)


def _looked_up(
    keys: npt.NDArray[np.uint64], values: Floats, wanted: npt.NDArray[np.uint64]
) -> Floats:
    """Return the value of each wanted key, and 0 where it is not there. `keys` ascend."""
    if not len(keys):
        return np.zeros(0)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0.0)
