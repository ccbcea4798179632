"""Spool the edge tables of a round: cut them by key range as they are read.

A merge then holds a few ranges in memory and never all tables.

1. `add` packs a table. As many as make a block are put in the order of (range, client, key) and
   written in one piece. The first blocks stay in memory. A sample of the first block decides where
   ranges are cut. Wherever they are cut, a merge gives the same bytes (`ranges`, rule 2).
2. What does not fit into memory lies in a temporary file without a name. Nothing of it survives the
   process, nobody else can open it, and it is not encrypted (docs/threat-model.md). A thread writes
   a block, putting its rows in order, while the next one is put together. What goes
   wrong with a block is raised before another is written or read. Ballots that are not kept lie in
   another file.
3. Entries are numbered as they come. A merge may take some of them, in any order: the order of
   client ids. Each piece of a range is read to its place in that order.

What it does not do: it neither verifies what it is given nor keeps anything of a client besides its
edges.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hyperfed.kernels import prepare
from hyperfed.merge.eligible_voters import EligibleVoters
from hyperfed.merge.packed import PackedRows, PackedTable, by_range, runs, table_of
from hyperfed.merge.ranges import LocalRanges, RangeWork
from hyperfed.merge.segments import ROWS_A_PART, distinct
from hyperfed.merge.spill_file import (
    OwnDescriptor,
    Room,
    SpillFile,
    bytes_of,
    fill,
    nameless,
    scatter,
    write,
)
from hyperfed.storage.work_ahead import WorkAhead
from hyperfed.tables.tables import EdgeTable

__all__ = ["Spool"]

_BLOCK_BYTES = 16 << 20
_MEMORY_BYTES = 32 << 20  # of blocks
_BALLOTS_BYTES = 32 << 20  # kept between steps
_MAX_RANGES = 4096
_EVEN = 4  # for so many cuts that the first tables decide, one cuts all sources evenly

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Holds the rows of some entries, in the order of (range, entry, key)."""

    entries: Ints
    """The numbers of the entries, int64."""
    counts: npt.NDArray[np.integer[Any]]
    """How many rows each entry has in each range, [ranges, entries], of the smallest type: all
    blocks together have as many as there are ranges times clients.
    """
    ends: list[int]
    """Where each range begins among the records, and where the last one ends."""
    dtype: np.dtype[Any]
    """The type of the records."""
    records: Array | IO[bytes]
    """The records, or the file in which they lie."""
    offset: int = 0
    """Where the records begin in the file, in bytes."""


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class Spool:
    """Takes edge tables and gives their ranges to a merge."""

    expected: int = 1
    """How many tables will come. It is a guess, which decides how many ranges there are."""
    rows_a_range: int = ROWS_A_PART
    """How many rows a range is to have."""
    block_bytes: int = _BLOCK_BYTES
    """How many bytes of records make a block."""
    memory_bytes: int = _MEMORY_BYTES
    """How many bytes of blocks stay in memory."""
    ballots_bytes: int = _BALLOTS_BYTES
    """How many bytes of ballots are kept between steps."""
    bounds: npt.NDArray[np.uint64] | None = None
    """The first key of every range but the first, uint64, or None until that is decided."""
    variables: int = 0
    """How many variables there are, or 0 where that is unknown. With it, the first tables, perhaps
    of one client, do not decide alone where ranges are cut.
    """
    _waiting: dict[int, Array] = field(default_factory=dict)
    _waiting_bytes: int = 0
    _blocks: list[Block] = field(default_factory=list)
    _intervals: list[bool] = field(default_factory=list)
    _file: IO[bytes] | None = None
    _writer: WorkAhead[None] | None = None
    _end: int = 0
    _held: int = 0

    def __len__(self) -> int:
        return len(self._intervals)

    def add(self, table: EdgeTable) -> int:
        """Take a table, and return the number of its entry."""
        return self.add_packed(PackedTable.of(table))

    def add_packed(self, table: PackedTable) -> int:
        """Take a table that is packed already, and return the number of its entry."""
        entry = len(self._intervals)
        self._intervals.append(table.intervals)
        self._waiting[entry] = table.rows
        self._waiting_bytes += table.rows.nbytes
        if self._waiting_bytes >= self.block_bytes:
            self._flush()
        return entry

    def ranges(self, entries: Sequence[int], eligible_voters: EligibleVoters) -> LocalRanges:
        """Return the ranges of these entries' rows, with their clients in the order given."""
        self._settle()
        room, spill_file, works, columns = (
            Room(self.ballots_bytes),
            SpillFile(),
            [],
            self._columns(np.array(entries, dtype=np.int64)),
        )
        prepare(sum(block.ends[-1] for block in self._blocks))
        for number in range(0 if self.bounds is None else len(self.bounds) + 1):
            if self._counts(number)[columns.client >= 0].any():
                works.append(
                    RangeWork(
                        load=partial(self._load, number, columns),
                        eligible_voters=eligible_voters,
                        room=room,
                        spill_file=spill_file,
                    )
                )
        return LocalRanges(works=works, eligible_voters=eligible_voters)

    def tables(self) -> Iterator[tuple[int, EdgeTable]]:
        """Yield each entry and its table, in the order of the blocks.

        One block is held at a time.
        """
        self._settle()
        for block in self._blocks:
            records = self._read(block, 0, block.ends[-1])
            counts = block.counts.astype(np.int64)
            first = (np.cumsum(counts.reshape(-1)) - counts.reshape(-1)).reshape(counts.shape)
            for i, entry in enumerate(block.entries.tolist()):
                yield (
                    entry,
                    table_of(
                        records[runs(first[:, i], counts[:, i])], intervals=self._intervals[entry]
                    ),
                )

    def close(self) -> None:
        """Drop all tables and blocks, and close the file."""
        self._waiting.clear()
        self._blocks.clear()
        self._intervals.clear()
        self.bounds, self._waiting_bytes, self._end, self._held = None, 0, 0, 0
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _flush(self) -> None:
        """Make a block of the tables that wait, and keep it in memory or have it written."""
        if not self._waiting:
            return
        tables, entries = [*self._waiting.values()], np.array([*self._waiting], dtype=np.int64)
        if self.bounds is None:
            self.bounds = self._cut(tables)
        gather, dtype, counts = by_range(tables, self.bounds)
        ends = [0, *np.cumsum(counts.sum(axis=1)).tolist()]
        few = counts.astype(np.min_scalar_type(int(counts.max())))
        size = ends[-1] * dtype.itemsize
        self._waiting, self._waiting_bytes = {}, 0
        if self._held + size <= self.memory_bytes:
            self._held += size
            self._blocks.append(
                Block(
                    entries=entries,
                    counts=few,
                    ends=ends,
                    dtype=dtype,
                    records=np.concatenate(gather()).view(dtype),
                )
            )
            return
        self._file = self._file or nameless(self)
        self._writer = self._writer or WorkAhead(threads=1, ahead=1, name="spool")
        self._written()
        self._blocks.append(
            Block(
                entries=entries,
                counts=few,
                ends=ends,
                dtype=dtype,
                records=self._file,
                offset=self._end,
            )
        )
        # a spool, and its file with it, may go while its last block is being written
        self._writer.give(partial(_write_block, OwnDescriptor(self._file), gather, self._end))
        self._end += size

    def _written(self) -> None:
        """Wait for the block that is being written, and raise what went wrong with it."""
        if self._writer is not None and len(self._writer):
            self._writer.take()

    def _settle(self) -> None:
        """Wait until everything is written, so that it can be read.

        Tables may still be added afterwards, which is rare.
        """
        self._flush()
        self._written()

    def _cut(self, tables: Sequence[Array]) -> npt.NDArray[np.uint64]:
        """Return the first key of every range but the first, uint64."""
        rows = sum(map(len, tables))
        total = rows * max(1.0, self.expected / len(tables))
        ranges = min(_MAX_RANGES, max(1, int(total // self.rows_a_range)))
        if ranges == 1 or not rows:
            return np.zeros(0, dtype=np.uint64)
        stride = max(1, rows // (ranges * 256))
        sample = np.sort(np.concatenate([t["key"] for t in tables])[stride // 2 :: stride])
        even = min(self.variables, ranges // _EVEN)
        # these cut the sources evenly
        evenly = (
            np.arange(1, even, dtype=np.uint64)
            * np.uint64(self.variables)
            // np.uint64(max(1, even))
        ) << np.uint64(40)
        return distinct(
            np.sort(np.concatenate([sample[np.arange(1, ranges) * len(sample) // ranges], evenly]))
        )[0]

    def _counts(self, number: int) -> Ints:
        """Return int64[columns]: how many rows each entry of each block has in a range."""
        return np.concatenate(
            [np.zeros(0, dtype=np.int64), *(block.counts[number] for block in self._blocks)]
        )

    def _columns(self, entries: Ints) -> "_Columns":
        """Return the entries of all blocks as clients of a merge of these entries."""
        client = np.full(len(self), -1, dtype=np.int64)
        client[entries] = np.arange(len(entries))
        sizes = [len(block.entries) for block in self._blocks]
        whose = np.concatenate(
            [np.zeros(0, dtype=np.int64), *(block.entries for block in self._blocks)]
        )
        return _Columns(
            client=client[whose],
            block=np.repeat(np.arange(len(sizes)), sizes),
            clients=len(entries),
        )

    def _read(self, block: Block, first: int, rows: int) -> Array:
        """Return `rows` records of a block, from its record `first` on."""
        if isinstance(block.records, np.ndarray):
            return block.records[first : first + rows]
        out = np.empty(rows, dtype=block.dtype)
        fill(block.records, out, block.offset + first * block.dtype.itemsize)
        return out

    def _load(self, number: int, columns: "_Columns") -> PackedRows:
        """Read the rows of one range, client after client."""
        rows, pieces = columns.pieces(self._counts(number))
        # a single piece is returned as it lies, and not copied if it is in memory
        if len(pieces) == len(pieces[0][2]) == 1:
            index, source, places = pieces[0]
            return PackedRows(
                packed=self._read(
                    self._blocks[index], self._blocks[index].ends[number] + source, places[0][1]
                ),
                rows=rows,
            )
        blocks = [self._blocks[block] for block in {block for block, _, _ in pieces}]
        records = np.empty(
            int(rows.sum()),
            dtype=max((block.dtype for block in blocks), key=lambda dtype: dtype.itemsize),
        )
        size, to, first = (
            records.dtype.itemsize,
            bytes_of(records),
            [block.ends[number] for block in self._blocks],
        )
        for index, source, places in pieces:
            block, source = self._blocks[index], first[index] + source
            slots = [to[at * size : (at + count) * size] for at, count in places]
            if not isinstance(block.records, np.ndarray) and block.dtype == records.dtype:
                scatter(block.records, slots, block.offset + source * size)
                continue
            read = self._read(block, source, sum(count for _, count in places))
            # numpy copies records field by field
            rest = bytes_of(read if read.dtype == records.dtype else read.astype(records.dtype))
            for piece in slots:
                piece[:], rest = rest[: len(piece)], rest[len(piece) :]
        return PackedRows(packed=records, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Columns:
    """Maps the entries of all blocks, block after block, to the clients of a merge."""

    client: Ints
    """The place of each entry among the clients, int64[columns], or -1 where it has none."""
    block: Ints
    """The block that each entry lies in, int64[columns]."""
    clients: int
    """The number of clients."""

    def pieces(self, counts: Ints) -> tuple[Ints, list[tuple[int, int, list[tuple[int, int]]]]]:
        """Return int64[clients], how many rows each client has, and the pieces to read.

        A piece is (block, source, [(place, rows), ...]): records that lie one after the other from
        the block's `source` on, and where they go among all clients' rows. Neighbours that stay
        neighbours are one piece. `counts` is int64[columns].
        """
        before = np.cumsum(counts) - counts
        begin = np.searchsorted(self.block, np.arange(self.block[-1] + 1))
        source = before - before[begin][self.block]
        at = np.flatnonzero((counts > 0) & (self.client >= 0))
        client, block, source, size = (
            self.client[at],
            self.block[at],
            source[at],
            counts[at],
        )
        rows = np.zeros(self.clients, dtype=np.int64)
        rows[client] = size
        place = (np.cumsum(rows) - rows)[client]
        torn = (block[1:] != block[:-1]) | (source[1:] != source[:-1] + size[:-1])
        first = np.flatnonzero(
            np.concatenate([[True], torn | (place[1:] != place[:-1] + size[:-1])])
        )
        places = [*zip(place[first].tolist(), np.add.reduceat(size, first).tolist(), strict=True)]
        together = np.flatnonzero(np.concatenate([[True], torn[first[1:] - 1]]))
        of, begins = block[first[together]].tolist(), source[first[together]].tolist()
        ends = [*together.tolist(), len(first)]
        return rows, [(of[i], begins[i], places[ends[i] : ends[i + 1]]) for i in range(len(of))]


def _write_block(file: OwnDescriptor, gather: Callable[[], list[Array]], at: int) -> None:
    """Put the block's records in order and write them, in a thread of its own."""
    write(file.number, gather(), at)
