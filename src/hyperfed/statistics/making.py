"""Make a client's statistics from its table or series.

1. Scale and centre of a variable are public, from the signed vocabulary: half the width and the
   middle of its plausible range, or 1 and 0 where none is stated. Correlations, tests and edges do
   not depend on them. A value outside of the range counts as its nearer end, so that no variance is
   beyond a public bound.
2. A row is a time at which all lags can be looked at: the first `max(lags)` rows of a series are
   only looked back to.
3. A missing cell costs the pairs that it belongs to, and no others. A pair's moment is centred on
   the means of the rows that have both.
4. Columns of two or a few different values enter as numbers: an effect on a column of 0 and 1 is a
   difference of probability. With form "ranks" each column is replaced by the normal scores of its
   ranks within the client (van der Waerden; ties share their mean rank), which suits ordinal and
   heavy-tailed columns. Effects are then in standard deviations.
5. A client with fewer than `least_rows` rows sends nothing: moments of few rows reveal the rows.

Sources: Liu, Lafferty & Wasserman 2009, JMLR 10 (normal scores); Little & Rubin, Statistical
Analysis with Missing Data, 3.4 (available-case moments).

What it does not do: it does not clip, and is no private mechanism.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np
import numpy.typing as npt

from hyperfed.errors import EngineError
from hyperfed.statistics.record import FORMS, Statistics, block_lags, triangle
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["MORE_ROWS", "Scaling", "lagged", "least_rows", "statistics_of"]

MORE_ROWS = 2
"""How many rows more than columns a client needs at least."""
_SUBJECT = "statistics"
_STILL = 1e-12  # spread relative to its size below which a column does not vary

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """Holds the public centre and scale of some variables."""

    centre: Floats
    """float64[variables]: what is taken from each value."""
    scale: Floats
    """float64[variables], above 0: what each difference is divided by."""
    bounded: npt.NDArray[np.bool_]
    """bool[variables]: which variables have a plausible range, to which values are held."""

    @classmethod
    def of(cls, vocabulary: Vocabulary, variables: npt.NDArray[np.uint32] | None = None) -> Self:
        """Return the scaling of a vocabulary's variables, or of those with these indices."""
        entries = vocabulary.variables
        chosen = entries if variables is None else [entries[i] for i in variables.tolist()]
        ends = [
            (one.low, one.high) if one.low is not None and one.high is not None else (-1.0, 1.0)
            for one in chosen
        ]
        low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
        bounded = [one.low is not None and one.high is not None for one in chosen]
        return cls(
            centre=low / 2 + high / 2,
            scale=high / 2 - low / 2,
            bounded=np.array(bounded, dtype=bool),
        )


def least_rows(width: int, rows_min: int = 0) -> int:
    """Return the fewest rows that a client with `width` columns needs."""
    return max(rows_min, width + MORE_ROWS)


def statistics_of(
    data: npt.ArrayLike,
    *,
    names: Sequence[str],
    vocabulary: Vocabulary,
    lags: Sequence[int] = (0,),
    intervened: Sequence[str] = (),
    form: str = "values",
    rows_min: int = 0,
) -> Statistics:
    """Return the statistics of float[rows, variables], NaN where a value is missing.

    names: one name of the vocabulary for each column. lags: the lags of the plan. intervened: the
    variables that an experiment set. rows_min: the policy's smallest number of rows.

    Raises EngineError, which names the column, where the data cannot be used.
    """
    try:
        table = np.array(data, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise EngineError(f"the data are not numbers: {exc}", subject=_SUBJECT) from exc
    if table.ndim != 2 or table.shape[1] != len(names) or np.isinf(table).any():
        raise EngineError(
            f"a table of shape {table.shape} for {len(names)} names, or with an infinite value",
            subject=_SUBJECT,
        )
    if form not in FORMS:
        raise EngineError(f"form is {form!r:.40}; {', '.join(FORMS)} are known", subject=_SUBJECT)
    indices = np.array([vocabulary.index(name) for name in names], dtype=np.uint32)
    order = np.argsort(indices)
    variables, table, ordered = indices[order], table[:, order], [names[i] for i in order]
    scaling = Scaling.of(vocabulary, variables)
    scaled = (table - scaling.centre) / scaling.scale
    scaled = np.where(scaling.bounded, np.clip(scaled, -1.0, 1.0), scaled)
    if form == "ranks":
        scaled = _normal_scores(scaled)
    blocks = block_lags(tuple(sorted(set(lags))))
    rows = lagged(scaled, blocks)
    rows = rows[~np.isnan(rows).all(axis=1)] if len(rows) else rows
    least = least_rows(rows.shape[1], rows_min)
    if len(rows) < least:
        raise EngineError(
            f"{len(rows)} rows of {rows.shape[1]} columns ({len(names)} variables at "
            f"{len(blocks)} lags) are too few to be told apart from their moments",
            subject=_SUBJECT,
            remedy=f"Measure fewer variables, or wait for at least {least} rows. Nothing was sent",
        )
    moments, counts = _moments(rows)
    _check_varies(moments, counts, rows, ordered)
    return Statistics(
        variables=variables,
        lags=tuple(sorted(set(lags))),
        n=len(rows),
        moments=triangle(moments),
        counts=np.zeros(0, np.uint64) if counts is None else triangle(counts).astype(np.uint64),
        intervened=tuple(sorted(vocabulary.index(name) for name in intervened)),
        form=form,
    )


def lagged(data: Floats, blocks: tuple[int, ...]) -> Floats:
    """Return the rows with one block of columns for each lag, float64[rows - longest, columns]."""
    longest = blocks[-1]
    if len(data) <= longest:
        return np.zeros((0, data.shape[1] * len(blocks)))
    return np.concatenate([data[longest - lag : len(data) - lag] for lag in blocks], axis=1)


def _moments(rows: Floats) -> tuple[Floats, Floats | None]:
    """Return the centred second moments, and the rows behind each; None where no cell lacks."""
    there = ~np.isnan(rows)
    if there.all():
        centred = rows - rows.mean(axis=0)
        centred -= centred.mean(axis=0)  # what rounding left
        return centred.T @ centred, None
    number = np.maximum(there.sum(axis=0), 1)
    filled = np.where(there, rows, 0.0)
    # about the middle of each column, so that little cancels below
    filled = np.where(there, filled - filled.sum(axis=0) / number, 0.0)
    mask = there.astype(np.float64)
    counts = mask.T @ mask
    sums = filled.T @ mask  # [a, b]: the sum of a over the rows that have b
    moments = filled.T @ filled - sums * sums.T / np.maximum(counts, 1.0)
    moments[counts < 2] = 0.0
    return (moments + moments.T) / 2, counts


def _check_varies(
    moments: Floats, counts: Floats | None, rows: Floats, names: Sequence[str]
) -> None:
    """Raise EngineError where a column does not vary."""
    size = np.nanmax(np.abs(np.where(np.isnan(rows), 0.0, rows)), axis=0)
    number = len(rows) if counts is None else counts.diagonal()
    still = moments.diagonal() <= (_STILL * np.maximum(size, 1e-150)) ** 2 * number
    if still.any():
        raise EngineError(
            f"column {names[int(np.argmax(still)) % len(names)]!r:.80} is constant",
            subject=_SUBJECT,
            remedy="Leave it out: it explains nothing",
        )


def _normal_scores(table: Floats) -> Floats:
    """Return each column's normal scores; a missing value stays missing."""
    out, normal = np.full(table.shape, np.nan), NormalDist()
    for at, column in enumerate(table.T):
        there = np.flatnonzero(~np.isnan(column))
        values, place, many = np.unique(column[there], return_inverse=True, return_counts=True)
        if not len(values):
            continue
        rank = np.cumsum(many) - (many - 1) / 2
        score = np.array([normal.inv_cdf(r / (len(there) + 1)) for r in rank.tolist()])
        out[there, at] = score[place.reshape(-1)]
    return out
