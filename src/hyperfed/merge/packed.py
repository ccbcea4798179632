"""Turn the rows of edge tables into packed records, so that slices of one array cut a table.

1. A record holds the key and every other column, with floats as they came: `NARROW` for float32,
   `WIDE` for float64. In a table without intervals both ends are 0. A width of 0 is an unknown
   interval (`merge.pooling`, rule 3).
2. `by_range` puts the records of some clients in the order of (range, client, key).

What it does not do: it keeps them nowhere (`spool`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.kernels.layout import FLOATS, NARROW, WIDE
from hyperfed.tables.tables import EdgeTable, unpack_keys, votes_of

__all__ = ["PackedRows", "PackedTable", "by_range", "pack", "runs", "table_of"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LONG = 100  # records of a piece that is written from where it lies


def pack(table: EdgeTable) -> Array:
    """Return the table's rows as records, which are NARROW where its floats are float32."""
    rows = np.empty(len(table), dtype=NARROW if table.effect.dtype == np.float32 else WIDE)
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
    """Holds a table as records."""

    rows: Array
    """The records, NARROW or WIDE."""
    intervals: bool
    """Whether the table has intervals."""
    largest: float
    """The largest sample count of the table, 0 where it has no rows."""

    @classmethod
    def of(cls, table: EdgeTable) -> Self:
        """Pack a table."""
        return cls(
            rows=pack(table),
            intervals=table.ci_low is not None,
            largest=float(int(np.maximum.reduce(table.n))) if len(table) else 0.0,
        )


def table_of(rows: Array, *, intervals: bool) -> EdgeTable:
    """Return the table that was packed.

    Its floats are float64 where it shared a block with a table of float64.
    """
    source, target, lag = unpack_keys(rows["key"])
    floats = {
        name: np.ascontiguousarray(rows[name]) for name in (FLOATS if intervals else FLOATS[:3])
    }
    return EdgeTable(
        source=source,
        target=target,
        lag=lag,
        hits=rows["hits"].copy(),
        n=rows["n"].copy(),
        **floats,
    )


def by_range(
    tables: Sequence[Array], bounds: npt.NDArray[np.uint64]
) -> tuple[Callable[[], list[npt.NDArray[np.uint8]]], np.dtype[Any], Ints]:
    """Return the order in which to read clients' records by (range, client, key).

    The first item is a function that returns the bytes of the records, in one piece, or in many
    where these are long and need no copy. It may be called in another thread. The second is the
    records' type. The third is int64[ranges, clients], how many records of each client lie in each
    range.

    `bounds` is uint64, the first key of every range but the first.
    """
    if len({t.dtype for t in tables}) > 1:
        tables = [t.astype(WIDE) for t in tables]
    dtype = tables[0].dtype
    ends = np.stack(
        [np.concatenate([[0], np.searchsorted(t["key"], bounds), [len(t)]]) for t in tables]
    ).astype(np.int64)
    counts = np.diff(ends, axis=1).T
    to = (np.cumsum(counts.reshape(-1)) - counts.reshape(-1)).reshape(counts.shape)

    def pieces() -> list[npt.NDArray[np.uint8]]:
        views, cut = [t.view(np.uint8) for t in tables], (ends * dtype.itemsize).tolist()
        each = [*zip(views, cut, strict=True)]
        return [
            view[ends_of_view[i] : ends_of_view[i + 1]]
            for i in range(len(counts))
            for view, ends_of_view in each
        ]

    def gathered() -> list[npt.NDArray[np.uint8]]:
        # numpy copies records field by field, and what has no fields at once
        whole = np.dtype((np.void, dtype.itemsize))
        out = np.empty(int(counts.sum()), whole)
        for i, table in enumerate(tables):
            out[runs(to[:, i], counts[:, i])] = table.view(whole)
        return [out.view(np.uint8)]

    return pieces if counts.sum() >= _LONG * counts.size else gathered, dtype, counts


def runs(start: Ints, length: Ints) -> Ints:
    """Return int64[sum of length]: the places of runs, one run after the other.

    They are start[0], start[0] + 1, ..., start[1], start[1] + 1, ...
    """
    before = np.cumsum(length) - length
    return np.asarray(
        np.arange(int(length.sum())) + np.repeat(start - before, length), dtype=np.int64
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedRows:
    """Gives the records of one range, as a `RangeRows`."""

    packed: Array
    """The records, NARROW or WIDE [rows], client after client."""
    rows: Ints
    """How many rows each client has, int64[clients]."""

    def keys(self) -> npt.NDArray[np.uint64]:
        return np.ascontiguousarray(self.packed["key"])

    def votes(self) -> Floats:
        return votes_of(self.packed["effect"], self.packed["confidence"], self.packed["stability"])

    def column(self, name: str) -> Array:
        return np.ascontiguousarray(self.packed[name])

    def widths(self) -> Floats | None:
        with np.errstate(over="ignore"):
            width = self.packed["ci_high"].astype(np.float64) - self.packed["ci_low"].astype(
                np.float64
            )
        return np.minimum(width, 1e300, out=width) if (width > 0).any() else None
