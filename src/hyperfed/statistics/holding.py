"""Hold single numbers of a client's statistics to the others', where trust as a whole misses them.

1. Trust looks at all correlations of a client together. A client that agrees on all pairs but one
   keeps its trust, and could plant an edge there; so could one that states a million rows.
2. A client counts for at most `MOST` times the rows of the median client, or for `n_cap` rows where
   the policy states it. Its variance of a column counts for at most `MOST` times the median one.
3. A client's correlation counts as the median client's where its Fisher's z lies further from that
   than `MOST_SPREADS` times the spread: the root of the squared MAD and of the variance that z has
   by chance. At least `FEW` clients of weight must have measured the pair. The moment is replaced
   rather than left out, because a pair and its two variances must come from the same rows.
4. Medians are of clients that trust leaves a weight.

What it does not do: it cannot tell a lie within the spread from the truth.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hyperfed.statistics.record import Statistics, block_lags, triangle
from hyperfed.statistics.sums import columns_of

__all__ = ["FEW", "MOST", "MOST_SPREADS", "held"]

MOST = 4.0
"""How many times the median client's rows, or variance of a column, one client counts for."""
MOST_SPREADS = 4.0
"""How many spreads from the median a client's correlation may lie."""
FEW = 5
"""The fewest clients of weight among which a pair is compared."""
_DECIMALS = 12  # of z: the last bits of a logarithm differ from machine to machine
_CONSISTENT = 1.4826  # by which the MAD of normal numbers is their standard deviation

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def held(
    statistics: Mapping[str, Statistics],
    trust: Mapping[str, float],
    *,
    variables: int,
    n_cap: int = 0,
) -> tuple[dict[str, Statistics], dict[str, float]]:
    """Return the statistics with what is far from the others replaced, and a factor for the rows.

    trust: the weight of each client. Factors lie in (0, 1]. Statistics in which nothing is far are
    the same objects.
    """
    clients = sorted(statistics)
    heard = np.array([trust[client] > 0 for client in clients])
    if not heard.any():
        return dict(statistics), dict.fromkeys(clients, 1.0)
    rows = np.array([float(statistics[client].n) for client in clients])
    cap = float(n_cap) if n_cap else MOST * float(np.median(rows[heard]))
    factor = {client: min(1.0, cap / n) for client, n in zip(clients, rows.tolist(), strict=True)}
    ordered = _with_usual_variances([statistics[client] for client in clients], heard, variables)
    usual = _usual_pairs(ordered, heard, variables)
    out = dict(zip(clients, ordered, strict=True))
    for client, one, pairs in zip(clients, ordered, usual, strict=True):
        if pairs:
            matrix = one.matrix.copy()
            for (a, b), moment in pairs.items():
                matrix[a, b] = matrix[b, a] = moment
            # stated counts: the moments are those of no rows any more
            counts = triangle(one.rows).astype(np.uint64)
            out[client] = replace(one, moments=triangle(matrix), counts=counts)
    return out, factor


def _with_usual_variances(
    ordered: list[Statistics], heard: Bools, variables: int
) -> list[Statistics]:
    """Return statistics whose variances are at most `MOST` times the median; correlations stay."""
    width = variables * len(block_lags(ordered[0].lags))
    variance = np.full((len(ordered), width), np.nan)
    for place, one in enumerate(ordered):
        variance[place, columns_of(one, variables)] = one.matrix.diagonal() / one.rows.diagonal()
    usual = np.full(width, np.inf)
    for column in range(width):
        known = variance[heard & ~np.isnan(variance[:, column]), column]
        if len(known):
            usual[column] = np.median(known)
    out = []
    for place, one in enumerate(ordered):
        at = columns_of(one, variables)
        excess = variance[place, at] / (MOST * usual[at])
        if (excess <= 1).all():
            out.append(one)
            continue
        shrink = np.sqrt(1.0 / np.maximum(excess, 1.0))
        matrix = one.matrix * shrink[:, None] * shrink[None, :]
        out.append(replace(one, moments=triangle(matrix)))
    return out


def _usual_pairs(
    ordered: list[Statistics], heard: Bools, variables: int
) -> list[dict[tuple[int, int], float]]:
    """Return for each client the moments of the median correlation, of its pairs that are far."""
    width = variables * len(block_lags(ordered[0].lags))
    place = np.full((len(ordered), width), -1, dtype=np.int64)
    for client, one in enumerate(ordered):
        place[client, columns_of(one, variables)] = np.arange(one.width)
    matrices, rows = [one.matrix for one in ordered], [one.rows for one in ordered]
    replaced: list[dict[tuple[int, int], float]] = [{} for _ in ordered]
    for first in range(width):
        z, chance, unit = np.full((3, len(ordered), width - first), np.nan)
        for client, (matrix, count) in enumerate(zip(matrices, rows, strict=True)):
            row = place[client, first]
            if row < 0:
                continue
            columns = np.flatnonzero(place[client, first:] >= 0)
            at = place[client, first + columns]
            spread = np.sqrt(
                matrix[row, row] / count[row, row] * matrix.diagonal()[at] / count.diagonal()[at]
            )
            r = matrix[row, at] / np.maximum(count[row, at], 1.0) / spread
            known = count[row, at] > 4
            z[client, columns[known]] = np.round(
                np.arctanh(np.clip(r[known], -0.999999, 0.999999)), _DECIMALS
            )
            chance[client, columns[known]] = 1.0 / (count[row, at[known]] - 3.0)
            unit[client, columns] = count[row, at] * spread
        for client, column, middle in _outlying(z, chance, heard):
            pair = int(place[client, first]), int(place[client, first + column])
            if column:
                replaced[client][pair] = float(np.tanh(middle) * unit[client, column])
    return replaced


def _outlying(z: Floats, chance: Floats, heard: Bools) -> list[tuple[int, int, float]]:
    """Return (client, column, the column's median) of each z that lies far from that median."""
    known = heard[:, None] & ~np.isnan(z)
    columns = np.flatnonzero(known.sum(axis=0) >= FEW)
    if not len(columns):
        return []
    among = np.where(known, z, np.nan)[:, columns]
    middle = np.nanmedian(among, axis=0)
    mad = _CONSISTENT * np.nanmedian(np.abs(among - middle), axis=0)
    bound = MOST_SPREADS * np.sqrt(mad * mad + chance[:, columns])
    with np.errstate(invalid="ignore"):
        client, column = np.nonzero(np.abs(z[:, columns] - middle) > bound)
    return list(
        zip(client.tolist(), columns[column].tolist(), middle[column].tolist(), strict=True)
    )
