"""An update counts as sent only where it can be read back from the client's own slot."""

import pytest

from hyperfed.client.own_slots import write_first_slot, write_free_slot
from hyperfed.errors import AccessDenied, ObjectNotFound, RefusedError, TransportError
from hyperfed.storage.memory import MemoryStore


class Swallows(MemoryStore):
    """A sign-in page or a proxy that answers 200 and keeps the upload."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        return True


class Changes(MemoryStore):
    """Something on the way that changes what is sent."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        return super().put_if_absent(key, bytes(data) + b"!")


class WriteOnly(MemoryStore):
    def read(self, key: str, *, max_bytes: int) -> bytes:
        raise AccessDenied("may not be read", subject=key)


@pytest.mark.parametrize("kind", [Swallows, Changes])
def test_what_was_swallowed_or_changed_is_not_sent(kind: type[MemoryStore]) -> None:
    for write in (write_free_slot, write_first_slot):
        with pytest.raises(TransportError, match="not there as it was sent") as caught:
            write(kind(), "ann", 1, b"update")
        assert not isinstance(caught.value, ObjectNotFound)
        assert "sign-in page" in str(caught.value)


def test_a_retried_write_is_found_and_another_s_is_not_taken_for_it() -> None:
    store = MemoryStore()
    assert write_free_slot(store, "ann", 1, b"update") == "inbox/00000001/ann/0"
    assert write_free_slot(store, "ann", 1, b"update") == "inbox/00000001/ann/0"
    assert write_first_slot(store, "ann", 1, b"update") is True
    assert write_first_slot(store, "ann", 1, b"another, longer") is False
    assert write_free_slot(store, "ann", 1, b"another, longer") == "inbox/00000001/ann/1"
    for text in (b"3", b"4"):
        write_free_slot(store, "ann", 1, text)
    before = [*store.list("")]
    with pytest.raises(RefusedError, match="slots of round 1 are used"):
        write_free_slot(store, "ann", 1, b"5")
    assert [*store.list("")] == before


def test_a_client_that_may_not_read_its_inbox_believes_the_answer() -> None:
    store = WriteOnly()
    assert write_free_slot(store, "ann", 1, b"a") == "inbox/00000001/ann/0"
    assert write_free_slot(store, "ann", 1, b"a") == "inbox/00000001/ann/1"
