"""Check the columns of a client's data before an engine works on them, and name those that mislead.

1. A column is refused where no engine can use it: where it is constant, has too few values or
   infinite ones, or copies another column in the same or another unit.
2. A column that counts rows or holds times is refused: an index explains everything that grows.
3. Columns that are nearly the same are named, because their effects cannot be distinguished.

What it does not do: it does not leave columns out. That is the user's decision.
"""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.engines.time_formats import names_time
from hyperfed.errors import EngineError

__all__ = ["check_columns", "constant", "nearly_alike", "scaled"]

_CONSTANT = 1e-12  # of the largest value: what a column has to vary by
_COPY = 1e-7  # standard deviations by which a copy differs
_ALIKE = 0.9995  # |correlation| above which two columns are named
_FEWEST_COUNTED = 6  # values that make an index

Floats = npt.NDArray[np.float64]


def check_columns(values: Floats, names: Sequence[str], *, subject: str) -> None:
    """Raise EngineError, which names the column, where data cannot be used.

    Args:
        values: float[rows, columns]; NaN where a value is missing.
        names: One name for each column.
        subject: What errors call the data.
    """
    if values.ndim != 2 or values.shape[1] == 0:
        raise EngineError(
            f"the data have shape {values.shape}; rows and columns are needed", subject=subject
        )
    if len(names) != values.shape[1]:
        raise EngineError(f"{len(names)} names for {values.shape[1]} columns", subject=subject)
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise EngineError(
            f"column names must be unique; twice: {', '.join(twice[:5])}", subject=subject
        )
    endless = np.isinf(values)
    if endless.any():
        column = int(np.argmax(endless.any(axis=0)))
        row = int(np.argmax(endless[:, column]))
        raise EngineError(
            f"column {names[column]!r:.80} holds {values[row, column]} in row {row}",
            subject=subject,
            remedy="Correct it, or leave it out as NaN: it is missing",
        )
    there = (~np.isnan(values)).sum(axis=0)
    if len(values) and not there.all():
        raise EngineError(
            f"column {names[int(np.argmin(there))]!r:.80} holds no values",
            subject=subject,
            remedy="Leave it out: it was not measured here",
        )
    for column, name in enumerate(names):
        _check_index(values[:, column], name, subject)
    _check_copies(values, names, subject)


def constant(values: Floats) -> npt.NDArray[np.bool_]:
    """Return which columns do not vary or have no value at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without values
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    size = np.maximum(np.abs(low), np.abs(high))
    varies = high / 2 - low / 2 > _CONSTANT / 2 * size
    return np.asarray(~varies)


def scaled(values: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the values with each column divided by a power of two, and the exponents.

    The largest of a column is then in [0.5, 1), so that no square over- or underflows. The division
    is exact.
    """
    size = np.nanmax(np.abs(values), axis=0, initial=0.0)
    exponents = np.frexp(size)[1].astype(np.int64)
    return np.ldexp(values, -exponents.astype(np.int32)), exponents


def nearly_alike(values: Floats, names: Sequence[str]) -> tuple[str, ...]:
    """Return a note for each column that is nearly another one, in the rows without holes."""
    correlation, rows = _correlation(values)
    if correlation is None:
        return ()
    pairs = np.argwhere(np.triu(np.abs(correlation) > _ALIKE, 1))
    return tuple(
        f"columns {names[i]!r:.80} and {names[j]!r:.80} are nearly the same (r = "
        f"{correlation[i, j]:.7g} in {rows} rows), and their effects can hardly be told apart: "
        "leave one out"
        for i, j in pairs[:5].tolist()
    )


def _check_index(column: Floats, name: str, subject: str) -> None:
    """Raise EngineError for a column that counts rows or holds times."""
    at = np.flatnonzero(~np.isnan(column))
    if len(at) < _FEWEST_COUNTED:
        return
    present_values = column[at]
    slope = (present_values[-1] / 2 - present_values[0] / 2) / (at[-1] - at[0]) * 2
    line = present_values[0] + slope * (at - at[0])
    counts = (
        slope != 0
        and np.abs(present_values - line).max()
        <= 1e-9 * np.abs(present_values - present_values[0]).max()
    )
    steps = np.diff(present_values)
    clock = (
        names_time(name)
        and (steps >= 0).all()
        and (present_values == np.rint(present_values)).all()
    )
    if counts or (clock and present_values[-1] > present_values[0]):
        description = f"grows by {slope:g} in every row" if counts else "tells the time"
        raise EngineError(
            f"column {name!r:.80} {description}: an index or a clock is no measurement",
            subject=subject,
            remedy="Leave it out: it would explain everything that grows. Name the columns to use",
        )


def _check_copies(values: Floats, names: Sequence[str], subject: str) -> None:
    """Raise EngineError for a column that is another one's copy, in the same or another unit."""
    correlation, _ = _correlation(values)
    if correlation is None:
        return
    whole = scaled(values[~np.isnan(values).any(axis=1)])[0]
    for i, j in np.argwhere(np.triu(np.abs(correlation) > 1 - 1e-9, 1)).tolist():
        first, second = ((whole[:, at] - whole[:, at].mean()) / whole[:, at].std() for at in (i, j))
        if np.std(first - np.sign(correlation[i, j]) * second) <= _COPY:
            factor = "" if np.array_equal(values[:, i], values[:, j]) else ", in another unit"
            raise EngineError(
                f"column {names[j]!r:.80} is a copy of {names[i]!r:.80}{factor}",
                subject=subject,
                remedy="Leave one of them out",
            )


def _correlation(values: Floats) -> tuple[Floats | None, int]:
    """Return the correlations of the columns, and in how many rows without holes; None in few."""
    whole = values[~np.isnan(values).any(axis=1)]
    if len(whole) < _FEWEST_COUNTED or values.shape[1] < 2:
        return None, len(whole)
    whole = scaled(whole)[0]
    whole = whole - whole.mean(axis=0)
    spread = np.sqrt(np.mean(whole**2, axis=0))
    whole = whole / np.where(spread > 0, spread, 1.0)
    return whole.T @ whole / len(whole), len(whole)
