"""FaultStore does what its docstring says, the same every time."""

import contextlib

import numpy as np
import pytest

from hyperfed.errors import ConfigError, TransientError
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.faults import Fault, FaultPlan, FaultStore, Killed


def faulty(fault: Fault, at: int = 1) -> FaultStore:
    return FaultStore(MemoryStore(), FaultPlan(at={at: fault}), sleep=lambda _: None)


def test_a_lost_request_was_not_carried_out() -> None:
    store = faulty(Fault.LOST_REQUEST)
    with pytest.raises(TransientError):
        store.put_if_absent("k", b"x")
    assert store.inner.head("k") is None
    assert store.put_if_absent("k", b"x") is True


def test_a_lost_reply_was_carried_out() -> None:
    store = faulty(Fault.LOST_REPLY)
    with pytest.raises(TransientError):
        store.put_if_absent("k", b"x")
    assert store.inner.read("k", max_bytes=1) == b"x"
    assert store.put_if_absent("k", b"x") is False


def test_the_caller_cannot_tell_them_apart() -> None:
    told = []
    for fault in (Fault.LOST_REQUEST, Fault.LOST_REPLY):
        with pytest.raises(TransientError) as caught:
            faulty(fault).put_if_absent("k", b"x")
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_a_duplicate_reports_its_own_first_write_as_another_s() -> None:
    store = faulty(Fault.DUPLICATE)
    assert store.put_if_absent("k", b"x") is False
    assert store.inner.read("k", max_bytes=1) == b"x"


def test_a_stall_sleeps_only_through_the_injected_function() -> None:
    slept: list[float] = []
    store = FaultStore(
        MemoryStore(), FaultPlan(at={1: Fault.STALL}, stall_s=30.0), sleep=slept.append
    )
    assert store.put_if_absent("k", b"x") is True
    assert store.head("k") is not None
    assert slept == [30.0]


def test_reads_and_listings_are_lost_too() -> None:
    store = FaultStore(
        MemoryStore(),
        FaultPlan(at={2: Fault.LOST_REPLY, 3: Fault.LOST_REQUEST, 4: Fault.LOST_REPLY}),
    )
    store.put_if_absent("k", b"x")
    for call in (
        lambda: store.read("k", max_bytes=1),
        lambda: store.head("k"),
        lambda: store.list(""),
    ):
        with pytest.raises(TransientError):
            call()
    assert [entry[0] for entry in store.log] == ["put", "read", "head", "list"]


def test_read_many_counts_every_read() -> None:
    store = faulty(Fault.LOST_REPLY, at=3)
    store.put_if_absent("a", b"1")
    answers = dict(store.read_many(["a", "a2"], max_bytes=1))
    assert answers["a"] == b"1"
    assert store.operations == 3


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_it_dies_after_the_nth_operation_and_stays_dead(n: int) -> None:
    store = FaultStore(MemoryStore())
    store.die_after(n)
    done = 0
    for i in range(4):
        try:
            store.put_if_absent(f"k{i}", b"x")
            done += 1
        except Killed:
            break
    assert done == max(0, n - 1), "the last operation's answer is never seen"
    assert len([*store.inner.list("")]) == n, "exactly n were carried out"
    with pytest.raises(Killed):
        store.head("k0")
    with pytest.raises(Killed):
        [*store.list("")]
    assert store.operations == n
    store.revive()
    assert len([*store.list("")]) == n


def test_no_except_exception_survives_a_death() -> None:
    assert not issubclass(Killed, Exception)
    store = FaultStore(MemoryStore())
    store.die_after(1)
    with pytest.raises(Killed):  # also where the last operation itself fails
        store.read("missing", max_bytes=1)


def outcomes(seed: int | np.random.Generator) -> list[Fault | None]:
    store = FaultStore(
        MemoryStore(),
        FaultPlan(lost_request=0.2, lost_reply=0.2, duplicate=0.2, stall=0.2),
        rng=seed,
        sleep=lambda _: None,
    )
    for i in range(300):
        with contextlib.suppress(TransientError):
            store.put_if_absent(f"k{i}", b"x")
    return [fault for _, _, fault in store.log]


def test_one_seed_gives_one_history() -> None:
    assert outcomes(7) == outcomes(7) == outcomes(np.random.default_rng(7))
    assert outcomes(7) != outcomes(8)


def test_the_rates_are_kept() -> None:
    seen = outcomes(3)
    for fault in (*Fault, None):
        assert 30 <= seen.count(fault) <= 90


def test_without_a_plan_nothing_fails() -> None:
    store = FaultStore(MemoryStore())
    assert all(store.put_if_absent(f"k{i}", b"x") for i in range(100))


@pytest.mark.parametrize(
    "rates", [{"lost_reply": 1.5}, {"stall": -0.1}, {"lost_reply": 0.6, "lost_request": 0.6}]
)
def test_rates_that_are_no_probabilities_are_refused(rates: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        FaultPlan(**rates)
