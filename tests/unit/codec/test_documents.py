"""A document: its version, its sizes, and nothing but its one form."""

import tracemalloc
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pytest
import zstandard

from hyperfed.codec import SCHEMA_VERSION, PayloadCodec, pack, to_record
from hyperfed.codec import payload as payload_module
from hyperfed.codec.versions import since
from hyperfed.config import Limits
from hyperfed.errors import ConfigError, SchemaError
from hyperfed.packets import EdgeDelta, PathPack, Update
from hyperfed.protocol.objects import Plan
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Variable, Vocabulary
from hyperfed.testing.federation import SmallFederation
from tests.unit.codec.documents import PACKETS, RAW, document, refused


def test_the_document_made_by_hand_is_the_one_written() -> None:
    assert document() == PayloadCodec().encode(PACKETS["PathPack"])


@pytest.mark.parametrize(
    "rest", [[], ["PathPack", "", 0, b""], [{"another": ["form"]}], [1, 2, 3, 4, 5, 6, 7, 8, 9]]
)
def test_a_newer_version_is_named_whatever_else_it_changed(rest: list[Any]) -> None:
    error = refused(pack([SCHEMA_VERSION + 1, *rest]))
    assert str(SCHEMA_VERSION + 1) in error.problem
    assert f"up to {SCHEMA_VERSION}" in error.problem
    assert error.rule == "R-12"
    assert "Update hyperfed" in error.remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A kind that has gained fields in versions 2 and 3."""

    a: int
    z: str
    m: tuple[int, ...] = field(default=(), metadata=since(2))
    b: bytes = field(default=b"", metadata=since(2))
    last: int = field(default=7, metadata=since(3))


def grown(version: int, **fields: Any) -> bytes:
    payload = pack(fields)
    return pack([version, "Grown", "", len(payload), payload])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Grown(a=1, z="x"), grown(1, a=1, z="x")),
        (Grown(a=1, z="x", b=b"y"), grown(2, a=1, b=b"y", m=[], z="x")),
        (Grown(a=1, z="x", m=(3, 4)), grown(2, a=1, b=b"", m=[3, 4], z="x")),
        (Grown(a=1, z="x", last=8), grown(3, a=1, b=b"", last=8, m=[], z="x")),
    ],
)
def test_a_document_is_written_in_the_lowest_version_that_can_say_it_and_read_again(
    value: Grown, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_module, "SCHEMA_VERSION", 3)
    assert PayloadCodec().encode(value) == said
    assert PayloadCodec().decode(said, Grown) == value
    assert PayloadCodec().decode(PayloadCodec(compression="zstd").encode(value), Grown) == value


@pytest.mark.parametrize(
    ("said", "rule", "problem"),
    [
        (grown(4, a=1, z="x"), "R-12", "schema version 4; this library reads up to 3"),
        (grown(1, a=1, b=b"y", m=[], z="x"), "R-11", "fields unknown b, m in schema version 1"),
        (
            grown(2, a=1, b=b"y", last=8, m=[], z="x"),
            "R-11",
            "fields unknown last in schema version 2",
        ),
        (
            grown(2, a=1, b=b"", m=[], z="x"),
            "R-10",
            "says in schema version 2 what an earlier one can say",
        ),
        (
            grown(3, a=1, b=b"y", last=7, m=[], z="x"),
            "R-10",
            "says in schema version 3 what an earlier one can say",
        ),
        (grown(2, a=1, b=b"y", z="x"), "R-11", "missing m"),
        (grown(2, a=1, b=b"y", m=[], q=1, z="x"), "R-11", "unknown 'q'"),
        (pack([2, "Grown", "", 1, b"\x90"]), "R-11", ""),
    ],
)
def test_a_document_says_no_more_and_no_less_than_its_version_has(
    said: bytes, rule: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_module, "SCHEMA_VERSION", 3)
    error = refused(said, Grown)
    assert (error.rule, problem in str(error)) == (rule, True), error


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """A kind that holds records of a kind that has grown, and has grown by one of them."""

    name: str
    one: Grown
    maybe: Grown | None = None
    many: tuple[Grown, ...] = ()
    later: Grown | None = field(default=None, metadata=since(2))


def around(version: int, **fields: Any) -> bytes:
    payload = pack({"name": "n", "one": {"a": 1, "z": "x"}, "maybe": None, "many": []} | fields)
    return pack([version, "Around", "", len(payload), payload])


FIRST, SECOND = Grown(a=1, z="x"), Grown(a=1, z="x", b=b"y")
PLAIN_FIRST: dict[str, Any] = {"a": 1, "z": "x"}
PLAIN_SECOND: dict[str, Any] = {"a": 1, "b": b"y", "m": [], "z": "x"}
PLAIN_DEFAULT: dict[str, Any] = {"a": 1, "b": b"", "m": [], "z": "x"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Around(name="n", one=FIRST), around(1)),
        (Around(name="n", one=FIRST, maybe=FIRST), around(1, maybe=PLAIN_FIRST)),
        (Around(name="n", one=FIRST, many=(FIRST,) * 2), around(1, many=[PLAIN_FIRST] * 2)),
        (Around(name="n", one=SECOND), around(2, one=PLAIN_SECOND, later=None)),
        (
            Around(name="n", one=FIRST, many=(FIRST, SECOND)),
            around(2, one=PLAIN_DEFAULT, many=[PLAIN_DEFAULT, PLAIN_SECOND], later=None),
        ),
        (
            Around(name="n", one=FIRST, later=FIRST),
            around(2, one=PLAIN_DEFAULT, later=PLAIN_DEFAULT),
        ),
    ],
)
def test_a_document_has_the_version_that_a_record_inside_it_needs(
    value: Around, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_module, "SCHEMA_VERSION", 3)
    assert PayloadCodec().encode(value) == said
    assert PayloadCodec().decode(said, Around) == value


@pytest.mark.parametrize(
    ("said", "rule", "problem"),
    [
        (around(1, one=PLAIN_SECOND), "R-11", "Grown: fields unknown b, m in schema version 1"),
        (around(2, one=PLAIN_DEFAULT, later=None), "R-10", "what an earlier one can say"),
        (around(2, one=PLAIN_FIRST, later=PLAIN_DEFAULT), "R-11", "missing b, m"),
        (around(2, one=7, later=PLAIN_DEFAULT), "R-11", "Around.one"),
        (around(1, many=7), "R-11", "Around.many"),
        (around(1, many=[7]), "R-11", "Around.many[0]"),
    ],
)
def test_a_record_inside_a_document_says_what_the_documents_version_has(
    said: bytes, rule: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_module, "SCHEMA_VERSION", 3)
    error = refused(said, Around)
    assert (error.rule, problem in str(error)) == (rule, True), error


def test_a_plan_with_units_has_the_version_that_units_came_with() -> None:
    """A vocabulary without them is written as it always was."""
    federation = SmallFederation(clients=2)
    plan = federation.open(1).value
    plain = PayloadCodec().encode(plan)
    assert b"unit" not in plain
    entries = (Variable("heat", unit="K", low=200.0), *plan.vocabulary.variables[1:])
    told = replace(plan, vocabulary=Vocabulary(entries))
    said = PayloadCodec().encode(told)
    assert (plain[1], said[1]) == (1 if plan.policy.lags == () else 2, 4)
    assert PayloadCodec().decode(said, Plan) == told
    assert fields(Variable)[-1].metadata == since(4), "the room below the codec agrees"


def test_a_kind_that_has_not_changed_stays_in_version_1() -> None:
    """Who reads it need not be updated for the sake of another kind; and no later version of it is
    known.
    """
    assert PayloadCodec().encode(PACKETS["PathPack"])[1] == 1
    error = refused(document(version=2))
    assert (error.rule, error.problem) == ("R-12", "schema version 2; this library reads up to 1")
    batch = PayloadCodec().encode([PACKETS["PathPack"]])
    assert (
        refused(batch[:1] + b"\2" + batch[2:], list[PathPack]).problem
        == "schema version 2; this library reads up to 1"
    )


def test_a_version_before_the_first_is_refused() -> None:
    assert "never existed" in refused(document(version=0)).problem


@pytest.mark.parametrize("version", [True, -1, 1.0, "1", None])
def test_a_version_is_an_integer(version: Any) -> None:
    assert refused(document(version=version)).rule == "R-12"


@pytest.mark.parametrize(
    "broken",
    [
        pack([1, "PathPack", "", 3]),
        pack([1, "PathPack", "", 0, b"", b""]),
        pack([1, 5, "", 0, b""]),
        pack([1, "PathPack", None, 0, b""]),
        pack([1, "PathPack", "", True, b"x"]),
        pack([1, "PathPack", "", 0, ""]),
        pack({"a": 1}),
        pack(1),
        b"",
        b"\x91\x01",
    ],
)
def test_another_shape_is_refused(broken: bytes) -> None:
    refused(broken)


def test_only_the_kind_asked_for_is_read() -> None:
    data = PayloadCodec().encode(PACKETS["PathPack"])
    assert "'PathPack' where a EdgeDelta" in refused(data, EdgeDelta).problem
    refused(data, list[PathPack])
    refused(PayloadCodec().encode([PACKETS["PathPack"]]), PathPack)
    refused(PayloadCodec().encode([PACKETS["PathPack"]]), list[EdgeDelta])


def test_an_empty_batch_has_one_form() -> None:
    assert refused(document(kind="list[PathPack]", payload=pack([])), list[PathPack]).rule == "R-12"
    assert (
        refused(
            document(kind="list[]", payload=pack([to_record(PACKETS["PathPack"])])), list[PathPack]
        ).rule
        == "R-12"
    )


def test_a_batch_is_of_one_kind() -> None:
    with pytest.raises(SchemaError, match="one kind"):
        PayloadCodec().encode([PACKETS["PathPack"], PACKETS["EdgeDelta"]])


def test_an_unknown_compression_is_refused() -> None:
    with pytest.raises(ConfigError):
        PayloadCodec(compression="gzip")
    assert refused(document(compression="gzip")).rule == "R-13"


def squeezed(frame: bytes, size: int | None = None, planes: bytes = b"") -> bytes:
    """A compressed payload around the frame of a record."""
    return pack([len(RAW) if size is None else size, frame, planes])


def zstd(raw: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(level=1, **options).compress(raw)


@pytest.mark.parametrize("declared", [len(RAW) - 1, len(RAW) + 1, 0, 1 << 27])
def test_the_raw_size_is_what_is_declared_not_a_byte_more_or_less(declared: int) -> None:
    assert refused(document(raw_size=declared)).rule == "R-13"
    assert (
        refused(document(compression="zstd", raw_size=declared, payload=squeezed(zstd(RAW)))).rule
        == "R-13"
    )
    assert (
        refused(
            document(compression="zstd", raw_size=declared, payload=squeezed(zstd(RAW), declared))
        ).rule
        == "R-13"
    )
    assert refused(document(compression="zstd", payload=zstd(RAW))).rule == "R-13"


def test_more_than_the_limit_is_not_even_declared() -> None:
    assert "at most 100" in refused(document(raw_size=101), max_raw_bytes=100).problem
    with pytest.raises(SchemaError, match="at most 10 "):
        PayloadCodec(limits=Limits(max_raw_bytes=10)).encode(PACKETS["PathPack"])


@pytest.mark.parametrize(
    "payload",
    [
        zstd(RAW, write_content_size=False),
        zstd(RAW) + b"\0",
        zstd(RAW) + zstd(RAW),
        zstd(RAW)[:-1],
        zstd(RAW)[:4],
        b"\0",
        b"",
        b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd",
        b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zstd(RAW),
        RAW[:-1],
    ],
    ids=[
        "no size",
        "trailing",
        "two frames",
        "cut",
        "magic only",
        "no frame",
        "empty",
        "skippable",
        "skippable first",
        "not compressed, cut",
    ],
)
def test_another_frame_is_refused(payload: bytes) -> None:
    assert (
        refused(document(compression="zstd", raw_size=len(RAW), payload=squeezed(payload))).rule
        == "R-13"
    )


def test_a_zip_bomb_takes_no_memory() -> None:
    """A frame that inflates to 1 GB: refused by its declaration, and where the declaration lies, by
    the frame's own; nothing is inflated.
    """
    bomb = zstd(bytes(1 << 28))
    assert len(bomb) < 20_000
    lying = bytearray(zstd(bytes(1000)))
    tracemalloc.start()
    try:
        refused(
            document(compression="zstd", raw_size=1 << 28, payload=squeezed(bomb, 1 << 28)),
            max_raw_bytes=(1 << 28) - 1,
        )
        refused(document(compression="zstd", raw_size=1000, payload=squeezed(bomb, 1000)))
        refused(
            document(
                compression="zstd",
                raw_size=1000,
                payload=squeezed(bytes(lying[:-8]) + bomb[-8:], 1000),
            )
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_frame_that_holds_more_than_it_says_is_cut_off_not_inflated() -> None:
    """The content size of a frame's header is patched to 600: decompression stops there and
    fails.
    """
    frame = bytearray(zstd(bytes(range(256)) * 200))
    assert zstandard.get_frame_parameters(frame).content_size == 51_200
    frame[5:7] = (600 - 256).to_bytes(2, "little")
    assert zstandard.get_frame_parameters(frame).content_size == 600
    data = document(compression="zstd", raw_size=600, payload=squeezed(bytes(frame), 600))
    tracemalloc.start()
    try:
        assert refused(data).rule == "R-13"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000


def test_an_update_of_a_megabyte_is_read_in_twice_its_size() -> None:
    """Memory stays under twice the cap, also where tables are wide: one hyperedge of 64 sources
    does not widen all others.
    """
    rows = 60_000
    narrow = [[0, i % 1000 + 1] for i in range(rows)]
    table = HyperedgeTable.build(
        sources=[*narrow, list(range(64))],
        target=[2000 + i // 1000 for i in range(rows)] + [3000],
        lag=1,
        effect=0.5,
        confidence=0.5,
        stability=0.5,
    )
    measured = np.arange(4000, dtype=np.uint32)
    data = PayloadCodec().encode(
        Update(measured=measured, edges=EdgeTable.empty(), hyperedges=table)
    )
    tracemalloc.start()
    try:
        PayloadCodec().decode(data, Update)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(data) + peak < 2 * len(data), f"{peak} bytes for {len(data)}"
