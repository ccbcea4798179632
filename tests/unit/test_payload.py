"""`PayloadCodec`: every packet and protocol object survives the way, and nothing but its one form is read."""

import dataclasses
import tracemalloc
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import zstandard

from hyperfed.codec import SCHEMA_VERSION, PayloadCodec, pack, to_record, unpack
from hyperfed.codec import payload as payload_module
from hyperfed.codec.versions import since
from hyperfed.config import Limits
from hyperfed.errors import BoundsError, ConfigError, PacketError, SchemaError
from hyperfed.global_model import GlobalModel
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.protocol.objects import EntryKind, Freeze, LedgerEntry, Mechanism, Plan, Receipt, ReceiptPage, RoundState, Tombstone
from hyperfed.registry import Budget, Registry
from hyperfed.rounds import page_of
from hyperfed.tables import DeltaTable, EdgeTable, HyperedgeTable
from hyperfed.testing.federation import SmallFederation
from hyperfed.vocabulary import Vocabulary

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def edges(dtype: Any = np.float64, *, interval: bool = True, rows: int = 5) -> EdgeTable:
    effect = (np.arange(rows) * 0.25 - 0.5).astype(dtype)
    return EdgeTable(
        source=np.arange(rows, dtype=np.uint32),
        target=np.arange(1, rows + 1, dtype=np.uint32),
        lag=np.arange(rows, dtype=np.uint16),
        effect=effect,
        ci_low=(effect - 1).astype(dtype) if interval else None,
        ci_high=(effect + 1).astype(dtype) if interval else None,
        confidence=np.full(rows, 0.5, dtype),
        stability=np.full(rows, 1.0, dtype),
        hits=np.full(rows, 3, np.uint32),
        n=np.full(rows, 2**40, np.uint64),
    )


def hyperedges() -> HyperedgeTable:
    return HyperedgeTable.build(sources=[[1, 0], [2, 3, 0], [0, 3]], target=[2, 1, 2], lag=[1, 2, 1], effect=[0.5, -0.25, 1.0], confidence=0.5, stability=0.75)


def deltas() -> DeltaTable:
    zero = np.zeros(2)
    return DeltaTable(
        source=np.array([0, 1], np.uint32), target=np.array([1, 2], np.uint32), lag=np.array([1, 1], np.uint16),
        weight_delta=np.array([0.5, -0.5]), ci_low_delta=zero, ci_high_delta=zero, hits_delta=np.array([-1, 2], np.int32),
    )  # fmt: skip


SEMANTIC = CausalSemanticPack(dag_edges=[(1, 0, -0.5), (0, 1, 1)], confounders=[3, 1], interventions=[{"do": "heat", "to": 1.5, "n": 3, "ok": True, "x": None}])
MEASURED = np.arange(6, dtype=np.uint32)
PACKETS: dict[str, Any] = {
    "PathPack": PathPack(0, 1, 2, -1.5, 0.25, 1.0),
    "PathPack of ints": PathPack(0, 1, 2, -1, 0, 1),
    "EdgeDelta": EdgeDelta(0, 1, 0.5, (-0.25, 0.25), -3),
    "EdgeDelta with lag": EdgeDelta(4, 4, 0.5, (0, 0), 3, lag=7),
    "PolicyPack": PolicyPack(g_min=0.01, n_proposals=10, strategy="weighted", sealed=False),
    "CausalSemanticPack": SEMANTIC,
    "empty CausalSemanticPack": CausalSemanticPack(),
    "Claims": Claims(clip_norm=1.0, loss=None),
    "edges f64": edges(),
    "edges f32": edges(np.float32),
    "no edges": EdgeTable.empty(),
    "deltas": deltas(),
    "hyperedges": hyperedges(),
    "Update f64": Update(measured=MEASURED, edges=edges()),
    "Update f32": Update(measured=MEASURED, edges=edges(np.float32, interval=False)),
    "Update of everything": Update(measured=MEASURED, edges=edges(), hyperedges=hyperedges(), semantic=SEMANTIC, claims=Claims(loss=0.125)),
    "Update of deltas": Update(measured=MEASURED, deltas=deltas(), base=b"\x07" * 32),
    "Update of nothing": Update(measured=np.zeros(0, np.uint32), edges=EdgeTable.empty()),
}
BATCHES: dict[str, tuple[Any, Any]] = {
    "PathPacks": (PathPack, [PathPack(i, i + 1, 0, 0.5, 0.5, 0.5) for i in range(20)]),
    "EdgeDeltas": (EdgeDelta, [EdgeDelta(i, i + 1, 0.5, (0, 0), 1) for i in range(3)]),
    "none": (PathPack, []),
}


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """Every kind of protocol object, from a federation that has played two nights."""
    fed = SmallFederation(auditors=1)
    fed.play(1)
    fed.play(2)
    reader = fed.reader()
    found: dict[str, Any] = {"Registry": fed.registry, "Tombstone": Tombstone(federation="f-1", round=1, rule="R-62", reason="none came", time=NOW)}
    for value in (reader.plan(1), reader.freeze(2), reader.result(2), reader.state(2)):
        assert value is not None
        found[type(value.value).__name__] = value.value
    found["Receipt"] = fed.receipt("site-01", 2)
    large = SmallFederation(clients=2, limits=Limits(own_receipts=1))
    large.play(1)
    page = large.reader().receipt_page(1, page_of("site-01"))
    assert page is not None
    found["ReceiptPage"] = page.value
    found["LedgerEntry"] = reader.ledger()[-1].entry
    mechanism = Mechanism(kind="basic", epsilon=Decimal("0.5"), delta=Decimal("0.000001"))
    found["LedgerEntry with mechanisms"] = dataclasses.replace(found["LedgerEntry"], kind=EntryKind.RESERVE, mechanisms=(mechanism,))
    found["Vocabulary"] = Vocabulary.of("a", "b", domain="x", version=3)
    return found


def same(a: Any, b: Any) -> bool:
    """Equality that goes through the one form: models hold arrays, which have no single truth value."""
    return type(a) is type(b) and pack(to_record(a)) == pack(to_record(b))


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("name", PACKETS)
def test_a_packet_survives_the_way(name: str, compression: str | None) -> None:
    packet, codec = PACKETS[name], PayloadCodec(compression=compression)
    data = codec.encode(packet)
    back = codec.decode(data, type(packet))
    assert back == packet
    assert codec.encode(back) == data
    assert codec.kind_of(data) == type(packet).__name__


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_survives_the_way(name: str) -> None:
    kind, batch = BATCHES[name]
    data = PayloadCodec().encode(batch)
    assert PayloadCodec().decode(data, list[kind]) == batch
    assert PayloadCodec().encode(tuple(batch)) == data


def test_a_protocol_object_survives_the_way(objects: dict[str, Any]) -> None:
    kinds = {type(v) for v in objects.values()}
    assert kinds >= {Plan, Freeze, GlobalModel, Tombstone, RoundState, Receipt, ReceiptPage, LedgerEntry, Registry, Vocabulary}
    for value in objects.values():
        for codec in (PayloadCodec(), PayloadCodec(compression="zstd")):
            data = codec.encode(value)
            back = codec.decode(data, type(value))
            assert same(back, value)
            assert codec.encode(back) == data


def test_ints_and_numpy_numbers_become_the_one_number_that_travels() -> None:
    """A packet made of ints or numpy scalars is the same packet, with the same bytes; -0.0 is 0.0."""
    made = [PathPack(0, 1, 2, 1, 1, 0), PathPack(np.int64(0), np.uint8(1), np.int32(2), np.float64(1), np.float32(1), -0.0)]  # type: ignore[arg-type]
    assert len({PayloadCodec().encode(p) for p in made}) == 1
    assert [type(v) for v in dataclasses.astuple(made[1])] == [int, int, int, float, float, float]


def test_columns_are_read_only_views_of_the_bytes_read() -> None:
    data = PayloadCodec().encode(PACKETS["Update f64"])
    effect = PayloadCodec().decode(data, Update).edges.effect  # type: ignore[union-attr]
    assert not effect.flags.writeable
    assert not effect.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        effect[0] = 1.0


# -- the document -------------------------------------------------------------------------------------------------------------------


def document(version: Any = 1, kind: Any = "PathPack", compression: Any = "", raw_size: Any = None, payload: Any = None) -> bytes:
    payload = pack(to_record(PACKETS["PathPack"])) if payload is None else payload
    return pack([version, kind, compression, len(payload) if raw_size is None else raw_size, payload])


def refused(data: bytes, kind: Any = PathPack, **limits: int) -> PacketError:
    with pytest.raises(PacketError) as caught:
        PayloadCodec(limits=Limits(**limits)).decode(data, kind)
    return caught.value


def test_the_document_made_by_hand_is_the_one_written() -> None:
    assert document() == PayloadCodec().encode(PACKETS["PathPack"])


@pytest.mark.parametrize("rest", [[], ["PathPack", "", 0, b""], [{"another": ["form"]}], [1, 2, 3, 4, 5, 6, 7, 8, 9]])
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
def test_a_document_is_written_in_the_lowest_version_that_can_say_it_and_read_again(value: Grown, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_module, "SCHEMA_VERSION", 3)
    assert PayloadCodec().encode(value) == said
    assert PayloadCodec().decode(said, Grown) == value
    assert PayloadCodec().decode(PayloadCodec(compression="zstd").encode(value), Grown) == value


@pytest.mark.parametrize(
    ("said", "rule", "problem"),
    [
        (grown(4, a=1, z="x"), "R-12", "schema version 4; this library reads up to 3"),
        (grown(1, a=1, b=b"y", m=[], z="x"), "R-11", "fields unknown b, m in schema version 1"),
        (grown(2, a=1, b=b"y", last=8, m=[], z="x"), "R-11", "fields unknown last in schema version 2"),
        (grown(2, a=1, b=b"", m=[], z="x"), "R-10", "says in schema version 2 what an earlier one can say"),
        (grown(3, a=1, b=b"y", last=7, m=[], z="x"), "R-10", "says in schema version 3 what an earlier one can say"),
        (grown(2, a=1, b=b"y", z="x"), "R-11", "missing m"),
        (grown(2, a=1, b=b"y", m=[], q=1, z="x"), "R-11", "unknown 'q'"),
        (pack([2, "Grown", "", 1, b"\x90"]), "R-11", ""),
    ],
)
def test_a_document_says_no_more_and_no_less_than_its_version_has(said: bytes, rule: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_module, "SCHEMA_VERSION", 3)
    error = refused(said, Grown)
    assert (error.rule, problem in str(error)) == (rule, True), error


def test_a_kind_that_has_not_changed_stays_in_version_1() -> None:
    """Who reads it need not be updated for the sake of another kind; and no later version of it is known."""
    assert PayloadCodec().encode(PACKETS["PathPack"])[1] == 1
    error = refused(document(version=2))
    assert (error.rule, error.problem) == ("R-12", "schema version 2; this library reads up to 1")
    batch = PayloadCodec().encode([PACKETS["PathPack"]])
    assert refused(batch[:1] + b"\2" + batch[2:], list[PathPack]).problem == "schema version 2; this library reads up to 1"


def test_a_version_before_the_first_is_refused() -> None:
    assert "never existed" in refused(document(version=0)).problem


@pytest.mark.parametrize("version", [True, -1, 1.0, "1", None])
def test_a_version_is_an_integer(version: Any) -> None:
    assert refused(document(version=version)).rule == "R-12"


@pytest.mark.parametrize(
    "broken",
    [
        pack([1, "PathPack", "", 3]), pack([1, "PathPack", "", 0, b"", b""]), pack([1, 5, "", 0, b""]), pack([1, "PathPack", None, 0, b""]),
        pack([1, "PathPack", "", True, b"x"]), pack([1, "PathPack", "", 0, ""]), pack({"a": 1}), pack(1), b"", b"\x91\x01",
    ],
)  # fmt: skip
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
    assert refused(document(kind="list[]", payload=pack([to_record(PACKETS["PathPack"])])), list[PathPack]).rule == "R-12"


def test_a_batch_is_of_one_kind() -> None:
    with pytest.raises(SchemaError, match="one kind"):
        PayloadCodec().encode([PACKETS["PathPack"], PACKETS["EdgeDelta"]])


def test_an_unknown_compression_is_refused() -> None:
    with pytest.raises(ConfigError):
        PayloadCodec(compression="gzip")
    assert refused(document(compression="gzip")).rule == "R-13"


# -- sizes --------------------------------------------------------------------------------------------------------------------------


def squeezed(frame: bytes, size: int | None = None, planes: bytes = b"") -> bytes:
    """A compressed payload around the frame of a record."""
    return pack([len(RAW) if size is None else size, frame, planes])


def zstd(raw: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(level=1, **options).compress(raw)


RAW = pack(to_record(PACKETS["PathPack"]))


@pytest.mark.parametrize("declared", [len(RAW) - 1, len(RAW) + 1, 0, 1 << 27])
def test_the_raw_size_is_what_is_declared_not_a_byte_more_or_less(declared: int) -> None:
    assert refused(document(raw_size=declared)).rule == "R-13"
    assert refused(document(compression="zstd", raw_size=declared, payload=squeezed(zstd(RAW)))).rule == "R-13"
    assert refused(document(compression="zstd", raw_size=declared, payload=squeezed(zstd(RAW), declared))).rule == "R-13"
    assert refused(document(compression="zstd", payload=zstd(RAW))).rule == "R-13"


def test_more_than_the_limit_is_not_even_declared() -> None:
    assert "at most 100" in refused(document(raw_size=101), max_raw_bytes=100).problem
    with pytest.raises(SchemaError, match="at most 10 "):
        PayloadCodec(limits=Limits(max_raw_bytes=10)).encode(PACKETS["PathPack"])


@pytest.mark.parametrize(
    "payload",
    [
        zstd(RAW, write_content_size=False), zstd(RAW) + b"\0", zstd(RAW) + zstd(RAW), zstd(RAW)[:-1], zstd(RAW)[:4], b"\0", b"",
        b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd", b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zstd(RAW), RAW[:-1],
    ],
    ids=["no size", "trailing", "two frames", "cut", "magic only", "no frame", "empty", "skippable", "skippable first", "not compressed, cut"],
)  # fmt: skip
def test_another_frame_is_refused(payload: bytes) -> None:
    assert refused(document(compression="zstd", raw_size=len(RAW), payload=squeezed(payload))).rule == "R-13"


def test_a_zip_bomb_takes_no_memory() -> None:
    """A frame that inflates to 1 GB: refused by its declaration, and where the declaration lies, by the frame's own; nothing is inflated."""
    bomb = zstd(bytes(1 << 28))
    assert len(bomb) < 20_000
    lying = bytearray(zstd(bytes(1000)))
    tracemalloc.start()
    try:
        refused(document(compression="zstd", raw_size=1 << 28, payload=squeezed(bomb, 1 << 28)), max_raw_bytes=(1 << 28) - 1)
        refused(document(compression="zstd", raw_size=1000, payload=squeezed(bomb, 1000)))
        refused(document(compression="zstd", raw_size=1000, payload=squeezed(bytes(lying[:-8]) + bomb[-8:], 1000)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_frame_that_holds_more_than_it_says_is_cut_off_not_inflated() -> None:
    """The content size of a frame's header is patched to 600: decompression stops there and fails."""
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
    """Memory stays under twice the cap, also where tables are wide: one hyperedge of 64 sources does not widen all others."""
    rows = 60_000
    narrow = [[0, i % 1000 + 1] for i in range(rows)]
    table = HyperedgeTable.build(
        sources=[*narrow, list(range(64))], target=[2000 + i // 1000 for i in range(rows)] + [3000], lag=1, effect=0.5, confidence=0.5, stability=0.5
    )
    measured = np.arange(4000, dtype=np.uint32)
    data = PayloadCodec().encode(Update(measured=measured, edges=EdgeTable.empty(), hyperedges=table))
    tracemalloc.start()
    try:
        PayloadCodec().decode(data, Update)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(data) + peak < 2 * len(data), f"{peak} bytes for {len(data)}"


# -- records ------------------------------------------------------------------------------------------------------------------------


def changed(value: Any, **fields: Any) -> bytes:
    """The document of a record with these fields replaced by plain values."""
    record = to_record(value) | fields
    return document(kind=type(value).__name__, payload=pack({k: v for k, v in record.items() if v is not ...}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lag", True), ("lag", 1.0), ("lag", -1), ("lag", 1 << 16), ("lag", None), ("source_idx", 1 << 24), ("source_idx", "0"), ("effect", 1), ("effect", "1"),
        ("effect", None), ("effect", True), ("confidence", 1.0000001), ("confidence", -1e-9), ("stability", 2.0), ("extra", 1), ("effect", ...),
    ],
)  # fmt: skip
def test_a_field_has_exactly_its_type_and_bounds(field: str, value: Any) -> None:
    error = refused(changed(PACKETS["PathPack"], **{field: value}))
    assert isinstance(error, SchemaError | BoundsError)
    assert "PathPack" in error.subject


def test_unknown_fields_are_named_quoted() -> None:
    error = refused(changed(PACKETS["PathPack"], **{"\x1b[31m": 1}))
    assert "\x1b" not in str(error)
    assert "x1b" in str(error)


def test_what_a_record_would_sort_or_round_is_not_its_one_form() -> None:
    for fields in ({"confounders": [3, 1]}, {"dag_edges": [[1, 0, 0.5], [0, 1, 0.5]]}, {"confounders": [1, 1]}, {"dag_edges": [[0, 1, 1]]}):
        refused(changed(SEMANTIC, **fields), CausalSemanticPack)
    refused(changed(PACKETS["EdgeDelta"], ci_delta=[0.0]), EdgeDelta)
    refused(changed(PACKETS["EdgeDelta"], ci_delta=[0.0, 0.0, 0.0]), EdgeDelta)


@pytest.mark.parametrize(
    "act", [{"a": [1]}, {"a": {"b": 1}}, {"a": b"x"}, {"a": "x" * 2001}, {"x" * 201: 1}, {f"{i:03d}": 1 for i in range(65)}, [1], {"a": 2**63}]
)
def test_an_intervention_is_flat_and_small(act: Any) -> None:
    refused(changed(SEMANTIC, interventions=[act]), CausalSemanticPack)


def test_what_a_record_itself_refuses_comes_out_as_a_packet_error(objects: dict[str, Any]) -> None:
    """A registry's own checks raise RegistryError and ConfigError; through the codec they are PacketErrors."""
    registry = to_record(objects["Registry"])
    for fields in ({"federation": "../x"}, {"window_s": 0}, {"threshold": 0}, {"coordinators": []}, {"clients": registry["clients"][::-1]}):
        error = refused(document(kind="Registry", payload=pack(registry | fields)), Registry)
        assert isinstance(error, SchemaError | BoundsError)


def test_a_budget_is_finite() -> None:
    with pytest.raises(Exception, match="finite"):
        Budget(epsilon=Decimal("NaN"))


def test_a_payload_with_trailing_bytes_or_too_many_values_is_refused() -> None:
    refused(document(payload=RAW + b"\0"))
    refused(document(), max_values=5)
    assert unpack(RAW)
