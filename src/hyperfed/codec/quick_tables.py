"""The quick way to a table of edges: all of its columns at once, by machine code, where it is what `PayloadCodec` makes of a table of float32.

1. It gives exactly the table that `records` and `planes` would, or None; it never says what is wrong. Nothing was taken from the planes then, and they read it
   again, column by column, and tell. So there is one place for every refusal, and an unsound table is one of those that are read again (ADR 0018).
2. What a column's entry says is checked before a byte is inflated: the forms, that all have the same rows, what the planes come to, and what is left of the
   bytes that the document declares (R-13).
3. What follows from the lengths of entries, or from codings and widths, is found out once: clients of one round send few different ones.

What it does not do: tables of float64, of rounded units, of less than 256 rows or more than 4 MB, or columns coded otherwise than `records` does.
"""

import functools
import itertools
import math
import operator
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hyperfed.codec.planes import PARALLEL, SMALLEST, Coding, PlaneReader, fits, inflate
from hyperfed.compiled.tables import EDGES, Forms, edges, knows_edges
from hyperfed.errors import SchemaError
from hyperfed.tables import EdgeTable

__all__ = ["quick_edges"]

_FIELDS = tuple(name for name, _ in EDGES)
_SORTED = sorted(_FIELDS)
_DTYPES = tuple(dtype for _, dtype in EDGES)
_SAID = tuple(f"{dtype.str}:planes" for dtype in _DTYPES)
_WITHOUT = len(EDGES) - 2  # columns where there are no intervals
_ROW = {count: sum(dtype.itemsize for dtype in _DTYPES[:count]) for count in (_WITHOUT, len(EDGES))}  # bytes
_LEAST = SMALLEST // min(dtype.itemsize for dtype in _DTYPES)  # rows: below, a column travels as it is
_MOST_PLANES = 4
_FLOATS = {"ci_low": (Coding.BELOW,), "ci_high": (Coding.MIRROR,)}
_CODINGS = tuple(_FLOATS.get(name, (Coding.PLAIN,)) if dtype.kind == "f" else (Coding.PLAIN, Coding.STEP) for name, dtype in EDGES)
_KEPT = 256  # forms remembered, of each kind

_in_order: Callable[[Any], tuple[Any, ...]] = operator.itemgetter(*_FIELDS)

Values = tuple[Any, ...]


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
    if said != _SAID[:count] or not {*map(type, entries)} <= {bytes, memoryview}:
        return None
    layout = _layout(tuple(map(len, entries)))
    if layout is None:
        return None
    values = layout.read(b"".join(entries))
    forms, (rows, *others), reaches, lengths = _forms(layout.counts, layout.heads(values)), layout.rows(values), layout.reaches(values), layout.lengths(values)
    size = rows * _ROW[count]
    reach = reaches[_WITHOUT] if count > _WITHOUT else 0.0
    if forms is None or others.count(rows) != count - 1 or rows < _LEAST or size >= PARALLEL or min(lengths) < 1 or max(lengths) > rows:
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
    found = edges(whole, rows, forms, reach=reach)
    if found is None:
        return None
    planes.take(lengths, size)
    return EdgeTable.of_sound(found)


@functools.lru_cache(maxsize=_KEPT)
def _layout(sizes: tuple[int, ...]) -> _Layout | None:
    """Of entries of these lengths; None where one describes no column of at most four planes, or none has any."""
    counts, head = [], struct.calcsize("<BBId")
    for size, dtype in zip(sizes, _DTYPES, strict=False):
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
def _forms(counts: tuple[int, ...], heads: tuple[int, ...]) -> Forms | None:
    """What `compiled.tables.edges` is told of columns of so many planes. heads: coding and bytes a value of each; None where they do not fit."""
    columns = []
    for i, (count, number, width) in enumerate(zip(counts, heads[::2], heads[1::2], strict=True)):
        if number not in _CODINGS[i] or count > width or not fits(Coding(number), width, _DTYPES[i]):
            return None
        columns.append((count, width if number == Coding.STEP else 0))
    return Forms(columns)
