"""Answer the calls of a relay: the store's contract before a folder, for parties with the right.

1. Before anything is read or taken, every call is counted (`limits`), its caller is known by its
   certificate, and its key is one that this caller may read or create (R-157). Everybody may list.
2. A created object lies in the folder, synced, before the call ends with OK (R-158). A relay that
   dies in between leaves the object whole or not at all.
3. Errors end calls with a status (`storage.grpc_messages` says which) and one sentence that names
   no path of this machine.
4. gRPC's health service answers everybody who has a connection.

What it does not do: overwrite, erase, or look into an object.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, Protocol

from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    HyperfedError,
    ObjectNotFound,
    ObjectTooLarge,
    TransientError,
    TransportError,
)
from hyperfed.operations.access import Role
from hyperfed.relay.authority import Party
from hyperfed.relay.limits import Gate, RelayLimits
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.grpc_messages import (
    ALONE,
    ASKED_S,
    CREATED,
    EXISTS,
    HEALTH,
    PIECE_BYTES,
    SERVICE,
    Malformed,
    Range,
    pack_entries,
    pack_range,
    unpack_get,
    unpack_key,
    unpack_many,
    unpack_number,
)
from hyperfed.storage.store import check_key, check_prefix
from hyperfed.storage.work_ahead import in_order

__all__ = ["Parties", "RelayService"]

log = logging.getLogger(__name__)

_RATED = (Role.CLIENT, Role.ROOTS)
_WRITERS = 8  # objects of one stream that are written at once
_PAGE_KEYS = 1_800  # keys of 512 characters still fit into one message
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"  # HealthCheckResponse.status


class Parties(Protocol):
    """Knows the parties, as `authority.Authority` does."""

    def party_of(self, certificate: bytes) -> Party:
        """Return who holds a certificate in PEM form. Raises AccessDenied."""


class _Exists(Exception):
    """There is an object under this key."""


class RelayService:
    """Answers the calls of a relay on the folder of `store`."""

    def __init__(self, store: FilesystemStore, parties: Parties, limits: RelayLimits) -> None:
        self._store, self._parties, self._limits = store, parties, limits
        self._gate = Gate(limits)
        self.serving = True
        """What the health service says."""

    def handlers(self) -> Sequence[Any]:
        """Return gRPC's handlers of the methods."""
        import grpc

        unary = grpc.unary_unary_rpc_method_handler
        store = {
            "Put": unary(self._called(self._put)),
            "PutLarge": grpc.stream_unary_rpc_method_handler(self._called(self._put_large)),
            "Get": unary(self._called(self._get)),
            "Head": unary(self._called(self._head)),
            "List": grpc.unary_stream_rpc_method_handler(self._streamed(self._list)),
            "GetMany": grpc.unary_stream_rpc_method_handler(self._streamed(self._get_many)),
            "PutMany": grpc.stream_stream_rpc_method_handler(self._streamed(self._put_many)),
        }
        health = {"Check": unary(self._check_health)}
        return (
            grpc.method_handlers_generic_handler(SERVICE, store),
            grpc.method_handlers_generic_handler(HEALTH, health),
        )

    # -- the methods -------------------------------------------------------------------------------

    def _put(self, party: Party, request: bytes, context: Any) -> bytes:
        key, data = unpack_key(request)
        self._check_create(party, key, len(data))
        return self._created(key, data)

    def _put_large(self, party: Party, requests: Iterator[bytes], context: Any) -> bytes:
        key, rest = unpack_key(next(requests, b""))
        size = unpack_number(rest)
        self._check_create(party, key, size)
        with self._gate.sending(size), self._ended_in_time(context):
            data = bytearray()
            for piece in requests:
                if len(piece) > min(PIECE_BYTES, size - len(data)) or not piece:
                    raise Malformed("the pieces are not those of an object of this size")
                data += piece
            if len(data) != size:
                raise Malformed(f"{len(data)} of {size} bytes came")
            return self._created(key, memoryview(data))

    def _created(self, key: str, data: memoryview) -> bytes:
        if not self._store.put_if_absent(key, data):
            raise _Exists
        return b""

    def _check_create(self, party: Party, key: str, size: int) -> None:
        check_key(key)
        if not party.rights.may_create(key):
            raise _not_allowed(party, f"create {key}")
        client = party.role is Role.CLIENT
        most = self._limits.max_update_bytes if client else self._limits.max_object_bytes
        if size > most:
            raise ObjectTooLarge(f"holds {size} bytes; this relay takes {most}", rule="R-159")

    def _get(self, party: Party, request: bytes, context: Any) -> bytes:
        key, max_bytes, offset, length = unpack_get(request)
        self._check_read(party, key)
        size, version, data = self._store.read_range(
            key, max_bytes=max_bytes, offset=offset, length=min(length, PIECE_BYTES)
        )
        answered_us = time.time_ns() // 1000
        return pack_range(Range(size=size, version=version, data=data, answered_us=answered_us))

    def _get_many(self, party: Party, request: bytes) -> Iterator[bytes]:
        max_bytes, keys = unpack_many(request)
        for number, key in enumerate(keys):
            try:
                if number:
                    self._gate.again(party.name, rated=party.role in _RATED)
                self._check_read(party, key)
                size, _, data = self._store.read_range(
                    key, max_bytes=max_bytes, offset=0, length=PIECE_BYTES
                )
            except HyperfedError:
                yield ALONE
            else:
                yield CREATED + data if size == len(data) else ALONE

    def _put_many(self, party: Party, requests: Iterator[bytes]) -> Iterator[bytes]:
        def create(request: bytes) -> bytes:
            try:
                self._gate.again(party.name, rated=party.role in _RATED)
                self._put(party, request, None)
            except _Exists:
                return EXISTS
            except (HyperfedError, Malformed):
                return ALONE
            return CREATED

        yield from in_order(create, requests, threads=_WRITERS, name="relay-put")

    def _head(self, party: Party, request: bytes, context: Any) -> bytes:
        key, rest = unpack_key(request)
        if rest:
            raise Malformed("something follows the key")
        self._check_read(party, key)
        info = self._store.head(key)
        if info is None:
            raise ObjectNotFound("there is no such object")
        return info.size.to_bytes(8, "big")

    def _check_read(self, party: Party, key: str) -> None:
        check_key(key)
        if not party.rights.may_read(key):
            raise _not_allowed(party, f"read {key}")

    def _list(self, party: Party, request: bytes) -> Iterator[bytes]:
        prefix, rest = unpack_key(request)
        size = min(unpack_number(rest), _PAGE_KEYS)
        if size < 1:
            raise Malformed("a page of no keys")
        infos = self._store.list(check_prefix(prefix))
        while page := list(islice(infos, size)):
            yield pack_entries(page)

    # -- around a method ---------------------------------------------------------------------------

    def _called(self, method: Callable[[Party, Any, Any], bytes]) -> Callable[[Any, Any], bytes]:
        def call(request: Any, context: Any) -> bytes:
            answer, fault = b"", None
            try:
                with self._entered(context) as party:
                    answer = method(party, request, context)
            except Exception as error:
                fault = error
            if fault is not None:
                try:
                    _end(context, fault)
                finally:
                    fault = None  # it leads to this frame: the call would stay open until collected
            return answer

        return call

    def _streamed(
        self, method: Callable[[Party, Any], Iterator[bytes]]
    ) -> Callable[[Any, Any], Iterator[bytes]]:
        def call(request: Any, context: Any) -> Iterator[bytes]:
            fault = None
            try:
                with self._entered(context) as party, self._ended_in_time(context):
                    yield from method(party, request)
            except Exception as error:
                fault = error
            if fault is not None:
                try:
                    _end(context, fault)
                finally:
                    fault = None  # it leads to this frame: the call would stay open until collected

        return call

    @contextmanager
    def _entered(self, context: Any) -> Iterator[Party]:
        certificate = context.auth_context().get("x509_pem_cert")
        if not certificate:
            raise AccessDenied("this port answers questions about health and nothing else")
        party = self._parties.party_of(certificate[0])
        with self._gate.call(party.name, rated=party.role in _RATED):
            yield party

    def _ended_in_time(self, context: Any) -> AbstractContextManager[None]:
        return _timed(self._limits.call_s, context.cancel)

    def _check_health(self, request: bytes, context: Any) -> bytes:
        """Answer HealthCheckRequest: field 1 is the name of a service, or nothing is asked for."""
        import grpc

        name = SERVICE.encode()
        if request not in (b"", b"\n\x00", b"\n" + bytes([len(name)]) + name):
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service here")
        return _SERVING if self.serving and self._store.root.is_dir() else _NOT_SERVING


@contextmanager
def _timed(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _not_allowed(party: Party, what: str) -> AccessDenied:
    return AccessDenied(f"{party.name} may not {what}", rule="R-157")


def _end(context: Any, fault: Exception) -> None:
    """End a call with the status that an error stands for. Raises, unless the caller has gone."""
    import grpc

    if not context.is_active():
        log.info("a call was broken off")
        return

    status, details = grpc.StatusCode, getattr(fault, "problem", str(fault))
    match fault:
        case _Exists():
            context.abort(status.ALREADY_EXISTS, "there is an object under this key")
        case ObjectNotFound():
            context.abort(status.NOT_FOUND, details)
        case ObjectTooLarge():
            context.abort(status.OUT_OF_RANGE, details)
        case AccessDenied(rule="R-156" | "R-157" | "") if not fault.subject:
            log.warning("refused: %s", details)
            context.abort(status.PERMISSION_DENIED, f"{details} [{fault.rule}]")
        case TransientError() if fault.asked_s:
            context.set_trailing_metadata(((ASKED_S, f"{fault.asked_s:.0f}"),))
            context.abort(status.RESOURCE_EXHAUSTED, f"{details} [{fault.rule}]")
        case TransientError():
            log.warning("the folder failed: %s", fault)
            context.abort(status.UNAVAILABLE, f"the relay's folder: {details}")
        case Malformed() | ConfigError():
            context.abort(status.INVALID_ARGUMENT, details)
        case TransportError():
            log.error("the folder refuses it: %s", fault)
            context.abort(status.FAILED_PRECONDITION, f"the relay's folder: {details}")
    log.error("a call failed", exc_info=fault)
    context.abort(status.INTERNAL, "the relay failed; its log says why")
