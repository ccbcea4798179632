"""Coordinators that take turns: each is a thread whose every store operation waits to be granted,
so that a test decides the order and the faults.

`Box` is the drop-box: it remembers what was ever readable, and can be told to overwrite, as a
careless coordinator would.
"""

import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Any

from hyperfed.crypto.envelope import Header, PacketType, digest_of, open_envelope
from hyperfed.errors import HyperfedError, PacketError, TransientError
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectInfo, ObjectStore
from hyperfed.testing.faults import Fault, Killed

__all__ = ["Actor", "Box"]

_TIMEOUT_S = 60


class Box(MemoryStore):
    """released: per round the digests of all results that were ever readable, wherever;
    overwritten: keys whose bytes changed.
    """

    def __init__(self, *, over: Collection[str] = ()) -> None:
        super().__init__()
        self.over = tuple(over)
        self.overwritten: list[str] = []
        self.released: dict[int, set[bytes]] = defaultdict(set)

    def copy(self, *, over: Collection[str] = ()) -> "Box":
        box = Box(over=over or self.over)
        box._objects = dict(self._objects)
        for round_id, digests in self.released.items():
            box.released[round_id] = set(digests)
        return box

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        if (
            any(f"/{name}" in f"/{key}" for name in self.over)
            and self._objects.get(key, data) != data
        ):
            self.overwritten.append(key)
            del self._objects[key]
        created = super().put_if_absent(key, data)
        if created:
            self._note(bytes(data))
        return created

    def _note(self, data: bytes) -> None:
        try:
            envelope = open_envelope(data)
        except PacketError:
            return
        if envelope.type == PacketType.RESULT:
            header = Header.from_bytes(bytes(envelope.header_bytes))
            self.released[header.round].add(digest_of(envelope.type, envelope.header_bytes))


class Actor(ObjectStore):
    """One coordinator at `box`. work: gets this store, and is carried out operation by operation,
    one for each `step`.
    """

    def __init__(self, box: ObjectStore, work: Callable[[ObjectStore], Any]) -> None:
        self.box, self.operations = box, 0
        self.result: Any = None
        self.error: HyperfedError | None = None
        self._asked: queue.Queue[str | None] = queue.Queue()
        self._granted: queue.Queue[Fault | type[Killed] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._main, args=(work,), daemon=True)
        self._thread.start()
        self.wants = self._asked.get(timeout=_TIMEOUT_S)

    def _main(self, work: Callable[[ObjectStore], Any]) -> None:
        try:
            self.result = work(self)
        except HyperfedError as error:
            self.error = error
        except Killed:
            pass
        finally:
            self._asked.put(None)

    @property
    def done(self) -> bool:
        return self.wants is None

    def step(self, fault: Fault | None = None) -> None:
        """Grant the operation that is waited for."""
        self._granted.put(fault)
        self.wants = self._asked.get(timeout=_TIMEOUT_S)
        self.operations += 1

    def finish(self) -> "Actor":
        while not self.done:
            self.step()
        return self

    def kill(self) -> None:
        if not self.done:
            self._granted.put(Killed)
            self.wants = self._asked.get(timeout=_TIMEOUT_S)

    def _do(self, name: str, key: str, operation: Callable[[], Any]) -> Any:
        self._asked.put(f"{name} {key}")
        # one that nobody grants anything any more waits in its daemon thread, and ends with the
        # process
        fault = self._granted.get()
        if fault is Killed:
            raise Killed
        if fault is Fault.LOST_REQUEST:
            raise TransientError("no answer came", subject=key)
        answer = operation()
        if fault is Fault.LOST_REPLY:
            raise TransientError("no answer came", subject=key)
        return operation() if fault is Fault.DUPLICATE and name == "put" else answer

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        return bool(self._do("put", key, lambda: self.box.put_if_absent(key, data)))

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return bytes(self._do("read", key, lambda: self.box.read(key, max_bytes=max_bytes)))

    def head(self, key: str) -> ObjectInfo | None:
        return self._do("head", key, lambda: self.box.head(key))  # type: ignore[no-any-return]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._do("list", prefix, lambda: [*self.box.list(prefix)]))
