"""The quick way to a table of edges: all of its columns at once, by machine code, where it is what `PayloadCodec` makes of a table of float32.

1. It gives exactly the table that `records` and `planes` would, or None; it never says what is wrong. Nothing was taken from the planes then, and they read it
   again, column by column, and tell. So there is one place for every refusal, and an unsound table is one of those that are read again (ADR 0018).
2. What a column's entry says is checked before a byte is inflated: the forms, that all have the same rows, what the planes come to, and what is left of the
   bytes that the document declares (R-13).
3. What follows from the lengths of entries, or from codings and widths, is found out once: clients of one round send few different ones.

What it does not do: tables of float64, of less than 256 rows or more than 4 MB, or columns coded otherwise than `records` does.
"""

import functools
import itertools
import math
import operator
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperfed.codec.planes import PARALLEL, SMALLEST, Coding, PlaneReader, fits, inflate
from hyperfed.compiled.tables import EDGES, Forms, edges, knows_edges
from hyperfed.errors import SchemaError
from hyperfed.tables import EdgeTable

__all__ = ["quick_edges"]

_FIELDS = tuple(name for name, _ in EDGES)
_SORTED = sorted(_FIELDS)
_WITHOUT = len(EDGES) - 2  # columns where there are no intervals
_MOST_PLANES = 4
_UNITS = ("confidence", "stability")
_FLOATS = {"ci_low": (Coding.BELOW,), "ci_high": (Coding.MIRROR,)}
_CODINGS = tuple(_FLOATS.get(name, (Coding.PLAIN,)) if dtype.kind == "f" else (Coding.PLAIN, Coding.STEP) for name, dtype in EDGES)
_KEPT = 256  # forms remembered, of each kind

_in_order: Callable[[Any], tuple[Any, ...]] = operator.itemgetter(*_FIELDS)

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """The columns of a table as they travel. dtypes: of each; units: the largest of the whole numbers that confidence and stability are, 0 where they are
    float32; row: bytes a row; least: rows, below which a column travels as it is."""

    dtypes: tuple[np.dtype[Any], ...]
    units: int
    row: int
    least: int


def _kinds() -> dict[tuple[str, ...], _Kind]:
    """By what the columns say they are: with intervals or without, with units as they are or rounded."""
    found = {}
    for unit, largest in ((np.dtype("<f4"), 0), (np.dtype("<u2"), 0xFFFF), (np.dtype("|u1"), 0xFF)):
        for count in (_WITHOUT, len(EDGES)):
            dtypes = tuple(unit if name in _UNITS else dtype for name, dtype in EDGES[:count])
            sizes = [dtype.itemsize for dtype in dtypes]
            found[tuple(f"{dtype.str}:planes" for dtype in dtypes)] = _Kind(dtypes, largest, sum(sizes), -(-SMALLEST // min(sizes)))
    return found


_KINDS = _kinds()


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the entries of a table lie one after the other: what reads them, and what takes the values of one kind out of what was read."""

    counts: tuple[int, ...]
    read: Callable[[bytes], Values]
    heads: Callable[[Values], Values]
    rows: Callable[[Values], Values]
    reaches: Callable[[Values], Values]
    lengths: Callable[[Values], Values]


def quick_edges(plain: Any, planes: PlaneReader) -> EdgeTable | None:
    """The table that a record's map of columns spells, taken from `planes`; None where it is not read this way."""
    if not knows_edges() or type(plain) is not dict or [*plain] != _SORTED:
        return None
    columns = _in_order(plain)
    if columns[-1] is None and columns[-2] is None:
        columns = columns[:_WITHOUT]
    count = len(columns)
    if [*map(type, columns)] != [list] * count or [*map(len, columns)] != [2] * count:
        return None
    said, entries = zip(*columns, strict=True)
    if not {*map(type, said)} <= {str} or not {*map(type, entries)} <= {bytes, memoryview}:
        return None
    kind = _KINDS.get(said)
    layout = None if kind is None else _layout(kind, tuple(map(len, entries)))
    if kind is None or layout is None:
        return None
    values = layout.read(b"".join(entries))
    forms, (rows, *others) = _forms(kind, layout.counts, layout.heads(values)), layout.rows(values)
    reaches, lengths, size = layout.reaches(values), layout.lengths(values), rows * kind.row
    reach = reaches[_WITHOUT] if count > _WITHOUT else 0.0
    if forms is None or others.count(rows) != count - 1 or rows < kind.least or size >= PARALLEL or min(lengths) < 1 or max(lengths) > rows:
        return None
    if any(reaches[:_WITHOUT]) or any(reaches[_WITHOUT + 1 :]) or not math.isfinite(reach):
        return None
    parts = planes.ahead(lengths, size)
    if parts is None:
        return None
    try:
        whole = b"".join([part if len(part) == rows else inflate(part, rows) for part in parts])
    except SchemaError:
        return None
    found = edges(whole, rows, forms, reach=reach, units=kind.units)
    if found is None:
        return None
    planes.take(lengths, size)
    return EdgeTable.of_sound(found)


@functools.lru_cache(maxsize=_KEPT)
def _layout(kind: _Kind, sizes: tuple[int, ...]) -> _Layout | None:
    """Of entries of these lengths; None where one describes no column of at most four planes, or none has any."""
    counts, head = [], struct.calcsize("<BBId")
    for size, dtype in zip(sizes, kind.dtypes, strict=True):
        planes, rest = divmod(size - head, 4)
        if rest or not 0 <= planes <= min(dtype.itemsize, _MOST_PLANES):
            return None
        counts.append(planes)
    if sum(counts) < 2:  # what takes lengths out would give one alone
        return None
    starts = [*itertools.accumulate((4 + planes for planes in counts), initial=0)][:-1]
    lengths = [start + 4 + i for start, planes in zip(starts, counts, strict=True) for i in range(planes)]
    return _Layout(
        counts=tuple(counts),
        read=struct.Struct("<" + "".join(f"BBId{planes}I" for planes in counts)).unpack,
        heads=operator.itemgetter(*(start + i for start in starts for i in range(2))),
        rows=operator.itemgetter(*(start + 2 for start in starts)),
        reaches=operator.itemgetter(*(start + 3 for start in starts)),
        lengths=operator.itemgetter(*lengths),
    )


@functools.lru_cache(maxsize=_KEPT)
def _forms(kind: _Kind, counts: tuple[int, ...], heads: tuple[int, ...]) -> Forms | None:
    """What `compiled.tables.edges` is told of columns of so many planes. heads: coding and bytes a value of each; None where they do not fit."""
    columns = []
    for i, (count, number, width) in enumerate(zip(counts, heads[::2], heads[1::2], strict=True)):
        if number not in _CODINGS[i] or count > width or not fits(Coding(number), width, kind.dtypes[i]):
            return None
        columns.append((count, width if number == Coding.STEP else 0))
    return Forms(columns)
