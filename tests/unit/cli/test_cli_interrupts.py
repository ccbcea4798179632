"""What listens for Ctrl-C does without a thread where the machine gives none, and no moment of a
command answers it with a traceback.
"""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hyperfed.cli.interrupts import end_at_once, end_promptly
from tests.waiting import eventually


def test_a_command_runs_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def none_left(thread: threading.Thread) -> None:
        asked.append(thread.name)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    monkeypatch.setattr(signal, "set_wakeup_fd", lambda *_, **__: -1)
    end_promptly(lambda: True)
    assert asked == ["interrupts"]


ENDING = """
import signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from hyperfed.cli import main
def command(**_):
    threading.Thread(target=time.sleep, args=(60,)).start()  # as of a pool with an open request
    print("answered")
    print("there", file=sys.stderr, flush=True)
    {then}
sys.modules["hyperfed.cli.app"].app = command
main()
"""


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("sys.exit(0)", ""),  # Python waits for the thread by now
        ("raise ValueError", "ValueError"),
        ("time.sleep(60)", "Interrupted."),  # outside of what click answers
    ],
)
def test_ctrl_c_at_a_commands_end_prints_no_traceback_of_its_own(
    tmp_path: Path, then: str, said: str
) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    with (
        out.open("wb") as stdout,
        err.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", ENDING.format(then=then)], stdout=stdout, stderr=stderr
        ) as command,
    ):
        eventually(lambda: "there" in err.read_text(), err.read_text, every_s=0.05)
        presses = 0
        while command.poll() is None and presses < 20:
            time.sleep(0.3)
            command.send_signal(signal.SIGINT)
            presses += 1
        command.kill()
    assert (command.returncode, out.read_text()) == (130, "answered\n"), err.read_text()
    assert presses < 5
    assert said in err.read_text()
    assert "KeyboardInterrupt" not in err.read_text()


def test_a_command_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        end_at_once()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
