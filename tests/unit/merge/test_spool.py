"""The spool: the same bytes as tables in memory, and memory that does not grow with the clients."""

import errno
import gc
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hyperfed.aggregation.bounded_trust import trust_of
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import NARROW, WIDE
from hyperfed.merge import PairVoters, packed
from hyperfed.merge import spool as spools
from hyperfed.merge.ranges import LocalRanges, Merge
from hyperfed.merge.rows import MergeRule
from hyperfed.merge.spill_file import fill, nameless, scatter, write
from hyperfed.merge.spool import Spool
from hyperfed.merge.tables import table_ranges
from hyperfed.tables.tables import EdgeTable

RULE = MergeRule(strategy="consensus", vote_min=0.3, bounded=True, rule="bounded-trust", f=0)


def client(
    seed: int, rows: int, *, dtype: type = np.float32, intervals: bool = True, variables: int = 60
) -> HypergraphStore:
    rng = np.random.default_rng(seed)
    pairs = np.sort(rng.choice(variables**2, rows, replace=False))
    effect = (np.sin(pairs) + 0.2 * rng.normal(size=rows)).astype(dtype)
    ends = {"ci_low": effect - dtype(0.5), "ci_high": effect + dtype(0.25)} if intervals else {}
    table = EdgeTable(
        source=(pairs // variables).astype(np.uint32),
        target=(pairs % variables).astype(np.uint32),
        lag=np.ones(rows, np.uint16),
        effect=effect,
        confidence=rng.random(rows).astype(dtype),
        stability=rng.random(rows).astype(dtype),
        hits=np.full(rows, seed + 1, np.uint32),
        n=np.full(rows, 100 + seed, np.uint64),
        **ends,
    )
    return HypergraphStore(edges=table, measured=np.arange(variables, dtype=np.uint32))


def merged(ranges: LocalRanges) -> tuple[bytes, ...]:
    trust = trust_of(ranges)
    parts = list(ranges.map(Merge(rule=RULE, weight=trust.weight, whole=trust.weight)))
    return (
        trust.weight.tobytes(),
        trust.agreement.tobytes(),
        *(np.concatenate([p[name] for p in parts]).tobytes() for name in sorted(parts[0])),
    )


@settings(max_examples=12, deadline=None)
@given(
    rows=st.lists(st.integers(0, 300), min_size=4, max_size=9),
    seed=st.integers(0, 1000),
    block=st.sampled_from([1, 9000, 1 << 30]),
    memory=st.sampled_from([0, 20_000, 1 << 30]),
    ballots=st.sampled_from([0, 3000, 1 << 30]),
)
# blocks without a row
@example(rows=[9, 0, 0, 0], seed=0, block=1, memory=0, ballots=0)
# a first range of which nothing stays
@example(rows=[54, 147, 233, 290, 300], seed=0, block=1, memory=0, ballots=0)
def test_a_merge_from_a_spool_is_the_one_from_memory(
    rows: list[int], seed: int, block: int, memory: int, ballots: int
) -> None:
    """Blocks in memory and in the file, tables of both float types, with and without intervals,
    some of the entries, in another order than they came.
    """
    graphs = [
        client(seed + i, count, dtype=(np.float64, np.float32)[i % 3 > 0], intervals=i % 4 > 0)
        for i, count in enumerate(rows)
    ]
    spool = Spool(
        expected=len(rows),
        rows_a_range=100,
        block_bytes=block,
        memory_bytes=memory,
        ballots_bytes=ballots,
    )
    entries = [spool.add(graph.edges) for graph in graphs]
    for chosen in (entries, entries[::-1][:-1], entries[1::2] + entries[::2]):
        own = [graphs[i] for i in chosen]
        eligible_voters = PairVoters([s.measured for s in own])
        plain = table_ranges([s.edges for s in own], eligible_voters)
        if not plain.works:
            continue
        assert merged(spool.ranges(chosen, eligible_voters)) == merged(plain)
    for entry, table in spool.tables():
        for name in ("source", "target", "lag", "effect", "confidence", "stability", "hits", "n"):
            assert np.array_equal(getattr(table, name), getattr(graphs[entry].edges, name))
        assert (table.ci_low is None) == (graphs[entry].edges.ci_low is None)
    spool.close()
    assert len(spool) == 0


def test_a_range_that_waits_in_the_file_holds_nothing_that_grows_with_rows_or_clients() -> None:
    """Of 100,000 clients in 400 ranges what each client has in each would be 0.9 GB."""
    tables = [client(i, 40, variables=12) for i in range(30)]
    spool = Spool(expected=30, rows_a_range=100, block_bytes=1 << 12, ballots_bytes=0)
    entries = [spool.add(one.edges) for one in tables]
    ranges = spool.ranges(entries, PairVoters([one.measured for one in tables]))
    trust_of(ranges)
    assert len(ranges.works) > 3
    for work in ranges.works:
        assert work._ballot is None
        assert work._spilled is not None
        ballot, places = work._spilled
        assert {"vote", "rows", "client", "class_"} <= places.keys()
        arrays = [getattr(ballot, name) for name in ballot.__slots__ if name != "codes"]
        assert sum(one.nbytes for one in arrays if isinstance(one, np.ndarray)) == 0
    assert {block.counts.dtype for block in spool._blocks} == {np.dtype(np.uint8)}
    spool.close()


ROWS = 3200  # of a client: 80 in each of a hundred clients' forty ranges


def peak_of(clients: int) -> int:
    """Bytes above the start of a merge whose ranges have the same number of rows, however many
    clients there are.
    """
    spool = Spool(
        expected=clients, rows_a_range=8000, block_bytes=1 << 18, memory_bytes=0, ballots_bytes=0
    )
    entries = [spool.add(client(i, ROWS, variables=150).edges) for i in range(clients)]
    eligible_voters = PairVoters([np.arange(150, dtype=np.uint32)] * clients)
    tracemalloc.start()
    ranges = spool.ranges(entries, eligible_voters)
    many = len(ranges.works)
    weight = trust_of(ranges).weight
    for _ in ranges.map(Merge(rule=RULE, weight=weight, whole=weight)):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    spool.close()
    assert many >= clients * ROWS / 8000 * 0.8
    return peak


def test_the_memory_of_a_merge_does_not_grow_with_the_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What grows is an index of a few numbers for each client and range; what the first merge of a
    process loads is not counted.
    """
    # on two threads the peak is a matter of who is where
    monkeypatch.setattr("hyperfed.merge.ranges.over", map)
    peak_of(5)
    few, many = peak_of(25), peak_of(100)
    assert many < 1.25 * few, f"{few >> 10} kB of 25 clients, {many >> 10} kB of 100"
    assert many < 100 * ROWS * 40 / 4, "less than a quarter of the rows"


def test_the_file_has_no_name(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool(memory_bytes=0, block_bytes=1)
    spool.add(client(1, 50).edges)
    assert spool._end > 0
    assert not list(tmp_path.iterdir())


def test_ballots_that_do_not_fit_are_put_away_and_fetched() -> None:
    """Rows are read twice, for the ballots and for the merge, however many steps there are."""
    spool = Spool(expected=6, rows_a_range=100, ballots_bytes=0)
    entries = [spool.add(client(i, 200).edges) for i in range(6)]
    ranges = spool.ranges(entries, PairVoters([np.arange(60, dtype=np.uint32)] * 6))
    loads = []
    for work in ranges.works:
        work.load = lambda load=work.load: loads.append(1) or load()
    merged(ranges)
    assert len(ranges.works) > 3
    assert len(loads) == 2 * len(ranges.works)


def test_what_is_left_out_of_two_blocks_is_in_no_range() -> None:
    """The last of one block, the first of the next: what is left seems to lie together, and does
    not.
    """
    graphs = [client(i, 50) for i in range(4)]
    spool = Spool(memory_bytes=0, block_bytes=2 * 50 * 40, bounds=np.zeros(0, np.uint64))
    for graph in graphs:
        spool.add(graph.edges)
    assert len(spool._blocks) == 2
    (work,) = spool.ranges([0, 3], PairVoters([np.arange(60, dtype=np.uint32)] * 2)).works
    assert work.load().keys().tolist() == [
        *graphs[0].edges.keys.tolist(),
        *graphs[3].edges.keys.tolist(),
    ]
    spool.close()


def test_a_range_is_read_in_one_call_for_many_clients_that_lie_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in one for each of them: neither where they come in the order of the merge, nor where
    every second one lies elsewhere.
    """
    spool = Spool(
        expected=40,
        rows_a_range=2000,
        block_bytes=1 << 30,
        memory_bytes=0,
        bounds=np.zeros(0, np.uint64),
    )
    for i in [*range(0, 40, 2), *range(1, 40, 2)]:
        spool.add(client(i, 50).edges)
        if i == 38:
            spool._flush()
    reads: list[int] = []
    real = os.preadv
    monkeypatch.setattr(
        os, "preadv", lambda fd, buffers, at: reads.append(len(buffers)) or real(fd, buffers, at)
    )
    eligible_voters = PairVoters([np.arange(60, dtype=np.uint32)] * 40)
    by_turns = [entry for pair in zip(range(20), range(20, 40), strict=True) for entry in pair]
    (work,) = spool.ranges(by_turns, eligible_voters).works
    work.load()
    assert reads == [20, 20]
    reads.clear()
    (work,) = spool.ranges(range(40), eligible_voters).works
    work.load()
    assert reads == [1, 1]
    spool.close()


@pytest.mark.parametrize("most", [1, 7, 1 << 20])
def test_pieces_are_written_whole_whatever_a_call_takes(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More pieces than a call takes, empty ones, a call that stops in the middle of one."""
    real = os.pwritev

    def some(fd: int, buffers: list[memoryview], at: int) -> int:
        assert len(buffers) <= 1024
        return real(fd, [b"".join(buffers)[:most]], at)

    monkeypatch.setattr(os, "pwritev", some)
    pieces = [np.arange(i % 4, dtype=np.uint32) + np.uint32(i) for i in range(1500)]
    file = nameless(pieces[0])
    write(file.fileno(), pieces, 5)
    out = np.empty(sum(map(len, pieces)), np.uint32)
    fill(file, out, 5)
    assert out.tobytes() == b"".join(piece.tobytes() for piece in pieces)


@pytest.mark.parametrize("most", [1, 7, 1 << 20])
def test_pieces_are_read_whole_whatever_a_call_gives(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More pieces than a call takes, a call that stops in the middle of one; a file that ends
    before they are full.
    """
    real = os.preadv

    def some(fd: int, buffers: list[memoryview], at: int) -> int:
        assert len(buffers) <= 1024
        got = bytearray(min(most, sum(map(len, buffers))))
        done = rest = real(fd, [got], at)
        for buffer in buffers:
            part = min(len(buffer), rest)
            buffer[:part], rest = got[done - rest :][:part], rest - part
        return done

    monkeypatch.setattr(os, "preadv", some)
    whole = np.random.default_rng(1).bytes(1500 * 5)
    file = nameless(monkeypatch)
    write(file.fileno(), [np.frombuffer(whole, np.uint8)], 3)
    out = bytearray(len(whole))
    scatter(file, [memoryview(out)[i : i + 5] for i in range(0, len(out), 5)], 3)
    assert out == whole
    with pytest.raises(OSError, match="shorter than what was written"):
        scatter(file, [memoryview(out)], 4)


def test_a_block_that_cannot_be_written_is_missed_by_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is written while the next one is gathered: whoever adds more, or reads, is told."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spools, "write", full)
    told = Spool(expected=3, block_bytes=1, memory_bytes=0)
    told.add(client(0, 50).edges)
    with pytest.raises(OSError, match="No space left"):
        told.add(client(1, 50).edges)
    told.close()
    read = Spool(expected=3, block_bytes=1, memory_bytes=0)
    read.add(client(0, 50).edges)
    with pytest.raises(OSError, match="No space left"):
        read.ranges([0], PairVoters([np.arange(60, dtype=np.uint32)]))
    read.close()


def test_a_spool_that_is_let_go_while_a_block_is_written_writes_into_nobody_elses_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is closed with it, and the next file that is opened has the same number."""
    gc.collect()  # what other tests left would let go of a lower number meanwhile
    begun, may_go_on = threading.Event(), threading.Event()
    wrote: list[int] = []
    pwritev = os.pwritev

    def slowly(file: int, pieces: Any, at: int) -> int:
        begun.set()
        assert may_go_on.wait(30)
        wrote.append(file)
        return pwritev(file, pieces, at)

    monkeypatch.setattr(os, "pwritev", slowly)
    spool = Spool(memory_bytes=-1, block_bytes=1)
    spool.add(client(5, 50).edges)
    assert begun.wait(30)
    assert spool._file is not None
    number, writing = spool._file.fileno(), spool._writer
    del spool
    gc.collect()
    with (tmp_path / "another").open("wb") as other:
        assert other.fileno() == number
        may_go_on.set()
        assert writing is not None
        writing.take()
        assert wrote
        assert number not in wrote
        assert os.fstat(number).st_size == 0


def test_the_first_tables_alone_do_not_decide_where_ranges_are_cut() -> None:
    """One client's, all of one source and more than a block: the others' rows would lie in one
    range.
    """
    variables, clients, rows = 400, 40, 2000
    rng = np.random.default_rng(6)

    def table(source: Any, target: Any, lag: Any) -> EdgeTable:
        return EdgeTable.build(
            source=source, target=target, lag=lag, effect=0.5, confidence=0.5, stability=0.5
        )

    one = np.arange(variables * 20)
    spool = Spool(
        expected=clients + 1,
        rows_a_range=2000,
        block_bytes=1 << 16,
        memory_bytes=0,
        variables=variables,
    )
    spool.add(table(np.full(len(one), 7), one // 20, one % 20 + 1))
    assert spool.bounds is not None
    for _ in range(clients):
        pairs = np.sort(rng.choice(variables**2, rows, replace=False))
        spool.add(table(pairs // variables, pairs % variables, np.ones(rows, np.uint16)))
    spool._settle()
    counts = [int(spool._counts(number).sum()) for number in range(len(spool.bounds) + 1)]
    assert sum(counts) == clients * rows + len(one)
    assert max(counts) < 8 * spool.rows_a_range
    spool.close()


def test_a_descriptor_that_a_block_was_written_by_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, closed, dup, close = list[int](), list[int](), os.dup, os.close
    monkeypatch.setattr(os, "dup", lambda file: opened.append(dup(file)) or opened[-1])
    monkeypatch.setattr(os, "close", lambda file: (closed.append(file), close(file))[1])
    spool = Spool(memory_bytes=-1, block_bytes=1)
    for seed in range(5):
        spool.add(client(seed, 50).edges)
    spool._settle()
    assert len(spool._blocks) == 5
    spool.close()
    assert len(opened) == 5
    assert [file for file in closed if file in opened] == opened


@pytest.mark.parametrize("kinds", [[NARROW], [NARROW, WIDE]])
def test_rows_are_put_in_order_alike_in_pieces_and_in_one(
    monkeypatch: pytest.MonkeyPatch, kinds: list[np.dtype[Any]]
) -> None:
    rng, tables = np.random.default_rng(0), []
    for i in range(6):
        table = np.zeros(i * 7 % 20, dtype=kinds[i % len(kinds)])
        table["key"], table["n"] = np.sort(rng.choice(40, len(table), replace=False)), i
        tables.append(table)
    bounds = np.array([0, 9, 10, 30, 99], dtype=np.uint64)
    found = []
    for long in (0, 1 << 30):
        monkeypatch.setattr(packed, "_LONG", long)
        gather, dtype, counts = packed.by_range(tables, bounds)
        found.append((len(gather()), np.concatenate(gather()).view(dtype), counts))
    (many, one, counts), (single, other, _) = found
    assert (many, single) == (counts.size, 1)
    assert one.tobytes() == other.tobytes()
    ranges = np.searchsorted(bounds, one["key"], side="right")
    place = np.lexsort((one["key"], one["n"], ranges))
    assert (place == np.arange(len(one))).all()
    assert counts.sum() == len(one) == sum(map(len, tables))
