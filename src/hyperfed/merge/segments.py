"""Group the rows of many clients by key, in key ranges, so that sums by key are `bincount`s.

1. Every client's keys are uint64, strictly ascending. Ranges cut all clients at the same keys, so
   all rows of a key lie in one range.
2. In a range, rows stay in client order. `bincount` adds in row order: a sum by key is a sum in
   client order, one addition after the other, on every machine. (`np.add.reduce` and BLAS may add
   in another order elsewhere.)
3. The keys of a range are numbered by the bits that vary among them. Where these are few, a table
   of presence numbers them. Otherwise one sort of (key bits << row bits | row) does. Where key bits
   and row bits do not fit into 64 bits, a stable argsort does.
4. Many ranges are worked on two at a time (`over`). numpy releases the interpreter lock, results
   come in the ranges' order, and sums over ranges are added in that order.

It costs one pass, or one sort, over the rows. It holds 4 bytes a row for the ranges' numbering
where all are kept, besides the work space of two ranges.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hyperfed.storage.work_ahead import in_order

__all__ = [
    "MAX_PARTS",
    "ROWS_A_PART",
    "THREADS",
    "Derived",
    "common",
    "cuts",
    "distinct",
    "number",
    "over",
    "rows_between",
]

ROWS_A_PART = 1 << 18  # a column of a part is 2 MiB: it stays in the processor's cache
MAX_PARTS = 32
# more would hold more work space, and memory is slower than two cores
THREADS = min(2, os.cpu_count() or 1)

_GOLDEN = 0.6180339887498949  # multiples of it lie evenly between whole numbers
_MANY = 8  # ranges from which the work space of a second one is small beside the rows

T = TypeVar("T")
R = TypeVar("R")
Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Derived(Sequence[npt.NDArray[Any]]):
    """Gives for each client a column that is computed from others, row by row.

    It is computed only where it is read, and never held for all clients.
    """

    of: Callable[..., npt.NDArray[Any]]
    """Computes the column."""
    sources: tuple[Sequence[npt.NDArray[Any]], ...]
    """For each argument of `of`, a column of each client."""

    def __len__(self) -> int:
        return len(self.sources[0])

    def __getitem__(self, client: Any) -> Any:
        return self.of(*(columns[client] for columns in self.sources))


def rows_between(columns: Sequence[npt.NDArray[Any]], low: Ints, high: Ints) -> npt.NDArray[Any]:
    """Return the rows [low, high) of each client's column, one client after the other."""
    if isinstance(columns, Derived):
        return columns.of(*(rows_between(source, low, high) for source in columns.sources))
    return np.concatenate(
        [column[a:b] for column, a, b in zip(columns, low.tolist(), high.tolist(), strict=True)]
    )


def common(keys: Sequence[Keys]) -> Keys:
    """Return the keys that every client has, uint64, ascending.

    `keys` is as in `cuts`. Each client is searched for the keys that are left, the smallest client
    first.
    """
    by_size = sorted(keys, key=len)
    common_keys = by_size[0] if by_size else np.zeros(0, dtype=np.uint64)
    for table_keys in by_size[1:]:
        if not len(common_keys):
            break
        at = np.searchsorted(table_keys, common_keys)
        at[at == len(table_keys)] = 0
        common_keys = common_keys[table_keys[at] == common_keys]
    return common_keys


def cuts(
    keys: Sequence[Keys], *, rows_a_part: int = ROWS_A_PART, max_parts: int = MAX_PARTS
) -> list[tuple[Ints, Ints]]:
    """Return (low, high), int64[clients] each, of every range that has rows, by ascending keys.

    `keys` is for each client uint64[rows], strictly ascending (or `Derived`); a client may have no
    rows. A sample of the keys decides where to cut, so that the ranges are of about equal size.
    """
    sizes = [len(k) for k in (keys.sources[0] if isinstance(keys, Derived) else keys)]
    total = sum(sizes)
    if total == 0:
        return []
    parts = min(max_parts, max(1, total // rows_a_part))
    ends = np.zeros((len(keys), 2), dtype=np.int64)
    ends[:, 1] = sizes
    if parts > 1:
        stride = max(1, total // (parts * 256))
        # each client's sample begins elsewhere: alike clients' would all be of the same few keys,
        # and one of few rows would not be in it
        starts = (np.arange(len(keys)) * _GOLDEN % 1.0 * stride).astype(np.int64).tolist()
        sample = np.sort(
            np.concatenate([k[start::stride] for k, start in zip(keys, starts, strict=True)])
        )
        if not len(sample):
            return [(ends[:, 0], ends[:, 1])]
        bounds = distinct(sample[np.arange(1, parts) * len(sample) // parts])[0]
        ends = np.stack(
            [np.concatenate([[0], np.searchsorted(k, bounds), [len(k)]]) for k in keys]
        ).astype(np.int64)
    return [
        (low, high) for low, high in zip(ends.T[:-1], ends.T[1:], strict=True) if (high > low).any()
    ]


def distinct(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Ints]:
    """Return the distinct values, ascending, and int64: each value's position among them.

    It takes one sort, or one pass where all values are the same.
    """
    if not len(values) or (values == values[0]).all():
        return values[:1].copy(), np.zeros(len(values), dtype=np.int64)
    ordered = np.sort(values)
    new = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    values_once = ordered[new]
    return values_once, np.searchsorted(values_once, values)


def over(work: Callable[[T], R], items: Iterable[T], *, threads: int = THREADS) -> Iterator[R]:
    """Yield what `work` returns for each item, in the items' order.

    Many items are worked on `threads` at a time, and at most one finished result waits. Few items
    are worked on one after the other.
    """
    rest = iter(items)
    first = list(islice(rest, _MANY))
    if len(first) < _MANY:
        threads = 1
    # one more than threads: nobody waits while the caller works on what it has taken
    yield from in_order(work, chain(first, rest), threads=threads, ahead=threads + 1, name="merge")


def number(keys: Keys) -> tuple[Keys, npt.NDArray[np.int32]]:
    """Return the distinct keys, ascending, and int32[rows]: the position of each row's key."""
    if not len(keys):
        return keys[:0], np.zeros(0, dtype=np.int32)
    narrow, width = _varying_bits(keys)
    rows = len(keys)
    if width < 63 and (1 << width) <= 4 * rows + 1024:
        first = np.zeros(1 << width, dtype=np.int32)
        slot = narrow.astype(np.int64)
        first[slot] = 1
        rank = np.cumsum(first, dtype=np.int32)
        rank -= 1
        segment = rank[slot]
        keys_of_segments = np.empty(int(rank[-1]) + 1, dtype=np.uint64)
        keys_of_segments[segment] = keys
        return keys_of_segments, segment
    row_bits = max(1, (rows - 1).bit_length())
    if width + row_bits <= 64:
        shift = np.uint64(row_bits)
        ranked = np.sort((narrow << shift) | np.arange(rows, dtype=np.uint64))
        order = (ranked & np.uint64((1 << row_bits) - 1)).astype(np.int64)
        ranked >>= shift
    else:
        order = np.argsort(keys, kind="stable")
        ranked = keys[order]
    new = np.ones(rows, dtype=bool)
    np.not_equal(ranked[1:], ranked[:-1], out=new[1:])
    segment = np.empty(rows, dtype=np.int32)
    segment[order] = np.cumsum(new, dtype=np.int32) - np.int32(1)
    return keys[order[new]], segment


def _varying_bits(keys: Keys) -> tuple[Keys, int]:
    """Return the keys without the bits that are the same in all, and how many bits are left.

    The order of the keys is kept.
    """
    mask = int(np.bitwise_or.reduce(keys ^ keys[0]))
    out, width = np.zeros(len(keys), dtype=np.uint64), 0
    while mask:
        low = (mask & -mask).bit_length() - 1
        # how many ones follow from `low` on
        run = ((mask >> low) + 1 & -((mask >> low) + 1)).bit_length() - 1
        bits = (keys >> np.uint64(low)) & np.uint64((1 << run) - 1)
        out |= bits << np.uint64(width)
        width += run
        mask &= ~(((1 << run) - 1) << low)
    return out, width
