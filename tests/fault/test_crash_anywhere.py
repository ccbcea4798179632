"""Crash anywhere: the coordinator dies after each of its store operations in turn, is started
again, and everything holds: one freeze (R-63), one reserve (R-64), state before commit (R-67),
receipts at last (R-68).

In memory for every operation of four kinds of night; with a real SIGKILL in a process of its own,
against SeaweedFS, for every operation of one.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hyperfed.config import Limits
from hyperfed.errors import RoundError
from hyperfed.operations.audit import audit
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.faults import FaultPlan, FaultStore, Killed
from hyperfed.testing.federation import SmallFederation
from tests.fault.invariants import check_dropbox

ROOT = Path(__file__).parents[2]
# -> federation, round to run, nights of delay, rounds to check
Night = Callable[[], tuple[SmallFederation, int, float, tuple[int, ...]]]


def everyone() -> tuple[SmallFederation, int, float, tuple[int, ...]]:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    return fed, 1, 0, (1,)


def late_and_corrected() -> tuple[SmallFederation, int, float, tuple[int, ...]]:
    """Round 2 counts site-03's update of round 1, refuses site-01's correction of an update that
    was counted, and supersedes one.
    """
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all(but=["site-03"])
    fed.run(1)
    fed.open(2)
    fed.submit("site-03", round_id=1)
    fed.submit("site-01", round_id=1)
    fed.submit_all(round_id=2, but=["site-03"])
    fed.submit("site-02", round_id=2)
    return fed, 2, 0, (1, 2)


def below_quorum_at_the_end() -> tuple[SmallFederation, int, float, tuple[int, ...]]:
    fed = SmallFederation()
    fed.open(1)
    fed.submit("site-01")
    return fed, 1, 2, (1,)


def unfinished_predecessor() -> tuple[SmallFederation, int, float, tuple[int, ...]]:
    """Round 1 was reserved and then given up; round 2 voids it first, and counts what it had
    frozen.
    """
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all(but=["site-03"])
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    runner.reserve(1)
    fed.open(2)
    fed.submit_all(round_id=2, but=["site-02"])
    return fed, 2, 0, (1, 2)


def several_packs() -> tuple[SmallFederation, int, float, tuple[int, ...]]:
    """Round 2 of five clients, one of them late, in three packs."""
    fed = SmallFederation(clients=5, limits=Limits(pack_bytes=2600))
    fed.open(1)
    fed.submit_all(but=["site-04"])
    fed.run(1)
    fed.open(2)
    fed.submit("site-04", round_id=1)
    fed.submit_all(round_id=2, but=["site-04"])
    return fed, 2, 0, (1, 2)


NIGHTS: list[Night] = [
    everyone,
    late_and_corrected,
    below_quorum_at_the_end,
    unfinished_predecessor,
    several_packs,
]


@pytest.mark.parametrize("night", NIGHTS)
def test_a_crash_after_any_operation_changes_nothing_of_the_outcome(night: Night) -> None:
    fed, round_id, delay, rounds = night()
    now = fed.night(round_id) + timedelta(days=delay)
    calm = fed.twin(MemoryStore())
    counting = FaultStore(calm.store)
    calm.runner(round_id, now=now, store=counting).run(round_id)
    expected = calm.objects()
    check_dropbox(calm, rounds=rounds)
    assert counting.operations > 15
    for operation in range(counting.operations + 1):
        twin = fed.twin(MemoryStore())
        dying = FaultStore(twin.store)
        dying.die_after(operation)
        if operation < counting.operations:
            with pytest.raises(Killed):
                twin.runner(round_id, now=now, store=dying).run(round_id)
        twin.run(round_id, now=now)
        assert twin.objects() == expected, f"after a crash at operation {operation}"
    before = twin.objects()
    twin.run(round_id, now=now + timedelta(hours=5))
    assert twin.objects() == before, "a rerun after the end adds something"


def test_what_arrives_after_a_crash_lies_in_other_packs_and_the_earlier_ones_do_no_harm() -> None:
    """The first process dies before its freeze; then a late update comes, which is judged before
    all others: it changes every pack.
    """
    fed = SmallFederation(clients=5, limits=Limits(pack_bytes=2600))
    fed.open(1)
    fed.submit_all(but=["site-04"])
    fed.run(1)
    fed.open(2)
    fed.submit_all(round_id=2, but=["site-04"])
    left: set[int] = set()
    for operation in range(1, 60):
        twin = fed.twin(MemoryStore())
        dying = FaultStore(twin.store)
        dying.die_after(operation)
        _run_until_death(twin, 2, dying, fed.night(2))
        if twin.objects(Keys.freeze(2)):
            break
        twin.submit("site-04", round_id=1)
        assert twin.run(2).counted == 5
        check_dropbox(twin, rounds=(1, 2))
        found = audit(twin.store, twin.fingerprint, twin.coordinator)
        assert found.findings == ()
        left |= {int(remark.split()[3]) for remark in found.remarks}
    assert operation > 10
    assert left == {1, 2}, "packs that no freeze names"


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("night", NIGHTS)
def test_two_crashes_and_other_clocks_leave_everything_right(night: Night) -> None:
    """The second process and the third start at other instants, so that freeze times differ; the
    invariants hold, whatever was decided.
    """
    fed, round_id, delay, rounds = night()
    now = fed.night(round_id) + timedelta(days=delay)
    for first in range(0, 48, 4):
        for second in (3, 17):
            twin = fed.twin(MemoryStore())
            for operations, hours in ((first, 0), (second, 1)):
                dying = FaultStore(twin.store)
                dying.die_after(operations)
                _run_until_death(twin, round_id, dying, now + timedelta(hours=hours))
            twin.run(round_id, now=now + timedelta(hours=2))
            check_dropbox(twin, rounds=rounds)


def _run_until_death(fed: SmallFederation, round_id: int, store: ObjectStore, now: object) -> None:
    try:
        fed.runner(round_id, now=now, store=store).run(round_id)  # type: ignore[arg-type]
    except Killed:
        return


@pytest.mark.parametrize("night", [everyone, late_and_corrected])
def test_every_stage_in_a_process_of_its_own_and_twice(night: Night) -> None:
    """What a flow does: nothing passes between the stages but what they return, and each may be run
    again at any time.
    """
    fed, round_id, _, rounds = night()
    fed.runner(round_id).collect(round_id)
    arrivals = fed.runner(round_id).collect(round_id)
    fed.runner(round_id).validate(arrivals)
    admission = fed.runner(round_id).validate(arrivals)
    assert not fed.objects(Keys.freeze(round_id)), "collecting and validating decide nothing"
    for stage in ("reserve", "release", "conclude"):
        with pytest.raises(RoundError, match="not frozen yet"):
            getattr(fed.runner(round_id), stage)(round_id)
    for _ in range(2):
        assert fed.runner(round_id).freeze(round_id, admission).counted == 3
    assert len(fed.objects("ledger/")) == 2 * (round_id - 1), "freezing reserves nothing"
    for stage, there in (
        ("reserve", None),
        ("release", Keys.result(round_id)),
        ("conclude", Keys.state(round_id)),
    ):
        for _ in range(2):
            assert (
                not fed.runner(round_id).collect(round_id).missing
                or fed.runner(round_id).collect(round_id).decided
            )
            getattr(fed.runner(round_id), stage)(round_id)
            assert there is None or fed.objects(there)
    check_dropbox(fed, rounds=rounds)


@pytest.mark.parametrize("seed", range(8))
def test_the_round_ends_right_in_bad_weather(seed: int) -> None:
    """30 % of all store calls fail, stall or repeat; the patient store tries again."""
    fed, round_id, _, rounds = late_and_corrected()
    weather = FaultPlan(lost_request=0.1, lost_reply=0.1, duplicate=0.05, stall=0.05)
    slept: list[float] = []
    bad = FaultStore(fed.store, weather, rng=seed, sleep=slept.append)
    stage = fed.runner(round_id, store=RetryingStore(bad, sleep=slept.append)).run(round_id)
    assert stage.counted == 3
    assert any(fault for _, _, fault in bad.log)
    assert slept
    check_dropbox(fed, rounds=rounds)


@pytest.mark.slow
@pytest.mark.seaweedfs
@pytest.mark.timeout(600)
def test_a_real_sigkill_after_any_operation_against_a_real_server(
    victim: Iterator[tuple[object, Callable[[int, str], str]]],
) -> None:
    fed, round_id, _, rounds = late_and_corrected()
    server, kill = victim  # type: ignore[misc]
    calm = fed.twin(MemoryStore())
    calm.run(round_id)
    expected = calm.objects()
    for operation in range(1, 400):
        store = server.store("crash", prefix=f"n{operation:03d}", create=operation == 1)
        twin = fed.twin(store)
        how = kill(operation, f"n{operation:03d}")
        twin.run(round_id)
        assert twin.objects() == expected, f"after SIGKILL at operation {operation}"
        store.close()
        if how == "ended":
            break
    else:
        raise AssertionError("the victim never came to its end")
    assert operation > 30
    check_dropbox(twin, rounds=rounds)


@pytest.fixture
def victim() -> Iterator[tuple[object, Callable[[int, str], str]]]:
    """A server, and a function that runs the round in a forked process which sends itself SIGKILL
    after so many operations.
    """
    from hyperfed.testing.seaweedfs import SeaweedFS

    with SeaweedFS() as server:
        server.store("crash").close()
        key = server.credentials()
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.fault.victim",
                server.endpoint_url,
                "crash",
                key.access_key,
                key.secret_key,
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        assert process.stdout

        def kill(operation: int, prefix: str) -> str:
            print(operation, prefix, file=process.stdin, flush=True)
            return process.stdout.readline().strip()  # type: ignore[union-attr]

        try:
            yield server, kill  # type: ignore[misc]
        finally:
            process.stdin.close()
            process.wait(30)
            process.stdout.close()
