"""Check single columns: whether each is fit to stand in a table.

1. A column has one dtype, is one-dimensional, and is read-only once its table is made (`freeze`).
   Its class names the dtype (`columns_of`).
2. A value outside its bounds raises BoundsError with the first row that holds one. Non-finite
   values are refused before anything else.
3. An interval is effect +- 1.96 standard errors (`Z95`), so its width gives the standard error. In
   a table with intervals, a row with ci_low = ci_high = effect has none: its standard error is
   unknown.

What it does not do: it does not sort, nor compare columns of different tables (`tables`).
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.config import MAX_EFFECT, MAX_SAMPLES
from hyperfed.errors import BoundsError

__all__ = [
    "EDGE_FLOATS",
    "Columns",
    "all_finite",
    "as_column",
    "check_floats",
    "check_interval",
    "check_samples",
    "check_size",
    "check_unit",
    "columns_of",
    "first_outside",
    "freeze",
    "refuse_where",
]

EDGE_FLOATS = ("effect", "ci_low", "ci_high", "confidence", "stability")
"""The float columns of edges and hyperedges."""

_OPTIONAL = ("ci_low", "ci_high")
_ROWS_AT_ONCE = 1 << 16
_ONE = {4: 0x3F800000, 8: 0x3FF0000000000000}  # the bits of 1.0, by the float's width in bytes
_INFINITE = {4: 0x7F800000, 8: 0x7FF0000000000000}  # the bits of infinity

Array = npt.NDArray[Any]


class Columns:
    """Gives the tables their equality, and their size in bytes."""

    __slots__ = ()

    @property
    def nbytes(self) -> int:
        """The size of all columns together, in bytes."""
        columns = (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return sum(int(column.nbytes) for column in columns if column is not None)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        for field in fields(self):  # type: ignore[arg-type]
            column, other_column = getattr(self, field.name), getattr(other, field.name)
            if (column is None) != (other_column is None):
                return False
            if column is not None and (
                column.dtype != other_column.dtype or not np.array_equal(column, other_column)
            ):
                return False
        return True

    __hash__ = None  # type: ignore[assignment]


def columns_of(kind: type) -> dict[str, np.dtype[Any]]:
    """Return the dtypes of a record's columns by field name, as declared in its class's `COLUMNS`.

    The result is empty where the class declares none. The dtypes are declared beside the
    annotations and not read from them: a dtype that travels must not depend on how numpy builds a
    typing alias.
    """
    return {name: np.dtype(dtype) for name, dtype in getattr(kind, "COLUMNS", {}).items()}


def as_column(values: Any, dtype: Any, field: str) -> Array:
    """Return `values` as a one-dimensional array of `dtype`.

    Raises BoundsError for anything that is no numeric column, for floats where integers belong, and
    for an integer that does not fit. A float may be rounded, or become infinite.
    """
    if (
        type(values) is np.ndarray
        and values.ndim == 1
        and values.dtype == dtype
        and values.dtype.isnative
        and values.flags.c_contiguous
    ):
        return values
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError) as exc:
        raise BoundsError(f"is no column: {exc}"[:200], subject=field) from exc
    if array.size == 0 and array.ndim == 1 and array.dtype.kind in "iufO":
        array = array.astype(dtype)
    if (
        array.ndim != 1
        or array.dtype.kind not in "iuf"
        or (np.dtype(dtype).kind != "f" and array.dtype.kind == "f")
    ):
        raise BoundsError(
            f"a column of {array.dtype}{list(array.shape)}, expected one dimension of "
            f"{np.dtype(dtype)}",
            subject=field,
        )
    if np.dtype(dtype).kind in "iu" and array.size and array.dtype != dtype:
        info = np.iinfo(dtype)
        low, high = int(array.min()), int(array.max())
        if low < info.min or high > info.max:
            raise BoundsError(
                f"holds {low if low < info.min else high}, outside [{info.min}, {info.max}]",
                subject=field,
            )
    # What overflows becomes infinite, and is refused later with its row.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, dtype=dtype)


def all_finite(column: Array) -> bool:
    """Return whether a float column holds no NaN and no infinity; True for other columns.

    Only the minimum and the maximum are tested: a NaN anywhere makes both NaN.
    """
    if column.dtype.kind != "f" or not len(column):
        return True
    return math.isfinite(np.minimum.reduce(column)) and math.isfinite(np.maximum.reduce(column))


def first_outside(indices: npt.NDArray[np.uint32], measured: npt.NDArray[np.uint32]) -> int | None:
    """Return the first of `indices` that is not among the ascending `measured`, or None.

    The indices are searched in parts, so that little memory is needed beside the columns.
    """
    if not len(indices):
        return None
    low, high = (int(measured[0]), int(measured[-1])) if len(measured) else (0, -1)
    if (
        high - low == len(measured) - 1
        and int(np.maximum.reduce(indices)) <= high
        and (not low or int(np.minimum.reduce(indices)) >= low)
    ):
        return None  # every index in between was measured
    for part in (indices[i : i + _ROWS_AT_ONCE] for i in range(0, len(indices), _ROWS_AT_ONCE)):
        outside = ~_among(part, measured)
        if outside.any():
            return int(part[np.argmax(outside)])
    return None


def _among(
    indices: npt.NDArray[np.uint32], measured: npt.NDArray[np.uint32]
) -> npt.NDArray[np.bool_]:
    """Return a bool for each index: whether it is among `measured`.

    A lookup table answers where the indices measured are small, a binary search otherwise.
    """
    if len(measured) and int(measured[-1]) < _ROWS_AT_ONCE:
        is_measured = np.zeros(_ROWS_AT_ONCE + 1, dtype=bool)
        is_measured[measured] = True
        return np.asarray(is_measured[np.minimum(indices, np.uint32(_ROWS_AT_ONCE))])
    at = np.searchsorted(measured, indices)
    inside = at < len(measured)
    inside[inside] = measured[at[inside]] == indices[inside]
    return np.asarray(inside)


def _highest(column: Array) -> int:
    """Return the highest bit pattern in a float column, read as an unsigned integer.

    An empty column gives 0. The patterns of [0, 1] lie between 0 and that of 1.0. Those of negative
    numbers and of -0.0 lie above all positive ones. Those of NaN and infinity lie above the finite
    ones of their sign.
    """
    return int(np.maximum.reduce(column.view(f"<u{column.dtype.itemsize}"))) if len(column) else 0


def _in_unit(column: Array) -> bool:
    """Return whether all floats lie in [0, 1] and none is -0.0."""
    return _highest(column) <= _ONE[column.dtype.itemsize]


def _regular(column: Array) -> bool:
    """Return whether all floats are finite and none is -0.0.

    Their bits are compared: as a signed integer, -0.0 is the least of all.
    """
    width = column.dtype.itemsize
    highest, infinite, sign = _highest(column), _INFINITE[width], 1 << (8 * width - 1)
    if highest < sign:
        return highest < infinite
    signed = column.view(f"<i{width}")
    return (
        highest < sign + infinite
        and int(np.maximum.reduce(signed)) < infinite
        and int(np.minimum.reduce(signed)) != -sign
    )


def refuse_where(
    bad: npt.NDArray[np.bool_], values: Array, subject: str, requirement: str, rule: str = ""
) -> None:
    """Raise BoundsError with the first row where `bad` is true; do nothing where there is none."""
    if bad.any():
        row = int(np.argmax(bad))
        raise BoundsError(
            f"row {row} holds {values[row].item()!r}; {requirement}", subject=subject, rule=rule
        )


def check_floats(table: Any, names: tuple[str, ...], kind: str) -> None:
    """Raise BoundsError where a column holds a number that is not finite (R-10), or -0.0."""
    for name in names:
        column = getattr(table, name)
        if column is None or _regular(column):
            continue
        refuse_where(
            ~np.isfinite(column), column, f"{kind}.{name}", "numbers must be finite", "R-10"
        )
        refuse_where(
            (column == 0) & np.signbit(column),
            column,
            f"{kind}.{name}",
            "-0.0 is not canonical, write 0.0",
        )


def check_unit(table: Any, names: tuple[str, ...], kind: str) -> None:
    """Raise BoundsError where a column holds a number outside [0, 1]."""
    for name in names:
        column = getattr(table, name)
        if not _in_unit(column):
            refuse_where(
                (column < 0) | (column > 1), column, f"{kind}.{name}", "must lie in [0, 1]"
            )


def check_size(table: Any, kind: str, *, ends: bool = True) -> None:
    """Raise BoundsError where an effect, or an end of an interval, lies beyond `MAX_EFFECT` (R-99).

    No merge could be computed of such numbers. The intervals are checked only where `ends` is true.
    """
    for name in ("effect", "ci_low", "ci_high") if ends else ("effect",):
        column = getattr(table, name)
        if (
            column is not None
            and len(column)
            and max(-np.minimum.reduce(column), np.maximum.reduce(column)) > MAX_EFFECT
        ):
            requirement = f"effects and their intervals lie within +-{MAX_EFFECT:g}"
            refuse_where(np.abs(column) > MAX_EFFECT, column, f"{kind}.{name}", requirement, "R-99")


def check_samples(table: Any, kind: str) -> None:
    """Raise BoundsError where a row has more than `MAX_SAMPLES` samples."""
    if len(table.n) and np.maximum.reduce(table.n) > MAX_SAMPLES:
        refuse_where(table.n > MAX_SAMPLES, table.n, f"{kind}.n", f"at most {MAX_SAMPLES} samples")


def check_interval(table: Any, kind: str) -> None:
    """Raise BoundsError where only one end is given, or an effect lies outside its interval."""
    if (table.ci_low is None) != (table.ci_high is None):
        raise BoundsError("ci_low and ci_high come together or not at all", subject=kind)
    if table.ci_low is not None:
        refuse_where(
            table.ci_low > table.effect,
            table.ci_low,
            f"{kind}.ci_low",
            "must not exceed the effect",
        )
        refuse_where(
            table.ci_high < table.effect,
            table.ci_high,
            f"{kind}.ci_high",
            "must not be below the effect",
        )


def freeze(
    table: Any,
    kind: str,
    dtypes: Mapping[str, Any],
    floats: tuple[str, ...],
    rows: int | None = None,
) -> None:
    """Cast every column, check its length, and make it read-only.

    Only ci_low and ci_high may be missing. Raises BoundsError for any other missing column, or one
    of another length. The columns are set with object.__setattr__, since the types are frozen.
    """
    float_dtype = (
        np.dtype(np.float32)
        if np.asarray(getattr(table, floats[0])).dtype == np.float32
        else np.dtype(np.float64)
    )
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
                raise BoundsError(
                    f"has {len(column)} rows where the others have {rows}", subject=f"{kind}.{name}"
                )
