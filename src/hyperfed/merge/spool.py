"""A spool: the edge tables of a round, cut by key range as they are read, so that a merge holds a few ranges and never all tables.

1. `add` packs a table. As many as make a block are put in the order of (range, client, key) and written in one piece; the first blocks stay in memory. Where
   ranges are cut is decided by a sample of the first block: whatever it is, a merge gives the same bytes (`ranges`, rule 2).
2. What does not fit into memory lies in a temporary file without a name: nothing of it survives the process, nobody else can open it, and it is not
   encrypted (docs/threat-model.md). A thread writes a block, gathering its pieces from their tables, while the next one comes together; what goes wrong with it
   is raised before another is written, or read. Ballots that are not kept lie in another file.
3. Entries are numbered as they come. A merge may take some of them, in any order: the order of client ids. Each piece of a range is read to its place in it.
4. Other processes may write blocks too, each into a file of its own without a name that this one has made (`lend`): what they tell of a block is where it
   lies and how many rows of each entry there are in each range. What they were given and did not write is missed before anything is read.

What it does not do: verify what it is given, keep anything of a client beside its edges.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.errors import TransientError
from hyperfed.merge.electorate import Electorate
from hyperfed.merge.packed import PackedRows, PackedTable, by_range, runs, table_of
from hyperfed.merge.ranges import LocalRanges, RangeWork
from hyperfed.merge.segments import ROWS_A_PART, distinct
from hyperfed.merge.shelf import FileShelf, Room, bytes_of, fill, nameless, scatter, write
from hyperfed.tables import EdgeTable

__all__ = ["Block", "Spool", "Spooled"]

_BLOCK_BYTES = 16 << 20
_MEMORY_BYTES = 32 << 20  # of blocks
_BALLOTS_BYTES = 32 << 20  # kept between steps
_MAX_RANGES = 4096
_EVEN = 4  # ranges that the first tables decide, for one that all sources do

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spooled:
    """A table that another process has taken. number: of its entry there; file: that it will lie in; intervals, largest: as of a `PackedTable`."""

    file: int
    number: int
    intervals: bool
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Some entries' rows. entries: int64, whose; counts: int64[ranges, entries]; ends: where each range begins among its records, and where the last one ends;
    dtype: of its records; held: the records, None where they lie in a file, its descriptor, at `offset`, bytes."""

    entries: Ints
    counts: Ints
    ends: list[int]
    dtype: np.dtype[Any]
    held: Array | None = None
    file: int = -1
    offset: int = 0


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class Spool:
    """Edge tables on their way into a merge. expected: how many will come, a guess: it decides how many ranges there are. rows_a_range: how many a range shall
    have; block_bytes, memory_bytes, ballots_bytes: of records gathered, of blocks kept, of ballots kept; bounds: uint64, the first key of every range but the
    first, None until that is decided; variables: how many there are, 0: unknown: that the first tables, one client's perhaps, do not decide alone."""

    expected: int = 1
    rows_a_range: int = ROWS_A_PART
    block_bytes: int = _BLOCK_BYTES
    memory_bytes: int = _MEMORY_BYTES
    ballots_bytes: int = _BALLOTS_BYTES
    bounds: npt.NDArray[np.uint64] | None = None
    variables: int = 0
    _waiting: dict[int, Array] = field(default_factory=dict)
    _waiting_bytes: int = 0
    _blocks: list[Block] = field(default_factory=list)
    _intervals: list[bool] = field(default_factory=list)
    _file: IO[bytes] | None = None
    _files: dict[int, IO[bytes]] = field(default_factory=dict)  # by descriptor: its own, and those lent
    _lent: dict[int, dict[int, int]] = field(default_factory=dict)  # by descriptor: entries here, by their numbers there
    _writer: ThreadPoolExecutor | None = None
    _writing: Future[None] | None = None
    _end: int = 0
    _held: int = 0

    def __len__(self) -> int:
        return len(self._intervals)

    def add(self, table: EdgeTable) -> int:
        """Take a table; the number of its entry."""
        return self.add_packed(PackedTable.of(table))

    def add_packed(self, table: PackedTable | Spooled) -> int:
        """The same of a table that is packed already, or that another process has taken."""
        entry = len(self._intervals)
        self._intervals.append(table.intervals)
        if isinstance(table, Spooled):
            self._lent[table.file][table.number] = entry
            return entry
        self._waiting[entry] = table.rows
        self._waiting_bytes += table.rows.nbytes
        if self._waiting_bytes >= self.block_bytes:
            self._flush()
        return entry

    def lend(self) -> int:
        """Make a file that another process writes blocks into; its descriptor, which that process is to inherit under the same number."""
        file = self._made().fileno()
        self._lent[file] = {}
        return file

    @classmethod
    def borrowing(cls, file: int, *, bounds: npt.NDArray[np.uint64], block_bytes: int) -> Self:
        """That process' end: it keeps nothing in memory but what it gathers and what is on its way into the file."""
        own = os.fdopen(file, "r+b", buffering=0, closefd=False)
        return cls(block_bytes=block_bytes, memory_bytes=-1, bounds=bounds, _file=own, _files={file: own})  # not even an empty block

    def blocks(self) -> list[Block]:
        """All of them, written."""
        self._settle()
        return self._blocks

    def adopt(self, blocks: Iterable[Block]) -> None:
        """Take the blocks of another process, once all that lies in them has been added here. Raises TransientError where something has not."""
        for block in blocks:
            known = self._lent[block.file]
            if not known.keys() >= set(block.entries.tolist()):
                raise _incomplete("more than it was asked for")
            self._blocks.append(replace(block, entries=np.array([known[entry] for entry in block.entries.tolist()], dtype=np.int64)))

    def ranges(self, entries: Sequence[int], electorate: Electorate) -> LocalRanges:
        """The ranges of these entries' rows, their clients in the order given."""
        self._settle()
        room, shelf, works, columns = Room(self.ballots_bytes), FileShelf(), [], self._columns(np.array(entries, dtype=np.int64))
        for number in range(0 if self.bounds is None else len(self.bounds) + 1):
            if self._counts(number)[columns.client >= 0].any():
                works.append(RangeWork(load=partial(self._load, number, columns), electorate=electorate, room=room, shelf=shelf))
        return LocalRanges(works=works, electorate=electorate)

    def tables(self) -> Iterator[tuple[int, EdgeTable]]:
        """(entry, its table) of all entries, in the order of the blocks: a block is held at a time."""
        self._settle()
        for block in self._blocks:
            records, counts = self._read(block, 0, block.ends[-1]), block.counts
            first = (np.cumsum(counts.reshape(-1)) - counts.reshape(-1)).reshape(counts.shape)
            for i, entry in enumerate(block.entries.tolist()):
                yield entry, table_of(records[runs(first[:, i], counts[:, i])], intervals=self._intervals[entry])

    def close(self) -> None:
        """Let go of everything."""
        self._waiting.clear()
        self._blocks.clear()
        self._intervals.clear()
        self.bounds, self._waiting_bytes, self._end, self._held = None, 0, 0, 0
        if self._writer is not None:
            self._writer.shutdown(wait=True, cancel_futures=True)
            self._writer = self._writing = None
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._lent.clear()
        self._file = None

    def _made(self) -> IO[bytes]:
        file = nameless(self)
        self._files[file.fileno()] = file
        return file

    def _flush(self) -> None:
        if not self._waiting:
            return
        tables, entries = [*self._waiting.values()], np.array([*self._waiting], dtype=np.int64)
        if self.bounds is None:
            self.bounds = self._cut(tables)
        gather, dtype, counts = by_range(tables, self.bounds)
        ends = [0, *np.cumsum(counts.sum(axis=1)).tolist()]
        size = ends[-1] * dtype.itemsize
        self._waiting, self._waiting_bytes = {}, 0
        if self._held + size <= self.memory_bytes:
            self._held += size
            self._blocks.append(Block(entries=entries, counts=counts, ends=ends, dtype=dtype, held=np.concatenate(gather()).view(dtype)))
            return
        self._file = self._file or self._made()
        self._writer = self._writer or ThreadPoolExecutor(1, thread_name_prefix="hyperfed-spool")
        self._written()
        self._blocks.append(Block(entries=entries, counts=counts, ends=ends, dtype=dtype, file=self._file.fileno(), offset=self._end))
        own = os.dup(self._file.fileno())  # a spool may be let go while its last block is written, and its file with it
        self._writing = self._writer.submit(_write_block, own, gather, self._end)
        self._writing.add_done_callback(lambda _: os.close(own))  # also where it was never begun
        self._end += size

    def _written(self) -> None:
        """Wait for the block that is being written; raise what went wrong with it."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _settle(self) -> None:
        """Have everything where it is read from; nothing is added any more, or seldom. Raises TransientError where another process has not written all."""
        self._flush()
        self._written()
        if sum(len(block.entries) for block in self._blocks) != len(self):
            raise _incomplete("less than it was given")

    def _cut(self, tables: Sequence[Array]) -> npt.NDArray[np.uint64]:
        """uint64: the first key of every range but the first."""
        rows = sum(map(len, tables))
        total = rows * max(1.0, self.expected / len(tables))
        wanted = min(_MAX_RANGES, max(1, int(total // self.rows_a_range)))
        if wanted == 1 or not rows:
            return np.zeros(0, dtype=np.uint64)
        stride = max(1, rows // (wanted * 256))
        sample = np.sort(np.concatenate([t["key"] for t in tables])[stride // 2 :: stride])
        even = min(self.variables, wanted // _EVEN)
        evenly = (np.arange(1, even, dtype=np.uint64) * np.uint64(self.variables) // np.uint64(max(1, even))) << np.uint64(40)  # by source
        return distinct(np.sort(np.concatenate([sample[np.arange(1, wanted) * len(sample) // wanted], evenly])))[0]

    def _counts(self, number: int) -> Ints:
        """int64[columns]: how many rows each has in a range."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *(block.counts[number] for block in self._blocks)])

    def _columns(self, entries: Ints) -> "_Columns":
        client = np.full(len(self), -1, dtype=np.int64)
        client[entries] = np.arange(len(entries))
        sizes = [len(block.entries) for block in self._blocks]
        whose = np.concatenate([np.zeros(0, dtype=np.int64), *(block.entries for block in self._blocks)])
        return _Columns(client=client[whose], block=np.repeat(np.arange(len(sizes)), sizes), clients=len(entries))

    def _read(self, block: Block, first: int, rows: int) -> Array:
        """`rows` records of a block from its record `first` on."""
        if block.held is not None:
            return block.held[first : first + rows]
        out = np.empty(rows, dtype=block.dtype)
        fill(self._files[block.file], out, block.offset + first * block.dtype.itemsize)
        return out

    def _load(self, number: int, columns: "_Columns") -> PackedRows:
        """The rows of one range, client after client."""
        rows, pieces = columns.pieces(self._counts(number))
        if len(pieces) == len(pieces[0][2]) == 1:  # as they lie, and not copied where they lie in memory
            index, source, places = pieces[0]
            return PackedRows(records=self._read(self._blocks[index], self._blocks[index].ends[number] + source, places[0][1]), rows=rows)
        found = [self._blocks[block] for block in {block for block, _, _ in pieces}]
        records = np.empty(int(rows.sum()), dtype=max((block.dtype for block in found), key=lambda dtype: dtype.itemsize))
        size, to, first = records.dtype.itemsize, bytes_of(records), [block.ends[number] for block in self._blocks]
        for index, source, places in pieces:
            block, source = self._blocks[index], first[index] + source
            own = [to[at * size : (at + count) * size] for at, count in places]
            if block.held is None and block.dtype == records.dtype:
                scatter(self._files[block.file], own, block.offset + source * size)
                continue
            read = self._read(block, source, sum(count for _, count in places))
            rest = bytes_of(read if read.dtype == records.dtype else read.astype(records.dtype))  # numpy copies records field by field
            for piece in own:
                piece[:], rest = rest[: len(piece)], rest[len(piece) :]
        return PackedRows(records=records, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Columns:
    """The entries of all blocks, block after block, as some clients' of a merge. client: int64[columns], each one's place among them, -1 where it is none of
    theirs; block: int64[columns], the block it lies in; clients: how many."""

    client: Ints
    block: Ints
    clients: int

    def pieces(self, counts: Ints) -> tuple[Ints, list[tuple[int, int, list[tuple[int, int]]]]]:
        """(int64[clients], how many rows each has; [(block, source, [(place, rows), ...]), ...]: records that lie one after the other from the block's `source`
        on, and where they go among all clients' rows; neighbours that stay neighbours are one). counts: int64[columns]."""
        before = np.cumsum(counts) - counts
        begin = np.searchsorted(self.block, np.arange(self.block[-1] + 1))
        source = before - before[begin][self.block]
        wanted = np.flatnonzero((counts > 0) & (self.client >= 0))
        client, block, source, size = self.client[wanted], self.block[wanted], source[wanted], counts[wanted]
        rows = np.zeros(self.clients, dtype=np.int64)
        rows[client] = size
        place = (np.cumsum(rows) - rows)[client]
        torn = (block[1:] != block[:-1]) | (source[1:] != source[:-1] + size[:-1])
        first = np.flatnonzero(np.concatenate([[True], torn | (place[1:] != place[:-1] + size[:-1])]))
        places = [*zip(place[first].tolist(), np.add.reduceat(size, first).tolist(), strict=True)]
        together = np.flatnonzero(np.concatenate([[True], torn[first[1:] - 1]]))
        of, begins = block[first[together]].tolist(), source[first[together]].tolist()
        ends = [*together.tolist(), len(first)]
        return rows, [(of[i], begins[i], places[ends[i] : ends[i + 1]]) for i in range(len(of))]


def _write_block(file: int, gather: Callable[[], list[Array]], at: int) -> None:
    """In a thread of its own: the block's records are put in order there."""
    write(file, gather(), at)


def _incomplete(what: str) -> TransientError:
    return TransientError(
        f"has written {what}", subject="a judging process", remedy="The stage is tried again; with HYPERFED_JUDGES=0 one process judges everything"
    )
