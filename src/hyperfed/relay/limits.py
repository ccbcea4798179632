"""Limit how much a relay takes: bytes of an object, calls a second, calls and bytes at once.

1. A party that asks too often, or for too much at once, is told for how many whole seconds to wait.
   It loses nothing by that, because `RetryingStore` waits as long.
2. Clients and roots have a rate. Coordinators and auditors have none, because they read every
   client's objects in every round.
3. No party can take all calls at once, and the pieces of objects that are being sent are bounded
   over all parties (R-159).

What it does not do: bound what a client writes in its whole life. The folder's quota does.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hyperfed.config import DEFAULT_LIMITS
from hyperfed.errors import ConfigError, TransientError

__all__ = ["Gate", "RelayLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """Holds the limits of one relay.

    All must be positive (ConfigError).
    """

    max_update_bytes: int = DEFAULT_LIMITS.max_update_bytes
    """Largest object that a client may create, in bytes."""
    max_object_bytes: int = DEFAULT_LIMITS.max_object_bytes
    """Largest object that others may create, in bytes."""
    calls_per_s: float = 100.0
    """Calls a second of a client or a root, in the long run."""
    burst: int = 1000
    """Calls that one of them may make at once after a pause."""
    open_calls_per_party: int = 16
    """Most calls of one party at the same time."""
    open_calls: int = 64
    """Most calls at the same time, of all parties."""
    threads: int = 32
    """Threads that answer calls. A call of more waits for one."""
    in_flight_bytes: int = 512 << 20
    """Most bytes of objects that are being sent in pieces, of all parties."""
    call_s: float = 120.0
    """Seconds after which an object that is sent in pieces, or a listing, is broken off."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; it must be positive",
                    subject="RelayLimits",
                )


class Gate:
    """Counts calls and bytes, and refuses too much, with a TransientError that names a time.

    Threads can share it. `clock` counts seconds.
    """

    def __init__(self, limits: RelayLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock, self._lock = limits, clock, threading.Lock()
        self._open: Counter[str] = Counter()
        self._tokens: dict[str, tuple[float, float]] = {}  # party -> (tokens left, at this time)
        self._bytes = 0

    @contextmanager
    def call(self, party: str, *, rated: bool) -> Iterator[None]:
        """Count a call while the context lasts; `rated` says whether the party has a rate."""
        with self._lock:
            if self._open[party] >= self._limits.open_calls_per_party:
                raise _busy(f"{self._open[party]} calls of {party} are open", 1.0)
            if rated:
                self._take_token(party)
            self._open[party] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[party] -= 1
                if not self._open[party]:
                    del self._open[party]

    def again(self, party: str, *, rated: bool) -> None:
        """Count one more object of an open call, as a call of its own."""
        if rated:
            with self._lock:
                self._take_token(party)

    def _take_token(self, party: str) -> None:
        rate, burst, now = self._limits.calls_per_s, self._limits.burst, self._clock()
        left, since = self._tokens.get(party, (float(burst), now))
        left = min(float(burst), left + (now - since) * rate)
        self._tokens[party] = (left, now)
        if left < 1:
            raise _busy(f"{party} makes more than {rate:g} calls a second", (1 - left) / rate)
        self._tokens[party] = (left - 1, now)

    @contextmanager
    def sending(self, size: int) -> Iterator[None]:
        """Count the bytes of an object while its pieces come."""
        with self._lock:
            # one object may be larger than all of it
            if self._bytes and self._bytes + size > self._limits.in_flight_bytes:
                raise _busy(f"{self._bytes} bytes of objects are on their way", 2.0)
            self._bytes += size
        try:
            yield
        finally:
            with self._lock:
                self._bytes -= size


def _busy(problem: str, wait_s: float) -> TransientError:
    return TransientError(problem, rule="R-159", asked_s=float(max(1, math.ceil(wait_s))))
