"""Ctrl-C while the demonstration or `hyperfed dev up` works: it ends, says what it ends, leaves
nothing.
"""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperfed.dev.processes import Recorded, carrying, end_all
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.seaweedfs, pytest.mark.timeout(600)]
CHECKOUT = Path(__file__).parents[2]
MARK = "HYPERFED_TEST_CTRL_C"
# as a terminal starts it: what a shell puts into the background ignores Ctrl-C
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom "
    "hyperfed.cli import main; main()"
)


class Started:
    """A command in a process group of its own, as a shell starts it, and all that it starts."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.mark = secrets.token_hex(8)
        self.output = folder / "output.txt"
        with self.output.open("wb") as output:
            self.command = subprocess.Popen(
                [sys.executable, "-c", MAIN, *arguments],
                cwd=CHECKOUT,
                env=os.environ | {MARK: self.mark},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self, text: str) -> bool:
        return text in self.output.read_text()

    def runs(self, part: str) -> bool:
        return any(part in line(process) for process in carrying(MARK, self.mark))

    def wait_for(self, there: Callable[[], bool]) -> None:
        def still_there() -> bool:
            assert self.command.poll() is None, self.output.read_text()
            return there()

        eventually(still_there, self.output.read_text, every_s=0.05)

    def interrupt(self, whom: str) -> None:
        (os.killpg if whom == "group" else os.kill)(self.command.pid, signal.SIGINT)
        self.command.wait(60)


def line(process: Recorded) -> str:
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.mark.parametrize("whom", ["group", "alone"])
@pytest.mark.parametrize(
    "moment", ["the store starts", "Prefect wakes", "in mid-night", "between nights"]
)
def test_the_demonstration(tmp_path: Path, moment: str, whom: str) -> None:
    started = Started(tmp_path, "demo", "--dir", str(tmp_path / "demo"))
    try:
        moments = {
            "the store starts": lambda: started.runs("weed server"),
            "Prefect wakes": lambda: started.runs("prefect.server.api"),
            "in mid-night": lambda: started.said("night 1 of 3"),
            "between nights": lambda: started.said("Round 1 is committed"),
        }
        started.wait_for(moments[moment])
        started.interrupt(whom)
        assert started.command.returncode == 130, started.output.read_text()
        assert started.said("Stopping ")
        assert started.said("nothing is left running")
        assert not started.said("Traceback"), started.output.read_text()
        assert "\x1b" not in started.output.read_text(), "control codes in a file"
        assert [line(process) for process in carrying(MARK, started.mark)] == []
    finally:
        end_all(MARK, started.mark, timeout_s=0)
        started.command.wait()


@pytest.mark.parametrize("whom", ["group", "alone"])
@pytest.mark.parametrize(
    "moment", ["the supervisor starts", "the store starts", "Prefect starts", "deployments"]
)
def test_up(tmp_path: Path, moment: str, whom: str) -> None:
    started = Started(tmp_path, "dev", "up", "--dir", str(tmp_path / "dev"))
    part = {
        "the supervisor starts": "hyperfed.dev.supervisor",
        "the store starts": "weed server",
        "Prefect starts": "prefect server start",
        "deployments": "flows.service.development",
    }[moment]
    try:
        started.wait_for(lambda: started.runs(part))
        started.interrupt(whom)
        assert started.command.returncode == 130, started.output.read_text()
        assert started.said("Stopping ")
        assert started.said("nothing is left running")
        assert [line(process) for process in carrying(MARK, started.mark)] == []
        assert not (tmp_path / "dev" / "status.json").exists()
    finally:
        end_all(MARK, started.mark, timeout_s=0)
        started.command.wait()
