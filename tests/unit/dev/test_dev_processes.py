"""Processes are ended by their own id, with what they started; an id that became somebody else's is
left alone.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperfed.dev.processes import (
    Process,
    Recorded,
    carrying,
    end_all,
    interrupts_held,
    named,
    own_children,
)
from hyperfed.errors import ConfigError

PARENT = (
    "import subprocess,sys,time; c=subprocess.Popen([sys.executable,'-c','import time; "
    "time.sleep(60)']); print(c.pid, flush=True); time.sleep(60)"
)


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(
        "parent",
        [sys.executable, "-c", PARENT],
        environment={"GREETING": "hello"},
        log=tmp_path / "logs" / "parent.log",
        cwd=tmp_path,
    )


def has_ended(process: Recorded) -> bool:
    """Whether the process ends; the machine's first process takes its moment to reap an orphan."""
    over = time.monotonic() + 30
    while process.alive and time.monotonic() < over:
        time.sleep(0.02)
    return not process.alive


def grandchild(process: Process) -> Recorded:
    while not process.log.read_text().strip():
        time.sleep(0.02)
    return Recorded.of(int(process.log_end()))


def test_stopping_ends_the_process_and_what_it_started(process: Process) -> None:
    process.start()
    below, record = grandchild(process), process.record
    assert (record.alive, below.alive, process.running) == (True, True, True)
    process.start()
    assert process.record == record  # it ran already
    process.stop()
    process.stop()
    assert has_ended(below)
    assert (record.alive, process.running) == (False, False)


def test_a_crash_leaves_what_it_started_and_stop_ends_that_too(process: Process) -> None:
    process.start()
    below = grandchild(process)
    process.kill()
    assert (process.running, below.alive) == (False, True)
    process.stop()
    assert has_ended(below)


def test_another_process_with_the_same_id_is_not_signalled(process: Process) -> None:
    process.start()
    stranger = Recorded(pid=process.record.pid, start_time=process.record.start_time - 1)
    assert not stranger.alive
    stranger.signal(signal.SIGKILL)
    assert not stranger.end(timeout_s=0.1)
    assert process.running
    assert process.record.end(timeout_s=5, group=True) is False
    process.stop()


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    missing = Process(
        "missing", [str(tmp_path / "nothing")], environment={}, log=tmp_path / "log", cwd=tmp_path
    )
    with pytest.raises(ConfigError, match="cannot be started"):
        missing.start()
    with pytest.raises(ConfigError, match="was not started"):
        _ = missing.record
    missing.stop()


def test_what_was_started_under_a_mark_is_found_and_nothing_else(
    tmp_path: Path, process: Process
) -> None:
    marked = Process(
        "marked",
        process.argv,
        environment={"HYPERFED_TEST_MARK": str(tmp_path)},
        log=tmp_path / "marked.log",
        cwd=tmp_path,
    )
    process.start()
    marked.start()
    below = grandchild(marked)
    assert {found.pid for found in carrying("HYPERFED_TEST_MARK", str(tmp_path))} == {
        marked.record.pid,
        below.pid,
    }
    marked.kill()
    assert carrying("HYPERFED_TEST_MARK", str(tmp_path)) == [below], (
        "an orphan of a killed parent still carries it"
    )
    marked.stop()
    process.stop()
    assert has_ended(below)
    assert carrying("HYPERFED_TEST_MARK", str(tmp_path)) == []


def test_all_under_a_mark_are_named_and_ended_even_what_does_not_listen(tmp_path: Path) -> None:
    mark = {"HYPERFED_TEST_MARK": str(tmp_path)}
    deaf = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', "
        "flush=True); time.sleep(60)"
    )
    started = [
        Process(
            name,
            [sys.executable, "-c", deaf, *said],
            environment=mark,
            log=tmp_path / name,
            cwd=tmp_path,
        )
        for name, said in (
            ("store", ["weed", "server"]),
            ("worker", ["hyperfed", "service", "worker"]),
        )
    ]
    for process in started:
        process.start()
    while not all(process.log.read_text() for process in started):
        time.sleep(0.02)
    there = carrying("HYPERFED_TEST_MARK", str(tmp_path))
    assert named(there) == "SeaweedFS and the worker"
    assert named([Recorded.of(1)]) == "process 1"
    assert named([]) == ""
    end_all("HYPERFED_TEST_MARK", str(tmp_path), timeout_s=0.1)
    assert not any(record.alive for record in there)
    for process in started:
        process.stop()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as a terminal's process has it: a worker of pytest-xdist ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_during_a_start_is_answered_when_the_start_is_over() -> None:
    steps = []

    def start() -> None:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            steps.append("started")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert steps == ["started"]
    with interrupts_held():
        child = subprocess.Popen(["sleep", "60"])
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == -signal.SIGINT, "a child ends by Ctrl-C"
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_child_is_found_that_carries_no_mark() -> None:
    with subprocess.Popen(["sleep", "60"], env={}) as child:
        assert child.pid in [one.pid for one in own_children()]
        child.kill()
    assert child.pid not in [one.pid for one in own_children()]
