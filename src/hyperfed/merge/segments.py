"""Groups the rows of many clients by key, in key ranges, so that sums by key are `bincount`s.

1. Every client's keys are uint64, strictly ascending. Ranges cut all clients at the same keys, so a key lies in one `Part` whole.
2. In a part, rows stay in client order. `bincount` adds in row order: a sum by key is a sum in client order, one addition after the
   other, on every machine. (`np.add.reduce` and BLAS may add in another order elsewhere.)
3. Numbering the keys of a part: only the bits that vary among its keys are kept; where these are few, a table of presence numbers them;
   otherwise one sort of (key bits << row bits | row) does; where both do not fit into 64 bits, a stable argsort.

4. Many ranges are worked on two at a time (`over`): numpy lets go of the interpreter, results come in the ranges' order, and sums over ranges are added in it.

Cost: one pass, or one sort, over the rows. Memory: 4 bytes a row for the parts' numbering where all are kept, besides the work space of two parts.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hyperfed.merge.compiled import machine_code

__all__ = ["MAX_PARTS", "ROWS_A_PART", "THREADS", "Derived", "Part", "common", "cuts", "distinct", "number", "over", "rows_between", "split"]

ROWS_A_PART = 1 << 18  # a column of a part is 2 MiB: it stays in the processor's cache
MAX_PARTS = 32
THREADS = min(2, os.cpu_count() or 1)  # more would hold more work space, and memory is slower than two cores

_GOLDEN = 0.6180339887498949  # multiples of it lie evenly between whole numbers
_MANY = 8  # ranges from which the work space of a second one is small beside the rows

T = TypeVar("T")
R = TypeVar("R")
Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """The rows of all clients in one key range.

    keys: uint64[keys], the distinct keys, ascending; segment: int32[rows], for each row, in client order, the position of its key;
    low, high: int64[clients], client i's rows are [low[i], high[i]) of its columns.
    """

    keys: Keys
    segment: npt.NDArray[np.int32]
    low: Ints
    high: Ints

    @property
    def client(self) -> npt.NDArray[np.int64]:
        """int64[rows]: the client of each row."""
        return self.spread(np.arange(len(self.low)))

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """[rows]: each client's value at its rows."""
        return np.repeat(values, self.high - self.low)

    def gather(self, columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """[rows]: this part's rows of one column of each client."""
        return rows_between(columns, self.low, self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Derived(Sequence[npt.NDArray[Any]]):
    """For each client a column that is computed from others, row by row, only where it is looked at: never held for all clients.

    sources: for each argument of `of` a column of each client.
    """

    of: Callable[..., npt.NDArray[Any]]
    sources: tuple[Sequence[npt.NDArray[Any]], ...]

    def __len__(self) -> int:
        return len(self.sources[0])

    def __getitem__(self, client: Any) -> Any:
        return self.of(*(columns[client] for columns in self.sources))


def rows_between(columns: Sequence[npt.NDArray[Any]], low: Ints, high: Ints) -> npt.NDArray[Any]:
    """The rows [low, high) of each client's column, one client after the other."""
    if isinstance(columns, Derived):
        return columns.of(*(rows_between(source, low, high) for source in columns.sources))
    return np.concatenate([column[a:b] for column, a, b in zip(columns, low.tolist(), high.tolist(), strict=True)])


def common(keys: Sequence[Keys]) -> Keys:
    """uint64, ascending: the keys that every client has. keys: as in `split`. Each client is searched for what is left, the smallest first."""
    by_size = sorted(keys, key=len)
    left = by_size[0] if by_size else np.zeros(0, dtype=np.uint64)
    for own in by_size[1:]:
        if not len(left):
            break
        at = np.searchsorted(own, left)
        at[at == len(own)] = 0
        left = left[own[at] == left]
    return left


def split(keys: Sequence[Keys], *, rows_a_part: int = ROWS_A_PART) -> Iterator[Part]:
    """The parts, by ascending key range. keys: for each client uint64[rows], strictly ascending (or `Derived`). Clients without rows are fine."""

    def part(ends: tuple[Ints, Ints]) -> Part:
        distinct_keys, segment = number(rows_between(keys, *ends))
        return Part(keys=distinct_keys, segment=segment, low=ends[0], high=ends[1])

    yield from over(part, cuts(keys, rows_a_part=rows_a_part))


def cuts(keys: Sequence[Keys], *, rows_a_part: int = ROWS_A_PART, max_parts: int = MAX_PARTS) -> list[tuple[Ints, Ints]]:
    """(low, high) int64[clients] of every range that has rows, by ascending keys. keys: as in `split`. Cut where a sample says that ranges are equal."""
    sizes = [len(k) for k in (keys.sources[0] if isinstance(keys, Derived) else keys)]
    total = sum(sizes)
    if total == 0:
        return []
    wanted = min(max_parts, max(1, total // rows_a_part))
    ends = np.zeros((len(keys), 2), dtype=np.int64)
    ends[:, 1] = sizes
    if wanted > 1:
        stride = max(1, total // (wanted * 256))
        # each client's sample begins elsewhere: alike clients' would all be of the same few keys, and one of few rows would not be in it
        starts = (np.arange(len(keys)) * _GOLDEN % 1.0 * stride).astype(np.int64).tolist()
        sample = np.sort(np.concatenate([k[start::stride] for k, start in zip(keys, starts, strict=True)]))
        if not len(sample):
            return [(ends[:, 0], ends[:, 1])]
        bounds = distinct(sample[np.arange(1, wanted) * len(sample) // wanted])[0]
        ends = np.stack([np.concatenate([[0], np.searchsorted(k, bounds), [len(k)]]) for k in keys]).astype(np.int64)
    return [(low, high) for low, high in zip(ends.T[:-1], ends.T[1:], strict=True) if (high > low).any()]


def distinct(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Ints]:
    """(the distinct values ascending, int64: each value's position among them), by one sort; by one pass where all are the same."""
    if not len(values) or (values == values[0]).all():
        return values[:1].copy(), np.zeros(len(values), dtype=np.int64)
    ordered = np.sort(values)
    new = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    kept = ordered[new]
    return kept, np.searchsorted(kept, values)


def over(work: Callable[[T], R], items: Iterable[T], *, threads: int = THREADS) -> Iterator[R]:
    """What `work` makes of each item, in the items' order; of many, `threads` are worked on at once, and no more than one finished one waits."""
    rest = iter(items)
    first = list(islice(rest, _MANY))
    if threads < 2 or len(first) < _MANY:
        yield from map(work, chain(first, rest))
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="hyperfed-merge") as pool:
        begun: deque[Future[R]] = deque()
        for item in chain(first, rest):
            begun.append(pool.submit(work, item))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def number(keys: Keys) -> tuple[Keys, npt.NDArray[np.int32]]:
    """(distinct keys ascending, int32[rows] the position of each row's key)."""
    if not len(keys):
        return keys[:0], np.zeros(0, dtype=np.int32)
    compiled = machine_code(len(keys))
    if compiled is not None:
        numbered = compiled.number(keys)
        if numbered is not None:
            return numbered
    narrow, width = _varying_bits(keys)
    rows = len(keys)
    if width < 63 and (1 << width) <= 4 * rows + 1024:
        first = np.zeros(1 << width, dtype=np.int32)
        slot = narrow.astype(np.int64)
        first[slot] = 1
        rank = np.cumsum(first, dtype=np.int32)
        rank -= 1
        segment = rank[slot]
        found = np.empty(int(rank[-1]) + 1, dtype=np.uint64)
        found[segment] = keys
        return found, segment
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
    """(keys without the bits that are the same in all, in the same order; how many bits are left)."""
    mask = int(np.bitwise_or.reduce(keys ^ keys[0]))
    out, width = np.zeros(len(keys), dtype=np.uint64), 0
    while mask:
        low = (mask & -mask).bit_length() - 1
        run = ((mask >> low) + 1 & -((mask >> low) + 1)).bit_length() - 1  # how many ones follow from `low` on
        bits = (keys >> np.uint64(low)) & np.uint64((1 << run) - 1)
        out |= bits << np.uint64(width)
        width += run
        mask &= ~(((1 << run) - 1) << low)
    return out, width
