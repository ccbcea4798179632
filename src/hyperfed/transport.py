"""Pass messages between parties (`Transport`).

The interface is the reference's; the stores behind it are described in `hyperfed.storage.store`.

1. `send` returns when the message is where its receiver will find it; it does not wait for the
   receiver.
2. Delivery is at least once: a message may come again. The receiver drops repeats by a digest over
   (sender, message), so equal bytes sent twice arrive once. Two messages that mean different things
   differ, because every envelope carries a nonce.
3. Messages of one sender arrive in the order in which it sent them. Between senders there is no
   order.
4. A message's sender is read from the place where it was found. Only the signature inside proves it
   (`hyperfed.crypto.envelope`), never the transport.
5. The cursor belongs to the receiver (`StoreTransport.cursor`): a restarted receiver that kept it
   continues where it stopped.

What it does not do: encrypt, authenticate, delete. Mail stays where it is; give the prefix a
life-cycle rule, or use a new prefix each round.
"""

import hashlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import Path

from hyperfed.errors import ConfigError, ObjectNotFound, ObjectTooLarge, TransportError
from hyperfed.links.link_table import LinkSource
from hyperfed.links.presigned_store import HTTPLimits, PresignedStore
from hyperfed.storage.grpc_access import RelayAccess
from hyperfed.storage.grpc_store import GRPCLimits, GRPCStore
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.store import ObjectStore, check_key

__all__ = [
    "MAIL",
    "GRPCTransport",
    "HTTPTransport",
    "InMemoryHub",
    "InMemoryTransport",
    "StoreTransport",
    "Transport",
]

log = logging.getLogger(__name__)

MAIL = "mail"
"""The prefix under which a relay lets parties leave messages for each other."""

# this many digests take 2 MiB; a repeat comes soon or, after a restart, from behind the cursor
_REMEMBERED = 65_536


class Transport(ABC):
    """Defines how one party reaches the others."""

    @abstractmethod
    def send(self, to: str, message: bytes) -> None:
        """Leave `message` for the party `to`.

        Raises TransientError where it is unknown whether the message was left: send the same again.
        """

    @abstractmethod
    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        """Return the next (sender, message), or None where none came within `timeout` seconds.

        With a timeout of 0 it looks once.
        """


class InMemoryHub:
    """Holds a place where the parties of one process exchange messages.

    Mail for a party waits until the party connects.
    """

    def __init__(self) -> None:
        self._mail: dict[str, deque[tuple[str, bytes]]] = {}
        self._changed = threading.Condition()

    def connect(self, name: str) -> "InMemoryTransport":
        """Return the transport of the party called `name`."""
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
    """Reaches the parties of an `InMemoryHub`, as a `Transport`.

    Without arguments it is a loopback: it receives itself what it sends, whatever the receiver's
    name.
    """

    def __init__(self, name: str | None = None, hub: InMemoryHub | None = None) -> None:
        self._loopback = name is None
        self.name = _check_name(name if name is not None else "loopback")
        self._hub = hub or InMemoryHub()
        self._seen = _Seen()

    @staticmethod
    def hub() -> InMemoryHub:
        """Return a new hub, whose `connect(name)` gives each party its transport."""
        return InMemoryHub()

    def send(self, to: str, message: bytes) -> None:
        self._hub._leave(
            self.name, self.name if self._loopback else _check_name(to), bytes(message)
        )

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        deadline = time.monotonic() + _check_timeout(timeout)
        while True:
            message = self._hub._take(self.name, max(0.0, deadline - time.monotonic()))
            if message is None or self._seen.is_new(*message):
                return message


class StoreTransport(Transport):
    """Reaches parties whose mail lies in an object store, as a `Transport`.

    A message lies under {prefix}/{to}/{sender}/{number:012d}; numbers count from 0 for each pair of
    parties.

    - `prefix` is where the mail lies; a new one for each round keeps listings short.
    - `cursor` is the saved `cursor` of a receiver.
    - `poll_s` is the number of seconds between two looks.
    - A message larger than `max_message_bytes` is refused when it is sent, and skipped when it is
      found.

    Use one object of this class for each sender. Where two send in one name at once, nothing is
    lost (create-only), but their messages interleave.
    """

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        *,
        prefix: str = MAIL,
        cursor: Mapping[str, int] | None = None,
        poll_s: float = 1.0,
        max_message_bytes: int = 16 << 20,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name, self.prefix = _check_name(name), check_key(prefix)
        if not poll_s > 0:
            raise ConfigError(
                f"poll_s is {poll_s!r}; it must be positive", subject="StoreTransport"
            )
        self._store, self._poll_s, self._max = store, poll_s, max_message_bytes
        self._clock, self._sleep = clock, sleep
        self._cursor: dict[str, int] = dict(cursor or {})
        self._next: dict[str, int] = {}
        self._found: deque[tuple[str, int, str]] = deque()
        self._seen = _Seen()

    @property
    def cursor(self) -> dict[str, int]:
        """The number of the next message to take from each sender."""
        return dict(self._cursor)

    def send(self, to: str, message: bytes) -> None:
        if len(message) > self._max:
            raise ConfigError(
                f"the message has {len(message)} bytes; at most {self._max} are sent",
                subject=f"to {to}"[:80],
            )
        folder = f"{self.prefix}/{_check_name(to)}/{self.name}/"
        if to not in self._next:
            self._next[to] = (
                max(
                    (
                        number
                        for info in self._store.list(folder)
                        if (number := _number(info.key)) is not None
                    ),
                    default=-1,
                )
                + 1
            )
        while True:
            key = f"{folder}{self._next[to]:012d}"
            mine = self._store.put_if_absent(key, message) or self._is_mine(key, message)
            # only after an answer: where the outcome is unknown, the caller sends again under the
            # same number
            self._next[to] += 1
            if mine:
                return

    def _is_mine(self, key: str, message: bytes) -> bool:
        """Return whether the object at `key` is `message`.

        It may be our own write, which was applied and reported lost (412 on its repetition), or
        another's.
        """
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
                message = self._take()
                if message is not None:
                    return message
            seconds_left = deadline - self._clock()
            if seconds_left <= 0:
                return None
            self._sleep(min(self._poll_s, seconds_left))

    def _look(self) -> None:
        """Queue the messages behind the cursor: one listing, ordered by sender and number."""
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
        # it is too large, or has expired since the listing; after other errors the cursor stays
        except (ObjectTooLarge, ObjectNotFound) as error:
            log.debug("mail skipped key=%s reason=%s", key, error.problem)
        except TransportError:
            self._found.clear()
            raise
        self._found.popleft()
        self._cursor[sender] = number + 1
        return (
            (sender, message)
            if message is not None and self._seen.is_new(sender, message)
            else None
        )


class HTTPTransport(StoreTransport):
    """Uses presigned URLs, as a `StoreTransport` of a party that can neither list nor sign.

    `links` gives the URLs to write {prefix}/{to}/{name}/{number}, and to read those keys and
    {prefix}/{name}/{sender}/{number}, as in `links.issuing.MailBox`. The other party may use a
    StoreTransport with the same prefix. `send` raises AccessDenied where the URLs for a party are
    used up.
    """

    def __init__(
        self,
        links: LinkSource,
        name: str,
        *,
        prefix: str = MAIL,
        cursor: Mapping[str, int] | None = None,
        poll_s: float = 1.0,
        max_message_bytes: int = 16 << 20,
        limits: HTTPLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        store = PresignedStore(links, limits=limits)
        super().__init__(
            store,
            name,
            prefix=prefix,
            cursor=cursor,
            poll_s=poll_s,
            max_message_bytes=max_message_bytes,
            clock=clock,
            sleep=sleep,
        )
        self._links = links

    def _look(self) -> None:
        """Queue the messages behind the cursor.

        Numbers count up for each sender, so the first that is missing ends the search for that
        sender.
        """
        folder = f"{self.prefix}/{self.name}/"
        ended: set[str] = set()
        for key in self._links.readable(folder):
            sender, _, number = key[len(folder) :].partition("/")
            if sender in ended or not number.isdigit() or int(number) < self._cursor.get(sender, 0):
                continue
            if self._store.head(key) is None:
                ended.add(sender)
            else:
                self._found.append((sender, int(number), key))


class GRPCTransport(StoreTransport):
    """Uses the relay (`hyperfed relay serve`) at `address`, "host:port", as a `StoreTransport`.

    `access` shows the relay whose key the party's is, and `ca_file` holds the certificates to trust
    in place of the system's. The relay lets a client `name` itself by its id only, and a
    coordinator or an auditor by its role. Passing faults are tried again `attempts` times.

    Raises ConfigError where the extra `grpc` is not installed.
    """

    def __init__(
        self,
        address: str,
        name: str,
        *,
        access: RelayAccess,
        ca_file: Path | None = None,
        cursor: Mapping[str, int] | None = None,
        poll_s: float = 1.0,
        max_message_bytes: int = 16 << 20,
        attempts: int = 6,
        limits: GRPCLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._relay = GRPCStore(address, access=access, ca_file=ca_file, limits=limits)
        super().__init__(
            RetryingStore(self._relay, attempts=attempts, sleep=sleep),
            name,
            prefix=MAIL,
            cursor=cursor,
            poll_s=poll_s,
            max_message_bytes=max_message_bytes,
            clock=clock,
            sleep=sleep,
        )

    def close(self) -> None:
        """Close the connection; the next message opens a new one."""
        self._relay.close()


class _Seen:
    """Remembers the digests of the last messages, in order to drop repeats."""

    def __init__(self) -> None:
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def is_new(self, sender: str, message: bytes) -> bool:
        """Return whether the message is not among the last ones, and remember it."""
        digest = hashlib.sha256(sender.encode() + b"\0" + message).digest()
        if digest in self._digests:
            return False
        self._digests[digest] = None
        if len(self._digests) > _REMEMBERED:
            self._digests.popitem(last=False)
        return True


def _number(key: str) -> int | None:
    """Return the number that ends a message's key, or None where the key is not ours."""
    text = key.rpartition("/")[2]
    return int(text) if len(text) == 12 and text.isascii() and text.isdigit() else None


def _check_name(name: str) -> str:
    if "/" in check_key(name):
        raise ConfigError("a party's name is one segment, without '/'", subject=repr(name)[:80])
    return name


def _check_timeout(timeout: float) -> float:
    if not 0 <= timeout < float("inf"):
        raise ConfigError(
            f"timeout is {timeout!r}; a finite number of seconds, 0 or more, is needed",
            subject="receive",
        )
    return timeout
