"""The quick reader and the strict one accept the same bytes, give the same values and say the same of what they refuse; so do quick and slow records.

The quick ones are msgpack's reader proven by writing again (`codec.proven`), and fields looked at together (`codec.quick`). Each case is also shown to be read
by the quick way at all, or not: a way that is never taken would agree with everything.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfed.codec import from_record, pack, records, to_record, unpack, unpack_around
from hyperfed.codec.canonical import MAX_DEPTH, MAX_VALUES, read_strictly
from hyperfed.codec.proven import UNPROVEN, proven, proven_head
from hyperfed.errors import PacketError
from hyperfed.packets import CausalSemanticPack, Claims, PathPack, PolicyPack
from hyperfed.protocol.objects import (
    ClientState,
    Counted,
    EntryKind,
    Fate,
    Freeze,
    LedgerEntry,
    Mechanism,
    Plan,
    Receipt,
    ReceiptPage,
    Refused,
    RoundState,
    SealedReceipt,
)
from hyperfed.signing import Header
from hyperfed.vocabulary import Vocabulary

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats()
scalars = st.none() | st.booleans() | numbers | texts | st.binary(max_size=40) | st.binary(min_size=510, max_size=515)
loose = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts | st.integers(0, 3) | st.binary(max_size=2), inner, max_size=5), max_leaves=14
)


def plain(value: Any) -> Any:
    """With every type beside its value, and views as bytes."""
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else (type(value), value)


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
        data = bytearray(pack(value) if form == "ours" else msgpack.packb(value, use_single_float=form == "float32"))
    except (PacketError, OverflowError):
        data = bytearray(msgpack.packb(value))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.sampled_from([len(data)] * 8 + [len(data) - 1]))]) + draw(st.sampled_from([b""] * 8 + [b"\0"]))


@given(messages(), st.sampled_from([1, 2, 3, 5, 8, 13, 40, MAX_VALUES]))
def test_both_readers_of_bytes_agree(data: bytes, most: int) -> None:
    strict = outcome(lambda: read_strictly(data, max_values=most))
    assert outcome(lambda: unpack(data, max_values=most)) == strict
    assert outcome(lambda: unpack_around(data, max_values=most)) == strict


@given(st.lists(loose, max_size=4), st.binary(max_size=3000), st.data())
def test_both_readers_of_an_array_around_a_large_field_agree(head: list[Any], last: bytes, data: st.DataObject) -> None:
    message = bytearray(msgpack.packb([*head, last]))
    if data.draw(st.booleans()):
        message[data.draw(st.integers(0, min(len(message), 60) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(message)
    assert outcome(lambda: unpack_around(whole)) == outcome(lambda: read_strictly(whole))


FREEZE = Freeze(
    federation="f", round=3, plan=bytes(32), registry_version=1, registry_digest=bytes(32), base_round=0, base_state=b"",
    counted=tuple(Counted(client=f"c{i:02d}", made_for=3, slot=0, sequence=i, digest=bytes([i]) * 32) for i in range(3)),
    refused=(Refused(key="k", client="c", made_for=3, sequence=-1, digest=b"", rule="R-1", reason="é"),),
    excluded=("x",), claim_sequence=0, claim_digest=b"", merkle_head=bytes(32), time=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip
STATE = ClientState(
    client="c", highest_sequence=3, windows=(1, 2), last_round=2, last_digest=bytes(32), alpha=1.5, beta=2.0, rounds_seen=3, rounds_missed=0, weight=1.0,
    agreement=-0.25,
)  # fmt: skip
PLAN = Plan(
    federation="f", round=1, registry_version=1, registry_digest=b"", newest_commit_round=0, newest_commit=b"", policy=PolicyPack(),
    vocabulary=Vocabulary.of("a", "b"), cohort=("c1", "c2"), quorum=2, opens=datetime(2026, 1, 1, tzinfo=UTC), deadline=datetime(2026, 1, 2, tzinfo=UTC),
    close_by=datetime(2026, 1, 3, tzinfo=UTC), organisations=(("c1", "o"), ("c2", "o")),
)  # fmt: skip
RECORDS = [
    Header(
        federation="f", round=1, sender="s", key_id="k", audience="a", sequence=1, nonce=bytes(16), created=datetime(2026, 1, 1, tzinfo=UTC),
        expires=datetime(2026, 1, 2, tzinfo=UTC),
    ),
    FREEZE,
    RoundState(federation="f", round=3, freeze=b"", result=b"", base_state=b"", clients=(STATE,)),
    LedgerEntry(
        federation="f", sequence=1, previous=b"", kind=EntryKind.RESERVE, round=1, id=b"", time=datetime(2026, 1, 1, tzinfo=UTC),
        mechanisms=(Mechanism(kind="basic", epsilon=Decimal("0.5"), delta=Decimal("0.001")),),
    ),
    Receipt(
        federation="f", round=1, client="c", fate=Fate.COUNTED, made_for=1, sequence=1, digest=b"", rule="", reason="", remedy="", leaf=b"", index=0, size=0,
        path=(bytes(32),), merkle_head=b"", ledger_sequence=1, ledger_digest=b"", result=b"",
    ),
    ReceiptPage(
        federation="f", round=1, page=7, boxes=(("k", bytes(80)),),
        receipts=(SealedReceipt(client="c", boxes=(("k", bytes(80)), ("l", bytes(80))), commitment=bytes(32), sealed=bytes(400)),),
    ),
    PLAN, PolicyPack(), Claims(clip_norm=1.5), PathPack(1, 2, 1, 0.5, 0.25, 1.0), CausalSemanticPack([(1, 2, 0.5)], [3, 4], [{"a": 1, "b": None}]),
]  # fmt: skip


def test_what_we_write_is_read_the_quick_way() -> None:
    for record in RECORDS:
        data = memoryview(pack(to_record(record)))
        assert proven(data, max_values=MAX_VALUES, max_depth=MAX_DEPTH) is not UNPROVEN
        reader = records.quick_reader(type(record))
        assert reader is not None
        assert reader(read_strictly(data)) == reader(unpack(data)) == record
    around = memoryview(pack([1, "t", b"h" * 400, [["k", bytes(64)]], bytes(1000)]))
    assert proven_head(around, max_values=176, max_depth=MAX_DEPTH) is not UNPROVEN


def test_more_bytes_than_values_are_read_quickly_only_where_they_hold_few_lists() -> None:
    """What a byte may become in memory is bounded before anything is read: a list takes 56 times its byte."""
    few, many, sparse = pack(["x" * 60] * 5), pack([[]] * 60 + ["x" * 60]), pack(["x" * 200] * 5)
    assert min(map(len, (few, many, sparse))) > 100
    quick = [proven(memoryview(data), max_values=100, max_depth=MAX_DEPTH) is not UNPROVEN for data in (few, many, sparse)]
    assert quick == [True, False, False]


@contextmanager
def slow_records() -> Iterator[None]:
    """Records are read field by field, as if there were no quick way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "quick_reader", lambda hint: None)
        forget()
        try:
            yield
        finally:
            forget()


def forget() -> None:
    records._reader.cache_clear()
    records._readers.cache_clear()


def told(kind: Any, value: Any) -> tuple[Any, ...]:
    try:
        record = from_record(kind, value)
    except PacketError as error:
        return type(error), str(error), error.rule, error.subject
    return "read", record, plain(to_record(record))


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
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
    """What may stand in a place instead of what is there: anything odd, a list longer, shorter or turned, a map with a field less, more or renamed."""
    yield from ODD
    if isinstance(there, list):
        yield from ([*there, *there[-1:]], there[:-1], there[::-1])
    if isinstance(there, dict):
        yield from (dict([*there.items()][1:]), dict(sorted((there | {"zz": 1}).items())), {f"{key}_": item for key, item in there.items()})


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_quick_and_slow_records_agree(record: Any) -> None:
    """In each place of a record whatever may stand there."""
    cases = []
    for value in (read_strictly(pack(to_record(record))), unpack(pack(to_record(record)))):
        for at in places(value):
            there = value
            for step in at:
                there = there[step]
            cases += [put(value, at, new) for new in changed(there)]
    quick = [told(type(record), case) for case in cases]
    with slow_records():
        slow = [told(type(record), case) for case in cases]
    for case, one, other in zip(cases, quick, slow, strict=True):
        assert one == other, case
    assert any(said[0] == "read" for said in quick)
    assert any(said[0] != "read" for said in quick)


def test_a_record_that_puts_itself_in_order_was_not_canonical() -> None:
    value = to_record(CausalSemanticPack([(1, 2, 0.5), (3, 4, 0.5)], [3, 4]))
    assert "canonical order" in told(CausalSemanticPack, put(value, ("confounders",), [4, 3]))[1]
    assert dataclasses.is_dataclass(told(CausalSemanticPack, value)[1])
