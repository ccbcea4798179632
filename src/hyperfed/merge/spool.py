"""A spool: the edge tables of a round, cut by key range as they are read, so that a merge holds a few ranges and never all tables.

1. `add` packs a table. As many as make a block are put in the order of (range, client, key) and written in one piece; the first blocks stay in memory. Where
   ranges are cut is decided by a sample of the first block: whatever it is, a merge gives the same bytes (`ranges`, rule 2).
2. What does not fit into memory lies in a temporary file without a name: nothing of it survives the process, nobody else can open it, and it is not
   encrypted (docs/threat-model.md). A thread writes a block, gathering its pieces from their tables, while the next one comes together; what goes wrong with it
   is raised before another is written, or read. Ballots that are not kept lie in another file.
3. Entries are numbered as they come. A merge may take some of them, in any order: the order of client ids.

What it does not do: verify what it is given, keep anything of a client beside its edges.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hyperfed.merge.electorate import Electorate
from hyperfed.merge.packed import PackedRows, PackedTable, by_range, runs, table_of
from hyperfed.merge.ranges import LocalRanges, RangeWork
from hyperfed.merge.segments import ROWS_A_PART, distinct
from hyperfed.merge.shelf import FileShelf, Room, fill, nameless, write
from hyperfed.tables import EdgeTable

__all__ = ["Spool"]

_BLOCK_BYTES = 16 << 20
_MEMORY_BYTES = 32 << 20  # of blocks
_BALLOTS_BYTES = 32 << 20  # kept between steps
_MAX_RANGES = 4096

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Block:
    """Some entries' rows. first: the first entry; counts: int64[ranges, entries]; ends: where each range begins among its records, and where the last one ends;
    dtype: of its records; held: the records, None where they lie in the file at `offset`, bytes."""

    first: int
    counts: Ints
    ends: list[int]
    dtype: np.dtype[Any]
    held: Array | None
    offset: int


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class Spool:
    """Edge tables on their way into a merge. expected: how many will come, a guess: it decides how many ranges there are. rows_a_range: how many a range shall
    have; block_bytes, memory_bytes, ballots_bytes: of records gathered, of blocks kept, of ballots kept."""

    expected: int = 1
    rows_a_range: int = ROWS_A_PART
    block_bytes: int = _BLOCK_BYTES
    memory_bytes: int = _MEMORY_BYTES
    ballots_bytes: int = _BALLOTS_BYTES
    _waiting: list[Array] = field(default_factory=list)
    _waiting_bytes: int = 0
    _blocks: list[_Block] = field(default_factory=list)
    _intervals: list[bool] = field(default_factory=list)
    _bounds: npt.NDArray[np.uint64] | None = None
    _file: IO[bytes] | None = None
    _writer: ThreadPoolExecutor | None = None
    _writing: Future[None] | None = None
    _end: int = 0
    _held: int = 0

    def __len__(self) -> int:
        return len(self._intervals)

    def add(self, table: EdgeTable) -> int:
        """Take a table; the number of its entry."""
        return self.add_packed(PackedTable.of(table))

    def add_packed(self, table: PackedTable) -> int:
        """The same of a table that is packed already."""
        self._waiting.append(table.rows)
        self._waiting_bytes += table.rows.nbytes
        self._intervals.append(table.intervals)
        if self._waiting_bytes >= self.block_bytes:
            self._flush()
        return len(self._intervals) - 1

    def ranges(self, entries: Sequence[int], electorate: Electorate) -> LocalRanges:
        """The ranges of these entries' rows, their clients in the order given."""
        self._settle()
        room, shelf, works, chosen = Room(self.ballots_bytes), FileShelf(), [], np.array(entries, dtype=np.int64)
        for number in range(0 if self._bounds is None else len(self._bounds) + 1):
            if np.concatenate([block.counts[number] for block in self._blocks])[chosen].any():
                works.append(RangeWork(load=partial(self._load, number, chosen), electorate=electorate, room=room, shelf=shelf))
        return LocalRanges(works=works, electorate=electorate)

    def tables(self) -> Iterator[tuple[int, EdgeTable]]:
        """(entry, its table) of all entries, in order: a block is held at a time."""
        self._settle()
        for block in self._blocks:
            records, counts = self._read(block, 0, block.ends[-1]), block.counts
            first = (np.cumsum(counts.reshape(-1)) - counts.reshape(-1)).reshape(counts.shape)
            for i in range(counts.shape[1]):
                own = records[runs(first[:, i], counts[:, i])]
                yield block.first + i, table_of(own, intervals=self._intervals[block.first + i])

    def close(self) -> None:
        """Let go of everything."""
        self._waiting.clear()
        self._blocks.clear()
        self._intervals.clear()
        self._bounds, self._waiting_bytes, self._end, self._held = None, 0, 0, 0
        if self._writer is not None:
            self._writer.shutdown(wait=True, cancel_futures=True)
            self._writer = self._writing = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _flush(self) -> None:
        if not self._waiting:
            return
        tables = self._waiting
        if self._bounds is None:
            self._bounds = self._cut(tables)
        pieces, dtype, counts = by_range(tables, self._bounds)
        ends = [0, *np.cumsum(counts.sum(axis=1)).tolist()]
        first, size = len(self._intervals) - len(tables), ends[-1] * dtype.itemsize
        self._waiting, self._waiting_bytes = [], 0
        if self._held + size <= self.memory_bytes:
            self._held += size
            self._blocks.append(_Block(first=first, counts=counts, ends=ends, dtype=dtype, held=np.concatenate(pieces).view(dtype), offset=0))
            return
        if self._file is None:
            self._file, self._writer = nameless(self), ThreadPoolExecutor(1, thread_name_prefix="hyperfed-spool")
        self._written()
        self._blocks.append(_Block(first=first, counts=counts, ends=ends, dtype=dtype, held=None, offset=self._end))
        if self._writer is not None:
            self._writing = self._writer.submit(write, self._file, pieces, self._end)
        self._end += size

    def _written(self) -> None:
        """Wait for the block that is being written; raise what went wrong with it."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _settle(self) -> None:
        """Have everything where it is read from; nothing is added any more, or seldom."""
        self._flush()
        self._written()

    def _cut(self, tables: Sequence[Array]) -> npt.NDArray[np.uint64]:
        """uint64: the first key of every range but the first."""
        rows = sum(map(len, tables))
        total = rows * max(1.0, self.expected / len(tables))
        wanted = min(_MAX_RANGES, max(1, int(total // self.rows_a_range)))
        if wanted == 1 or not rows:
            return np.zeros(0, dtype=np.uint64)
        stride = max(1, rows // (wanted * 256))
        sample = np.sort(np.concatenate([t["key"] for t in tables])[stride // 2 :: stride])
        return distinct(sample[np.arange(1, wanted) * len(sample) // wanted])[0]

    def _read(self, block: _Block, first: int, rows: int) -> Array:
        """`rows` records of a block from its record `first` on."""
        if block.held is not None:
            return block.held[first : first + rows]
        out = np.empty(rows, dtype=block.dtype)
        if self._file is not None:
            fill(self._file, out, block.offset + first * block.dtype.itemsize)
        return out

    def _read_into(self, out: Array, block: _Block, first: int) -> None:
        """Fill `out`, of the block's type or a wider one, with its records from `first` on."""
        if block.dtype == out.dtype and block.held is None and self._file is not None:
            fill(self._file, out, block.offset + first * block.dtype.itemsize)
            return
        own = self._read(block, first, len(out))
        out.view(np.uint8)[:] = (own if own.dtype == out.dtype else own.astype(out.dtype)).view(np.uint8)  # numpy copies records field by field

    def _load(self, number: int, entries: Ints) -> PackedRows:
        """The rows of one range, of these entries, in this order."""
        blocks, counts = [b for b in self._blocks if b.ends[number + 1] > b.ends[number]], np.concatenate([b.counts[number] for b in self._blocks])
        wide = max((b.dtype for b in blocks), key=lambda dtype: dtype.itemsize)
        if len(blocks) == 1:
            records = self._read(blocks[0], blocks[0].ends[number], blocks[0].ends[number + 1] - blocks[0].ends[number])
        else:
            records, at = np.empty(int(counts.sum()), dtype=wide), 0
            for block in blocks:
                rows = block.ends[number + 1] - block.ends[number]
                self._read_into(records[at : at + rows], block, block.ends[number])
                at += rows
        if not np.array_equal(entries, np.arange(len(counts))):
            records = records[runs((np.cumsum(counts) - counts)[entries], counts[entries])]
            counts = counts[entries]
        return PackedRows(records=records, rows=counts)
