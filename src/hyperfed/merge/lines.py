"""Lay the rows of keys out as matrices: a line for each key, in client order.

1. A block is [rows of a key, keys]: the i-th row of every key of the block lies in its i-th row. So
   a sum over a key's rows is one addition of whole rows after the other, in client order, and a sum
   over all rows but one needs no subtraction.
2. Keys with about as many rows share a block, and what is missing is marked. No block holds more
   than `CELLS` cells, unless one key has more rows, and no key is given more than a quarter more
   rows than it has.
3. Where all clients report all keys, which is usual, nothing is sorted or gathered.
4. A block is summed by one call of numpy, because a call for each row costs more than its
   additions. So are the sums without one row each, where a block has more rows than keys: two keys
   at a time then, as the parts of a complex number, because a running sum waits for each of its
   additions. Each way adds in the order of the rows and gives the same bytes.

What it does not do: it computes no statistic of a merge (`pooling`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CELLS", "Block", "blocks_of", "line_sum", "line_sums_without"]

CELLS = 1 << 15

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
Segments = npt.NDArray[np.int32] | npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Holds where the rows of some keys lie."""

    keys: Places
    """The keys of the block, intp[keys]."""
    at: Places
    """Where their rows lie among all rows, intp[rows of a key, keys]; any where there is none."""
    there: Bools
    """Whether there is such a row, bool[rows of a key, keys]."""
    full: int
    """How many rows every key of the block has."""
    columns: slice | None = None
    """Which keys of all these are, where all clients report all keys; otherwise None."""

    def gather(self, column: npt.NDArray[np.generic]) -> Floats:
        """Return float64[rows of a key, keys]: a column's values, 0 where there is no row."""
        if self.columns is not None:
            return column.reshape(len(self.at), -1)[:, self.columns].astype(np.float64, order="C")
        out = column.take(self.at).astype(np.float64, copy=False)
        out[self.full :][~self.there[self.full :]] = 0.0
        return out


def blocks_of(segment: Segments, size: int, *, cells: int = CELLS) -> Iterator[Block]:
    """Yield blocks that hold every key that has a row, each key once.

    `segment` is the key of each row, [rows], in client order, and below `size`.
    """
    rows = len(segment)
    if not rows:
        return
    if size and rows % size == 0 and (segment.reshape(-1, size) == np.arange(size)).all():
        at = np.arange(rows, dtype=np.intp).reshape(-1, size)
        step = max(1, cells // len(at))
        for first in range(0, size, step):
            part = at[:, first : first + step]
            yield Block(
                keys=np.arange(first, first + part.shape[1]),
                at=part,
                there=np.ones(part.shape, dtype=bool),
                full=len(part),
                columns=slice(first, first + part.shape[1]),
            )
        return
    # numpy sorts numbers of 16 bits by their digits, in a fifth of the time
    order = np.argsort(segment.astype(np.uint16) if size <= 1 << 16 else segment, kind="stable")
    count = np.bincount(segment, minlength=size)
    start = np.cumsum(count) - count
    by_count = np.argsort(count, kind="stable")[np.count_nonzero(count == 0) :]
    counts = count[by_count]
    first = 0
    while first < len(counts):
        full = int(counts[first])
        last = int(np.searchsorted(counts, max(full, full * 5 // 4), side="right"))
        some = counts[first : min(last, first + cells)]
        some = some[: max(1, np.count_nonzero(some * np.arange(1, len(some) + 1) <= cells))]
        keys, row = by_count[first : first + len(some)], np.arange(some[-1])[:, None]
        first += len(some)
        yield Block(
            keys=keys,
            at=order.take(start[keys] + row, mode="clip"),
            there=row < some,
            full=full,
        )


def line_sum(values: Floats) -> Floats:
    """Return float64[keys]: the sum of each key's values, added one after the other."""
    values = np.ascontiguousarray(values)
    # numpy adds whole rows in their order, but would add the values of a single key in pairs
    alone = values.shape[1] == 1
    total = np.add.accumulate(values, axis=0)[-1] if alone else np.add.reduce(values, axis=0)
    # adding 0.0 turns a sum of -0.0 alone into the 0.0 that a sum from 0 comes to
    return np.asarray(total + 0.0)


def line_sums_without(values: Floats) -> Floats:
    """Return the sum of each key's values but one, for each of them; of the shape of `values`.

    Nothing is subtracted: what one client says cannot take the precision of the others' sum.
    """
    rows, keys = values.shape
    values = np.ascontiguousarray(values)
    if rows > keys:
        out = np.zeros_like(values)
        _running_sums(values[:-1], out[1:])
        after = np.empty_like(values[1:])
        _running_sums(values[:0:-1], after)
        out[:-1] += after[::-1]
        return out
    out = np.empty_like(values)
    total = np.zeros(keys)
    for i, row in enumerate(values):
        out[i] = total
        total += row
    total = np.zeros(keys)
    for i in range(rows - 1, -1, -1):
        out[i] += total
        total += values[i]
    return out


def _running_sums(values: Floats, out: Floats) -> None:
    """Write the sum of each key's values up to each row, from 0, of the shape of `values`."""
    pairs = values.shape[1] // 2 * 2
    if pairs:
        both = np.complex128
        np.add.accumulate(values[:, :pairs].view(both), axis=0, out=out[:, :pairs].view(both))
    if pairs < values.shape[1]:
        np.add.accumulate(values[:, pairs:], axis=0, out=out[:, pairs:])
    out += 0.0
