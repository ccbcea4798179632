"""Make moments that one record moves by a known distance: clip rows, add lags, round to integers.

1. Centre and scale of a variable are public (`making.Scaling`), and a value outside of its
   plausible range counts as its nearer end. No mean, spread or rank of the data scales anything.
2. Each row is then scaled down to norm C where it is longer, and truncated towards zero to steps of
   C / 2^14, so that its norm is at most C exactly. Lags are built of the clipped rows.
3. Sums of products of such integers are exact in float64 for up to `MAX_ROWS` rows. Where clients
   centre ("client"), n M - s s' is exact too, and divided by n last.
4. The result is truncated towards zero to whole multiples of C^2 / grid. One row that becomes zero
   (zero-out; n is public) moves the upper triangle by at most C^2 sqrt(`reach`), and truncation by
   sqrt(moments) steps more.
5. With L lags above 0 `reach` is (L + 1)(1 + 2 L), or (L + 1)(9 + 8 L) where clients centre. The
   row stands in each of the L + 1 blocks of a diagonal block once (C^2; centred 3 C^2), and in each
   of the L (L + 1) / 2 others twice, beside two other rows (2 C^2; centred 4 C^2). The proof is in
   docs/sums.md.
6. Missing cells, missing variables and experiments are refused: what is left out would depend on
   more than one row.

What it does not do: it adds no noise (`privacy.moments`), and the record is a row, not a person.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.errors import EngineError
from hyperfed.statistics.making import Scaling, lagged, least_rows
from hyperfed.statistics.record import Statistics, block_lags
from hyperfed.tables.vocabulary import Vocabulary

__all__ = [
    "MAX_ROWS",
    "clipped_moments",
    "clipped_rows",
    "clipped_statistics",
    "reach",
    "steps_of",
]

_BITS = 14
MAX_ROWS = 1 << (53 - 2 * _BITS)
"""The most rows of which sums of products are exact."""
_SUBJECT = "statistics"

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def reach(lags: Sequence[int], centring: str) -> int:
    """Return the square of how far one row moves the moments at most, in units of C^2."""
    above = len(block_lags(tuple(lags))) - 1
    return (above + 1) * (9 + 8 * above if centring == "client" else 1 + 2 * above)


def clipped_rows(rows: Floats, row_norm: float) -> Integers:
    """Return int64[rows, columns]: the rows in steps of C / 2^14, none longer than C.

    Raises EngineError where a value is missing or infinite.
    """
    if not np.isfinite(rows).all():
        raise EngineError(
            "a cell is missing or infinite, and what one row does would depend on others",
            subject=_SUBJECT,
            remedy="Fill such cells or leave out their rows first; nothing was sent",
        )
    largest = np.abs(rows).max(axis=1, initial=0.0)[:, None]
    unit = rows / np.where(largest > 0, largest, 1.0)  # squares of the largest floats overflow
    norm = largest * np.sqrt((unit * unit).sum(axis=1))[:, None]
    short = np.minimum(1.0, row_norm / np.where(norm > 0, norm, 1.0))
    short = np.where(np.isinf(norm), 0.0, short)
    steps = np.trunc(rows * short * ((1 << _BITS) / row_norm * (1 - 1e-12))).astype(np.int64)
    if ((steps * steps).sum(axis=1) > 1 << (2 * _BITS)).any():
        raise EngineError(
            "a clipped row is longer than its clip",
            subject=_SUBJECT,
            remedy="This is a defect; please report it",
        )
    return steps


def clipped_moments(
    rows: Floats, *, lags: Sequence[int], row_norm: float, grid: int, centring: str
) -> Integers:
    """Return int64[moments]: the upper triangle in whole multiples of C^2 / grid (rules 2 to 4).

    rows: float64[times, variables], publicly scaled. Raises EngineError where there are more rows
    than `MAX_ROWS`.
    """
    if len(rows) > MAX_ROWS:
        raise EngineError(f"{len(rows)} rows; sums of up to {MAX_ROWS} are exact", subject=_SUBJECT)
    steps = lagged(clipped_rows(rows, row_norm).astype(np.float64), block_lags(tuple(lags)))
    at = np.triu_indices(steps.shape[1])
    # products and sums of whole numbers below 2^53: exact in any order
    total = (steps.T @ steps)[at]
    sums = steps.sum(axis=0)
    number, divisor = len(steps), 1 << (2 * _BITS)
    centred = centring == "client"
    out = np.empty(len(total), dtype=np.int64)
    for place, (moment, a, b) in enumerate(
        zip(total.tolist(), sums[at[0]].tolist(), sums[at[1]].tolist(), strict=True)
    ):
        exact, below = int(moment) * grid, divisor
        if centred:
            exact, below = exact * number - int(a) * int(b) * grid, divisor * number
        out[place] = exact // below if exact >= 0 else -(-exact // below)
    return out


def clipped_statistics(
    data: npt.ArrayLike,
    *,
    names: Sequence[str],
    vocabulary: Vocabulary,
    lags: Sequence[int],
    row_norm: float,
    grid: int,
    centring: str,
    rows_min: int = 0,
) -> Statistics:
    """Return the statistics of a private round of float[rows, variables].

    names: one for each column; all variables of the vocabulary are needed. Raises EngineError.
    """
    table = np.array(data, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(names):
        raise EngineError(
            f"a table of shape {table.shape} for {len(names)} names", subject=_SUBJECT
        )
    lacking = sorted(set(vocabulary.names) - set(names))
    if lacking:
        raise EngineError(
            f"{lacking[0]!r:.80} is not measured, and a private sum is of all variables",
            subject=_SUBJECT,
            remedy="Nothing was sent. Ask the operator for a vocabulary that all clients measure",
        )
    table = table[:, [list(names).index(name) for name in vocabulary.names]]
    scaling = Scaling.of(vocabulary)
    scaled = (table - scaling.centre) / scaling.scale
    scaled = np.where(scaling.bounded, np.clip(scaled, -1.0, 1.0), scaled)
    ordered = tuple(sorted(set(lags)))
    number, width = max(0, len(table) - ordered[-1]), len(vocabulary) * len(block_lags(ordered))
    least = max(2, least_rows(width, rows_min))
    if number < least:
        raise EngineError(
            f"{number} rows of {width} columns are too few",
            subject=_SUBJECT,
            remedy=f"Wait for at least {least} rows. Nothing was sent",
        )
    steps = clipped_moments(scaled, lags=ordered, row_norm=row_norm, grid=grid, centring=centring)
    return Statistics(
        variables=np.arange(len(vocabulary), dtype=np.uint32),
        lags=ordered,
        n=number,
        moments=np.asarray(steps * (row_norm * row_norm / grid), dtype=np.float64),
        form="clipped",
    )


def steps_of(statistics: Statistics, step: float) -> Integers:
    """Return int64[moments]: moments in steps. Raises EngineError where one is no whole number."""
    steps = np.rint(statistics.moments / step)
    if (
        not (np.abs(steps) < math.ldexp(1.0, 50)).all()
        or (steps * step != statistics.moments).any()
    ):
        raise EngineError(
            "a moment is not a whole number of the round's steps",
            subject=_SUBJECT,
            remedy="Submit with `hyperfed submit`, which makes such moments",
        )
    return steps.astype(np.int64)
