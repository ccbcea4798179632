"""PatientStore: passing faults are tried again, a bounded number of times, and nothing else is."""

import pytest

from hyperfed.adapters.memory import MemoryStore
from hyperfed.errors import AccessDenied, ObjectNotFound, TransientError
from hyperfed.patience import PatientStore
from hyperfed.store import ObjectInfo
from hyperfed.testing.faults import Fault, FaultPlan, FaultStore


class Denying(MemoryStore):
    asked = 0

    def head(self, key: str) -> ObjectInfo | None:
        self.asked += 1
        raise AccessDenied("no", subject=key)


def patient(plan: FaultPlan) -> tuple[PatientStore, FaultStore, list[float]]:
    slept: list[float] = []
    faulty = FaultStore(MemoryStore(), plan, sleep=slept.append)
    return PatientStore(faulty, attempts=4, base_s=1, cap_s=3, sleep=slept.append, draw=lambda: 0.5), faulty, slept


def test_a_fault_that_passes_is_not_seen() -> None:
    store, faulty, slept = patient(FaultPlan(at={1: Fault.LOST_REQUEST, 2: Fault.LOST_REQUEST, 4: Fault.LOST_REQUEST, 6: Fault.LOST_REQUEST}))
    assert store.put_if_absent("a", b"x") is True
    assert store.read("a", max_bytes=1) == b"x"
    assert [i.key for i in store.list("")] == ["a"]
    assert store.head("a") == ObjectInfo(key="a", size=1)
    assert faulty.operations == 8
    assert slept == [1.0, 1.5, 1.0, 1.0], "half of min(3, 2**n)"


def test_a_write_that_was_applied_answers_that_it_exists() -> None:
    store, _, _ = patient(FaultPlan(at={1: Fault.LOST_REPLY}))
    assert store.put_if_absent("a", b"x") is False
    assert store.read("a", max_bytes=1) == b"x"


def test_patience_ends() -> None:
    store, faulty, slept = patient(FaultPlan(lost_request=1.0))
    with pytest.raises(TransientError):
        store.read("a", max_bytes=1)
    assert faulty.operations == 4
    assert len(slept) == 3


def test_what_does_not_pass_is_asked_once() -> None:
    denying = Denying()
    with pytest.raises(AccessDenied):
        PatientStore(denying, sleep=lambda _: None).head("a")
    assert denying.asked == 1


def test_many_are_tried_again_one_by_one() -> None:
    store, _, _ = patient(FaultPlan(at={3: Fault.LOST_REQUEST}))
    store.put_if_absent("a", b"1")
    store.put_if_absent("b", b"2")
    found = dict(store.read_many(["a", "b", "c"], max_bytes=9))
    assert found["a"] == b"1"
    assert found["b"] == b"2"
    assert isinstance(found["c"], ObjectNotFound)


def test_put_many_tries_again_what_passed_and_keeps_the_order() -> None:
    store, _, _ = patient(FaultPlan(at={2: Fault.LOST_REQUEST, 3: Fault.LOST_REPLY}))
    answers = list(store.put_many([(f"k/{i}", b"%d" % i) for i in range(4)]))
    assert [key for key, _ in answers] == [f"k/{i}" for i in range(4)]
    assert {key: store.read(key, max_bytes=9) for key, _ in answers} == {f"k/{i}": b"%d" % i for i in range(4)}
    assert all(type(answer) is bool for _, answer in answers)
