"""`ObjectStore`: the one thing a federation needs of the world.

Rules, in order:
1. Create-only is the only write (`put_if_absent`); no call overwrites or deletes (DESIGN section 3; rule R-1 of docs/protocol.md).
2. A write that returned may be read and listed at once by everyone.
3. A caller may be told "failed" of a write that was applied: it must read and compare. No adapter hides that.
4. A size cap holds before the bytes are read: `read(key, max_bytes=...)` never holds more than the cap.
5. Only `TransportError`s come out; those worth another try are `TransientError`.

What it does not do: interpret a byte of what it stores. `hyperfed.testing.store_suite` is the conformance suite of every adapter.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hyperfed.errors import ConfigError, TransportError

__all__ = ["ObjectInfo", "ObjectStore", "check_key", "check_prefix"]

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def check_key(key: str) -> str:
    """The key itself, if it is one: slash-separated segments of [A-Za-z0-9_.-] that do not start with a dot or hyphen; at most 512 characters.

    Raises ConfigError. What this rules out (`..`, `%2f`, NUL, a backslash, an empty segment) can reach no adapter.
    """
    if len(key) > 512 or not all(_SEGMENT.fullmatch(part) for part in key.split("/")):
        raise ConfigError(
            "not a valid object key", subject=repr(key)[:120], rule="R-2", remedy="Keys are segments of letters, digits, '_', '.' and '-' joined by '/'"
        )
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself, if it can begin a key: empty, a key, or a key and a slash. Raises ConfigError; every adapter's `list` calls it."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """One object as listed: its key and its size in bytes."""

    key: str
    size: int


class ObjectStore(ABC):
    """Where a federation meets. Adapters: `hyperfed.adapters` (memory, s3, filesystem)."""

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create `key` with `data`. True: created. False: the key exists already and was left as it is (HTTP 412).

        Raises TransientError where the outcome is unknown (the write may have been applied), AccessDenied, TransportError.
        """

    @abstractmethod
    def read(self, key: str, *, max_bytes: int) -> bytes:
        """The whole object. Raises ObjectNotFound; ObjectTooLarge (nothing read) where it holds more than `max_bytes`."""

    @abstractmethod
    def head(self, key: str) -> ObjectInfo | None:
        """The object's size, or None where there is no such object."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in ascending order of its key."""

    def put_many(self, objects: Iterable[tuple[str, bytes | memoryview]]) -> Iterator[tuple[str, bool | TransportError]]:
        """(key, what `put_if_absent` answered or why it could not) for each object, in the order given; one that fails does not end the others.

        Nothing is written before it is asked for, and an adapter may be a few objects ahead of what was taken.
        """
        for key, data in objects:
            try:
                yield key, self.put_if_absent(key, data)
            except TransportError as error:
                yield key, error

    def read_many(self, keys: Iterable[str], *, max_bytes: int) -> Iterator[tuple[str, bytes | TransportError]]:
        """(key, bytes or why it could not be read) for each key, in the order given; one bad object does not end the others."""
        for key in keys:
            try:
                yield key, self.read(key, max_bytes=max_bytes)
            except TransportError as error:
                yield key, error
