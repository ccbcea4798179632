"""Weigh clients' statistics by bounded trust, on Fisher's z of their correlations.

1. What a client says of a pair is Fisher's z of its correlation, held within [-1, 1]: its error
   hardly depends on the correlation. Pairs are those with one end at lag 0: what lies between two
   lags only repeats that.
2. Bounded trust (`aggregation.bounded_trust`) compares each client with the others on the pairs
   that both measured, as it compares votes. A client whose correlations contradict the others'
   loses its weight.

What it does not do: it holds no single number to those of the others (`holding`), detects no
majority that tells the same lie, and is no private mechanism.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.bounded_trust import Trust, trust_of
from hyperfed.merge.eligible_voters import PatternVoters
from hyperfed.merge.tables import vote_ranges
from hyperfed.statistics.record import Statistics, block_lags
from hyperfed.statistics.sums import columns_of

__all__ = ["fisher_z", "statistics_trust"]

_DECIMALS = 12  # of z: the last bits of a logarithm differ from machine to machine

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def fisher_z(statistics: Statistics, variables: int) -> tuple[Floats, Bools]:
    """Return a client's z of all pairs with an end at lag 0, and which it measured.

    Both are [pairs], for a vocabulary of `variables`: each pair of two variables at lag 0, then
    each variable at lag 0 with each at every longer lag.
    """
    own, columns = len(statistics.variables), columns_of(statistics, variables)
    moments, rows = statistics.matrix, statistics.rows
    spread = np.sqrt(moments.diagonal() / rows.diagonal())
    r = moments / np.maximum(rows, 1.0) / spread[:, None] / spread[None, :]
    z = np.round(np.arctanh(np.clip(r, -0.999, 0.999)), _DECIMALS)
    width = variables * len(block_lags(statistics.lags))
    placed, there = np.zeros((variables, width)), np.zeros((variables, width), dtype=bool)
    at = np.ix_(columns[:own], columns)
    placed[at], there[at] = np.clip(z[:own], -1.0, 1.0), rows[:own] > 3
    keep = np.triu(np.ones((variables, width), dtype=bool), 1)
    keep[:, variables:] = True
    return placed[keep] * there[keep], there[keep]


def statistics_trust(
    statistics: Sequence[Statistics],
    *,
    variables: int,
    shares: Floats | None = None,
    groups: npt.NDArray[np.int64] | None = None,
) -> Trust:
    """Return the trust in each client, in the order given.

    shares: float64[clients] in (0, 1], what organisation caps leave of each; None: 1. groups:
    int64[clients], whose clients are compared among themselves; None: there is one.
    """
    pairs = [fisher_z(one, variables) for one in statistics]
    z, there = (np.stack(columns) for columns in zip(*pairs, strict=True))
    keys = np.arange(z.shape[1], dtype=np.uint64)
    ranges = vote_ranges(
        [keys[row] for row in there],
        [votes[row] for votes, row in zip(z, there, strict=True)],
        PatternVoters(there.T),
    )
    samples = np.array([float(one.n) for one in statistics])
    return trust_of(ranges, shares=shares, samples=samples, groups=groups)
