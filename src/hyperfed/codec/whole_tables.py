"""Read a whole table of edges at once.

This works where the table is what `PayloadCodec` makes of a sound table of float32.

1. It gives exactly the table that `tables.read_table` gives column by column, or None; it never
   says what is wrong. Where it gives None, nothing was taken from the planes.
2. What a column's entry says is checked before a byte is inflated: the forms, that all have the
   same rows, what the planes come to, and what is left of the bytes that the document declares
   (R-13).
3. What follows from the lengths of entries, or from codings and widths, is computed once and
   cached: clients of one round send few different ones.

What it does not do: it does not read tables of float64, of less than 256 rows or more than 4 MB,
columns of more than four planes, or columns coded otherwise than `tables` does.
"""

import functools
import itertools
import math
import operator
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hyperfed.codec.planes import PARALLEL, SMALLEST, Coding, PlaneReader, decoded, fits, inflate
from hyperfed.errors import PacketError
from hyperfed.tables.tables import EdgeTable

__all__ = ["read_whole"]

# the columns of an edge table of float32 in the order of its fields; both ends may be left out
_EDGES = tuple(
    (field.name, np.dtype(EdgeTable.INTEGERS.get(field.name, np.float32)))
    for field in fields(EdgeTable)
)
_FIELDS = tuple(name for name, _ in _EDGES)
_SORTED = sorted(_FIELDS)
_WITHOUT = len(_EDGES) - 2  # the number of columns without intervals
_MOST_PLANES = 4
_AROUND = {Coding.BELOW: ("effect",), Coding.MIRROR: ("effect", "ci_low")}
_FLOATS = {"ci_low": (Coding.BELOW,), "ci_high": (Coding.MIRROR,)}
_CODINGS = tuple(
    _FLOATS.get(name, (Coding.PLAIN,)) if dtype.kind == "f" else (Coding.PLAIN, Coding.STEP)
    for name, dtype in _EDGES
)
_KEPT = 256  # layouts and forms that each cache keeps

_in_order: Callable[[Any], tuple[Any, ...]] = operator.itemgetter(*_FIELDS)

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """Describes the columns of a table as they travel."""

    dtypes: tuple[np.dtype[Any], ...]
    """The dtype of each column."""
    row: int
    """The number of bytes in a row."""
    least: int
    """The least number of rows; with fewer, a column travels without planes."""


def _kinds() -> dict[tuple[str, ...], _Kind]:
    """Return the two kinds of table, without and with intervals, by the forms of their columns."""
    kinds = {}
    for count in (_WITHOUT, len(_EDGES)):
        dtypes = tuple(dtype for _, dtype in _EDGES[:count])
        sizes = [dtype.itemsize for dtype in dtypes]
        kinds[tuple(f"{dtype.str}:planes" for dtype in dtypes)] = _Kind(
            dtypes, sum(sizes), -(-SMALLEST // min(sizes))
        )
    return kinds


_KINDS = _kinds()


@dataclass(frozen=True, slots=True)
class _EntryLayout:
    """Describes how the entries of a table lie one after the other."""

    counts: tuple[int, ...]
    """The number of planes of each column."""
    read: Callable[[bytes], Values]
    """Reads all values of the joined entries."""
    heads: Callable[[Values], Values]
    """Takes the coding and the width of each column out of the values read."""
    rows: Callable[[Values], Values]
    """Takes the number of rows of each column out of the values read."""
    reaches: Callable[[Values], Values]
    """Takes the reach of each column out of the values read."""
    lengths: Callable[[Values], Values]
    """Takes the lengths of all planes out of the values read."""


def read_whole(plain: Any, planes: PlaneReader) -> EdgeTable | None:
    """Return the table that a record's map of columns describes, taken from `planes`.

    Returns None where it is not read this way; nothing is taken from `planes` then.
    """
    if type(plain) is not dict or [*plain] != _SORTED:
        return None
    columns = _in_order(plain)
    if columns[-1] is None and columns[-2] is None:
        columns = columns[:_WITHOUT]
    count = len(columns)
    if [*map(type, columns)] != [list] * count or [*map(len, columns)] != [2] * count:
        return None
    forms, entries = zip(*columns, strict=True)
    if not {*map(type, forms)} <= {str} or not {*map(type, entries)} <= {bytes, memoryview}:
        return None
    kind = _KINDS.get(forms)
    layout = None if kind is None else _layout(kind, tuple(map(len, entries)))
    if kind is None or layout is None:
        return None
    values = layout.read(b"".join(entries))
    codings, (rows, *other_rows) = (
        _codings(kind, layout.counts, layout.heads(values)),
        layout.rows(values),
    )
    reaches, lengths, size = layout.reaches(values), layout.lengths(values), rows * kind.row
    reach = reaches[_WITHOUT] if count > _WITHOUT else 0.0
    if (
        codings is None
        or other_rows.count(rows) != count - 1
        or rows < kind.least
        or size >= PARALLEL
        or min(lengths) < 1
        or max(lengths) > rows
    ):
        return None
    if any(reaches[:_WITHOUT]) or any(reaches[_WITHOUT + 1 :]) or not math.isfinite(reach):
        return None
    parts = planes.ahead(lengths, size)
    if parts is None:
        return None
    try:
        table = EdgeTable(**_columns(kind, layout.counts, codings, parts, rows, reach))
    except PacketError:  # it is read again, and refused with the place
        return None
    planes.take(lengths, size)
    return table


def _columns(
    kind: _Kind,
    counts: tuple[int, ...],
    codings: tuple[tuple[Coding, int], ...],
    parts: Sequence[memoryview],
    rows: int,
    reach: float,
) -> dict[str, Any]:
    """Return the columns whose planes these are, one column's after the other's."""
    columns: dict[str, Any] = {}
    at = 0
    for name, dtype, count, (coding, width) in zip(
        _FIELDS, kind.dtypes, counts, codings, strict=False
    ):
        column_planes = [
            np.frombuffer(inflate(part, rows), np.uint8) for part in parts[at : at + count]
        ]
        at += count
        # the ends of intervals come after the effect, and the lower one first
        around = tuple(columns[earlier] for earlier in _AROUND.get(coding, ()))
        columns[name] = decoded(column_planes, rows, dtype, coding, around, reach, width)
    return columns


@functools.lru_cache(maxsize=_KEPT)
def _layout(kind: _Kind, sizes: tuple[int, ...]) -> _EntryLayout | None:
    """Return the layout of entries of these lengths.

    Returns None where an entry describes no column of at most four planes, or there are fewer than
    two planes altogether.
    """
    counts, head = [], struct.calcsize("<BBId")
    for size, dtype in zip(sizes, kind.dtypes, strict=True):
        planes, odd_bytes = divmod(size - head, 4)
        if odd_bytes or not 0 <= planes <= min(dtype.itemsize, _MOST_PLANES):
            return None
        counts.append(planes)
    if sum(counts) < 2:  # an itemgetter of one item returns no tuple
        return None
    starts = [*itertools.accumulate((4 + planes for planes in counts), initial=0)][:-1]
    lengths = [
        start + 4 + i for start, planes in zip(starts, counts, strict=True) for i in range(planes)
    ]
    return _EntryLayout(
        counts=tuple(counts),
        read=struct.Struct("<" + "".join(f"BBId{planes}I" for planes in counts)).unpack,
        heads=operator.itemgetter(*(start + i for start in starts for i in range(2))),
        rows=operator.itemgetter(*(start + 2 for start in starts)),
        reaches=operator.itemgetter(*(start + 3 for start in starts)),
        lengths=operator.itemgetter(*lengths),
    )


@functools.lru_cache(maxsize=_KEPT)
def _codings(
    kind: _Kind, counts: tuple[int, ...], heads: tuple[int, ...]
) -> tuple[tuple[Coding, int], ...] | None:
    """Return the coding and the bytes a value of each column, which has so many planes.

    `heads` holds both as they came, one column's after the other's. Returns None where they do not
    fit.
    """
    codings = []
    for i, (count, number, width) in enumerate(zip(counts, heads[::2], heads[1::2], strict=True)):
        if (
            number not in _CODINGS[i]
            or count > width
            or not fits(Coding(number), width, kind.dtypes[i])
        ):
            return None
        codings.append((Coding(number), width))
    return tuple(codings)
