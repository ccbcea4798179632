"""RetryingStore: passing faults are tried again, a bounded number of times, and nothing else is."""

import copy
import threading

import pytest

from hyperfed.errors import AccessDenied, ObjectNotFound, TransientError
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.retrying import MOST_ASKED_S, RetryingStore
from hyperfed.storage.store import ObjectInfo
from hyperfed.testing.faults import Fault, FaultPlan, FaultStore


class Denying(MemoryStore):
    asked = 0

    def head(self, key: str) -> ObjectInfo | None:
        self.asked += 1
        raise AccessDenied("no", subject=key)


def patient(plan: FaultPlan) -> tuple[RetryingStore, FaultStore, list[float]]:
    slept: list[float] = []
    faulty = FaultStore(MemoryStore(), plan, sleep=slept.append)
    return (
        RetryingStore(faulty, attempts=4, base_s=1, cap_s=3, sleep=slept.append, draw=lambda: 0.5),
        faulty,
        slept,
    )


def test_a_fault_that_passes_is_not_seen() -> None:
    store, faulty, slept = patient(
        FaultPlan(
            at={
                1: Fault.LOST_REQUEST,
                2: Fault.LOST_REQUEST,
                4: Fault.LOST_REQUEST,
                6: Fault.LOST_REQUEST,
            }
        )
    )
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


def test_tries_end() -> None:
    store, faulty, slept = patient(FaultPlan(lost_request=1.0))
    with pytest.raises(TransientError):
        store.read("a", max_bytes=1)
    assert faulty.operations == 4
    assert len(slept) == 3


def test_what_does_not_pass_is_asked_once() -> None:
    denying = Denying()
    with pytest.raises(AccessDenied):
        RetryingStore(denying, sleep=lambda _: None).head("a")
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
    assert {key: store.read(key, max_bytes=9) for key, _ in answers} == {
        f"k/{i}": b"%d" % i for i in range(4)
    }
    assert all(type(answer) is bool for _, answer in answers)


class Busy(MemoryStore):
    """A store that asks to be left alone for some seconds, and works after `refusals` refusals."""

    def __init__(self, *, asked_s: float, refusals: int) -> None:
        super().__init__()
        self.asked_s, self.refusals = asked_s, refusals

    def read(self, key: str, *, max_bytes: int) -> bytes:
        self.refusals -= 1
        if self.refusals >= 0:
            raise TransientError("503 SlowDown", subject=key, asked_s=self.asked_s)
        return b"x"


@pytest.mark.parametrize(
    ("asked_s", "pauses"),
    [(0.0, [1.0, 1.5]), (2.0, [3.0, 3.5]), (86_400.0, [MOST_ASKED_S + 1, MOST_ASKED_S + 1.5])],
)
def test_what_a_store_asks_for_is_waited_within_bounds(asked_s: float, pauses: list[float]) -> None:
    slept: list[float] = []
    options = {"attempts": 3, "base_s": 1, "cap_s": 3, "sleep": slept.append, "draw": lambda: 0.5}
    patient = RetryingStore(Busy(asked_s=asked_s, refusals=2), **options)  # type: ignore[arg-type]
    assert patient.read("a", max_bytes=1) == b"x"
    assert slept == pauses
    ending = RetryingStore(Busy(asked_s=asked_s, refusals=3), **options)  # type: ignore[arg-type]
    with pytest.raises(TransientError, match="503 SlowDown"):
        ending.read("a", max_bytes=1)
    assert slept == pauses * 2


def test_what_a_store_asks_for_survives_a_process_boundary() -> None:
    error = TransientError("503 SlowDown", subject="a", remedy="Try again", asked_s=2.5)
    twin = copy.copy(error)  # by what is sent to another process
    assert (str(twin), twin.asked_s) == (str(error), 2.5)


def test_who_waits_for_a_store_that_refuses_is_told_what_it_says() -> None:
    told, was_told = [], threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        was_told.set()

    def wait(_: float) -> None:
        assert was_told.wait(30)

    store = RetryingStore(
        Busy(asked_s=0.0, refusals=1),
        sleep=wait,
        tell=tell,
        tell_after_s=0.05,
    )
    assert store.read("a", max_bytes=1) == b"x"
    assert told == [
        "the object store at Busy has not answered for 0.05 s, but for this: 503 SlowDown; "
        "Ctrl-C stops"
    ]
