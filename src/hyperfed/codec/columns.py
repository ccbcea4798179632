"""Write and read one column as it travels.

1. The plain form is [dtype, little-endian buffer].
2. In a compressed document, a column of 512 bytes or more is [dtype + ":planes", entry], where
   `planes` makes the entry.
3. Reading makes a read-only view, not a copy. Form, dtype and size are checked before anything is
   inflated or cast (R-11); that all numbers are finite is checked afterwards (R-10).
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from hyperfed.codec.fields import Place, spelled
from hyperfed.codec.planes import SMALLEST, Coding, PlaneReader, PlaneWriter, rows_of
from hyperfed.codec.scalars import expect, expect_binary
from hyperfed.errors import SchemaError
from hyperfed.tables.columns import all_finite

__all__ = ["FORMS", "ascends", "checked_column", "claim_column", "rows_stated", "write_column"]

_WIRE_DTYPES = ("|b1", "<f4", "<f8", "<i4", "<i8", "<u2", "<u4", "<u8", "|u1")
_IN_PLANES = ":planes"
# These are the forms that a column may declare, with its dtype and whether it lies in planes.
FORMS = {
    name + way: (np.dtype(name), bool(way)) for name in _WIRE_DTYPES for way in ("", _IN_PLANES)
}


def ascends(column: np.ndarray[Any, Any]) -> bool:
    """Return whether a column holds ascending unsigned numbers, as indices of variables do."""
    return bool(column.dtype.kind == "u" and np.all(column[1:] >= column[:-1]))


def write_column(
    column: np.ndarray[Any, Any],
    planes: PlaneWriter | None,
    coding: Coding = Coding.PLAIN,
    around: Any = None,
) -> list[Any]:
    """Return the column as it travels, [dtype, buffer or entry]. Raises SchemaError.

    `planes` takes a large column of a compressed document, and is None without compression.
    `around` holds the columns that the coding needs.
    """
    little, as_it_is, in_planes = _forms_of(column.dtype)
    if planes is None or column.nbytes < SMALLEST or column.dtype.kind == "b":
        return [as_it_is, _buffer(column)]
    return [in_planes, planes.put(np.ascontiguousarray(column, dtype=little), coding, around)]


@functools.cache
def _forms_of(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], str, str]:
    """Return a column's dtype as it travels, and its spelling without and with planes.

    Raises SchemaError where the dtype does not travel.
    """
    little = dtype.newbyteorder("<") if dtype.itemsize > 1 else dtype
    if little.str not in _WIRE_DTYPES:
        raise SchemaError(f"a column of {dtype} cannot travel", rule="R-11")
    return little, little.str, little.str + _IN_PLANES


def _buffer(array: np.ndarray[Any, Any]) -> memoryview:
    little = array.dtype.newbyteorder("<")
    return (
        np.ascontiguousarray(array, dtype=little).data.cast("B") if array.size else memoryview(b"")
    )


def claim_column(
    plain: Any, where: Place, planes: PlaneReader | None, belonging: np.dtype[Any] | None = None
) -> tuple[int, Callable[[Any], Any]]:
    """Return the number of rows, and a function that reads the column.

    The function takes (effect,) or (effect, ci_low) where the column's coding needs them. Form,
    dtype and size are checked now; the values are not. Raises SchemaError.

    `belonging` is the dtype that belongs here, or None for any. A column of another dtype would be
    refused only after a cast, and that cast may take eight times the bytes declared.
    """
    pair = expect(list, plain, where)
    dtype, coded = (FORMS.get(pair[0]) if len(pair) == 2 and type(pair[0]) is str else None) or (
        None,
        False,
    )
    if dtype is None or (coded and planes is None):
        raise SchemaError(
            f"a column is [dtype, bytes] with a dtype of {', '.join(_WIRE_DTYPES)}",
            subject=spelled(where),
            rule="R-11",
        )
    if belonging is not None and dtype != belonging:
        raise SchemaError(
            f"column of {dtype}; {belonging} belongs here", subject=spelled(where), rule="R-11"
        )
    buffer = expect_binary(pair[1], where)
    if coded and planes is not None:
        return planes.claim(buffer, dtype, where)
    if len(buffer) % dtype.itemsize:
        raise SchemaError(
            f"{len(buffer)} bytes are no whole number of {dtype.str}",
            subject=spelled(where),
            rule="R-11",
        )
    return len(buffer) // dtype.itemsize, lambda around: np.frombuffer(buffer, dtype=dtype)


def rows_stated(plain: Any) -> int:
    """Return how many rows a column says it has, without reading it; 0 for what is no column."""
    if type(plain) is not list or len(plain) != 2 or type(plain[0]) is not str:
        return 0
    (dtype, coded), entry = FORMS.get(plain[0], (None, False)), plain[1]
    if dtype is None or not isinstance(entry, bytes | memoryview):
        return 0
    return rows_of(entry) if coded else len(entry) // dtype.itemsize


def checked_column(column: np.ndarray[Any, Any], where: Place) -> np.ndarray[Any, Any]:
    """Return the column where its values are allowed.

    Raises SchemaError where a number is not finite, or a boolean is neither 0 nor 1.
    """
    if not all_finite(column):
        raise SchemaError(
            "a column holds a number that is not finite", subject=spelled(where), rule="R-10"
        )
    if column.dtype.kind == "b" and (column.view(np.uint8) > 1).any():
        raise SchemaError(
            "a boolean column holds only 0 and 1", subject=spelled(where), rule="R-11"
        )
    return column
