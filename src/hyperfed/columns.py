"""Single columns: what makes one fit to stand in a table.

1. A column has one dtype, is one-dimensional, and is read-only once its table is made (`freeze`).
2. What is outside its bounds raises BoundsError with the first row that is. Non-finite is refused before anything else.

What it does not do: sort, or compare columns of different tables (`tables`).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError

__all__ = [
    "MAX_SAMPLES",
    "all_finite",
    "as_column",
    "check_floats",
    "check_interval",
    "check_samples",
    "check_unit",
    "first_outside",
    "freeze",
    "refuse_where",
]

MAX_SAMPLES = 1 << 63  # a merged table's sum is held here; above it sums would wrap around

_OPTIONAL = ("ci_low", "ci_high")
_ROWS_AT_ONCE = 1 << 16
_ONE = {4: 0x3F800000, 8: 0x3FF0000000000000}  # the bits of 1.0 by the bytes of a float
_INFINITE = {4: 0x7F800000, 8: 0x7FF0000000000000}  # those of infinity

Array = npt.NDArray[Any]


def as_column(values: Any, dtype: Any, field: str) -> Array:
    """`values` as a one-dimensional array of `dtype`. Raises BoundsError for an integer that does not fit; a float may round, or become infinite."""
    if type(values) is np.ndarray and values.ndim == 1 and values.dtype == dtype and values.dtype.isnative and values.flags.c_contiguous:
        return values
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError) as exc:
        raise BoundsError(f"is no column: {exc}"[:200], subject=field) from exc
    if array.size == 0 and array.ndim == 1 and array.dtype.kind in "iufO":
        array = array.astype(dtype)
    if array.ndim != 1 or array.dtype.kind not in "iuf" or (np.dtype(dtype).kind != "f" and array.dtype.kind == "f"):
        raise BoundsError(f"a column of {array.dtype}{list(array.shape)}, expected one dimension of {np.dtype(dtype)}", subject=field)
    if np.dtype(dtype).kind in "iu" and array.size and array.dtype != dtype:
        info = np.iinfo(dtype)
        low, high = int(array.min()), int(array.max())
        if low < info.min or high > info.max:
            raise BoundsError(f"holds {low if low < info.min else high}, outside [{info.min}, {info.max}]", subject=field)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused as not finite, with its row
        return np.ascontiguousarray(array, dtype=dtype)


def all_finite(column: Array) -> bool:
    """Whether a float column holds no NaN and no infinity: in its least and its greatest, which a NaN becomes. True for other columns."""
    if column.dtype.kind != "f" or not len(column):
        return True
    return math.isfinite(np.minimum.reduce(column)) and math.isfinite(np.maximum.reduce(column))


def first_outside(indices: npt.NDArray[np.uint32], measured: npt.NDArray[np.uint32]) -> int | None:
    """The first of `indices` that is not among the ascending `measured`, or None; in parts, so that it takes little beside the columns."""
    if not len(indices):
        return None
    low, high = (int(measured[0]), int(measured[-1])) if len(measured) else (0, -1)
    if high - low == len(measured) - 1 and int(np.maximum.reduce(indices)) <= high and (not low or int(np.minimum.reduce(indices)) >= low):
        return None  # everything between was measured
    for part in (indices[i : i + _ROWS_AT_ONCE] for i in range(0, len(indices), _ROWS_AT_ONCE)):
        outside = ~_among(part, measured)
        if outside.any():
            return int(part[np.argmax(outside)])
    return None


def _among(indices: npt.NDArray[np.uint32], measured: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """bool[indices]: by a table of what was measured where that is small, else by binary search."""
    if len(measured) and int(measured[-1]) < _ROWS_AT_ONCE:
        there = np.zeros(_ROWS_AT_ONCE + 1, dtype=bool)
        there[measured] = True
        return np.asarray(there[np.minimum(indices, _ROWS_AT_ONCE)])
    at = np.searchsorted(measured, indices)
    inside = at < len(measured)
    inside[inside] = measured[at[inside]] == indices[inside]
    return np.asarray(inside)


def _highest(column: Array) -> int:
    """The highest bits of a float column, as unsigned integers: those of [0, 1] lie from 0 to those of 1.0, those of negative numbers and of -0.0 above all
    others, those of what is not finite above the finite ones of their sign."""
    return int(np.maximum.reduce(column.view(f"<u{column.dtype.itemsize}"))) if len(column) else 0


def _in_unit(column: Array) -> bool:
    """Whether all floats lie in [0, 1] and none is -0.0."""
    return _highest(column) <= _ONE[column.dtype.itemsize]


def _regular(column: Array) -> bool:
    """Whether all floats are finite and none is -0.0, told by their bits: as signed integers -0.0 is the least of all."""
    width = column.dtype.itemsize
    highest, infinite, sign = _highest(column), _INFINITE[width], 1 << (8 * width - 1)
    if highest < sign:
        return highest < infinite
    signed = column.view(f"<i{width}")
    return highest < sign + infinite and int(np.maximum.reduce(signed)) < infinite and int(np.minimum.reduce(signed)) != -sign


def refuse_where(bad: npt.NDArray[np.bool_], values: Array, subject: str, needed: str, rule: str = "") -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise BoundsError(f"row {row} holds {values[row].item()!r}; {needed}", subject=subject, rule=rule)


def check_floats(table: Any, names: tuple[str, ...], kind: str) -> None:
    for name in names:
        column = getattr(table, name)
        if column is None or _regular(column):
            continue
        refuse_where(~np.isfinite(column), column, f"{kind}.{name}", "numbers must be finite", "R-10")
        refuse_where((column == 0) & np.signbit(column), column, f"{kind}.{name}", "-0.0 is not canonical, write 0.0")


def check_unit(table: Any, names: tuple[str, ...], kind: str) -> None:
    for name in names:
        column = getattr(table, name)
        if not _in_unit(column):
            refuse_where((column < 0) | (column > 1), column, f"{kind}.{name}", "must lie in [0, 1]")


def check_samples(table: Any, kind: str) -> None:
    if len(table.n) and np.maximum.reduce(table.n) > MAX_SAMPLES:
        refuse_where(table.n > MAX_SAMPLES, table.n, f"{kind}.n", f"at most {MAX_SAMPLES} samples")


def check_interval(table: Any, kind: str) -> None:
    if (table.ci_low is None) != (table.ci_high is None):
        raise BoundsError("ci_low and ci_high come together or not at all", subject=kind)
    if table.ci_low is not None:
        refuse_where(table.ci_low > table.effect, table.ci_low, f"{kind}.ci_low", "must not exceed the effect")
        refuse_where(table.ci_high < table.effect, table.ci_high, f"{kind}.ci_high", "must not be below the effect")


def freeze(table: Any, kind: str, dtypes: Mapping[str, Any], floats: tuple[str, ...], rows: int | None = None) -> None:
    """Cast, check lengths and make every column read-only; intervals alone may be missing. Set through object.__setattr__: the types are frozen."""
    float_dtype = np.dtype(np.float32) if np.asarray(getattr(table, floats[0])).dtype == np.float32 else np.dtype(np.float64)
    for name in (*dtypes, *floats):
        value = getattr(table, name)
        if value is None:
            if name not in _OPTIONAL:
                raise BoundsError("is missing", subject=f"{kind}.{name}")
            continue
        column = as_column(value, dtypes.get(name, float_dtype), f"{kind}.{name}")
        if column is value or column.base is not None:
            column = column.view()
        column.flags.writeable = False
        object.__setattr__(table, name, column)
        if name not in ("sources", "offsets"):
            if rows is None:
                rows = len(column)
            if len(column) != rows:
                raise BoundsError(f"has {len(column)} rows where the others have {rows}", subject=f"{kind}.{name}")
