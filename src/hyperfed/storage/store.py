"""Define the interface of the one service that a federation needs: an object store.

Rules, in order:

1. Create-only is the only write (`put_if_absent`); no call overwrites or deletes (DESIGN section 3;
   rule R-1 of docs/protocol.md).
2. Once a write has returned, everyone can read and list the object at once.
3. A write may be reported as failed although it was applied, so the caller must read and compare.
   No adapter hides that.
4. A size cap holds before the bytes are read: `read(key, max_bytes=...)` never holds more than the
   cap.
5. A store raises only `TransportError`s; those worth another try are `TransientError`s.

What it does not do: interpret a byte of what it stores. `hyperfed.testing.store_suite` is the
conformance suite of every adapter.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from hyperfed.errors import ConfigError, TransportError
from hyperfed.storage.work_ahead import in_order

__all__ = ["ObjectInfo", "ObjectStore", "check_key", "check_prefix", "is_key"]

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def is_key(text: str) -> bool:
    """Return whether `check_key` accepts `text`. A listing leaves out what it refuses."""
    return len(text) <= 512 and all(_SEGMENT.fullmatch(part) for part in text.split("/"))


def check_key(key: str) -> str:
    """Return `key` if it is a valid object key.

    A key consists of segments of [A-Za-z0-9_.-] joined by slashes; no segment starts with a dot or
    a hyphen, or has more than 128 characters. A key has at most 512 characters.

    Raises ConfigError for anything else (R-2), so that `..`, `%2f`, NUL, a backslash or an empty
    segment can reach no adapter.
    """
    if not is_key(key):
        raise ConfigError(
            "not a valid object key",
            subject=repr(key)[:120],
            rule="R-2",
            remedy="Write keys as segments of letters, digits, '_', '.' and '-' joined by '/'",
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix` if a key can begin with it: it is empty, a key, or a key and a slash.

    Raises ConfigError for anything else. Every adapter's `list` calls it.
    """
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """Describes an object as it is listed."""

    key: str
    """Key of the object."""
    size: int
    """Size of the object in bytes."""
    modified: datetime | None = field(default=None, compare=False)
    """When it was written, by the store's clock; None where a listing does not tell."""


class ObjectStore(ABC):
    """Defines what every adapter in `hyperfed.storage` implements.

    The adapters are `MemoryStore`, `S3Store` and `FilesystemStore`.
    """

    @property
    def location(self) -> str:
        """The name of the store in messages: its endpoint or its folder, never a credential."""
        return type(self).__name__

    @property
    def longest_wait_s(self) -> float | None:
        """The most seconds that one call waits for a silent store; None: no limit."""
        return None

    @property
    def clock_skew_s(self) -> float | None:
        """The seconds by which this machine's clock was ahead of the store's at its last answer.

        It is None where there was no answer yet, or where the store has no clock of its own.
        """
        return None

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create `key` with `data`, and return whether it was created.

        False means that the key exists already and was left as it is (HTTP 412).

        Raises TransientError where the outcome is unknown (the write may have been applied),
        AccessDenied where a right is missing, and TransportError for other faults.
        """

    @abstractmethod
    def read(self, key: str, *, max_bytes: int) -> bytes:
        """Return the whole object.

        Raises ObjectNotFound where there is none, and ObjectTooLarge, having read nothing, where
        the object holds more than `max_bytes`.
        """

    @abstractmethod
    def head(self, key: str) -> ObjectInfo | None:
        """Return the object's key and size, or None where there is no such object."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with `prefix`, in ascending order of the keys.

        A name that is no key (`check_key`) is not ours, and is left out. A listing that may be
        incomplete is an error.
        """

    def list_paged(self, prefix: str, size: int) -> Iterator[ObjectInfo]:
        """Do as `list` does, in pages of at most `size` objects where the store lists in pages."""
        return self.list(prefix)

    @property
    def at_once(self) -> int:
        """The number of requests at once up to which more are faster; 1: no more than one.

        So many threads work in `put_many` and `read_many`.
        """
        return 1

    @property
    def max_in_flight_bytes(self) -> int:
        """The most bytes that `read_many` may hold at once, or one object where it is larger."""
        return 256 << 20

    def put_many(
        self, objects: Iterable[tuple[str, bytes | memoryview]]
    ) -> Iterator[tuple[str, bool | TransportError]]:
        """Create several objects, and yield (key, answer) for each in the order given.

        The answer is what `put_if_absent` returned or the TransportError it raised. An object that
        fails does not end the others. Nothing is written before its answer is asked for, except for
        objects by which a store with several requests at once is ahead of the caller.
        """

        def create(item: tuple[str, bytes | memoryview]) -> tuple[str, bool | TransportError]:
            try:
                return item[0], self.create_once(*item)
            except TransportError as error:
                return item[0], error

        yield from in_order(create, objects, threads=self.at_once, name="store")

    def read_many(
        self, keys: Iterable[str], *, max_bytes: int
    ) -> Iterator[tuple[str, bytes | TransportError]]:
        """Read several objects, and yield (key, answer) for each in the order given.

        The answer is the object's bytes or the TransportError that reading it raised. An object
        that fails does not end the others.
        """

        def fetch(key: str) -> tuple[str, bytes | TransportError]:
            try:
                return key, self.read_once(key, max_bytes=max_bytes)
            except TransportError as error:
                return key, error

        most = self.max_in_flight_bytes // max(1, max_bytes)
        yield from in_order(fetch, keys, threads=min(self.at_once, most), name="store")

    def read_once(self, key: str, *, max_bytes: int) -> bytes:
        """Do what `read` does, as one of many requests at once.

        An adapter may go a faster way, and none waits and tries again: threads of `WorkAhead` call
        it, and whoever leaves those waits for them.
        """
        return self.read(key, max_bytes=max_bytes)

    def create_once(self, key: str, data: bytes | memoryview) -> bool:
        """Do what `put_if_absent` does, as one of many requests at once; see `read_once`."""
        return self.put_if_absent(key, data)
