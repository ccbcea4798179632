"""A bucket, proxy or rule that honours create-only writes below `probe/` only (R-114)."""

from collections.abc import Iterator

import pytest

from hyperfed.errors import StoreUnsuitable
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.probe import probe
from hyperfed.storage.store import ObjectInfo, ObjectStore
from hyperfed.testing.federation import SmallFederation


class Door(ObjectStore):
    """Honest below probe/. Elsewhere it swallows writes of one kind, or lets another's replace
    them at once.
    """

    def __init__(self, inner: MemoryStore, ending: str, replacement: bytes | None) -> None:
        self.inner, self.ending, self.replacement = inner, ending, replacement

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if not key.startswith("probe/") and key.endswith(self.ending):
            if self.replacement is not None:
                self.inner.put_if_absent(key, self.replacement)
            return True
        return self.inner.put_if_absent(key, data)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return self.inner.read(key, max_bytes=max_bytes)

    def head(self, key: str) -> ObjectInfo | None:
        return self.inner.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self.inner.list(prefix)


@pytest.mark.parametrize("replacement", [None, b"another coordinator's"])
@pytest.mark.parametrize(
    "key", [Keys.freeze(1), Keys.ledger(1), Keys.result(1), Keys.state(1), Keys.ledger(2)]
)
def test_what_was_confirmed_and_is_not_there_stops_the_round(
    key: str, replacement: bytes | None
) -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all(round_id=1)
    door = Door(fed.store, key, replacement)
    probe(door)
    with pytest.raises(StoreUnsuitable, match="said that it created this object") as caught:
        fed.runner(1, store=door).run(1)
    assert caught.value.subject == key
    if replacement is None:
        assert fed.run(1).why is Why.COMMITTED  # the honest twin, on the store behind the door
