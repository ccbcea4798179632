"""Ctrl-C in the demonstration's midst: what it started is gone, and nobody has the last word with a
traceback, neither a server that was at work nor a thread that misses one.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import eventually

pytestmark = pytest.mark.flow
CHECKOUT = Path(__file__).parents[2]
SERVER = """
import signal, time
def asked_to_end(*_):
    raise RuntimeError("in the midst of a request")
signal.signal(signal.SIGTERM, asked_to_end)
print("serves", flush=True)
time.sleep(60)
"""
DEMONSTRATION = f"""
import logging, signal, subprocess, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from flows.demo.stopping import ending_on_ctrl_c
def client(server):
    try:
        server.wait()
        raise ConnectionError("the server is gone")
    except ConnectionError:
        logging.exception("as Prefect's engine tells it")
        raise  # as a thread of a pool does
def say(text):
    print(text, flush=True)
with ending_on_ctrl_c(say):
    server = subprocess.Popen([sys.executable, "-c", {SERVER!r}])
    threading.Thread(target=client, args=(server,), daemon=True).start()
    time.sleep(60)
"""


@pytest.mark.parametrize("whom", [signal.SIGINT, signal.SIGTERM])
def test_nothing_answers_with_a_traceback(tmp_path: Path, whom: signal.Signals) -> None:
    said = tmp_path / "said"
    with (
        said.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-c", DEMONSTRATION],
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as command,
    ):
        eventually(lambda: "serves" in said.read_text(), said.read_text, every_s=0.05)
        command.send_signal(whom)
        assert command.wait(30) == 130
    assert "Stopping " in said.read_text()
    assert "nothing is left running" in said.read_text()
    assert "Traceback" not in said.read_text(), said.read_text()
