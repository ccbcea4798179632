"""Wrong usage ends with 2 and moves nothing, in every command: unknown options, foreign values,
what is missing or contradicts itself.

1. What click can judge is taken from the tree of commands itself (`_wrong`).
2. An option that takes a text is either in `TEXTS` with a value that it refuses, or in `FREE`
   because it takes any; a new one has to be put into one of them.
3. Every --json document agrees with the exit code (`Desk.fails` looks), also where a command ends
   well and says no.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

# before any command: its log keeps the stderr of its first import
from prefect.settings import PREFECT_API_URL, temporary_settings

from hyperfed.cli import app
from hyperfed.cli.values import (
    Assignment,
    Block,
    Duration,
    Instant,
    Lags,
    Names,
    Number,
    Override,
    Range,
)
from tests.damage import damaged
from tests.unit.cli.conftest import Desk, World
from tests.unit.cli.test_cli_app import commands_of

LEAVES = [
    (path.split()[1:], command)
    for path, command, _ in commands_of(app)
    if not isinstance(command, click.Group) or command.invoke_without_command
]
OURS = (Assignment, Block, Duration, Instant, Lags, Names, Number, Override)


def _foreign(kind: object) -> list[str]:
    """Values that an option of this type refuses; none where it is a text or a path."""
    match kind:
        case click.Choice() | click.DateTime() | click.types.BoolParamType():
            return ["no-such-value"]
        case click.IntRange() | click.FloatRange():
            values = ["many", "nan"] if isinstance(kind, click.IntRange) else ["many"]
            least = [] if kind.min is None else [str(kind.min if kind.min_open else kind.min - 1)]
            most = [] if kind.max is None else [str(kind.max if kind.max_open else kind.max + 1)]
            return values + least + most
        case Number():
            return ["many", "nan", "-1", *([] if kind.zero else ["0"])]
        case Duration():
            return [
                "soon",
                "-1h",
                "1w",
                *(["0s"] if kind.least else []),
                *(["0.5s"] if kind.whole else []),
            ]
        case Instant():
            return ["tomorrow", "2027-01-01T00:00:00", "2027-13-01T00:00:00Z"]
        case Names():
            return [",", ""]
        case Assignment():
            return ["output", "=1", "output="]
        case Range():
            return ["output", "output=1", "output=1_0:2", "=0:1"]
        case Override():
            return ["vote_min", "=1", "lags=1,x", "n_proposals=1_000", "g_min=\u0661"]
        case Lags():
            return ["1,", "-1", "one", "1.5", ""]
        case Block():
            return ["ops", "a/b/c"]
    return []


def _wrong(command: click.Command) -> Iterator[list[str]]:
    """What may follow the command's name and shows by itself to be wrong."""
    yield ["--no-such-option"]
    yield ["--json=perhaps"]
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    if all(p.nargs == 1 for p in arguments) and not isinstance(command, click.Group):
        number = any(isinstance(p.type, click.IntRange) for p in arguments)
        yield ["7" if number else "word"] * (len(arguments) + 1)
    if any(p.required for p in command.params):
        yield []
    for parameter in command.params:
        values = _foreign(parameter.type)
        if isinstance(parameter, click.Argument):
            yield from (["--", value] for value in values)
        elif isinstance(parameter, click.Option) and not parameter.is_flag:
            yield [parameter.opts[0]]  # its value is missing
            yield from ([f"{parameter.opts[0]}={value}"] for value in values)


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_what_a_command_line_alone_shows_to_be_wrong(
    desk: Desk, path: list[str], command: click.Command
) -> None:
    for wrong in _wrong(command):
        ran, told = desk(*path, "--json", *wrong), desk(*path, *wrong)
        assert (ran.code, told.code) == (2, 2), f"{wrong}: {ran.out}{ran.err}"
        assert (ran.json["ok"], ran.json["exit_code"], ran.error["kind"]) == (
            False,
            2,
            "ConfigError",
        ), wrong
        assert f"{' '.join(path)} --help" in ran.error["remedy"]
        assert told.out == ""
        assert ran.error["problem"] in told.err
    assert list(desk.folder.iterdir()) == [], "nothing was written"


FINGERPRINT = "0123456789abcdef" * 4
INIT = (
    "registry",
    "init",
    "--federation",
    "new-fed",
    "--root",
    "texas.key",
    "--coordinator",
    "coordinator.key",
)
SERVE = ("relay", "serve", "--folder", "box", "--certificate", "a.pem", "--key", "b.key")
TEXTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "--store": (
        ("status", "--store", "somewhere"),
        ("audit", "--store", "s3://"),
        ("pull", "--store", "memory:x"),
        ("inspect", "--store", "file:nowhere"),
    ),
    "--endpoint": (
        ("status", "--store", "s3://fed", "--endpoint", "somewhere"),
        ("status", "--endpoint", "https://s3.example"),
    ),
    "--to": (("export", "--to", "papyrus"),),
    "--server-user": (("service", "units", "--checkout", "/opt/h", "--server-user", "Fed"),),
    "--worker-user": (("service", "units", "--checkout", "/opt/h", "--worker-user", "Fed"),),
    "--helper": (("registry", "helpers", "--helper", "texas@soon", "--block", "texas"),),
    "--block": (
        (
            *("registry", "helpers", "--helper", "a", "--helper", "b", "--helper", "c"),
            *("--helper", "d", "--block", "nobody"),
        ),
    ),
    "--from": (("convert", "edges.csv", "--from", "papyrus"),),
    "--region": (("status", "--region", "eu-central-1"),),
    "--fingerprint": (
        ("status", "--fingerprint", "3f2a"),
        ("client", "init", "--client-id", "iowa", "--store", "file:box", "--fingerprint", "x" * 64),
    ),
    "--client-id": (
        ("status", "--client-id", "Not An Id"),
        ("enroll", "--organisation", "x", "--client-id", ""),
    ),
    "--federation": ((*INIT, "--federation", "Not An Id"),),
    "--expect": (("registry", "add", "texas.enrolment", "--expect", "3f2a"),),
    "--engine": (("submit", "--engine", "nothing"), ("submit", "--engine", "no_such_module:make")),
    "--every": (
        ("submit", "--data", "texas.csv", "--every", "fortnight"),
        ("discover", "--data", "texas.csv", "--every", "0h"),
    ),
    "--head": (("status", "--head", "3f2a"), ("audit", "--head", "12 and more")),
    "--delimiter": (("submit", "--edges", "edges.csv", "--delimiter", "digits"),),
    "--attack": (("simulate", "--attack", "kindness"),),
    "--rule": (("simulate", "--rule", "magic"),),
    "--address": (
        (*SERVE, "--address", "8443"),
        (*SERVE, "--address", "127.0.0.1:"),
        (*SERVE, "--address", "127.0.0.1:70000"),
    ),
    "--health": (
        (*SERVE, "--address", "127.0.0.1:0", "--health", "0.0.0.0:8444"),
        (*SERVE, "--address", "127.0.0.1:0", "--health", "8444"),
    ),
    "--host": (
        ("relay", "certificate", "--out", "a", "--key-out", "b", "--host", "relay:8443"),
        ("relay", "certificate", "--out", "a", "--key-out", "b", "--host", ""),
    ),
    "--at": (("client", "timer", "--data", "texas.csv", "--at", "25:00"),),
}
FREE = {
    "--time": "a column of the file, which is read later",
    "--organisation": "any name",
    "--basket": "any name",
    "--name": "any name of blocks, or of a worker",
    "--pool": "any name of a work pool",
    "--drop-box": "any name of a block",
    "--coordinator-keys": "any name of a block",
    "--policy": "any name of a block",
    "--by-link": "a client that the registry may name later",
    "--webhook": "what is there is asked by a test message",
    "--mail-to": "what is there is asked by a test message",
    "--mail-from": "what is there is asked by a test message",
    "--smtp": "what is there is asked by a test message",
}
CONTRADICTIONS = (
    ("submit",),
    ("submit", "--edges", "edges.csv", "--data", "texas.csv"),
    ("submit", "--edges", "edges.csv", "--every", "1d"),
    ("submit", "--data", "texas.csv", "--delimiter", ",", "--decimal", ","),
    ("submit", "--data", "texas.csv", "--convert", "output=EUR"),
    ("discover",),
    ("discover", "--edges", "edges.csv"),
    ("status", "--store", "file:box", "--links", "texas.hfl"),
    ("client", "timer"),
    ("client", "timer", "--data", "texas.csv", "--below", "region.toml"),
    ("client", "night"),
    ("client", "init", "--client-id", "iowa", "--fingerprint", FINGERPRINT, "--dir", "elsewhere"),
    ("registry", "add"),
    (*INIT, "--threshold", "2"),
    (*INIT, "--delta", "1"),
    ("registry", "roots", "--root", "texas.key", "--threshold", "2"),
    ("budget", "plan", "--nights", "9", "--epsilon", "1", "--delta", "1e-4", "--clients", "9"),
    (
        "budget",
        "plan",
        "--nights",
        "9",
        "--epsilon",
        "1",
        "--delta",
        "1e-4",
        "--clients",
        "9",
        "--edges",
        "4",
        "--variables",
        "4",
    ),
    (
        "budget",
        "plan",
        "--nights",
        "9",
        "--epsilon",
        "1",
        "--delta",
        "1e-4",
        "--clients",
        "9",
        "--edges",
        "4",
        "--edges-per-client",
        "4",
    ),
    (
        "budget",
        "plan",
        "--nights",
        "9",
        "--epsilon",
        "1",
        "--delta",
        "1e-4",
        "--clients",
        "9",
        "--edges",
        "4",
        "--baskets",
        "10",
    ),
    ("schedule", "--round-duration", "12h"),
    ("schedule", "--aggregation-delay", "2h"),
    ("service", "notify", "ops"),
    ("service", "notify", "ops", "--webhook", "http://127.0.0.1:9", "--smtp", "127.0.0.1:9"),
    ("simulate", "--clients", "60", "--world", "demo"),
    ("simulate", "--clients", "5", "--baskets", "6"),
    ("iam", "--role", "client", "--store", "file:box"),
)
FILES = (
    ("--config", "no-such.toml", "status"),
    ("status", "--key", "no-such.key", "--links", "no-such.hfl"),
    ("status", "--store", "s3://fed", "--access-key-file", "no-such.toml"),
    ("submit", "--data", "texas.csv", "--key", "no-such.key"),
    ("enroll", "--organisation", "x", "--key", "no-such.key"),
    ("audit", "--open-with", "no-such.key"),
    ("registry", "add", "no-such.enrolment"),
    ("registry", "sign", "no-such.draft", "--root-key", "texas.key"),
    ("registry", "merge", "no-such.signed"),
    ("registry", "publish", "no-such.signed"),
    ("registry", "show", "no-such.draft"),
    ("registry", "add", "--coordinator", "no-such.pub"),
    ("links", "first", "texas", "--coordinator-key", "no-such.key"),
    ("client", "night", "--below", "no-such.toml"),
    ("carry", "in", "no-such-folder"),
    ("demo", "--dir", "texas.csv"),
    ("keygen", "texas.key"),
)


def test_every_option_that_takes_a_text_has_a_value_that_it_refuses() -> None:
    texts = set()
    for _, command in LEAVES:
        for parameter in command.params:
            known = (
                isinstance(parameter.type, OURS)
                or _foreign(parameter.type)
                or isinstance(parameter.type, click.Path)
            )
            if isinstance(parameter, click.Option) and not parameter.is_flag and not known:
                texts.add(parameter.opts[0])
    assert texts == set(TEXTS) | set(FREE)


@pytest.mark.parametrize(
    "args",
    [*(line for lines in TEXTS.values() for line in lines), *CONTRADICTIONS, *FILES],
    ids=" ".join,
)
def test_what_a_command_finds_to_be_wrong(world: World, args: tuple[str, ...]) -> None:
    desk = world.desk
    world.federation.open(1)
    world.data()
    (desk.folder / "edges.csv").write_text(
        "source,target,lag,effect,confidence,stability\noutput,employment,1,0.5,0.9,0.8\n"
    )
    desk.ok("enroll", "--organisation", "State of Texas")
    objects, files = world.objects(), world.files()
    assert desk.fails(2, *args)["problem"]
    assert world.objects() == objects
    assert world.files() == files


NO_SERVER = (
    ("round", "open"),
    ("round", "run"),
    ("round", "retry", "3"),
    ("schedule", "--apply"),
    ("service", "install"),
    ("service", "notify", "ops", "--webhook", "http://127.0.0.1:9"),
    ("service", "worker"),
)


@pytest.mark.parametrize("args", NO_SERVER, ids=" ".join)
def test_what_works_on_a_prefect_server_starts_none(
    world: World, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.setattr(
        "prefect.server.api.server.SubprocessASGIServer.start",
        lambda self: pytest.fail("a server was started"),
    )
    objects = world.objects()
    # whatever other tests or the developer's profile say
    with temporary_settings({PREFECT_API_URL: None}):
        error = world.desk.fails(2, *args)
    assert (error["kind"], error["subject"]) == ("ConfigError", "PREFECT_API_URL")
    assert "export PREFECT_API_URL=" in error["remedy"]
    assert world.objects() == objects


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/api", "nonsense"])
def test_a_prefect_server_that_does_not_answer_is_named(tmp_path: Path, url: str) -> None:
    command = [
        sys.executable,
        "-c",
        "from hyperfed.cli import main; main()",
        "round",
        "retry",
        "3",
        "--json",
    ]
    environment = os.environ | {"PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path)}
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    said = json.loads(ran.stdout)
    assert (ran.returncode, said["exit_code"]) == (3, 3)
    assert (said["error"]["kind"], said["error"]["subject"]) == ("TransportError", url)
    assert "prefect server start" in said["error"]["remedy"]


ANSWERS = (
    (
        1,
        "client",
        "init",
        "--dir",
        "new",
        "--client-id",
        "ohio",
        "--store",
        "file:empty",
        "--fingerprint",
        FINGERPRINT,
    ),
    (4, "status"),
    (
        1,
        "budget",
        "plan",
        "--nights",
        "365",
        "--epsilon",
        "10",
        "--delta",
        "1e-4",
        "--clients",
        "3",
        "--variables",
        "6",
    ),
    (1, "inspect", "rounds/00000001/plan"),
    (1, "audit"),
    (1, "carry", "out", "stick"),
)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: " ".join(answer[1:3]))
def test_an_answer_that_says_no_says_so_in_json_too(world: World, answer: tuple[int, str]) -> None:
    """Neither an error nor success: the document, the process and the people's view agree."""
    code, *args = answer
    (world.desk.folder / "empty").mkdir()
    world.federation.open(1)
    world.desk.ok("carry", "in", Path("stick").mkdir() or "stick")
    stray = world.desk.folder / "stick" / "inbox" / "00000001" / "texas" / "0"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"nobody signed this")
    if "rounds/00000001/plan" in args or args == ["audit"]:
        plan = world.box / "rounds" / "00000001" / "plan"
        plan.chmod(0o640)
        plan.write_bytes(damaged(plan.read_bytes()))
    ran, told = world.desk(*args, "--json"), world.desk(*args)
    assert (ran.code, told.code) == (code, code), ran.out + ran.err + told.err
    assert (ran.json["ok"], ran.json["exit_code"]) == (False, code)
    assert ran.error["problem"]
