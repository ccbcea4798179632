"""Whoever dies after whichever operation of a night of secure sums: what lies in the drop-box at
last is the same, and no helper answers twice (R-165, R-173).

Clients and helpers die in memory, where a session of its own goes on with what was on their disks.
"""

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hyperfed.client.helper_memory import HelperMemory
from hyperfed.client.helper_night import HelperNight
from hyperfed.errors import QuorumMissed
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.faults import FaultStore, Killed
from tests.secure_night import (
    SecureNight,
    before_answer,
    before_confirmation,
    before_freeze,
    before_result,
    before_submit,
    later,
    shape,
    update,
)

Act = Callable[[SecureNight, ObjectStore], object]


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
    calm = start.at_another(start.federation.objects())
    counting = FaultStore(calm.federation.store)
    act(calm, counting)
    expected = shape(calm.federation.objects())
    assert counting.operations > 3
    for operation in range(counting.operations):
        twin = start.at_another(start.federation.objects())
        dying = FaultStore(twin.federation.store)
        dying.die_after(operation)
        with pytest.raises(Killed):
            act(twin, dying)
        shown = twin.federation.objects()
        act(twin, twin.federation.store)
        assert shape(twin.federation.objects()) == expected, (
            f"after a crash at operation {operation}"
        )
        after = twin.federation.objects()
        assert all(after[key] == data for key, data in shown.items()), "something changed"


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["confirm", "answer"])
def test_a_helper_that_is_killed_after_any_operation_answers_the_same(
    phase: str, tmp_path: Path
) -> None:
    """A real SIGKILL in a process of its own; keys and marks are on a disk, as in a night."""
    start = tmp_path / "start"
    (start / "box").mkdir(parents=True)
    night = SecureNight(
        store=FilesystemStore(start / "box"),
        memories={"help-1": HelperMemory(start / "help-1")},
    )
    night.opens()
    night.submit_all()
    fed, now = night.federation, night.federation.night(1)
    if phase == "answer":
        night.visits(now=now)
        with pytest.raises(QuorumMissed):
            fed.run(1)
        now = later(night)
    expected: dict[str, bytes] = {}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fault.secure_victim"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        assert victim.stdin is not None
        assert victim.stdout is not None
        for operation in itertools.count(1):
            folder = tmp_path / str(operation)
            shutil.copytree(start, folder)
            victim.stdin.write(f"{operation} {folder} {now.isoformat()}\n")
            victim.stdin.flush()
            killed = victim.stdout.readline() == "killed\n"
            store = FilesystemStore(folder / "box")
            memory = HelperMemory(folder / "help-1")
            HelperNight(fed.session("help-1", store=store), memory).visit(now=now)
            objects = {
                info.key: store.read(info.key, max_bytes=1 << 24)
                for info in store.list("rounds/00000001/openings/")
            }
            expected = expected or objects
            assert objects == expected, f"after a SIGKILL at operation {operation}"
            assert len(memory.marks.opened) == (phase == "answer")
            if not killed:
                break
        victim.stdin.close()
    assert operation > 10
