"""Rows as records: one packed record a row of an edge table, so that a table is cut into ranges by slices of one array.

1. A record holds the key and every other column, floats as they came: `NARROW` for float32, `WIDE` for float64. A table without intervals has both ends 0:
   a width of 0 is an unknown interval (`merge.pooling`, rule 3).
2. `by_range` puts the records of some clients in the order of (range, client, key).

What it does not do: keep them anywhere (`spool`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.compiled.tables import pack as compiled_pack
from hyperfed.merge.compiled import machine_code
from hyperfed.tables import EdgeTable, unpack_keys, votes_of

__all__ = ["NARROW", "WIDE", "PackedRows", "PackedTable", "by_range", "pack", "runs", "table_of"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FLOATS = ("effect", "confidence", "stability", "ci_low", "ci_high")
NARROW = np.dtype([("key", "<u8"), ("n", "<u8"), *((name, "<f4") for name in _FLOATS), ("hits", "<u4")])
WIDE = np.dtype([("key", "<u8"), ("n", "<u8"), *((name, "<f8") for name in _FLOATS), ("hits", "<u4")])


def pack(table: EdgeTable) -> Array:
    """The table's rows as records, NARROW where its floats are float32."""
    rows = np.empty(len(table), dtype=NARROW if table.effect.dtype == np.float32 else WIDE)
    if compiled_pack(table, rows):
        return rows
    rows["key"] = table.keys
    for name in ("n", "hits", "effect", "confidence", "stability"):
        rows[name] = getattr(table, name)
    if table.ci_low is not None and table.ci_high is not None:
        rows["ci_low"], rows["ci_high"] = table.ci_low, table.ci_high
    else:
        rows["ci_low"] = rows["ci_high"] = 0.0
    return rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedTable:
    """A table as records. rows: NARROW or WIDE; intervals: whether it has any; largest: its largest sample count, 0 where it has no rows."""

    rows: Array
    intervals: bool
    largest: float

    @classmethod
    def of(cls, table: EdgeTable) -> Self:
        return cls(rows=pack(table), intervals=table.ci_low is not None, largest=float(int(np.maximum.reduce(table.n))) if len(table) else 0.0)


def table_of(rows: Array, *, intervals: bool) -> EdgeTable:
    """The table that was packed; its floats are float64 where it shared a block with one of float64."""
    source, target, lag = unpack_keys(rows["key"])
    floats = {name: np.ascontiguousarray(rows[name]) for name in (_FLOATS if intervals else _FLOATS[:3])}
    return EdgeTable(source=source, target=target, lag=lag, hits=rows["hits"].copy(), n=rows["n"].copy(), **floats)


def by_range(tables: Sequence[Array], bounds: npt.NDArray[np.uint64]) -> tuple[Callable[[], list[npt.NDArray[np.uint8]]], np.dtype[Any], Ints]:
    """(what gives the bytes of the records in the order of (range, client, key), in one piece or many, and may be asked in another thread; the records' type;
    int64[ranges, clients], how many each has). bounds: uint64, every range's first key but the first's."""
    if len({t.dtype for t in tables}) > 1:
        tables = [t.astype(WIDE) for t in tables]
    dtype = tables[0].dtype
    compiled = machine_code(sum(map(len, tables))) if dtype == NARROW else None
    if compiled is not None:
        ends = compiled.ends(tables, bounds)
        return lambda: [compiled.by_range(tables, ends).view(np.uint8)], dtype, np.diff(ends, axis=1).T
    ends = np.stack([np.concatenate([[0], np.searchsorted(t["key"], bounds), [len(t)]]) for t in tables]).astype(np.int64)
    counts = np.diff(ends, axis=1).T
    views, cut = [t.view(np.uint8) for t in tables], (ends * dtype.itemsize).tolist()  # numpy copies records of many fields one by one
    pieces = [view[own[i] : own[i + 1]] for i in range(len(counts)) for view, own in zip(views, cut, strict=True)]
    return lambda: pieces, dtype, counts


def runs(start: Ints, length: Ints) -> Ints:
    """int64[sum of length]: start[0], start[0] + 1, ..., start[1], ...: the places of runs, one after the other."""
    before = np.cumsum(length) - length
    return np.asarray(np.arange(int(length.sum())) + np.repeat(start - before, length), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedRows:
    """A `RangeRows` of records. records: NARROW or WIDE [rows], client after client; rows: int64[clients]."""

    records: Array
    rows: Ints

    def keys(self) -> npt.NDArray[np.uint64]:
        return np.ascontiguousarray(self.records["key"])

    def votes(self) -> Floats:
        compiled = machine_code(len(self.records))
        if compiled is not None and self.records.dtype == NARROW:
            return compiled.votes(self.records)
        return votes_of(self.records["effect"], self.records["confidence"], self.records["stability"])

    def column(self, name: str) -> Array:
        return np.ascontiguousarray(self.records[name])

    def widths(self) -> Floats | None:
        with np.errstate(over="ignore"):
            width = self.records["ci_high"].astype(np.float64) - self.records["ci_low"].astype(np.float64)
        return np.minimum(width, 1e300, out=width) if (width > 0).any() else None
