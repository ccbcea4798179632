"""Every command on poor terminals, with a reader that leaves, interrupted, and on a machine that
has no room: one exit code of the documented ones, and never a traceback.
"""

import errno
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from hyperfed.cli import app
from hyperfed.cli.output import CODES, console, show_pairs, show_table
from tests.unit.cli.conftest import Desk, World
from tests.unit.cli.test_cli_app import commands_of

EVERY = [(path.split()[1:], command) for path, command, _ in commands_of(app)]
COMMANDS = [
    pytest.param(words, command, id=" ".join(words))
    for words, command in EVERY
    if not isinstance(command, click.Group)
]
BEGIN_AT_ONCE = {"demo", "simulate", "dev", "keygen", "service", "round"}
"""Without arguments they start something, write a key, or load Prefect."""


COLOURS = re.compile(r"\x1b\[(\d+;)*(3[0-8]|4[0-8]|9[0-7]|10[0-7])(;\d+)*m")


class OnScreen(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


class Terminal:
    """stdout and stderr of an encoding that has few characters, as bytes: pipes, or a screen."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, encoding: str = "ascii", *, screen: bool = False
    ) -> None:
        self.out, self.err, self.screen = io.BytesIO(), io.BytesIO(), screen
        for name, into in (("stdout", self.out), ("stderr", self.err)):
            kind = OnScreen if screen else io.TextIOWrapper
            monkeypatch.setattr(sys, name, kind(into, encoding=encoding, write_through=True))

    def run(self, *args: str) -> int:
        with pytest.raises(SystemExit) as end:
            app(list(args))
        assert type(end.value.code) is int
        return end.value.code

    def said(self) -> str:
        text = (self.out.getvalue() + self.err.getvalue()).decode("ascii")
        assert "Traceback" not in text
        assert not COLOURS.search(text), "NO_COLOR is set"
        assert self.screen or "\x1b" not in text, "a pipe gets nothing that drives a terminal"
        return text


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_help_and_wrong_usage_on_a_poor_terminal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: list[str], command: click.Command
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    for screen in (True, False):
        terminal = Terminal(monkeypatch, screen=screen)
        assert terminal.run(*words, "--help") == 0
        assert "Usage" in terminal.said()
    terminal = Terminal(monkeypatch)
    assert terminal.run(*words, "--größe", "--json") == 2
    document = json.loads(terminal.out.getvalue())
    assert document["exit_code"] == 2
    if words[0] in BEGIN_AT_ONCE:
        return
    plain = Terminal(monkeypatch)
    code = plain.run(*words)
    assert code in CODES
    assert code != 70, plain.said()
    for screen in (True, False):
        shown = Terminal(monkeypatch, screen=True)
        assert shown.run(*words) == code
        shown.said()
        for_programs = Terminal(monkeypatch, screen=screen)
        assert for_programs.run(*words, "--json") == code
        document = json.loads(for_programs.out.getvalue())
        assert (document["ok"], document["exit_code"]) == (code == 0, code)
        assert for_programs.err.getvalue() == b"", "programs get one document, and no remarks"


@pytest.mark.parametrize("width", [1, 20, 39])
def test_a_terminal_of_any_width_shows_every_cell(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    columns = ("round", "fate", "made for", "weight", "agreement", "trust", "rule", "reason")
    rows = [[f"{name} of {i}" for name in columns] for i in range(3)]

    def letters(columns_of_terminal: int) -> Counter[str]:
        monkeypatch.setenv("COLUMNS", str(columns_of_terminal))
        terminal = Terminal(monkeypatch)
        show_table(console(), "A title", columns, rows, right=("weight",))
        show_pairs(console(), {"Fingerprint of the root": "9" * 64, "Client": "a hospital"})
        return Counter(c for c in terminal.said() if c.isalnum())

    assert letters(width) == letters(160)


def _raising(fault: BaseException) -> Callable[..., None]:
    def callback(**_: Any) -> None:
        raise fault

    return callback


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_ctrl_c_and_a_machine_without_room_have_their_codes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: list[str], command: click.Command
) -> None:
    shown = [p for p in command.params if "--json" in p.opts or "--debug" in p.opts]
    monkeypatch.setattr(command, "params", shown)
    for fault, code in (
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device"), 5),
        (MemoryError(), 5),
        (ZeroDivisionError("ours"), 70),
    ):
        monkeypatch.setattr(command, "callback", _raising(fault))
        terminal = Terminal(monkeypatch)
        assert terminal.run(*words) == code
        assert ("please report" in terminal.said()) is (code == 70)
        terminal = Terminal(monkeypatch)
        assert terminal.run(*words, "--json") == code
        if code == 130:
            assert (terminal.out.getvalue(), terminal.err.getvalue().split()) == (
                b"",
                [b"Interrupted."],
            )
        else:
            assert json.loads(terminal.out.getvalue())["exit_code"] == code
        terminal.said()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1253"])
def test_names_that_cannot_be_spelt_do_not_undo_what_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    def japanese(cells: list[list[str]]) -> None:
        for row, more in zip(cells, ["血圧", *map(str, range(1, len(cells)))], strict=True):
            row.append(more)

    data = world.data(change=japanese)
    terminal = Terminal(monkeypatch, encoding)
    world.at(1)
    world.federation.open(1)
    assert terminal.run("submit", "--data", str(data), "--bootstraps", "5") == 0
    assert b"\\u8840\\u5727" in terminal.out.getvalue() + terminal.err.getvalue()


@pytest.mark.parametrize("args", [["--help"], ["keygen", "k"], ["keygen", "k", "--json"]])
def test_a_reader_that_leaves_or_is_full(tmp_path: Path, args: list[str]) -> None:
    command = [sys.executable, "-c", "from hyperfed.cli import main; main()", *args]
    reading, writing = os.pipe()
    os.close(reading)
    gone = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=tmp_path, timeout=60)
    os.close(writing)
    assert (gone.returncode, gone.stderr) == (0, b"")
    (tmp_path / "k").unlink(missing_ok=True)
    (tmp_path / "k.pub").unlink(missing_ok=True)
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, timeout=60)
    assert ran.returncode == 5
    assert b"no room left" in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_commands_to_copy_stay_one_line_in_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperfed.cli.local import dev

    running = {
        "ui": "http://127.0.0.1:4200",
        "api": "http://127.0.0.1:4200/api",
        "login": str(tmp_path / "prefect-login"),
        "reports": "http://127.0.0.1:8080",
        "store": "http://127.0.0.1:8333",
        "bucket": "hyperfed-dev",
        "config": str(tmp_path / "hyperfed.toml"),
        "clients": ["ohio"],
    }
    monkeypatch.setattr(dev, "_status", lambda folder: running)
    monkeypatch.setattr(dev, "_supervisor_alive", lambda status: True)
    monkeypatch.setenv("COLUMNS", "40")
    said = CliRunner().invoke(app, ["dev", "up", "--dir", str(tmp_path)])
    assert said.exit_code == 0, said.output
    (export,) = [line for line in said.output.splitlines() if "PREFECT_API_URL" in line]
    assert export.endswith(f"PREFECT_API_AUTH_STRING=$(cat {tmp_path}/prefect-login)")
    (night,) = [line for line in said.output.splitlines() if "client night" in line]
    assert night.endswith(f"--out {tmp_path}/ohio/model")
