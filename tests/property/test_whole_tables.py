"""A table of edges read at once and one read column by column are the same table; what the quick
way does not read is refused in the words of the slow one.

Each case is also counted as read quickly or not: a way that is never taken would agree with
everything.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.codec import PayloadCodec, pack, records, tables, unpack
from hyperfed.codec import columns as codec_columns
from hyperfed.codec import planes as planes_of_columns
from hyperfed.codec.planes import PlaneReader
from hyperfed.codec.whole_tables import read_whole
from hyperfed.config import Limits
from hyperfed.errors import PacketError
from hyperfed.packets import Update
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.property

ROWS = 300
NAMES = (
    "source",
    "target",
    "lag",
    "effect",
    "confidence",
    "stability",
    "hits",
    "n",
    "ci_low",
    "ci_high",
)
unhurried = settings(deadline=None, max_examples=400, report_multiple_bugs=False)


@contextmanager
def slow_tables() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "read_whole", lambda plain, planes: None)
        yield


def told(work: Callable[[], Any]) -> tuple[Any, ...]:
    try:
        return "read", work()
    except PacketError as error:
        return type(error), str(error), error.rule, error.subject, error.remedy


def alike(data: bytes) -> tuple[tuple[Any, ...], int]:
    """(what comes of a document, how often a table in it was read at once); asserts that it is what
    comes of it column by column.
    """
    quickly = 0

    def watched(plain: Any, planes: PlaneReader) -> EdgeTable | None:
        nonlocal quickly
        found = read_whole(plain, planes)
        quickly += found is not None
        return found

    def read() -> tuple[Any, ...]:
        return told(lambda: PayloadCodec(limits=Limits(max_raw_bytes=1 << 22)).decode(data, Update))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "read_whole", watched)
        ours = read()
    with slow_tables():
        assert read() == ours
    if ours[0] == "read" and ours[1].edges is not None:
        assert all(
            not c.flags.writeable and c.flags.aligned and c.dtype.isnative
            for c in columns_of(ours[1].edges).values()
        )
    return ours, quickly


def table(
    rng: np.random.Generator, rows: int, *, intervals: bool = True, kind: Any = np.float32
) -> EdgeTable:
    keys = np.sort(rng.choice(200 * 199 * 4, rows, replace=False))
    source, rest = np.divmod(keys, 199 * 4)
    effect = rng.normal(size=rows).astype(kind)
    half = (
        np.abs(rng.normal(size=rows)).astype(kind)
        if rng.random() < 0.5
        else np.full(rows, 0.25, kind)
    )
    ends = {"ci_low": effect - half, "ci_high": effect + half} if intervals else {}
    return EdgeTable(
        source=source.astype(np.uint32),
        target=(200 + rest // 4).astype(np.uint32),
        lag=(rest % 4).astype(np.uint16),
        effect=effect,
        confidence=rng.random(rows).astype(kind),
        stability=rng.choice([0.0, 0.5, 1.0], rows).astype(kind),
        hits=rng.integers(0, 2 ** int(rng.integers(1, 33)), rows, dtype=np.uint32),
        n=rng.integers(0, 2 ** int(rng.integers(1, 64)), rows, dtype=np.uint64),
        **ends,
    )


def counted(rng: np.random.Generator, rows: int, **form: Any) -> EdgeTable:
    """A table whose sample counts fit into four planes."""
    edges = table(rng, rows, **form)
    return with_rows(edges, n=edges.n & np.uint64(0xFFFF))


def columns_of(edges: EdgeTable) -> dict[str, Any]:
    return {name: getattr(edges, name) for name in NAMES if getattr(edges, name) is not None}


def document(edges: EdgeTable) -> bytes:
    return PayloadCodec(compression="zstd").encode(
        Update(measured=np.arange(400, dtype=np.uint32), edges=edges)
    )


def apart(data: bytes) -> tuple[list[Any], dict[str, Any], bytearray]:
    """The document's own fields, its record, and its planes."""
    whole = unpack(data)
    size, record, planes = unpack(whole[4])
    record = (
        bytes(record)
        if len(record) == size
        else zstandard.ZstdDecompressor().decompress(bytes(record), max_output_size=size)
    )
    plain: dict[str, Any] = unpack(record)
    return whole, plain, bytearray(planes)


def together(whole: list[Any], plain: Any, planes: bytes | bytearray, *, raw: int = 0) -> bytes:
    """The document of a changed record and planes. raw: how many raw bytes more it declares."""
    before = unpack(whole[4])[0]
    record = pack(plain)
    return pack(
        [
            *whole[:3],
            whole[3] - before + len(record) + raw,
            pack([len(record), record, bytes(planes)]),
        ]
    )


@unhurried
@given(
    st.integers(0, 2**32),
    st.integers(1, 900),
    st.booleans(),
    st.sampled_from([np.float32, np.float32, np.float64]),
)
def test_a_table_is_read_at_once_where_it_can_be(
    seed: int, rows: int, intervals: bool, kind: Any
) -> None:
    edges = table(np.random.default_rng(seed), rows, intervals=intervals, kind=kind)
    ours, quickly = alike(document(edges))
    assert ours[0] == "read"
    assert ours[1].edges == edges
    counted_in_four = int(edges.n.max()) < 1 << 32
    assert quickly == (rows >= 256 and kind is np.float32 and counted_in_four)


ENTRY = struct.Struct("<BBId")
Pieces = tuple[list[Any], dict[str, Any], bytearray]
changes = st.sampled_from([0, 1, 2, 3, 4, 5, 8, 255, 256, 299, 300, 301, 1 << 31, (1 << 32) - 1])


def changed(pieces: Pieces, data: st.DataObject) -> bytes:
    """What somebody may make of a sound document."""
    whole, plain, planes = pieces
    edges, raw = plain["edges"], 0
    name = data.draw(st.sampled_from(NAMES))
    what = data.draw(
        st.sampled_from(
            [
                "head",
                "rows",
                "reach",
                "length",
                "cut",
                "longer",
                "form",
                "null",
                "kind",
                "swap",
                "planes",
                "frame",
                "raw",
                "field",
                "more",
            ]
        )
    )
    entry = bytearray(edges[name][1]) if edges[name] else bytearray(ENTRY.pack(0, 4, ROWS, 0.0))
    said = edges[name][0] if edges[name] else "<f4:planes"
    if what == "head":
        entry[data.draw(st.integers(0, 1))] = data.draw(st.integers(0, 9))
    elif what == "rows":
        entry[2:6] = struct.pack("<I", data.draw(changes))
    elif what == "reach":
        entry[6:14] = struct.pack(
            "<d", data.draw(st.sampled_from([0.0, -0.0, 0.5, 1e300, float("nan"), float("inf")]))
        )
    elif what == "length" and len(entry) > ENTRY.size:
        at = ENTRY.size + 4 * data.draw(st.integers(0, (len(entry) - ENTRY.size) // 4 - 1))
        entry[at : at + 4] = struct.pack("<I", data.draw(changes))
    elif what == "cut":
        del entry[data.draw(st.sampled_from([-1, -4, -8, 3])) :]
    elif what == "longer":
        entry += struct.pack("<I", data.draw(changes)) * data.draw(st.integers(1, 6))
    elif what == "form":
        said = data.draw(
            st.sampled_from(
                [
                    "<u4:planes",
                    "<u2:planes",
                    "<f4:planes",
                    "<f8:planes",
                    "<u8:planes",
                    "|u1:planes",
                    "<f4",
                    "<u4",
                    "x",
                ]
            )
        )
    edges[name] = [said, bytes(entry)]
    if what == "null":
        edges[name] = None
    elif what == "kind":
        edges[name] = data.draw(
            st.sampled_from(
                [
                    0,
                    "ab",
                    {},
                    [],
                    [said],
                    [said, bytes(entry), 0],
                    [said, "text"],
                    [b"x", bytes(entry)],
                    [said, bytes(2000)],
                ]
            )
        )
    elif what == "swap":
        other = data.draw(st.sampled_from(NAMES))
        edges[name], edges[other] = edges[other], edges[name]
    elif what == "planes" and planes:
        planes[data.draw(st.integers(0, len(planes) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif what == "frame" and planes:
        at = planes.find(b"\x28\xb5\x2f\xfd", data.draw(st.integers(0, len(planes) - 1)))
        planes[at + data.draw(st.integers(0, 12)) if 0 <= at < len(planes) - 12 else 0] = data.draw(
            st.integers(0, 255)
        )
    elif what == "raw":
        raw = data.draw(st.sampled_from([1, -1, 4, -4, 1200, -1200]))
    elif what == "field":
        edges.pop(name)
        edges |= data.draw(st.sampled_from([{}, {"zz": None}, {"aa": 1}]))
    elif what == "more":
        planes = (
            planes[: data.draw(st.integers(0, len(planes)))]
            if data.draw(st.booleans())
            else planes + b"\0"
        )
    return together(whole, plain, planes, raw=raw)


@settings(deadline=None, max_examples=1500, report_multiple_bugs=False)
@given(st.integers(0, 5), st.booleans(), st.data())
def test_what_somebody_changed_comes_to_the_same(
    seed: int, intervals: bool, data: st.DataObject
) -> None:
    edges = counted(np.random.default_rng(seed), ROWS, intervals=intervals)
    ours, quickly = alike(changed(apart(document(edges)), data))
    # what is read at once is not what is refused
    assert not quickly or ours[0] == "read" or "edges" not in str(ours[3])


def with_rows(edges: EdgeTable, **columns: Any) -> EdgeTable:
    """A table that nothing has looked at."""
    changed: EdgeTable = object.__new__(EdgeTable)
    for name in NAMES:
        object.__setattr__(changed, name, columns.get(name, getattr(edges, name)))
    return changed


FAULTS: list[tuple[str, Any]] = [
    *(
        ("source", 1 << 24),
        ("target", 1 << 24),
        ("n", (1 << 63) + 1),
        ("effect", 1e30),
        ("effect", -1e30),
    ),
    *(
        (name, value)
        for name in ("effect", "ci_low", "ci_high", "confidence", "stability")
        for value in (np.nan, np.inf, -np.inf, -0.0, 1.5, -1e-30)
    ),
]


@pytest.mark.parametrize("row", [0, 150, ROWS - 1])
@pytest.mark.parametrize(("name", "value"), FAULTS)
def test_a_fault_in_one_row_is_told_in_the_same_words(name: str, value: Any, row: int) -> None:
    edges = counted(np.random.default_rng(row), ROWS)
    column = getattr(edges, name).copy()
    column[row] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "all_finite", lambda column: True)
        update = Update(measured=np.arange(400, dtype=np.uint32), edges=edges)
        object.__setattr__(update, "edges", with_rows(edges, **{name: column}))
        data = PayloadCodec(compression="zstd").encode(update)
    ours, quickly = alike(data)
    assert (ours[0] == "read") == quickly
    assert not quickly or (name in ("effect", "ci_low", "ci_high") and value in (1.5, -1e-30))


def test_rows_out_of_order_or_twice_are_told_in_the_same_words() -> None:
    edges = counted(np.random.default_rng(0), ROWS)
    for order in ([1, 0, *range(2, ROWS)], [0, 0, *range(2, ROWS)], [*range(1, ROWS), 0]):
        update = Update(measured=np.arange(400, dtype=np.uint32), edges=edges)
        object.__setattr__(
            update,
            "edges",
            with_rows(edges, **{name: column[order] for name, column in columns_of(edges).items()}),
        )
        ours, quickly = alike(PayloadCodec(compression="zstd").encode(update))
        assert (quickly, ours[0] == "read") == (0, False)


def test_an_edge_on_itself_is_told_in_the_same_words() -> None:
    edges = counted(np.random.default_rng(0), ROWS)
    target, lag = edges.target.copy(), edges.lag.copy()
    target[7], lag[7] = edges.source[7], 0
    update = Update(measured=np.arange(400, dtype=np.uint32), edges=edges)
    object.__setattr__(update, "edges", with_rows(edges, target=target, lag=lag))
    ours, quickly = alike(PayloadCodec(compression="zstd").encode(update))
    assert (quickly, ours[0] == "read") == (0, False)


def test_nothing_is_taken_where_nothing_is_read() -> None:
    """So that the columns are read from where the table began."""
    _, plain, planes = apart(document(counted(np.random.default_rng(0), ROWS)))
    edges = plain["edges"]

    def reader(planes: bytes | bytearray, budget: int) -> PlaneReader:
        made = PlaneReader(memoryview(planes), 1600 + budget)
        made.claim(plain["measured"][1], np.dtype("<u4"), "measured")
        return made

    broken = edges | {"lag": ["<u2:planes", edges["lag"][1][:-1]]}
    mixed = edges | {
        "lag": [
            edges["lag"][0],
            edges["lag"][1][:2] + struct.pack("<I", ROWS + 1) + edges["lag"][1][6:],
        ]
    }
    for case, of, budget in (
        (broken, planes, 1 << 20),
        (mixed, planes, 1 << 20),
        (edges, planes[:-1], 1 << 20),
        (edges, planes, ROWS * 42 - 1),
    ):
        one = reader(of, budget)
        assert read_whole(case, one) is None
        assert (one.left, one._at) == (budget, reader(of, budget)._at)
    whole = reader(planes, ROWS * 42)
    assert read_whole(edges, whole) is not None
    whole.close()


@pytest.mark.parametrize("reach", [float("inf"), float("nan")])
def test_a_reach_that_is_no_number_is_refused_though_the_table_were_sound(reach: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planes_of_columns, "_reach", lambda low, around: reach)
        data = document(counted(np.random.default_rng(0), ROWS))
    ours, quickly = alike(data)
    assert (quickly, ours[2], ours[3]) == (0, "R-11", "Update.edges.ci_low")


def test_more_planes_than_a_step_has_bytes_are_refused_though_the_table_were_sound() -> None:
    """What lies above a step's bytes would be cut off: a second form of the same table."""
    whole, plain, planes = apart(document(counted(np.random.default_rng(0), ROWS)))
    said, entry = plain["edges"]["source"]
    assert (entry[0], entry[1], len(entry)) == (1, 1, ENTRY.size + 4)
    before = sum(
        sum(struct.unpack(f"<{(len(e) - ENTRY.size) // 4}I", e[ENTRY.size :]))
        for e in (plain["measured"][1], entry)
    )
    plain["edges"]["source"] = [said, entry + struct.pack("<I", ROWS)]
    ours, quickly = alike(together(whole, plain, planes[:before] + bytes(ROWS) + planes[before:]))
    assert (quickly, ours[2], ours[3]) == (0, "R-11", "Update.edges.source")


def test_planes_of_a_column_that_is_too_small_for_them_are_refused() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec_columns, "SMALLEST", 0)
        data = document(counted(np.random.default_rng(0), 255))
    ours, quickly = alike(data)
    assert (quickly, ours[2], ours[3]) == (0, "R-11", "Update.edges.lag")
