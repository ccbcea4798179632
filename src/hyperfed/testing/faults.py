"""Do to an object store what networks do to one (`FaultStore`).

1. An operation is one put, read, head or listing. Operations are counted from 1, and `log` names
   them.
2. A lost request was not carried out, and an operation whose reply was lost was. The caller cannot
   tell them apart: both raise TransientError.
3. A duplicate puts twice and gives the second answer, so that an object that was just created is
   reported as "exists already".
4. A stall calls the injected `sleep` first. Nothing here sleeps on its own.
5. After `die_after(n)`, the n-th operation from then is carried out, but raises Killed in place of
   its answer. Later operations raise Killed and are not carried out, because the process is gone.
   Killed is a BaseException, so that `except Exception` does not survive it.
6. The same seed and the same operations give the same faults. Stores are strongly consistent, so
   listings are never incomplete here.
"""

import enum
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from hyperfed.errors import ConfigError, TransientError
from hyperfed.storage.store import ObjectInfo, ObjectStore

__all__ = ["Fault", "FaultPlan", "FaultStore", "Killed"]

T = TypeVar("T")


class Killed(BaseException):
    """Ends the process: it is raised in place of an answer."""


class Fault(enum.Enum):
    """Names what happens to one operation."""

    LOST_REQUEST = "lost request"
    """The operation is not carried out, and raises TransientError."""
    LOST_REPLY = "lost reply"
    """The operation is carried out, and raises TransientError."""
    DUPLICATE = "duplicate"
    """A put is carried out twice. Every other operation is left as it is."""
    STALL = "stall"
    """The operation is carried out after a sleep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Says how often each fault happens.

    Raises ConfigError unless the four rates are probabilities that sum to at most 1.
    """

    lost_request: float = 0.0
    """The probability of a lost request."""
    lost_reply: float = 0.0
    """The probability of a lost reply."""
    duplicate: float = 0.0
    """The probability of a duplicate."""
    stall: float = 0.0
    """The probability of a stall."""
    stall_s: float = 1.0
    """The seconds that a stall sleeps."""
    at: Mapping[int, Fault] = field(default_factory=dict)
    """The faults that are set for single operations, by the operation's number, from 1."""

    def __post_init__(self) -> None:
        rates = (self.lost_request, self.lost_reply, self.duplicate, self.stall)
        if not all(0 <= rate <= 1 for rate in rates) or sum(rates) > 1 + 1e-9:
            raise ConfigError(
                f"the rates {rates} are not probabilities that sum to at most 1",
                subject="FaultPlan",
            )


class FaultStore(ObjectStore):
    """Puts a bad network before an object store.

    Threads may share it. The order of operations is then the one in which the threads come.

    Args:
        inner: The store that carries operations out.
        plan: How often each fault happens; None: never.
        rng: The generator that draws the faults, or its seed.
        sleep: The function that a stall calls with its seconds.
    """

    def __init__(
        self,
        inner: ObjectStore,
        plan: FaultPlan | None = None,
        *,
        rng: np.random.Generator | int = 0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.inner, self.plan = inner, plan or FaultPlan()
        self._rng = np.random.default_rng(rng)
        self._sleep = sleep
        self._lock = threading.Lock()
        self._last: int | None = None
        self.operations = 0
        self.log: list[tuple[str, str, Fault | None]] = []

    def die_after(self, operations: int) -> None:
        """Carry out so many more operations, and die in place of the last one's answer.

        With 0 the process dies before the next operation. Raises ConfigError for a number below 0.
        """
        if operations < 0:
            raise ConfigError(f"die_after({operations}): 0 or more is needed", subject="FaultStore")
        with self._lock:
            self._last = self.operations + operations

    def revive(self) -> None:
        """Undo the death, as a new process on the same store does."""
        with self._lock:
            self._last = None

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        def put(fault: Fault | None) -> bool:
            created = self.inner.put_if_absent(key, data)
            return self.inner.put_if_absent(key, data) if fault is Fault.DUPLICATE else created

        return self._do("put", key, put)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return self._do("read", key, lambda _: self.inner.read(key, max_bytes=max_bytes))

    def head(self, key: str) -> ObjectInfo | None:
        return self._do("head", key, lambda _: self.inner.head(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._do("list", prefix, lambda _: [*self.inner.list(prefix)]))

    def _do(self, what: str, key: str, operation: Callable[[Fault | None], T]) -> T:
        with self._lock:
            if self._last is not None and self.operations >= self._last:
                raise Killed(f"dead before {what} {key}")
            self.operations += 1
            fault = self._fault(self.operations)
            dies = self._last is not None and self.operations == self._last
            self.log.append((what, key, fault))
        if fault is Fault.STALL:
            self._sleep(self.plan.stall_s)
        lost = TransientError(
            "no answer came", subject=key, remedy="Try again; the request may have been carried out"
        )
        if fault is Fault.LOST_REQUEST:
            if dies:
                raise Killed(f"dead in {what} {key}")
            raise lost
        try:
            answer = operation(fault)
        finally:
            if dies:
                raise Killed(f"dead after {what} {key}")
        if fault is Fault.LOST_REPLY:
            raise lost
        return answer

    def _fault(self, number: int) -> Fault | None:
        # each operation takes one draw, so that a fault that is set does not shift the others
        plan, draw = self.plan, float(self._rng.random())
        if number in plan.at:
            return plan.at[number]
        for rate, fault in (
            (plan.lost_request, Fault.LOST_REQUEST),
            (plan.lost_reply, Fault.LOST_REPLY),
            (plan.duplicate, Fault.DUPLICATE),
            (plan.stall, Fault.STALL),
        ):
            if draw < rate:
                return fault
            draw -= rate
        return None
