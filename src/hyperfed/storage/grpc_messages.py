"""Define the messages between a relay and its callers, and what their gRPC status means.

1. Messages are bytes of a fixed layout, big-endian, without generated code. A key is its length in
   two bytes and its text.
2. `Put` creates an object whose bytes fit into one message. `PutLarge` sends key and size first,
   and the bytes in pieces. Both end with OK where the object was created, and with ALREADY_EXISTS
   where there was one.
3. `Get` asks for a range, and how large the whole may be. The answer says how large it is and when
   it was written, so that ranges of two objects are never joined, and what the relay's clock says.
4. `List` streams pages. It is complete where the stream ends with OK, and only there.
5. `GetMany` and `PutMany` are streams of several objects that fit into one message each; an answer
   is a byte and, of `GetMany`, the object.
6. Nothing here overwrites or erases: the service has no such method (R-158).

What it does not do: import gRPC. `error_of_status` takes the status by its name.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hyperfed.errors import (
    AccessDenied,
    ObjectNotFound,
    ObjectTooLarge,
    TransientError,
    TransportError,
)
from hyperfed.storage.store import ObjectInfo

__all__ = [
    "ALONE",
    "ASKED_S",
    "CREATED",
    "EXISTS",
    "HEALTH",
    "MAX_MESSAGE_BYTES",
    "PIECE_BYTES",
    "SERVICE",
    "Malformed",
    "Range",
    "error_of_status",
    "pack_entries",
    "pack_get",
    "pack_key",
    "pack_many",
    "pack_range",
    "unpack_answer",
    "unpack_entries",
    "unpack_get",
    "unpack_key",
    "unpack_many",
    "unpack_number",
    "unpack_range",
]

SERVICE = "hyperfed.relay.v1.Store"
"""The name of the service; a change of its messages gives it a new one."""
HEALTH = "grpc.health.v1.Health"
"""The name of gRPC's own health service."""
PIECE_BYTES = 1 << 20
"""Most bytes of an object in one message."""
MAX_MESSAGE_BYTES = PIECE_BYTES + (1 << 12)
"""Most bytes of a message, which a relay and its callers refuse to exceed."""
ASKED_S = "retry-after-s"
"""The trailing metadata by which a relay says for how long it wants to be left alone."""

CREATED, EXISTS, ALONE = b"\x00", b"\x01", b"\x02"
"""What an answer of many begins with: done; there is one; ask for this object alone."""

_LENGTH, _NUMBER = struct.Struct(">H"), struct.Struct(">Q")
_GET, _RANGE, _ENTRY = struct.Struct(">QQI"), struct.Struct(">QQQ"), struct.Struct(">Qq")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Malformed(ValueError):
    """A message does not have its layout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Holds a part of an object."""

    size: int
    """Size of the whole object in bytes."""
    version: int
    """A number that another object under the same key would not have."""
    data: bytes | memoryview
    """The bytes of this part."""
    answered_us: int
    """When the relay answered, in microseconds since 1970, by its own clock."""


def pack_key(key: str, rest: bytes | memoryview = b"") -> bytes:
    """Return a key, and the bytes that follow it in the message."""
    text = key.encode()
    return b"".join((_LENGTH.pack(len(text)), text, rest))


def unpack_key(message: bytes | memoryview) -> tuple[str, memoryview]:
    """Return (key, rest) of a message. Raises Malformed."""
    view = memoryview(message)
    try:
        end = 2 + _LENGTH.unpack_from(view)[0]
        if end > len(view):
            raise Malformed("the key is cut off")
        return str(view[2:end], "ascii"), view[end:]
    except (struct.error, UnicodeDecodeError) as exc:
        raise Malformed("the message begins with no key") from exc


def unpack_number(rest: memoryview) -> int:
    """Return the number of eight bytes that ends a message. Raises Malformed."""
    try:
        return int(_NUMBER.unpack(rest)[0])
    except struct.error as exc:
        raise Malformed("the message does not end with one number") from exc


def pack_get(key: str, *, max_bytes: int, offset: int, length: int) -> bytes:
    """Return the request for `length` bytes of an object of at most `max_bytes`."""
    return pack_key(key, _GET.pack(min(max_bytes, (1 << 64) - 1), offset, length))


def unpack_get(message: bytes) -> tuple[str, int, int, int]:
    """Return (key, max_bytes, offset, length) of a request. Raises Malformed."""
    key, rest = unpack_key(message)
    try:
        max_bytes, offset, length = _GET.unpack(rest)
    except struct.error as exc:
        raise Malformed("the message does not end with a range") from exc
    return key, max_bytes, offset, length


def pack_range(part: Range) -> bytes:
    """Return the answer that holds a part of an object."""
    return b"".join((_RANGE.pack(part.size, part.version, part.answered_us), part.data))


def unpack_range(message: bytes) -> Range:
    """Return the part of an object in an answer. Raises Malformed."""
    try:
        size, version, answered_us = _RANGE.unpack_from(message)
    except struct.error as exc:
        raise Malformed("the answer holds no range") from exc
    data = memoryview(message)[_RANGE.size :]
    return Range(size=size, version=version, data=data, answered_us=answered_us)


def pack_many(keys: Iterable[str], max_bytes: int) -> bytes:
    """Return the request for several objects of at most `max_bytes` each."""
    return _NUMBER.pack(min(max_bytes, (1 << 64) - 1)) + b"".join(map(pack_key, keys))


def unpack_many(message: bytes) -> tuple[int, list[str]]:
    """Return (max_bytes, keys) of a request for several objects. Raises Malformed."""
    view, keys = memoryview(message), list[str]()
    max_bytes, rest = unpack_number(view[: _NUMBER.size]), view[_NUMBER.size :]
    while rest:
        key, rest = unpack_key(rest)
        keys.append(key)
    return max_bytes, keys


def unpack_answer(message: bytes, max_bytes: int) -> bytes | None:
    """Return the object that one answer of many holds; None: it is to be asked for alone.

    Raises Malformed.
    """
    if message[:1] == ALONE:
        return None
    if message[:1] != CREATED or not len(message) - 1 <= max_bytes:
        raise Malformed("an answer that was not asked for")
    return message[1:]


def pack_entries(infos: Iterable[ObjectInfo]) -> bytes:
    """Return a page of a listing."""
    return b"".join(
        pack_key(info.key, _ENTRY.pack(info.size, _microseconds(info.modified))) for info in infos
    )


def unpack_entries(message: bytes) -> Iterator[ObjectInfo]:
    """Yield the objects of a page. Raises Malformed."""
    rest = memoryview(message)
    while rest:
        key, rest = unpack_key(rest)
        try:
            size, written = _ENTRY.unpack_from(rest)
        except struct.error as exc:
            raise Malformed("an entry of the listing is cut off") from exc
        rest = rest[_ENTRY.size :]
        modified = None if written < 0 else _EPOCH + written * _MICROSECOND
        yield ObjectInfo(key=key, size=size, modified=modified)


def _microseconds(moment: datetime | None) -> int:
    return -1 if moment is None else (moment - _EPOCH) // _MICROSECOND


_UNSAFE = (
    "handshake failed",
    "CERTIFICATE_VERIFY_FAILED",
    "Hostname Verification",
    "peer certificate",
    "SSL_ERROR",
)
_KEY_REMEDY = (
    "Ask the operator whether the registry names this key, and what `hyperfed iam` gives its role"
)


def error_of_status(
    status: str, details: str, *, asked_s: float, subject: str, address: str
) -> TransportError:
    """Return the error that a call's status other than OK and ALREADY_EXISTS stands for.

    `details` is what came with the status, `asked_s` the seconds for which the relay wants to be
    left alone, `subject` the object, and `address` the relay.
    """
    said = " ".join(details.split())[:300]
    match status:
        case "NOT_FOUND":
            return ObjectNotFound("there is no such object", subject=subject)
        case "OUT_OF_RANGE":
            return ObjectTooLarge(said, subject=subject)
        case "PERMISSION_DENIED" | "UNAUTHENTICATED":
            return AccessDenied(
                f"the relay refuses it ({said})", subject=subject, remedy=_KEY_REMEDY
            )
        # gRPC's own refusals have this status too: of a message, which no other try makes smaller
        case "RESOURCE_EXHAUSTED" if "larger than max" not in said:
            return TransientError(
                f"the relay is busy ({said})",
                subject=subject,
                remedy="Try again later, or with fewer requests at once",
                asked_s=asked_s,
            )
        case "UNIMPLEMENTED":
            return TransportError(
                f"what answers at {address} is no relay of this version ({said})",
                subject=subject,
                remedy="Check [store] url, and that both sides run the same version",
            )
        case "UNAVAILABLE" if any(mark in said for mark in _UNSAFE):
            return TransportError(
                f"{address} cannot be spoken to safely ({said})",
                subject=subject,
                remedy="Set [store] ca_file to the relay's certificate or its authority's, and "
                "use a host name that the certificate names",
            )
        case "UNAVAILABLE" if "failed to connect" in said and "Socket closed" in said:
            return TransientError(
                f"{address} ended the connection before it began",
                subject=subject,
                remedy="The relay is ending, or does not know this key: ask the operator whether "
                "the registry names it",
            )
        case "UNAVAILABLE" if "failed to connect" in said or "DNS" in said:
            return TransientError(
                f"{address} cannot be reached ({said})",
                subject=subject,
                remedy="Check the address, that the relay runs, and the firewall on the way",
            )
        case "UNAVAILABLE" | "DEADLINE_EXCEEDED" | "CANCELLED" | "ABORTED" | "INTERNAL" | "UNKNOWN":
            return TransientError(
                f"the call to {address} failed ({status}: {said})",
                subject=subject,
                remedy="Try again; it may have been carried out",
            )
    return TransportError(f"the relay refuses it ({status}: {said})", subject=subject)
