"""Keep objects in this process, for tests and simulations (`MemoryStore`).

1. Every operation holds one lock: a race has one winner, and a written object can be read and
   listed at once.
2. The store keeps a copy of what is written, which nobody can change afterwards.
3. Listing works on a copy of the keys, so objects created meanwhile do not disturb it.

What it does not do: outlive its process.
"""

import threading
from collections.abc import Iterator

from hyperfed.errors import ObjectNotFound, ObjectTooLarge
from hyperfed.storage.store import ObjectInfo, ObjectStore, check_key, check_prefix

__all__ = ["MemoryStore"]


class MemoryStore(ObjectStore):
    """Keeps objects in memory, which threads can share, as an `ObjectStore`."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        check_key(key)
        copy = bytes(data)
        with self._lock:
            if key in self._objects:
                return False
            self._objects[key] = copy
            return True

    def read(self, key: str, *, max_bytes: int) -> bytes:
        check_key(key)
        with self._lock:
            data = self._objects.get(key)
        if data is None:
            raise ObjectNotFound("there is no such object", subject=f"memory:{key}")
        if len(data) > max_bytes:
            raise ObjectTooLarge(
                f"holds {len(data)} bytes; at most {max_bytes} are read", subject=f"memory:{key}"
            )
        return data

    def head(self, key: str) -> ObjectInfo | None:
        check_key(key)
        with self._lock:
            data = self._objects.get(key)
        return None if data is None else ObjectInfo(key=key, size=len(data))

    def forget(self, key: str) -> None:
        """Erase `key` if it exists. Only `storage.erasing` calls this."""
        with self._lock:
            self._objects.pop(key, None)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        with self._lock:
            infos = [
                ObjectInfo(key=key, size=len(data))
                for key, data in self._objects.items()
                if key.startswith(prefix)
            ]
        return iter(sorted(infos, key=lambda info: info.key))
