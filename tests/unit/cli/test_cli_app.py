"""The command as a whole: fast help, exit codes, errors for programs and for people."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click
import numpy as np
import pytest

from hyperfed import errors
from hyperfed.cli import app
from hyperfed.cli.lazy import LazyGroup
from hyperfed.cli.output import CODES, Output, clean, exit_code_of, plain, show_pairs, show_table
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from tests.unit.cli.conftest import Desk, World

HEAVY = ("numpy", "boto3", "botocore", "nacl", "rich", "msgpack", "zstandard", "prefect")


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["submit", "--help"],
        ["registry", "--help"],
        ["registry", "add", "--help"],
        ["round", "--help"],
        ["--version"],
        ["nonsense"],
    ],
)
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys\n"
        "from hyperfed.cli import app\n"
        f"try:\n    app({args!r})\nexcept SystemExit as end:\n    code = end.code\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules], code, "
        "file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert f"LOADED [] {2 if args == ['nonsense'] else 0}" in ran.stderr
    assert args == ["nonsense"] or ran.stdout


def commands_of(group: click.Group, path: str = "hyperfed") -> list[tuple[str, click.Command, str]]:
    """(what is typed, the command, its line in the group's help) of every command and group below
    `group`.
    """
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        assert command.name == name
        line = (
            group.entries[name].help
            if isinstance(group, LazyGroup)
            else command.get_short_help_str(limit=1000)
        )
        found.append((f"{path} {name}", command, line))
        if isinstance(command, click.Group):
            found += commands_of(command, f"{path} {name}")
    return found


COMMANDS = [pytest.param(*found, id=found[0]) for found in commands_of(app)]


@pytest.mark.parametrize(("path", "command", "line"), COMMANDS)
def test_every_command_has_json_and_its_help_ends_with_examples(
    desk: Desk, path: str, command: click.Command, line: str
) -> None:
    assert line.endswith("."), "the line in the group's help is a sentence"
    if not isinstance(command, click.Group):
        assert {"--json", "--debug"} <= {
            option for parameter in command.params for option in parameter.opts
        }
    help_text = desk(*path.split()[1:], "--help").out
    said, mark, examples = help_text.rpartition("\nExamples:\n")
    assert mark, "examples"
    assert path.removeprefix("hyperfed ") in examples
    assert all(line.startswith("  ") for line in examples.splitlines()), "nothing follows them"
    assert "\n  -h, --help" in said


@pytest.mark.parametrize(
    "path",
    [
        "hyperfed",
        *(path for path, command, _ in commands_of(app) if isinstance(command, click.Group)),
    ],
)
def test_a_group_without_a_command_prints_its_help(desk: Desk, path: str) -> None:
    """`budget` alone is a command that shows the budget, and `check` one that checks what is
    configured.
    """
    args = path.split()[1:]
    ran = desk(*args)
    if path == "hyperfed budget":
        assert (ran.code, ran.out) == (2, ""), "no drop-box is configured here"
        return
    if path == "hyperfed check":
        assert (ran.code, ran.err) == (2, "")
        assert ran.out.startswith("HYPERFED CRITICAL: store: ")
        return
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == desk(*args, "--help").out
    assert "Error" not in ran.out
    if args == []:
        assert desk("--json").error["problem"] == "missing command"
        positions = [
            ran.out.index(f"\nFor {role}:\n")
            for role in ("a client", "the operator", "a researcher", "everybody")
        ]
        assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.EngineError("x"), 1),
        (errors.SchemaError("x"), 1),
        (errors.RegistryError("x"), 1),
        (errors.PrivacyBudgetExhausted(), 1),
        (errors.AggregationError("x"), 1),
        (errors.LedgerError("x"), 1),
        (errors.RoundError("x"), 1),
        (errors.RoundError("x", rule="R-60"), 4),
        (errors.QuorumMissed("x"), 4),
        (errors.QuorumPending("x"), 4),
        (errors.ObjectNotFound("x"), 4),
        (errors.AccessDenied("x"), 3),
        (errors.TransientError("x"), 3),
        (errors.StoreUnsuitable("x"), 3),
        (KeyError("x"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code
    if code != 130:
        assert str(code) in (app.epilog or ""), "documented in --help"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["submitt"], "Did you mean 'submit'?"),
        (["registry", "ad"], "Did you mean 'add'?"),
        (["client", "nigth"], "Did you mean 'night'?"),
        (["submit", "--no-such-option"], "no such option"),
        (["status", "--last", "0"], "--last"),
        (["registry", "init"], "missing option"),
        (["keygen", "a", "b"], "unexpected extra argument"),
        (["--config"], "requires an argument"),
    ],
)
def test_wrong_usage_is_an_error_like_any_other(desk: Desk, args: list[str], said: str) -> None:
    ran = desk(*args, "--json") if args != ["--config"] else desk("--json", *args)
    assert ran.code == 2
    assert said.lower() in ran.error["problem"].lower()
    assert "--help" in ran.error["remedy"]
    told = desk(*args)
    assert told.out == ""
    assert told.err.count("\n") == 2


def test_an_error_in_hyperfed_is_one_line_and_how_to_get_the_traceback(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division\x1b[31m by zero")

    monkeypatch.setattr("hyperfed.crypto.keys.KeyPair.generate", broken)
    ran = desk("keygen")
    assert ran.code == 70
    assert "unexpected ZeroDivisionError" in ran.err
    assert "--debug" in ran.err
    assert "\x1b" not in ran.err
    assert desk("keygen", "--json").error["problem"].startswith("unexpected ZeroDivisionError")
    from click.testing import CliRunner

    assert (
        "Traceback (most recent call last)" in CliRunner().invoke(app, ["keygen", "--debug"]).stderr
    )


def test_a_reader_that_goes_away_is_no_error(world: World) -> None:
    """`hyperfed inspect | head -1`, in a real pipe."""
    for i in range(300):
        world.federation.store.put_if_absent(f"probe/{i:04d}", b"x")
    script = (
        f"cd {world.desk.folder} && {sys.executable} -c 'from hyperfed.cli import main; "
        f"main()' inspect --json | head -1; echo ${{PIPESTATUS[0]}}"
    )
    ran = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.split() == ["{", "0"]
    assert ran.stderr == ""


def test_what_comes_from_elsewhere_cannot_drive_a_terminal() -> None:
    assert clean("a\x1b[2J\x07\n\u202eb") == "a\\x1b[2J\\x07\\n\\u202eb"
    assert clean("Zürich [bold]") == "Zürich [bold]"
    from rich.console import Console

    to = Console(file=io.StringIO(), markup=False, width=100)
    show_pairs(to, {"\x1b[31mname": "va\x1blue", "bytes": b"\x01\xff", "none": None})
    show_table(to, "ti\x1btle", ["co\x1bl"], [["ce\x1bll"], [True], [0.123456], [Fate.COUNTED]])
    text = to.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    assert "01ff" in text
    assert "0.1235" in text
    assert "counted" in text


def test_plain_says_everything_json_can() -> None:
    said = plain(
        {
            1: b"\x01",
            "t": datetime(2026, 1, 1, tzinfo=UTC),
            "d": Decimal("0.10"),
            "e": Fate.LATE,
            "a": np.array([1, 2]),
            "p": Path("x"),
            "n": {"s": {3}},
            "f": np.float64(0.5),
        }
    )
    assert json.loads(json.dumps(said)) == {
        "1": "01",
        "t": "2026-01-01T00:00:00+00:00",
        "d": "0.10",
        "e": "late",
        "a": [1, 2],
        "p": "x",
        "n": {"s": [3]},
        "f": 0.5,
    }


def test_json_output_is_one_document_and_notes_stay_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = Output(as_json=True)
    out.note("for people")
    with out.step("for people"):
        pass
    for code, because in ((0, ""), (1, "it rains"), (4, "")):
        with pytest.raises(click.exceptions.Exit) as end:
            out.finish({"value": 1}, lambda to: to.print("for people"), code=code, because=because)
        captured = capsys.readouterr()
        said = json.loads(captured.out)
        assert end.value.exit_code == said["exit_code"] == code
        assert (said["ok"], said["value"], captured.err) == (code == 0, 1, "")
        assert said.get("error", {}).get("problem") == ({1: "it rains", 4: CODES[4]}.get(code))
