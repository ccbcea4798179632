"""A server that accepts connections and never answers: what is said, and that Ctrl-C ends it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hyperfed.errors import TransientError
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.s3 import S3Credentials, S3Limits, S3Store

pytestmark = pytest.mark.store
# as a terminal starts it: what a shell puts into the background ignores Ctrl-C
LISTENS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
MAIN = LISTENS + "from hyperfed.cli import main; main()"


@contextmanager
def running(code: str, *arguments: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The command as its own process, which does not outlive the test."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "XDG_CACHE_HOME": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=os.environ | keys,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            yield command
        finally:
            command.kill()


def assert_ctrl_c_ends(command: "subprocess.Popen[str]") -> None:
    command.send_signal(signal.SIGINT)
    out, rest = command.communicate(timeout=20)
    assert (command.returncode, out) == (130, "")
    assert rest.split() == ["Interrupted."]


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_hangs_gives_the_word(silent: str) -> None:
    told: list[str] = []
    limits = S3Limits(read_timeout_s=0.6, max_attempts=1)
    keys = S3Credentials(access_key="a", secret_key="b")
    inner = S3Store("bucket", endpoint_url=silent, limits=limits, credentials=keys)
    store = RetryingStore(inner, attempts=1, tell=told.append, tell_after_s=0.1)
    with pytest.raises(TransientError):
        store.read("a", max_bytes=1)
    assert told == [
        f"the object store at {silent} has not answered for 0.1 s; waiting up to 6 s; Ctrl-C stops"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["audit"], ["round", "status"], ["inspect"]])
@pytest.mark.parametrize("as_json", [False, True])
def test_every_command_says_it_and_stops_on_ctrl_c(
    silent: str, tmp_path: Path, arguments: list[str], as_json: bool
) -> None:
    where = ["--store", "s3://bucket", "--endpoint", silent]
    with running(MAIN, *arguments, *where, *["--json"] * as_json, folder=tmp_path) as command:
        assert command.stderr is not None
        if as_json:
            with pytest.raises(subprocess.TimeoutExpired):
                command.wait(13)
        else:
            said = next(line for line in command.stderr if "object store" in line)
            assert said.startswith(
                f"Note: the object store at {silent} has not answered for 10 s; waiting up to "
            )
            assert said.endswith(" s; Ctrl-C stops\n")
        assert_ctrl_c_ends(command)


@pytest.mark.slow
@pytest.mark.parametrize(
    "call", ["list('a/')", "read_many(['a'], max_bytes=9)", "put_many([('a', b'1')])"]
)
def test_ctrl_c_ends_a_command_that_is_stuck_in_bulk_work(
    silent: str, tmp_path: Path, call: str
) -> None:
    stuck = f"""
import sys
from hyperfed.cli import main
from hyperfed.cli.invocation import Invocation

def busy(self):
    sys.stderr.write("busy\\n")
    list(self.store.{call})

Invocation.reader = property(busy)
main()
"""
    where = ["--store", "s3://bucket", "--endpoint", silent]
    with running(LISTENS + stuck, "round", "status", *where, folder=tmp_path) as command:
        assert command.stderr is not None
        assert "busy\n" in command.stderr
        time.sleep(1.5)  # into the request
        assert_ctrl_c_ends(command)
