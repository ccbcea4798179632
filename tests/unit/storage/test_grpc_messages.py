"""The messages between a relay and its callers: their bytes, and what a status means."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.errors import (
    AccessDenied,
    ObjectNotFound,
    ObjectTooLarge,
    TransientError,
    TransportError,
)
from hyperfed.storage.grpc_messages import (
    MAX_MESSAGE_BYTES,
    PIECE_BYTES,
    Malformed,
    Range,
    error_of_status,
    pack_entries,
    pack_get,
    pack_key,
    pack_range,
    unpack_entries,
    unpack_get,
    unpack_key,
    unpack_number,
    unpack_range,
)
from hyperfed.storage.store import ObjectInfo

KEYS = st.from_regex(
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}(/[a-z0-9]{1,9}){0,4}"), fullmatch=True
)
SIZES = st.integers(0, 2**63 - 1)


@settings(max_examples=30)
@given(key=KEYS, data=st.binary(max_size=50), numbers=st.tuples(SIZES, SIZES, SIZES))
def test_what_is_packed_is_unpacked(key: str, data: bytes, numbers: tuple[int, int, int]) -> None:
    found, rest = unpack_key(pack_key(key, data))
    assert (found, bytes(rest)) == (key, data)
    size, offset, version = numbers
    assert unpack_get(pack_get(key, max_bytes=size, offset=offset, length=7)) == (
        key,
        size,
        offset,
        7,
    )
    part = unpack_range(
        pack_range(Range(size=size, version=version, data=data, answered_us=offset))
    )
    assert (part.size, part.version, bytes(part.data)) == (size, version, data)
    assert part.answered_us == offset
    moment = datetime(2026, 11, 30, 1, 2, 3, 4567, tzinfo=UTC)
    infos = [ObjectInfo(key=key, size=size, modified=m) for m in (moment, None)]
    unpacked = [*unpack_entries(pack_entries(infos))]
    assert unpacked == infos
    assert [info.modified for info in unpacked] == [moment, None]


def test_the_bytes_are_those_of_this_version() -> None:
    """Another layout needs another name of the service."""
    assert pack_key("a/b", b"xyz") == b"\x00\x03a/bxyz"
    assert pack_get("k", max_bytes=258, offset=1, length=2).hex() == (
        "00016b0000000000000102000000000000000100000002"
    )
    part = Range(size=3, version=9, data=b"abc", answered_us=16)
    assert pack_range(part).hex() == ("000000000000000300000000000000090000000000000010616263")
    assert pack_entries([ObjectInfo(key="k", size=5)]).hex() == (
        "00016b0000000000000005ffffffffffffffff"
    )


@pytest.mark.parametrize(
    ("unpack", "message"),
    [
        (unpack_key, b""),
        (unpack_key, b"\x00"),
        (unpack_key, b"\x00\x05abcd"),
        (unpack_key, b"\x00\x02\xc3\xa4"),
        (unpack_get, b"\x00\x01k"),
        (unpack_get, b"\x00\x01k" + bytes(21)),
        (unpack_range, bytes(23)),
        (lambda m: [*unpack_entries(m)], b"\x00\x01k" + bytes(15)),
        (lambda m: unpack_number(memoryview(m)), bytes(7)),
        (lambda m: unpack_number(memoryview(m)), bytes(9)),
    ],
)
def test_what_has_another_layout_is_refused(unpack: object, message: bytes) -> None:
    with pytest.raises(Malformed):
        unpack(message)  # type: ignore[operator]


def test_a_piece_and_its_key_fit_into_a_message() -> None:
    assert len(pack_key("k" * 512, bytes(PIECE_BYTES))) <= MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    ("status", "details", "kind", "passing"),
    [
        ("NOT_FOUND", "", ObjectNotFound, False),
        ("OUT_OF_RANGE", "holds 9 bytes", ObjectTooLarge, False),
        ("PERMISSION_DENIED", "ann may not", AccessDenied, False),
        ("UNAUTHENTICATED", "", AccessDenied, False),
        ("RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded!", TransientError, True),
        ("RESOURCE_EXHAUSTED", "SERVER: Received message larger than max", TransportError, False),
        ("UNIMPLEMENTED", "Method not found!", TransportError, False),
        ("UNAVAILABLE", "failed to connect to all addresses; ... refused", TransientError, True),
        ("UNAVAILABLE", "Tls handshake failed: CERTIFICATE_VERIFY_FAILED", TransportError, False),
        ("UNAVAILABLE", "Socket closed", TransientError, True),
        ("DEADLINE_EXCEEDED", "", TransientError, True),
        ("CANCELLED", "", TransientError, True),
        ("INTERNAL", "Received RST_STREAM", TransientError, True),
        ("FAILED_PRECONDITION", "the relay's folder: full", TransportError, False),
        ("INVALID_ARGUMENT", "not a valid object key", TransportError, False),
    ],
)
def test_a_status_is_one_of_our_errors(
    status: str, details: str, kind: type[TransportError], passing: bool
) -> None:
    error = error_of_status(
        status, details, asked_s=0, subject="grpc://r:1/the/key", address="grpc://r:1"
    )
    assert type(error) is kind
    assert isinstance(error, TransientError) is passing
    assert error.subject == "grpc://r:1/the/key"
    if kind is not ObjectNotFound and details:
        assert details in str(error)


def test_what_a_relay_asks_for_is_kept() -> None:
    error = error_of_status("RESOURCE_EXHAUSTED", "busy", asked_s=7, subject="k", address="a")
    assert isinstance(error, TransientError)
    assert error.asked_s == 7
