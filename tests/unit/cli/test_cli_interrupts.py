"""What listens for Ctrl-C does without a thread where the machine gives none."""

import signal
import threading

import pytest

from hyperfed.cli.interrupts import end_promptly


def test_a_command_runs_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def none_left(thread: threading.Thread) -> None:
        asked.append(thread.name)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    monkeypatch.setattr(signal, "set_wakeup_fd", lambda *_, **__: -1)
    end_promptly(lambda: True)
    assert asked == ["interrupts"]
