"""The reader accepts the bytes that the explainer accepts, and gives the same values; a record says
the same of a value in whatever form its binary fields come.

Where the reader refuses, `unpack` asks the explainer, and raises RuntimeError where that finds no
fault: no test here lets one pass.
"""

import dataclasses
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfed.codec import from_record, pack, reading, to_record, unpack
from hyperfed.codec.explaining import MAX_VALUES, read_strictly
from hyperfed.crypto.envelope import Header
from hyperfed.errors import PacketError, SchemaError
from hyperfed.packets import CausalSemanticPack, Claims, PathPack, PolicyPack
from hyperfed.protocol.entries import (
    EntryKind,
    LedgerEntry,
    Mechanism,
)
from hyperfed.protocol.objects import (
    ClientState,
    Counted,
    Freeze,
    Plan,
    Refused,
    RoundState,
)
from hyperfed.protocol.receipt_objects import (
    Fate,
    Receipt,
    ReceiptPage,
    SealedReceipt,
)
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.mutation import mutant

VECTORS = Path(__file__).parents[1] / "vectors"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats()
scalars = (
    st.none()
    | st.booleans()
    | numbers
    | texts
    | st.binary(max_size=40)
    | st.binary(min_size=510, max_size=515)
)
loose = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(texts | st.integers(0, 3) | st.binary(max_size=2), inner, max_size=5)
    ),
    max_leaves=14,
)


def plain(value: Any) -> Any:
    """With every type beside its value, and views as bytes."""
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    return (
        {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else (type(value), value)
    )


def outcome(read: Callable[[], Any]) -> tuple[Any, ...]:
    try:
        value = read()
    except PacketError as error:
        return type(error), str(error), error.rule, error.subject
    return ("read", plain(value))


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """What msgpack writes, canonical or not, and what a few changed bytes make of it."""
    value = draw(loose)
    form = draw(st.sampled_from(["ours", "msgpack", "float32", "bytes"]))
    if form == "bytes":
        return draw(st.binary(max_size=60))
    try:
        data = bytearray(
            pack(value)
            if form == "ours"
            else msgpack.packb(value, use_single_float=form == "float32")
        )
    except (PacketError, OverflowError):
        data = bytearray(msgpack.packb(value))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.sampled_from([len(data)] * 8 + [len(data) - 1]))]) + draw(
        st.sampled_from([b""] * 8 + [b"\0"])
    )


@given(messages(), st.sampled_from([1, 2, 3, 5, 8, 13, 40, MAX_VALUES]))
def test_both_readers_of_bytes_agree(data: bytes, most: int) -> None:
    strict = outcome(lambda: read_strictly(data, max_values=most))
    assert outcome(lambda: unpack(data, max_values=most)) == strict


@given(st.lists(loose, max_size=4), st.binary(max_size=3000), st.data())
def test_both_readers_of_an_array_around_a_large_field_agree(
    head: list[Any], last: bytes, data: st.DataObject
) -> None:
    message = bytearray(msgpack.packb([*head, last]))
    if data.draw(st.booleans()):
        message[data.draw(st.integers(0, min(len(message), 60) - 1))] = data.draw(
            st.integers(0, 255)
        )
    whole = bytes(message)
    assert outcome(lambda: unpack(whole)) == outcome(lambda: read_strictly(whole))


FREEZE = Freeze(
    federation="f",
    round=3,
    plan=bytes(32),
    registry_version=1,
    registry_digest=bytes(32),
    base_round=0,
    base_state=b"",
    counted=tuple(
        Counted(client=f"c{i:02d}", made_for=3, slot=0, sequence=i, digest=bytes([i]) * 32)
        for i in range(3)
    ),
    refused=(
        Refused(key="k", client="c", made_for=3, sequence=-1, digest=b"", rule="R-1", reason="é"),
    ),
    excluded=("x",),
    claim_sequence=0,
    claim_digest=b"",
    merkle_head=bytes(32),
    time=datetime(2026, 1, 1, tzinfo=UTC),
)
STATE = ClientState(
    client="c",
    highest_sequence=3,
    windows=(1, 2),
    last_round=2,
    last_digest=bytes(32),
    alpha=1.5,
    beta=2.0,
    rounds_seen=3,
    rounds_missed=0,
    weight=1.0,
    agreement=-0.25,
)
PLAN = Plan(
    federation="f",
    round=1,
    registry_version=1,
    registry_digest=b"",
    newest_commit_round=0,
    newest_commit=b"",
    policy=PolicyPack(),
    vocabulary=Vocabulary.of("a", "b"),
    cohort=("c1", "c2"),
    quorum=2,
    opens=datetime(2026, 1, 1, tzinfo=UTC),
    deadline=datetime(2026, 1, 2, tzinfo=UTC),
    close_by=datetime(2026, 1, 3, tzinfo=UTC),
    organisations=(("c1", "o"), ("c2", "o")),
)
RECORDS = [
    Header(
        federation="f",
        round=1,
        sender="s",
        key_id="k",
        audience="a",
        sequence=1,
        nonce=bytes(16),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        expires=datetime(2026, 1, 2, tzinfo=UTC),
    ),
    FREEZE,
    RoundState(federation="f", round=3, freeze=b"", result=b"", base_state=b"", clients=(STATE,)),
    LedgerEntry(
        federation="f",
        sequence=1,
        previous=b"",
        kind=EntryKind.RESERVE,
        round=1,
        id=b"",
        time=datetime(2026, 1, 1, tzinfo=UTC),
        mechanisms=(Mechanism(kind="basic", epsilon=Decimal("0.5"), delta=Decimal("0.001")),),
    ),
    Receipt(
        federation="f",
        round=1,
        client="c",
        fate=Fate.COUNTED,
        made_for=1,
        sequence=1,
        digest=b"",
        rule="",
        reason="",
        remedy="",
        leaf=b"",
        index=0,
        size=0,
        path=(bytes(32),),
        merkle_head=b"",
        ledger_sequence=1,
        ledger_digest=b"",
        result=b"",
    ),
    ReceiptPage(
        federation="f",
        round=1,
        page=7,
        boxes=(("k", bytes(80)),),
        receipts=(
            SealedReceipt(
                client="c",
                boxes=(("k", bytes(80)), ("l", bytes(80))),
                commitment=bytes(32),
                sealed=bytes(400),
            ),
        ),
    ),
    PLAN,
    PolicyPack(),
    Claims(clip_norm=1.5),
    PathPack(1, 2, 1, 0.5, 0.25, 1.0),
    CausalSemanticPack([(1, 2, 0.5)], [3, 4], [{"a": 1, "b": None}]),
]


@given(st.lists(loose, max_size=3), st.lists(st.integers(500, 600), max_size=3), st.data())
def test_fields_cut_out_come_back_where_they_were(
    head: list[Any], sizes: list[int], data: st.DataObject
) -> None:
    """Large binary fields at any depth, also in bytes of more than the values allowed."""
    fields = [bytes([size & 255]) * size for size in sizes]
    whole = bytearray(msgpack.packb([head, {"a": fields, "b": [fields[:1]]}, *fields]))
    for _ in range(data.draw(st.integers(0, 1))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + 1] = data.draw(
            st.sampled_from([b"", b"\xd6\0\0\0\0\0", b"\xc5\x02\x58", b"\xc6\0\0\2\x58", b"\xc1"])
        )
    for most in (30, 60, MAX_VALUES):
        strict = outcome(lambda most=most: read_strictly(bytes(whole), max_values=most))
        assert outcome(lambda most=most: unpack(bytes(whole), max_values=most)) == strict


def test_an_ext_type_is_not_taken_for_a_field_that_was_cut_out() -> None:
    mark = b"\xd6\0\0\0\0\0"
    for data in (mark, b"\x91" + mark, b"\x92" + mark + pack(b"x" * 600)):
        for most in (4, MAX_VALUES):
            with pytest.raises(SchemaError, match="type byte 0xd6"):
                unpack(data, max_values=most)


def golden() -> Iterator[bytes]:
    """Every document and envelope of the golden files, and a round of an old drop-box."""
    yield from (file.read_bytes() for file in sorted((VECTORS / "v1" / "good").rglob("*.bin")))
    with zipfile.ZipFile(min((VECTORS / "dropboxes").glob("*.zip"))) as archive:
        yield from filter(None, map(archive.read, archive.namelist()))


def test_golden_files_and_what_changed_bytes_make_of_them() -> None:
    seeds, outcomes = [*golden()], Counter[str]()
    assert len(seeds) > 50
    for data in (*seeds, *(mutant(seeds, number) for number in range(3000))):
        for most in (20, MAX_VALUES):
            strict = outcome(lambda data=data, most=most: read_strictly(data, max_values=most))
            assert outcome(lambda data=data, most=most: unpack(data, max_values=most)) == strict
            outcomes[strict[0] if strict[0] == "read" else "refused"] += 1
    assert min(outcomes.values()) > 100, outcomes


def test_a_refusal_without_a_reason_is_our_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_read", lambda data, most: reading._REFUSED)
    with pytest.raises(SchemaError, match="after the end"):
        unpack(b"\0\0")
    with pytest.raises(RuntimeError, match="nothing is wrong with them"):
        unpack(b"\0")


def told(kind: Any, value: Any) -> tuple[Any, ...]:
    try:
        record = from_record(kind, value)
    except PacketError as error:
        return type(error), str(error), error.rule, error.subject
    return "read", record, plain(to_record(record))


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    for key, item in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from places(item, (*at, key))


def put(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    copy = value.copy()
    copy[at[0]] = put(value[at[0]], at[1:], new)
    return copy


ODD = [
    None,
    True,
    0,
    1,
    -1,
    2**60,
    2**64 - 1,
    1.0,
    -1.5,
    1e308,
    "",
    "x",
    "counted",
    "0.50",
    "1e9",
    "x" * 200,
    "\n",
    b"",
    b"x",
    memoryview(b"x" * 32),
    [],
    [0],
    {},
    {"a": 0},
]


def changed(there: Any) -> Iterator[Any]:
    """What may stand in a place instead of what is there: anything odd, a list longer, shorter or
    turned, a map with a field less, more or renamed.
    """
    yield from ODD
    if isinstance(there, list):
        yield from ([*there, *there[-1:]], there[:-1], there[::-1])
    if isinstance(there, dict):
        yield from (
            dict([*there.items()][1:]),
            dict(sorted((there | {"zz": 1}).items())),
            {f"{key}_": item for key, item in there.items()},
        )


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_whatever_stands_in_a_place_is_read_as_it_is_or_refused_by_name(record: Any) -> None:
    """Small binary fields may come as bytes or as views: nothing depends on which."""
    strict, ours = (read(pack(to_record(record))) for read in (read_strictly, unpack))
    outcomes = []
    for at in places(strict):
        there = strict
        for step in at:
            there = there[step]
        for new in changed(there):
            one = told(type(record), put(strict, at, new))
            assert one == told(type(record), put(ours, at, new)), (at, new)
            if one[0] == "read":
                assert one[2] == plain(put(strict, at, new))
            else:
                assert one[3], f"{one} does not say where"
            outcomes.append(one[0])
    assert {"read", SchemaError} <= {*outcomes}


def test_a_record_that_puts_itself_in_order_was_not_canonical() -> None:
    value = to_record(CausalSemanticPack([(1, 2, 0.5), (3, 4, 0.5)], [3, 4]))
    assert "canonical order" in told(CausalSemanticPack, put(value, ("confounders",), [4, 3]))[1]
    assert dataclasses.is_dataclass(told(CausalSemanticPack, value)[1])
