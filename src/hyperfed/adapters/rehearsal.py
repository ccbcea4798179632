"""`RehearsalStore`: another store as it is, and on top of it, in memory only, what is written here: a dry run's drop-box.

1. Nothing is ever written to the store below. What lies there is read; what was written here is read back.
2. Create-only holds over both: a key that exists below is not created.

What it does not do: notice who writes below meanwhile to a key that was created here.
"""

from collections.abc import Iterator

from hyperfed.adapters.memory import MemoryStore
from hyperfed.store import ObjectInfo, ObjectStore

__all__ = ["RehearsalStore"]


class RehearsalStore(ObjectStore):
    """below: the real store; above: what a rehearsal has written."""

    def __init__(self, below: ObjectStore) -> None:
        self.below, self.above = below, MemoryStore()

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        return self.below.head(key) is None and self.above.put_if_absent(key, data)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return (self.below if self.above.head(key) is None else self.above).read(key, max_bytes=max_bytes)

    def head(self, key: str) -> ObjectInfo | None:
        return self.above.head(key) or self.below.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        found = {info.key: info for store in (self.below, self.above) for info in store.list(prefix)}
        return iter(sorted(found.values(), key=lambda info: info.key))
