"""`PatientStore`: an object store whose passing faults are tried again.

1. Only `TransientError` is tried again, a bounded number of times, with exponential delays and full jitter (the sleep is an argument).
2. Writing again is safe: a write that was applied and reported as failed answers False the second time, and the caller reads and compares.

What it does not do: hide that an outcome is unknown. When the tries are used up, the last error comes out.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from hyperfed.errors import TransientError, TransportError
from hyperfed.store import ObjectInfo, ObjectStore

__all__ = ["PatientStore"]

T = TypeVar("T")


class PatientStore(ObjectStore):
    """attempts: tries for each call; base_s, cap_s: the delay before try n is up to min(cap_s, base_s * 2**n), drawn from `draw` (uniform in [0, 1))."""

    def __init__(
        self,
        inner: ObjectStore,
        *,
        attempts: int = 6,
        base_s: float = 0.1,
        cap_s: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.inner = inner
        self._attempts, self._base_s, self._cap_s, self._sleep, self._draw = attempts, base_s, cap_s, sleep, draw

    def _try(self, call: Callable[[], T]) -> T:
        for attempt in range(1, self._attempts):
            try:
                return call()
            except TransientError:
                self._sleep(self._draw() * min(self._cap_s, self._base_s * 2**attempt))
        return call()

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        return self._try(lambda: self.inner.put_if_absent(key, data))

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return self._try(lambda: self.inner.read(key, max_bytes=max_bytes))

    def head(self, key: str) -> ObjectInfo | None:
        return self._try(lambda: self.inner.head(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._try(lambda: [*self.inner.list(prefix)]))

    def put_many(self, objects: Iterable[tuple[str, bytes | memoryview]]) -> Iterator[tuple[str, bool | TransportError]]:
        ahead: deque[bytes | memoryview] = deque()  # what was handed on and has no answer yet, in order

        def remembered() -> Iterator[tuple[str, bytes | memoryview]]:
            for key, data in objects:
                ahead.append(data)
                yield key, data

        for key, answer in self.inner.put_many(remembered()):
            data = ahead.popleft()
            if isinstance(answer, TransientError):
                try:
                    answer = self.put_if_absent(key, data)
                except TransportError as error:
                    answer = error
            yield key, answer

    def read_many(self, keys: Iterable[str], *, max_bytes: int) -> Iterator[tuple[str, bytes | TransportError]]:
        for key, found in self.inner.read_many(keys, max_bytes=max_bytes):
            if isinstance(found, TransientError):
                try:
                    found = self.read(key, max_bytes=max_bytes)
                except TransportError as error:
                    found = error
            yield key, found
