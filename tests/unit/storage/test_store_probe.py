"""The probe finds every store on which two coordinators could both win."""

import threading
from collections.abc import Iterator

import pytest

from hyperfed.errors import ObjectNotFound, StoreUnsuitable, TransientError
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.probe import probe
from hyperfed.storage.store import ObjectInfo
from hyperfed.testing.faults import Fault, FaultPlan, FaultStore


class Overwrites(MemoryStore):
    """Ignores If-None-Match."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        self._objects[key] = bytes(data)
        return True


class RefusesButOverwrites(MemoryStore):
    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        new = key not in self._objects
        self._objects[key] = bytes(data)
        return new


class ChecksThenWrites(MemoryStore):
    """Not atomic: fine one after the other, two winners in a race."""

    def __init__(self) -> None:
        super().__init__()
        self._both = threading.Barrier(2)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        if key in self._objects:
            return False
        if "race" in key:
            self._both.wait(timeout=20)
        self._objects[key] = bytes(data)
        return True


class ReadsLate(MemoryStore):
    def read(self, key: str, *, max_bytes: int) -> bytes:
        raise ObjectNotFound("not yet", subject=key)


class ListsLate(MemoryStore):
    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(())


class EndsAtAFullPage(MemoryStore):
    """Says that there is more and not how to go on; the adapter takes that for the end."""

    def list_paged(self, prefix: str, size: int) -> Iterator[ObjectInfo]:
        return iter([*self.list(prefix)][:size])


class SaysYesToAll(MemoryStore):
    """Keeps the first, tells everyone they created it."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        created = super().put_if_absent(key, data)
        return created or "race" in key


@pytest.mark.parametrize(
    ("store", "says"),
    [
        (Overwrites(), "a second write to the same key was accepted"),
        (RefusesButOverwrites(), "changed the object"),
        (ReadsLate(), "cannot be read at once"),
        (ListsLate(), "not listed at once"),
        (EndsAtAFullPage(), "a listing in pages names 2 of 3 objects"),
        (SaysYesToAll(), "simultaneous writers"),
        (FaultStore(Overwrites()), "a second write to the same key was accepted"),
    ],
)
def test_an_unfit_store_is_refused_naming_what_failed(store: MemoryStore, says: str) -> None:
    with pytest.raises(StoreUnsuitable, match=says) as caught:
        probe(store)
    assert caught.value.subject.startswith("probe/")
    assert caught.value.rule == "R-1"


def test_a_race_with_two_winners_is_found() -> None:
    with pytest.raises(StoreUnsuitable, match="2 of 2 simultaneous writers"):
        probe(ChecksThenWrites(), racers=2)


def test_a_fit_store_passes_again_and_again_and_only_probe_is_written() -> None:
    store = MemoryStore()
    for _ in range(3):
        probe(store)
    assert len([*store.list("")]) == len([*store.list("probe/")]) == 9


def test_a_repeated_request_does_not_make_a_store_unfit() -> None:
    probe(FaultStore(MemoryStore(), FaultPlan(at={1: Fault.DUPLICATE})))


def test_a_lost_answer_is_transient_not_unfit() -> None:
    with pytest.raises(TransientError):
        probe(FaultStore(MemoryStore(), FaultPlan(at={1: Fault.LOST_REPLY})))
