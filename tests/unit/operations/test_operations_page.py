"""docs/operations.md says nothing that is not so: its commands exist with these options, and its
clients' and restore sections are run as they stand.
"""

import json
import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from hyperfed.cli.app import app
from hyperfed.coordinator.stragglers import below_quorum
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import QuorumMissed
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "operations.md").read_text()
SERVER_PAGE = (DOCS / "server.md").read_text()


def commands(text: str) -> list[list[str]]:
    """The hyperfed commands of the page's indented lines."""
    return [
        shlex.split(line.split("   #")[0].split(" > ")[0])[1:]
        for line in re.findall(r"^ {4,}(hyperfed .*)$", text, re.MULTILINE)
    ]


def section(title: str) -> str:
    return PAGE.split(f"\n{title}", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("arguments", commands(PAGE) + commands(SERVER_PAGE), ids=" ".join)
def test_the_command_exists_and_takes_what_the_page_gives_it(arguments: list[str]) -> None:
    command: click.Command = app
    context = click.Context(app, info_name="hyperfed", **app.context_settings)
    rest = list(arguments)
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    # raises for an unknown option, a value of another kind, or an argument that is missing
    command.parse_args(context, rest)


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SmallFederation, Path]:
    """A federation on a folder, played for a night, and an empty machine beside it."""
    (tmp_path / "box").mkdir()
    (tmp_path / "machine").mkdir()
    federation = SmallFederation(clients=2, store=FilesystemStore(tmp_path / "box"))
    federation.play(1)
    monkeypatch.chdir(tmp_path / "machine")
    monkeypatch.delenv("HYPERFED_CONFIG", raising=False)
    return federation, tmp_path / "machine"


def test_the_restore_drill_as_written_gives_the_new_machine_its_voice(
    place: tuple[SmallFederation, Path],
) -> None:
    """The machine was lost in the middle of round 2: the new key must be able to finish it, or all
    later rounds would wait for it for ever.
    """
    federation, machine = place
    federation.open(2)
    federation.submit_all(round_id=2)
    federation.roots[0].save(machine / "root-1.key")
    (machine / "hyperfed.toml").write_text(
        f'[store]\nurl = "file://{machine.parent}/box"\n[federation]\nfingerprint = '
        f'"{federation.fingerprint}"\n[coordinator]\nkey = "coordinator-2.key"\n'
    )
    drill = commands(section("Restore drill"))
    assert [c[:2] for c in drill] == [
        ["keygen", "coordinator-2.key"],
        ["registry", "add"],
        ["registry", "sign"],
        ["registry", "publish"],
        ["service", "install"],
        ["audit"],
    ]
    for arguments in drill:
        if arguments[:2] == ["service", "install"]:
            continue  # tests/installation runs it against a server
        number = [a.replace("000004", "000002") for a in arguments]
        run(*number, *(["--yes"] if number[1:2] in (["add"], ["sign"]) else []))
    registry = federation.reader().registry
    assert registry.version == 2
    key_id = json.loads((machine / "coordinator-2.key.pub").read_text())["public"]["key_id"]
    assert (
        registry.coordinator_key(key_id, registry.windows.round_at(registry.issued) + 1) is not None
    )
    lost = federation.coordinator
    assert (
        registry.coordinator_key(lost.key_id, registry.windows.round_at(registry.issued) + 1)
        is None
    )
    federation.coordinator, federation.registry = (
        KeyPair.load(machine / "coordinator-2.key"),
        registry,
    )
    with pytest.raises(QuorumMissed):
        federation.run(2)  # what was sealed to the lost key stays closed
    federation.submit_all(round_id=2)
    assert federation.run(2).counted == 2
    assert federation.play(3).counted == 2


def test_client_init_makes_what_a_night_needs_and_again_only_checks(
    place: tuple[SmallFederation, Path],
) -> None:
    federation, machine = place
    federation.keys["site-01"].save(machine / "site.key")
    options = [
        "--dir",
        ".",
        "--client-id",
        "site-01",
        "--store",
        f"file://{machine.parent}/box",
        "--fingerprint",
        federation.fingerprint,
        "--key",
        "site.key",
    ]
    said = json.loads(run("client", "init", *options, "--json"))
    assert said["made"]
    assert {c["check"]: c["good"] for c in said["checks"]} == {
        "registry": True,
        "clock": True,
        "own inbox": True,
        "elsewhere": True,
        "the coordinator's state": True,
    }
    assert "site-01 is in it" in said["checks"][0]["said"]
    written = (machine / "hyperfed.toml").read_text()
    assert not json.loads(run("client", "init", *options, "--json"))["made"]
    assert (machine / "hyperfed.toml").read_text() == written
    np.savetxt(
        machine / "series.csv",
        np.random.default_rng(1).normal(size=(50, 4)),
        delimiter=",",
        header="heat,load,wear,faults",
        comments="",
    )
    for kind, words in (
        ("systemd", "OnCalendar=*-*-* 20:00:00 UTC"),
        ("cron", "# 20:00:00 UTC; cron runs in this machine's time zone"),
        ("prefect", "flows/client_night.py:client_night"),
    ):
        text = json.loads(run("client", "timer", "--kind", kind, "--data", "series.csv", "--json"))[
            "text"
        ]
        assert words in text
        assert str(machine / "series.csv") in text
        text = json.loads(
            run("client", "timer", "--kind", kind, "--below", "region.toml", "--json")
        )["text"]
        path = machine / "region.toml"
        assert (f'below: "{path}"' if kind == "prefect" else f"--below {path}") in text
        assert "data" not in text.replace("--prefect-file", "")
    assert "one source is needed" in run("client", "timer", "--json", code=2)


def test_init_without_a_drop_box_or_in_a_foreign_one_says_so(
    place: tuple[SmallFederation, Path],
) -> None:
    federation, machine = place
    assert "no drop-box is given" in run(
        "client",
        "init",
        "--client-id",
        "site-01",
        "--fingerprint",
        federation.fingerprint,
        "--json",
        code=2,
    )
    options = [
        "--client-id",
        "site-01",
        "--store",
        f"file://{machine.parent}/box",
        "--fingerprint",
        "0" * 64,
    ]
    said = json.loads(run("client", "init", *options, "--json", code=1))
    assert [c["check"] for c in said["checks"]] == ["registry"]
    assert "fingerprint" in said["checks"][0]["said"]


def test_init_keeps_clients_apart_and_what_was_checked_is_what_counts(
    place: tuple[SmallFederation, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, machine = place
    monkeypatch.chdir(machine.parent)
    trusted = ["--fingerprint", federation.fingerprint]
    run(
        "client",
        "init",
        "--dir",
        "machine",
        "--client-id",
        "site-01",
        "--store",
        "file:box",
        *trusted,
    )
    monkeypatch.chdir(machine)
    written = (machine / "hyperfed.toml").read_text()
    assert f'url = "file://{machine.parent}/box"' in written, (
        "the folder of the file is not the folder it was asked for in"
    )
    assert json.loads(run("registry", "show", "--json"))["version"] == 1
    # A second client, from the folder of the first one: it gets a key of its own, and nothing is
    # taken over.
    run(
        "client",
        "init",
        "--dir",
        "second",
        "--client-id",
        "site-02",
        "--store",
        f"file://{machine.parent}/box",
        *trusted,
    )
    second = (machine / "second" / "hyperfed.toml").read_text()
    assert f'key = "{machine}/second/site-02.key"' in second
    assert f'memory = "{machine}/second/site-02.memory.json"' in second
    assert "no drop-box is given" in run(
        "client", "init", "--dir", "third", "--client-id", "site-03", *trusted, code=2
    )
    assert not (machine / "third").exists()
    # Again, with another drop-box: the file stays, so what would be checked is not what a night
    # would use.
    (machine.parent / "other").mkdir()
    refused = run(
        "client", "init", "--client-id", "site-01", "--store", "file:../other", *trusted, code=2
    )
    assert f"says [store] url = file://{machine.parent}/box" in refused
    assert (machine / "hyperfed.toml").read_text() == written


def test_below_quorum_the_message_and_both_pages_say_the_same_commands() -> None:
    commands = re.findall("`(hyperfed [^`]+)`", below_quorum(328))
    assert commands == ["hyperfed submit --round 328 --data FILE", "hyperfed round retry 328"]
    pages = {
        name: (Path(__file__).parents[3] / "docs" / f"{name}.md").read_text()
        for name in ("operations", "clients")
    }
    table = next(line for line in pages["operations"].splitlines() if "| below quorum |" in line)
    for command in commands:
        assert command in pages["operations"]
        assert command.replace("328", "N") in table
    assert commands[0] in pages["clients"]


def test_schedule_prints_when_flows_run_and_refuses_what_contradicts_the_registry(
    place: tuple[SmallFederation, Path],
) -> None:
    federation, machine = place
    said = json.loads(
        run("schedule", "--round-duration", "24h", "--genesis", "2027-01-01T00:00:00Z", "--json")
    )
    assert [(s["deployment"], s["interval_s"]) for s in said["schedules"]] == [
        ("open-round", 86400),
        ("federation-round", 86400),
    ]
    assert said["schedules"][1]["parameters"] == {"aggregation_delay_s": 1800.0}
    quick = json.loads(
        run("schedule", "--round-duration", "90s", "--genesis", "2027-01-01T00:00:00Z", "--json")
    )
    assert quick["schedules"][1]["parameters"] == {"aggregation_delay_s": 22.5}, (
        "the default fits a window shorter than itself"
    )
    too_long = run(
        "schedule",
        "--round-duration",
        "30m",
        "--aggregation-delay",
        "30m",
        "--genesis",
        "2027-01-01T00:00:00Z",
        "--json",
        code=2,
    )
    assert "leave --aggregation-delay out for 450 s" in too_long
    store = ["--store", f"file://{machine.parent}/box", "--fingerprint", federation.fingerprint]
    assert (
        json.loads(run("schedule", *store, "--json"))["schedules"][1]["anchor"]
        == federation.registry.windows.deadline(1).isoformat()
    )
    assert "registry says a window" in run(
        "schedule", "--round-duration", "12h", *store, "--json", code=2
    )
    assert "no length of time" in run(
        "schedule", "--aggregation-delay", "soon", *store, "--json", code=2
    )
