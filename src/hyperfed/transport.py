"""`Transport`: messages between parties. The interface is the reference's; the stores behind it are `hyperfed.store`.

1. `send` returns when the message is where its receiver will find it; it does not wait for the receiver.
2. At least once: a message may come again. The receiver drops repeats by digest over (sender, message), so equal bytes sent twice arrive once;
   two messages that mean different things differ (every envelope carries a nonce).
3. Messages of one sender arrive in the order it sent them. Between senders there is no order.
4. Who sent it is where it was found: proof is the signature inside (`hyperfed.signing`), never the transport's word.
5. The cursor is the receiver's own (`StoreTransport.cursor`): keep it, and a restarted receiver goes on where it stopped.

What it does not do: encrypt, authenticate, delete. Mail stays where it is; give the prefix a lifecycle rule, or a new prefix each round.
"""

import hashlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping

from hyperfed.errors import ConfigError, ObjectNotFound, ObjectTooLarge, TransportError
from hyperfed.store import ObjectStore, check_key

__all__ = ["InMemoryHub", "InMemoryTransport", "StoreTransport", "Transport"]

log = logging.getLogger(__name__)

_REMEMBERED = 65_536  # digests: 2 MiB; a repeat comes soon or, after a restart, from behind the cursor


class Transport(ABC):
    """One party's way to the others."""

    @abstractmethod
    def send(self, to: str, message: bytes) -> None:
        """Leave `message` for the party `to`. Raises TransientError where it may or may not have been left: send the same again."""

    @abstractmethod
    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        """The next (sender, message), waiting up to `timeout` seconds; None where none came. 0 looks once."""


class InMemoryHub:
    """Where the parties of one process meet. Mail for a party waits until it connects."""

    def __init__(self) -> None:
        self._mail: dict[str, deque[tuple[str, bytes]]] = {}
        self._changed = threading.Condition()

    def connect(self, name: str) -> "InMemoryTransport":
        """The transport of the party called `name`."""
        return InMemoryTransport(name, self)

    def _leave(self, sender: str, to: str, message: bytes) -> None:
        with self._changed:
            self._mail.setdefault(to, deque()).append((sender, message))
            self._changed.notify_all()

    def _take(self, name: str, timeout: float) -> tuple[str, bytes] | None:
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._mail.get(name)), timeout):
                return None
            return self._mail[name].popleft()


class InMemoryTransport(Transport):
    """A party of an `InMemoryHub`. Without arguments a loopback: whatever it sends, to whomever, it receives itself."""

    def __init__(self, name: str | None = None, hub: InMemoryHub | None = None) -> None:
        self._loopback = name is None
        self.name = _check_name(name if name is not None else "loopback")
        self._hub = hub or InMemoryHub()
        self._seen = _Seen()

    @staticmethod
    def hub() -> InMemoryHub:
        """A new hub: `hub.connect(name)` gives each party its transport."""
        return InMemoryHub()

    def send(self, to: str, message: bytes) -> None:
        self._hub._leave(self.name, self.name if self._loopback else _check_name(to), bytes(message))

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        deadline = time.monotonic() + _check_timeout(timeout)
        while True:
            found = self._hub._take(self.name, max(0.0, deadline - time.monotonic()))
            if found is None or self._seen.is_new(*found):
                return found


class StoreTransport(Transport):
    """Mail in an object store, under {prefix}/{to}/{sender}/{number:012d}; numbers count from 0 for each pair of parties.

    prefix: where the mail lies; a new one for each round keeps listings short. cursor: a receiver's saved `cursor`. poll_s: seconds between two looks.
    One object of this class a sender: two that send in one name at once still lose nothing (create-only), their messages interleave.
    A message larger than max_message_bytes is refused when sent and skipped when found.
    """

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        *,
        prefix: str = "mail",
        cursor: Mapping[str, int] | None = None,
        poll_s: float = 1.0,
        max_message_bytes: int = 16 << 20,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name, self.prefix = _check_name(name), check_key(prefix)
        if not poll_s > 0:
            raise ConfigError(f"poll_s is {poll_s!r}; it must be positive", subject="StoreTransport")
        self._store, self._poll_s, self._max = store, poll_s, max_message_bytes
        self._clock, self._sleep = clock, sleep
        self._cursor: dict[str, int] = dict(cursor or {})
        self._next: dict[str, int] = {}
        self._found: deque[tuple[str, int, str]] = deque()
        self._seen = _Seen()

    @property
    def cursor(self) -> dict[str, int]:
        """For each sender the number of the next message to take."""
        return dict(self._cursor)

    def send(self, to: str, message: bytes) -> None:
        if len(message) > self._max:
            raise ConfigError(f"the message has {len(message)} bytes; at most {self._max} are sent", subject=f"to {to}"[:80])
        folder = f"{self.prefix}/{_check_name(to)}/{self.name}/"
        if to not in self._next:
            self._next[to] = max((number for info in self._store.list(folder) if (number := _number(info.key)) is not None), default=-1) + 1
        while True:
            key = f"{folder}{self._next[to]:012d}"
            mine = self._store.put_if_absent(key, message) or self._is_mine(key, message)
            self._next[to] += 1  # only after an answer: where the outcome is unknown the caller sends again, under the same number
            if mine:
                return

    def _is_mine(self, key: str, message: bytes) -> bool:
        """A write that was applied and reported lost (412 on its repetition), or another's."""
        try:
            return self._store.read(key, max_bytes=self._max) == message
        except ObjectTooLarge:
            return False

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        deadline = self._clock() + _check_timeout(timeout)
        while True:
            if not self._found:
                self._look()
            while self._found:
                taken = self._take()
                if taken is not None:
                    return taken
            left = deadline - self._clock()
            if left <= 0:
                return None
            self._sleep(min(self._poll_s, left))

    def _look(self) -> None:
        """Queue what lies behind the cursor: one listing, in the order of sender and number."""
        folder = f"{self.prefix}/{self.name}/"
        for info in self._store.list(folder):
            sender, _, rest = info.key[len(folder) :].partition("/")
            number = _number(info.key)
            if "/" not in rest and number is not None and number >= self._cursor.get(sender, 0):
                self._found.append((sender, number, info.key))

    def _take(self) -> tuple[str, bytes] | None:
        sender, number, key = self._found[0]
        message: bytes | None = None
        try:
            message = self._store.read(key, max_bytes=self._max)
        except (ObjectTooLarge, ObjectNotFound) as error:  # too large, or expired since it was listed; any other error leaves the cursor where it is
            log.debug("mail skipped key=%s reason=%s", key, error.problem)
        except TransportError:
            self._found.clear()
            raise
        self._found.popleft()
        self._cursor[sender] = number + 1
        return (sender, message) if message is not None and self._seen.is_new(sender, message) else None


class _Seen:
    """The digests of the last messages."""

    def __init__(self) -> None:
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def is_new(self, sender: str, message: bytes) -> bool:
        digest = hashlib.sha256(sender.encode() + b"\0" + message).digest()
        if digest in self._digests:
            return False
        self._digests[digest] = None
        if len(self._digests) > _REMEMBERED:
            self._digests.popitem(last=False)
        return True


def _number(key: str) -> int | None:
    """The number that ends a mail's key, or None where it is none of ours."""
    text = key.rpartition("/")[2]
    return int(text) if len(text) == 12 and text.isascii() and text.isdigit() else None


def _check_name(name: str) -> str:
    if "/" in check_key(name):
        raise ConfigError("a party's name is one segment, without '/'", subject=repr(name)[:80])
    return name


def _check_timeout(timeout: float) -> float:
    if not 0 <= timeout < float("inf"):
        raise ConfigError(f"timeout is {timeout!r}; a finite number of seconds, 0 or more, is needed", subject="receive")
    return timeout
