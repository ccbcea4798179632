"""A federation without Prefect: founded and run for a night by the command line alone, from a plain
hyperfed.toml, in processes that never import it.

1. docs/operations.md, "A first night without Prefect", as written and in order.
2. What a round does then: below quorum, again, too early, void.
3. Which of the two ways a command goes, and that the error without either names both.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hyperfed.cli.checkout import server_is_named
from hyperfed.client.settings import load_settings
from hyperfed.demo import VARIABLES, series_csv
from hyperfed.errors import ConfigError
from tests.unit.cli.conftest import Desk, World
from tests.unit.cli.test_cli_pages import OPERATIONS, commands_in

SECTION = "A first night without Prefect"
CHILD = """
import sys
from hyperfed.cli import app
from hyperfed.cli.invocation import Invocation
try:
    app(sys.argv[1:], obj=Invocation())
finally:
    assert not {"prefect", "flows", "tasks", "blocks"} & set(sys.modules), "Prefect was imported"
"""
LOCAL = '[coordinator]\nkey = "coordinator.key"\n[rounds]\nvariables = {names}\n{more}'


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor a profile names a server, whatever the developer's say."""
    for name in [n for n in os.environ if n.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))


def _section() -> str:
    page = OPERATIONS.read_text(encoding="utf-8")
    found = re.search(rf"^## {SECTION}\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def _coordinator(world: World, more: str = "") -> tuple[str, ...]:
    """A coordinator's settings beside the drop-box, as the option that names them."""
    names = list(world.federation.vocabulary.names)
    text = world.config("texas") + LOCAL.format(names=str(names).replace("'", '"'), more=more)
    (world.desk.folder / "operator.toml").write_text(text)
    return ("--config", "operator.toml")


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}+0000"


def _in_a_process(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD, *args],
        env={**os.environ, "HYPERFED_REHEARSAL": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_first_night_as_the_page_says(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people's folders; `round open` and `round run` in processes without Prefect."""
    operator, client, box = (desk.folder / name for name in ("operator", "client", "box"))
    for folder in (operator, client, box):
        folder.mkdir()
    (client / "series.csv").write_text(series_csv("texas"))
    (settings,) = re.findall(r"(?:^ {4}\S.* = .*\n|^ {4}\[[a-z]+\]\n)+", _section(), re.MULTILINE)
    fingerprint = ""
    commands = commands_in(_section())
    for command in commands:
        line = command.replace("file:///mnt/share", f"file://{box}")
        words = shlex.split(line.replace("FINGERPRINT", fingerprint))[1:]
        ours = words[0] in ("keygen", "registry", "round", "audit")
        monkeypatch.chdir(operator if ours else client)
        if words[:2] == ["registry", "add"]:
            shutil.copy(client / words[2], operator)
        if words[:2] == ["round", "run"]:
            desk.now += timedelta(days=1)
        if words[0] == "round":
            ran = _in_a_process(*words, "--now", _instant(desk.now))
            assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
            continue
        asked = ["--yes"] if words[:2] in (["registry", "add"], ["registry", "sign"]) else []
        said = desk.ok(*words, *asked)
        if words[:2] == ["registry", "init"]:
            fingerprint = said["root_fingerprint"]
            text = settings.replace("FINGERPRINT", fingerprint)
            (operator / "hyperfed.toml").write_text(
                text.replace("file:///mnt/share", f"file://{box}")
            )
        if words[0] == "pull":
            assert (said["round"], said["clients"]) == (1, 1)
        if words[0] == "audit":
            assert said["findings"] == []
    assert [c.split()[1] for c in commands[-5:]] == ["round", "submit", "round", "pull", "audit"]
    assert {p.name for p in (client / "model").iterdir()} >= {"edges.csv", "model.npz"}


def test_a_night_below_quorum_waits_and_counts_who_comes(world: World) -> None:
    desk, federation = world.desk, world.federation
    here = _coordinator(world, '[policy]\nvote_min = 0.25\nstrategy = "union"\n')
    opened = desk.ok("round", "open", *here)
    assert (opened["round"], opened["cohort"], opened["quorum"]) == (1, 3, 2)
    plan = federation.reader().plan(1).value
    assert (plan.policy.vote_min, plan.policy.strategy) == (0.25, "union")
    assert plan.vocabulary.names == federation.vocabulary.names
    federation.submit("texas")

    objects = world.objects()
    assert desk.fails(4, "round", "run", *here)["problem"].startswith("no window has ended yet")
    assert "its window is open" in desk.fails(4, "round", "run", "1", *here)["problem"]
    world.at(2)
    missed = desk.fails(4, "round", "run", *here)
    assert (missed["kind"], missed["rule"]) == ("QuorumMissed", "R-62")
    assert "iowa, ohio" in missed["problem"]
    assert "`round run 1`" in missed["remedy"]
    assert world.objects() == objects, "nothing moved"

    federation.submit("iowa")
    ran = desk("round", "run", *here)
    assert ran.code == 0
    assert ran.err.splitlines()[:2] == [
        "collect: 2 of 3 clients have an update here",
        "validate: 2 admitted, 0 refused",
    ]
    assert "committed" in ran.out
    objects = world.objects()
    again = desk.ok("round", "run", "1", *here)
    assert (again["outcome"], again["counted"], again["missing"]) == ("committed", 2, ["ohio"])
    assert world.objects() == objects, "a second run changes nothing"
    assert "has ended already" in desk("round", "run", "1", *here).err
    assert desk.ok("audit")["findings"] == []


def test_what_is_known_of_the_graph_is_signed_with_the_plan(world: World) -> None:
    (world.desk.folder / "known.toml").write_text(
        'tiers = [["public_capital"], ["output"]]\nforbidden = [["employment", "output"]]\n'
    )
    here = _coordinator(world, '[policy]\nknowledge = "known.toml"\n')
    world.desk.ok("round", "open", *here)
    known = world.federation.reader().plan(1).value.policy.knowledge
    assert known.tiers == (("public_capital",), ("output",))
    assert known.forbidden == (("employment", "output"),)


def test_knowledge_about_no_variable_opens_no_round(world: World) -> None:
    (world.desk.folder / "known.toml").write_text('tiers = [["weather"], ["output"]]\n')
    objects = world.objects()
    here = _coordinator(world, '[policy]\nknowledge = "known.toml"\n')
    error = world.desk.fails(2, "round", "open", *here)
    assert "names 'weather', which is no variable of the vocabulary" in error["problem"]
    assert world.objects() == objects
    (world.desk.folder / "known.toml").unlink()
    assert "cannot be read" in world.desk.fails(2, "round", "open", *here)["problem"]
    assert world.objects() == objects


def test_a_round_without_a_result_ends_with_1(world: World) -> None:
    here = _coordinator(world)
    world.desk.ok("round", "open", *here)
    world.at(4)  # past its close_by
    ran = world.desk("round", "run", "1", *here, "--json")
    assert (ran.code, ran.json["ok"], ran.json["outcome"]) == (1, False, "void")


def test_stragglers_are_awaited_where_the_settings_or_the_option_say_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(
        "hyperfed.coordinator.running.run_round.__kwdefaults__", None, raising=False
    )
    from hyperfed.coordinator import running

    original = running.run_round

    def run(*args: Any, **options: Any) -> Any:
        return original(*args, sleep=slept.append, **options)

    monkeypatch.setattr(running, "run_round", run)
    here = _coordinator(world, "quorum = 1\naggregation_delay_s = 60\npoll_s = 20\n")
    for round_id, (options, waits) in enumerate(
        (((), [20, 20, 20]), (("--delay", "0"), []), (("--delay", "5"), [5])), start=1
    ):
        world.at(round_id)
        assert world.desk.ok("round", "open", *here)["quorum"] == 1
        for client in ("iowa", "texas"):
            world.federation.submit(client, round_id=round_id)
        world.at(round_id + 1)
        slept.clear()
        assert world.desk.ok("round", "run", *here, *options)["counted"] == 2
        assert slept == waits


def test_keys_and_store_as_options_run_an_open_round_without_a_file(world: World) -> None:
    """The plan is signed: nothing of [rounds] is needed any more."""
    world.federation.open(1)
    world.federation.submit_all()
    (world.desk.folder / "hyperfed.toml").unlink()
    options = (
        *("--store", "file:box", "--keys", "coordinator.key"),
        *("--fingerprint", world.federation.fingerprint),
    )
    night = _instant(world.federation.night(1))
    ran = _in_a_process("round", "run", "1", *options, "--now", night)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "committed" in ran.stdout
    decided = world.federation.decided()
    keyless = world.desk.fails(2, "round", "open", "2", *options[:2], *options[4:])
    assert keyless["remedy"].startswith("Give --keys FILE, or write it into section [coordinator]")
    needed = world.desk.fails(2, "round", "open", "2", *options)
    assert "[rounds] variables is not set" in needed["problem"]
    stranger = world.desk.fails(
        2,
        "round",
        "open",
        "2",
        *options[:2],
        "--keys",
        "iowa.key",
        *options[4:],
        "--config",
        _coordinator(world)[1],
    )
    assert stranger["rule"] == "R-81"
    assert world.federation.decided() == decided


def test_which_way_a_command_goes(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Blocks' names and --keys say it; else a server that is named; else hyperfed.toml."""
    monkeypatch.setattr(
        "hyperfed.cli.operator.round.import_for_server",
        lambda *where: lambda **given: {"round": 99, "outcome": "committed"},
    )
    here, by_key = _coordinator(world), ("--keys", "coordinator.key")
    objects = world.objects()
    assert world.desk.ok("round", "open", *here, "--drop-box", "prod")["round"] == 99
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert world.desk.ok("round", "open", *here)["round"] == 99
    both = world.desk.fails(2, "round", "open", *here, *by_key, "--policy", "prod")
    assert both["problem"].startswith("--keys runs the round in this process, --policy by a block")
    at = ("--store", f"file://{world.box}")
    assert world.desk.fails(2, "round", "run", *here, *at, "--drop-box", "prod")["problem"]
    assert world.objects() == objects
    assert world.desk.ok("round", "open", *here, *by_key)["round"] == 1
    assert world.desk.ok("round", "open", *here, *at)["round"] == 1
    monkeypatch.delenv("PREFECT_API_URL")
    assert world.desk.ok("round", "open", *here)["round"] == 1
    (tmp_path / "prefect").mkdir()
    profiles = 'active = "ours"\n[profiles.ours]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    (tmp_path / "prefect" / "profiles.toml").write_text(profiles)
    assert world.desk.ok("round", "open", *here)["round"] == 99


@pytest.mark.parametrize(
    ("profiles", "named"),
    [
        ("", False),
        ('active = "local"\n', True),
        ('active = "local"\n[profiles.local]\nPREFECT_LOGGING_LEVEL = "INFO"\n', False),
        ('active = "ephemeral"\n[profiles.other]\nPREFECT_API_URL = "http://x"\n', False),
        ("no toml", False),
        ('active = "a"\nprofiles = 3\n', False),
    ],
)
def test_a_profile_names_a_server_or_not(tmp_path: Path, profiles: str, named: bool) -> None:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "profiles.toml").write_text(profiles)
    assert server_is_named() is named


def test_without_a_server_and_without_settings_both_remedies_are_said(world: World) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    for command in ("open", "run"):
        with temporary_settings({PREFECT_API_URL: None}):  # the flow tests' server may be running
            error = world.desk.fails(2, "round", command)
        assert error["subject"] == "PREFECT_API_URL"
        assert "export PREFECT_API_URL=" in error["remedy"]
        assert "[coordinator] key and [rounds] variables" in error["remedy"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[policy]\nvote_mim = 0.25\n", "[policy] vote_mim is unknown"),
        ("[policy]\nvote_min = [0.25]\n", "[policy] vote_min must be a number, a text"),
        ("[policy]\nvote_min = 2.0\n", "vote_min"),
        ('[policy]\nstrategy = "none"\n', "strategy"),
        ("[rounds]\nquorum = 0\n", "[rounds] quorum must be a whole number"),
        ("[rounds]\naggregation_delay_s = -1\n", "must be a number of at least 0"),
        ("[rounds]\npoll_s = 0\n", "must be a number above 0"),
        ('[rounds]\nvariables = "output"\n', "[rounds] variables must be a list of names"),
    ],
)
def test_a_wrong_setting_is_said_when_the_file_is_read(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert said in caught.value.problem
    assert str(path) in caught.value.subject
    path.write_text("[rounds]\naggregation_delay_s = 0\n[policy]\nsealed = false\n")
    assert load_settings(path).section("policy") == {"sealed": False}


def test_what_only_the_whole_vocabulary_shows_is_a_wrong_setting(world: World) -> None:
    objects = world.objects()
    for more in ('domains = ["economics"]\n', ""):
        here = _coordinator(world, more)
        if not more:
            path = world.desk.folder / "operator.toml"
            path.write_text(path.read_text().replace(f'"{VARIABLES[1]}"', f'"{VARIABLES[0]}"'))
        assert world.desk.fails(2, "round", "open", *here)["problem"]
    assert world.objects() == objects
