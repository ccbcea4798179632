"""Whoever dies after whichever operation of a night of secure sums: what lies in the drop-box at
last is the same, and no helper answers twice (R-165, R-173).

Clients and helpers die in memory, where a session of its own goes on with what was on their disks.
"""

import copy
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from hyperfed.client.helper_night import HelperNight
from hyperfed.errors import QuorumMissed
from hyperfed.protocol.object_keys import parse_key
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.faults import FaultStore, Killed
from tests.secure_night import SecureNight, update

Act = Callable[[SecureNight, ObjectStore], object]


def copied(night: SecureNight) -> SecureNight:
    """Return the same night at a drop-box of its own, with copies of all disks."""
    twin = copy.copy(night)
    twin.federation = night.federation.twin(MemoryStore())
    twin.memories = copy.deepcopy(night.memories)
    return twin


def later(night: SecureNight) -> datetime:
    return night.federation.night(1) + timedelta(minutes=5)


def submits(night: SecureNight, store: ObjectStore) -> None:
    fed = night.federation
    session = fed.session("ward-1", store=store)
    session.submit(update(0), now=fed.opens(1) + timedelta(hours=1), plan=session.plan(1))


def visits(now: Callable[[SecureNight], datetime]) -> Act:
    def visit(night: SecureNight, store: ObjectStore) -> None:
        session = night.federation.session("help-1", store=store)
        HelperNight(session, night.memories["help-1"]).visit(now=now(night))

    return visit


def runs(night: SecureNight, store: ObjectStore) -> None:
    runner = night.federation.runner(1, now=later(night), store=store)
    try:
        runner.run(1)
    except QuorumMissed:  # it waits for helpers
        assert runner.reader.result(1) is None


def before_submit() -> SecureNight:
    night = SecureNight()
    night.opens()
    return night


def before_confirmation() -> SecureNight:
    night = before_submit()
    night.submit_all()
    return night


def before_freeze() -> SecureNight:
    night = before_confirmation()
    night.visits(now=night.federation.night(1))
    return night


def before_answer() -> SecureNight:
    night = before_freeze()
    with pytest.raises(QuorumMissed):
        night.federation.run(1)
    return night


def before_result() -> SecureNight:
    night = before_answer()
    night.visits(now=later(night))
    return night


@pytest.mark.parametrize(
    ("night", "act"),
    [
        (before_submit, submits),
        (before_confirmation, visits(lambda night: night.federation.night(1))),
        pytest.param(before_freeze, runs, marks=pytest.mark.slow),
        (before_answer, visits(later)),
        pytest.param(before_result, runs, marks=pytest.mark.slow),
    ],
    ids=["submit", "confirm", "freeze", "answer", "release"],
)
def test_a_crash_after_any_operation_changes_nothing_of_what_lies_there(
    night: Callable[[], SecureNight], act: Act
) -> None:
    start = night()
    calm = copied(start)
    counting = FaultStore(calm.federation.store)
    act(calm, counting)
    expected = shape(calm)
    assert counting.operations > 3
    for operation in range(counting.operations):
        twin = copied(start)
        dying = FaultStore(twin.federation.store)
        dying.die_after(operation)
        with pytest.raises(Killed):
            act(twin, dying)
        shown = twin.federation.objects()
        act(twin, twin.federation.store)
        assert shape(twin) == expected, f"after a crash at operation {operation}"
        after = twin.federation.objects()
        assert all(after[key] == data for key, data in shown.items()), "something changed"


def shape(night: SecureNight) -> dict[str, bytes]:
    """The drop-box's objects; of what is drawn anew (masks, seals, keys) only that it is there."""
    drawn = {"inbox", "openings", "accepted", "receipts", "receipt-pages"}
    return {
        key if parse_key(key).kind != "accepted" else "accepted": (
            b"" if parse_key(key).kind in drawn else data
        )
        for key, data in night.federation.objects().items()
    }
