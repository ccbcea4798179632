"""Reach an object store behind a relay (`hyperfed.relay`) over gRPC (`GRPCStore`).

1. Every connection is TLS both ways: the relay's certificate is checked against `ca_file` or the
   system's authorities, and the caller shows an access (`storage.grpc_access`).
2. An object that fits into one message is one call, and many such share one (`grpc_many`). A larger
   one is sent in pieces and read in ranges, which are joined only where they are of one object.
3. A call ends after `call_timeout_s`. Nothing is tried again here: `RetryingStore` does it. A put
   whose answer was lost answers False when it is repeated, and the caller reads and compares.
4. A status becomes one of our errors (`storage.grpc_messages`). A listing that breaks off is one.

gRPC takes a proxy from the environment (https_proxy, no_proxy). It is imported when the first call
is made.

What it does not do: erase. Housekeeping works on the relay's folder.
"""

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hyperfed.errors import (
    ConfigError,
    ObjectNotFound,
    ObjectTooLarge,
    TransientError,
    TransportError,
)
from hyperfed.storage.grpc_access import RelayAccess, need_extra
from hyperfed.storage.grpc_many import created_in_order, read_in_order
from hyperfed.storage.grpc_messages import (
    ASKED_S,
    MAX_MESSAGE_BYTES,
    PIECE_BYTES,
    SERVICE,
    Malformed,
    Range,
    error_of_status,
    pack_get,
    pack_key,
    unpack_entries,
    unpack_number,
    unpack_range,
)
from hyperfed.storage.store import ObjectInfo, ObjectStore, check_key, check_prefix, is_key

__all__ = ["GRPCLimits", "GRPCStore"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPCLimits:
    """Bounds the time-outs and amounts of one `GRPCStore`.

    All must be positive (ConfigError).
    """

    connect_timeout_s: float = 5.0
    """Seconds to wait for a connection."""
    call_timeout_s: float = 60.0
    """Seconds to wait for the end of a call, or for the next page of a listing."""
    threads: int = 8
    """Calls at once that are worth while for whoever makes several."""
    page_size: int = 1000
    """Number of keys in one page of a listing."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; it must be positive", subject="GRPCLimits"
                )


class GRPCStore(ObjectStore):
    """Reaches the relay at `address`, "host:port", as an `ObjectStore`. Threads can share it.

    `access` shows who asks. `ca_file` holds the certificates to trust in place of the system's. The
    constructor makes no call; it raises ConfigError where the address is none, the file is missing,
    or the extra `grpc` is not installed.
    """

    def __init__(
        self,
        address: str,
        *,
        access: RelayAccess,
        ca_file: Path | None = None,
        limits: GRPCLimits | None = None,
    ) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails is said once, by our errors
        need_extra()
        self.address = _check_address(address)
        self.limits = limits or GRPCLimits()
        self._access, self._authorities = access, _authorities(ca_file)
        self._lock = threading.Lock()
        self._open: _Calls | None = None
        self._skew_s: float | None = None

    def __repr__(self) -> str:
        return f"GRPCStore({self.location!r})"

    @property
    def location(self) -> str:
        return f"grpc://{self.address}"

    @property
    def clock_skew_s(self) -> float | None:
        return self._skew_s

    @property
    def longest_wait_s(self) -> float | None:
        return self.limits.call_timeout_s

    @property
    def at_once(self) -> int:
        return self.limits.threads

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        check_key(key)
        view, calls = memoryview(data).cast("B") if len(data) else memoryview(b""), self._calls()
        timeout = self.limits.call_timeout_s

        def put() -> bool:
            if len(view) <= PIECE_BYTES:
                calls.put(pack_key(key, view), timeout=timeout)
            else:
                calls.put_large(_pieces(key, view), timeout=timeout)
            return True

        return self._answered(put, key, exists=False)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        first = self._range(key, max_bytes, 0)
        if len(first.data) == first.size:
            return bytes(first.data)
        parts, read = [first.data], len(first.data)
        while read < first.size:
            part = self._range(key, max_bytes, read)
            if (part.size, part.version) != (first.size, first.version) or not part.data:
                raise TransientError(
                    "the object was erased and written again while it was read",
                    subject=self._subject(key),
                    remedy="Try again",
                )
            parts.append(part.data)
            read += len(part.data)
        return b"".join(parts)

    def _range(self, key: str, max_bytes: int, offset: int) -> Range:
        """Return the part of an object that begins at `offset`. Raises as `read` does."""
        check_key(key)
        length = min(PIECE_BYTES, max(0, max_bytes - offset))
        request = pack_get(key, max_bytes=max_bytes, offset=offset, length=length)
        call, timeout = self._calls().get, self.limits.call_timeout_s
        part = self._answered(lambda: unpack_range(call(request, timeout=timeout)), key)
        self._skew_s = time.time() - part.answered_us / 1e6
        if part.size > max_bytes:
            raise ObjectTooLarge(
                f"holds {part.size} bytes; at most {max_bytes} are read", subject=self._subject(key)
            )
        if len(part.data) != min(length, part.size - offset):
            raise self._malformed(key, "a range of another length than was asked for")
        return part

    def read_many(
        self, keys: Iterable[str], *, max_bytes: int
    ) -> Iterator[tuple[str, bytes | TransportError]]:
        call, timeout = self._calls().get_many, self.limits.call_timeout_s

        def alone(key: str) -> bytes | TransportError:
            try:
                return self.read(key, max_bytes=max_bytes)
            except TransportError as error:
                return error

        return read_in_order(
            keys,
            max_bytes=max_bytes,
            call=lambda request: call(request, timeout=timeout),
            alone=alone,
            failed=self._failed,
        )

    def put_many(
        self, objects: Iterable[tuple[str, bytes | memoryview]]
    ) -> Iterator[tuple[str, bool | TransportError]]:
        call, timeout = self._calls().put_many, self.limits.call_timeout_s

        def alone(key: str, data: bytes | memoryview) -> bool | TransportError:
            try:
                return self.put_if_absent(key, data)
            except TransportError as error:
                return error

        return created_in_order(
            objects,
            call=lambda messages: call(messages, timeout=timeout),
            alone=alone,
            failed=self._failed,
        )

    def head(self, key: str) -> ObjectInfo | None:
        request, call = pack_key(check_key(key)), self._calls().head
        timeout = self.limits.call_timeout_s
        try:
            size = self._answered(
                lambda: unpack_number(memoryview(call(request, timeout=timeout))), key
            )
        except ObjectNotFound:
            return None
        return ObjectInfo(key=key, size=size)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self.list_paged(prefix, self.limits.page_size)

    def list_paged(self, prefix: str, size: int) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        request = pack_key(prefix, size.to_bytes(8, "big"))
        call, timeout = self._calls().list, self.limits.call_timeout_s

        def listed() -> list[ObjectInfo]:
            pages = call(request, timeout=timeout)
            return [info for page in pages for info in unpack_entries(page)]

        infos = [i for i in self._answered(listed, prefix) if is_key(i.key)]
        keys = [info.key for info in infos]
        if keys != sorted(set(keys)) or not all(key.startswith(prefix) for key in keys):
            raise self._malformed(prefix, "a listing in disorder, or of something else")
        return iter(infos)

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        with self._lock:
            calls, self._open = self._open, None
        if calls is not None:
            calls.channel.close()

    def _calls(self) -> "_Calls":
        with self._lock:
            if self._open is None:
                self._open = _Calls(self.address, self._authorities, self._access, self.limits)
            return self._open

    def _answered(self, call: Callable[[], T], key: str, *, exists: T | None = None) -> T:
        """Return what a call returns, or raise the error that it ends with.

        `exists` is the answer where the relay says that the object exists.
        """
        import grpc

        try:
            return call()
        except (grpc.RpcError, Malformed) as exc:
            if exists is not None and _status(exc) == "ALREADY_EXISTS":
                return exists
            raise self._failed(key, exc) from exc

    def _failed(self, key: str, error: Any) -> TransportError:
        """Return the error of ours for a call that failed, or whose answer is malformed."""
        if isinstance(error, Malformed):
            return self._malformed(key, str(error))
        return error_of_status(
            _status(error),
            error.details() or "",
            asked_s=_asked_s(error.trailing_metadata()),
            subject=self._subject(key),
            address=self.location,
        )

    def _malformed(self, key: str, what: str) -> TransportError:
        return TransportError(
            f"the relay's answer is malformed: {what}",
            subject=self._subject(key),
            remedy="Check [store] url, and that both sides run the same version",
        )

    def _subject(self, key: str) -> str:
        return f"{self.location}/{key}"


class _Calls:
    """The open channel to a relay and its methods."""

    def __init__(
        self, address: str, authorities: bytes | None, access: RelayAccess, limits: GRPCLimits
    ) -> None:
        import grpc

        options = [
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.http2.max_frame_size", MAX_MESSAGE_BYTES),
            ("grpc.enable_retries", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            # also how long gRPC waits for a connection
            ("grpc.min_reconnect_backoff_ms", int(limits.connect_timeout_s * 1000)),
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self.channel = grpc.secure_channel(
            address,
            grpc.ssl_channel_credentials(authorities, access.private_key, access.certificate),
            options=options,
        )
        self.put: Any = self.channel.unary_unary(f"/{SERVICE}/Put")
        self.put_large: Any = self.channel.stream_unary(f"/{SERVICE}/PutLarge")
        self.get: Any = self.channel.unary_unary(f"/{SERVICE}/Get")
        self.put_many: Any = self.channel.stream_stream(f"/{SERVICE}/PutMany")
        self.get_many: Any = self.channel.unary_stream(f"/{SERVICE}/GetMany")
        self.head: Any = self.channel.unary_unary(f"/{SERVICE}/Head")
        self.list: Any = self.channel.unary_stream(f"/{SERVICE}/List")


def _pieces(key: str, data: memoryview) -> Iterator[bytes]:
    yield pack_key(key, len(data).to_bytes(8, "big"))
    for start in range(0, len(data), PIECE_BYTES):
        yield bytes(data[start : start + PIECE_BYTES])


def _status(error: Any) -> str:
    return "" if isinstance(error, Malformed) else str(error.code().name)


def _asked_s(metadata: Any) -> float:
    """Return for how many seconds a relay wants to be left alone, at most a day; 0: not at all."""
    for name, value in metadata or ():
        if name == ASKED_S and str(value).isascii() and str(value).isdigit():
            return float(min(int(value), 86_400))
    return 0.0


def _check_address(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ConfigError(
            "not the address of a relay",
            subject=repr(address)[:120],
            remedy="Write it as grpc://host:port",
        )
    return address


def _authorities(ca_file: Path | None) -> bytes | None:
    """Return the certificates to trust, in PEM form; None: those that gRPC brings with it."""
    path = ca_file or Path(ssl.get_default_verify_paths().cafile or "")
    try:
        return path.read_bytes()
    except OSError as exc:
        if ca_file is None:
            return None
        raise ConfigError(
            f"cannot be read: {exc.strerror}",
            subject=str(ca_file),
            remedy="Name a file of certificates in PEM form, or leave it out for the system's",
        ) from exc
