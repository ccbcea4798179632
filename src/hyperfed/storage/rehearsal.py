"""Read a real store and write to memory only, for dry runs (`RehearsalStore`).

1. Nothing is ever written to the store below. Objects of that store can be read, and what was
   written here is read back.
2. Create-only holds over both: a key that exists in the store below is not created.

What it does not do: notice that somebody else meanwhile writes a key to the store below that was
created here.
"""

from collections.abc import Iterator

from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectInfo, ObjectStore

__all__ = ["RehearsalStore"]


class RehearsalStore(ObjectStore):
    """Keeps in memory what is written to it, on top of another store, as an `ObjectStore`.

    `below` is the real store; `above` holds what the rehearsal has written.
    """

    def __init__(self, below: ObjectStore) -> None:
        self.below, self.above = below, MemoryStore()

    @property
    def location(self) -> str:
        return self.below.location

    @property
    def clock_skew_s(self) -> float | None:
        return self.below.clock_skew_s

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        return self.below.head(key) is None and self.above.put_if_absent(key, data)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return (self.below if self.above.head(key) is None else self.above).read(
            key, max_bytes=max_bytes
        )

    def head(self, key: str) -> ObjectInfo | None:
        return self.above.head(key) or self.below.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        info_of = {
            info.key: info for store in (self.below, self.above) for info in store.list(prefix)
        }
        return iter(sorted(info_of.values(), key=lambda info: info.key))
