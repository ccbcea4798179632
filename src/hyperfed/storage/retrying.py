"""Repeat the calls to an object store after passing faults (`RetryingStore`).

1. Only a call that raised `TransientError` is tried again, a bounded number of times, with
   exponential delays and full jitter (the sleep is an argument). Where the store asked for a time
   (Retry-After), the delay is longer by that time, up to `MOST_ASKED_S`.
2. Writing again is safe: a write that was applied and reported as failed answers False the second
   time, and the caller reads and compares.
3. Where the caller gives `tell`, a call without an answer for `TELL_AFTER_S` leads to one sentence:
   which store, how long it has not answered or what it answers, and how long the call will wait.
   Each silence has one sentence.

What it does not do: hide that an outcome is unknown. When the tries are used up, the last error is
raised.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar, TypeVar

from hyperfed.errors import TransientError, TransportError
from hyperfed.storage.store import ObjectInfo, ObjectStore

__all__ = ["MOST_ASKED_S", "TELL_AFTER_S", "RetryingStore", "pause_s"]

TELL_AFTER_S = 10.0
"""Seconds without an answer after which `tell` is called."""
MOST_ASKED_S = 10.0
"""The most seconds that one pause grows by because a store asked for them."""
_LOOK_S = 0.25  # the watch looks at the running calls this often

T = TypeVar("T")


class _Watch:
    """Call `tell` once in each silence of a store that lasts `after_s` seconds.

    `look` decides whether to tell. One thread of the process looks at all watches, and only while
    a call of one of them runs.
    """

    _busy: ClassVar[set["_Watch"]] = set()  # the watches with running calls
    _busy_lock: ClassVar[threading.Lock] = threading.Lock()
    _thread: ClassVar[threading.Thread | None] = None

    def __init__(
        self, tell: Callable[[], None], *, after_s: float, clock: Callable[[], float]
    ) -> None:
        self._tell, self._after_s, self._clock = tell, after_s, clock
        self._running: dict[object, float] = {}  # call -> the time since which it waits
        self._lock = threading.Lock()
        self._told = False

    @contextmanager
    def call(self) -> Iterator[Callable[[], None]]:
        """Watch a call while the context lasts.

        The context yields a function that starts the wait anew.
        """
        token = object()

        def again() -> None:
            with self._lock:
                self._running[token] = self._clock()

        again()
        self._begin()
        try:
            yield again
        finally:
            with self._lock:
                del self._running[token]
                self._told = self._told and bool(self._running)

    def look(self) -> None:
        """Call `tell` where a call has waited too long and nobody has heard of this silence yet."""
        with self._lock:
            since = min(self._running.values(), default=None)
            silent = since is not None and self._clock() - since >= self._after_s
            now, self._told = silent and not self._told, self._told or silent
        if now:
            self._tell()

    def _begin(self) -> None:
        """Have the thread look at this watch, until it finds no call of it."""
        with _Watch._busy_lock:
            _Watch._busy.add(self)
            # a forked child has the object, not the thread
            if _Watch._thread is None or not _Watch._thread.is_alive():
                _Watch._thread = threading.Thread(target=_look_on, name="retrying", daemon=True)
                _Watch._thread.start()

    @classmethod
    def _still_busy(cls) -> tuple["_Watch", ...]:
        """Return the watches with running calls; where there are none the thread is given up."""
        with cls._busy_lock:
            cls._busy = {watch for watch in cls._busy if watch._running}
            if not cls._busy:
                cls._thread = None
            return tuple(cls._busy)


def _look_on() -> None:
    """Look at every watch that has a running call, until there is none."""
    while busy := _Watch._still_busy():
        for watch in busy:
            watch.look()
        time.sleep(min(_LOOK_S, *(watch._after_s / 2 for watch in busy)))


def pause_s(error: TransientError, delay_s: float) -> float:
    """Return how long to wait before another try, of which `delay_s` is the caller's own delay."""
    return min(error.asked_s, MOST_ASKED_S) + delay_s


class RetryingStore(ObjectStore):
    """Wraps another `ObjectStore` (`inner`) and repeats calls after passing faults.

    Each call has `attempts` tries. The delay before try n is `draw` (uniform in [0, 1)) times
    min(cap_s, base_s * 2**n) seconds, and what the store asked for (`pause_s`). `tell` receives the
    sentence about a store that does not answer for `tell_after_s` seconds; without `tell` nothing
    is watched.
    """

    def __init__(
        self,
        inner: ObjectStore,
        *,
        attempts: int = 6,
        base_s: float = 0.1,
        cap_s: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
        tell: Callable[[str], None] | None = None,
        tell_after_s: float = TELL_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inner = inner
        self._attempts, self._base_s, self._cap_s, self._sleep, self._draw = (
            attempts,
            base_s,
            cap_s,
            sleep,
            draw,
        )
        self._watch: _Watch | None = None
        self._last_problem = ""
        if tell is not None:
            say = tell
            self._watch = _Watch(
                lambda: say(self._word(tell_after_s)), after_s=tell_after_s, clock=clock
            )

    @property
    def location(self) -> str:
        return self.inner.location

    @property
    def clock_skew_s(self) -> float | None:
        return self.inner.clock_skew_s

    @property
    def at_once(self) -> int:
        return self.inner.at_once

    @property
    def longest_wait_s(self) -> float | None:
        once = self.inner.longest_wait_s
        if once is None:
            return None
        pauses: float = sum(min(self._cap_s, self._base_s * 2**n) for n in range(1, self._attempts))
        return self._attempts * once + pauses

    def _word(self, after_s: float) -> str:
        longest = self.longest_wait_s
        until = "" if longest is None else f"waiting up to {longest:.0f} s; "
        reason = f", but for this: {self._last_problem}" if self._last_problem else ""
        return (
            f"the object store at {self.location} has not answered for {after_s:g} s{reason}; "
            f"{until}Ctrl-C stops"
        )

    @contextmanager
    def _watched(self) -> Iterator[Callable[[], None]]:
        if self._watch is None:
            yield lambda: None
            return
        with self._watch.call() as again:
            yield again

    def _each(self, answers: Iterator[T]) -> Iterator[T]:
        """Yield the answers, and watch while each one is waited for.

        The time that the caller takes between two answers is not watched.
        """
        while True:
            with self._watched():
                try:
                    answer = next(answers)
                except StopIteration:
                    return
            yield answer

    def _try(self, call: Callable[[], T]) -> T:
        self._last_problem = ""
        with self._watched():
            for attempt in range(1, self._attempts):
                try:
                    return call()
                except TransientError as error:
                    self._last_problem = error.problem
                    delay_s = self._draw() * min(self._cap_s, self._base_s * 2**attempt)
                    self._sleep(pause_s(error, delay_s))
            return call()

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        return self._try(lambda: self.inner.put_if_absent(key, data))

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return self._try(lambda: self.inner.read(key, max_bytes=max_bytes))

    def read_once(self, key: str, *, max_bytes: int) -> bytes:
        return self.inner.read_once(key, max_bytes=max_bytes)

    def create_once(self, key: str, data: bytes | memoryview) -> bool:
        return self.inner.create_once(key, data)

    def head(self, key: str) -> ObjectInfo | None:
        return self._try(lambda: self.inner.head(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._try(lambda: [*self.inner.list(prefix)]))

    def list_paged(self, prefix: str, size: int) -> Iterator[ObjectInfo]:
        return iter(self._try(lambda: [*self.inner.list_paged(prefix, size)]))

    def put_many(
        self, objects: Iterable[tuple[str, bytes | memoryview]]
    ) -> Iterator[tuple[str, bool | TransportError]]:
        # the data of objects that were handed on and have no answer yet, in order
        ahead: deque[bytes | memoryview] = deque()

        def remembered() -> Iterator[tuple[str, bytes | memoryview]]:
            for key, data in objects:
                ahead.append(data)
                yield key, data

        for key, answer in self._each(iter(self.inner.put_many(remembered()))):
            data = ahead.popleft()
            if isinstance(answer, TransientError):
                try:
                    answer = self.put_if_absent(key, data)
                except TransportError as error:
                    answer = error
            yield key, answer

    def read_many(
        self, keys: Iterable[str], *, max_bytes: int
    ) -> Iterator[tuple[str, bytes | TransportError]]:
        for key, outcome in self._each(iter(self.inner.read_many(keys, max_bytes=max_bytes))):
            if isinstance(outcome, TransientError):
                try:
                    outcome = self.read(key, max_bytes=max_bytes)
                except TransportError as error:
                    outcome = error
            yield key, outcome
