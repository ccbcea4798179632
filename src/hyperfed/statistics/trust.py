"""Weigh clients' statistics by bounded trust, on Fisher's z of their correlations.

1. What a client says of a pair is Fisher's z of its correlation, held within [-1, 1]: its error
   hardly depends on the correlation. Pairs are those with one end at lag 0: what lies between two
   lags says the same again.
2. Bounded trust (`aggregation.bounded_trust`) compares each client with the others on the pairs
   that both measured, as it compares votes. A client whose correlations contradict the others'
   loses its weight.
3. A client counts for at most `MOST` times the rows of the median client, or `n_cap` where the
   policy states one, and its variance of a column for at most `MOST` times the median one: trust is
   in correlations, and a number that nobody can check must not outweigh the others. Without trust
   (`plain`) nothing is held back.

What it does not do: it detects no majority that tells the same lie, and is no private mechanism.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.bounded_trust import Trust, trust_of
from hyperfed.aggregation.loudness import share_quantile
from hyperfed.merge.eligible_voters import PatternVoters
from hyperfed.merge.tables import vote_ranges
from hyperfed.statistics.record import Statistics, block_lags, triangle
from hyperfed.statistics.sums import columns_of

__all__ = ["MOST", "fisher_z", "held", "statistics_trust"]

MOST = 8.0
"""How many times the median client's rows, or variance of a column, one client counts for."""
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


def held(
    statistics: Mapping[str, Statistics], *, variables: int, n_cap: int = 0
) -> tuple[dict[str, Statistics], dict[str, float]]:
    """Return the statistics with outsized variances held back, and a factor for each client's rows.

    Factors lie in (0, 1] (rule 3 of the module). The columns of statistics whose variances are not
    outsized are the same.
    """
    clients = sorted(statistics)
    rows = np.array([float(statistics[client].n) for client in clients])
    cap = float(n_cap) if n_cap else MOST * share_quantile(rows, 0.5, None)
    factor = {client: min(1.0, cap / n) for client, n in zip(clients, rows.tolist(), strict=True)}
    lags = statistics[clients[0]].lags
    variance = np.full((len(clients), variables * len(block_lags(lags))), np.nan)
    for place, client in enumerate(clients):
        one = statistics[client]
        variance[place, columns_of(one, variables)] = one.matrix.diagonal() / one.rows.diagonal()
    known = np.zeros(variance.shape[1], dtype=bool)
    usual = np.ones(variance.shape[1])
    for column in range(variance.shape[1]):
        there = variance[~np.isnan(variance[:, column]), column]
        if len(there):
            usual[column], known[column] = share_quantile(there, 0.5, None), True
    out = {}
    for place, client in enumerate(clients):
        one = statistics[client]
        at = columns_of(one, variables)
        excess = variance[place, at] / (MOST * usual[at])
        if (excess <= 1).all():
            out[client] = one
            continue
        shrink = np.sqrt(1.0 / np.maximum(excess, 1.0))
        matrix = one.matrix * shrink[:, None] * shrink[None, :]
        out[client] = replace(one, moments=triangle(matrix))
    return out, factor
