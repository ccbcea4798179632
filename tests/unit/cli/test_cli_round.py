"""The operator's commands: status from the drop-box alone, and the flows of whatever checkout is at
hand.
"""

import sys
from pathlib import Path

import pytest

from hyperfed.cli import checkout
from tests.unit.cli.conftest import Desk, World

FLOW = """
from hyperfed.errors import QuorumMissed
CALLS = []
def federation_round(**given):
    CALLS.append(given)
    if given["round_id"] == 9:
        what = "fewer than 2 of 3 clients have an update that counts"
        raise QuorumMissed(what, subject="round 9", rule="R-62", remedy="Retry")
    if given["round_id"] == 8:
        block = "named hyperfed for block type hyperfed-drop-box"
        raise ValueError(f"Unable to find block document {block}")
    return {"round": given["round_id"], "outcome": "committed", "counted": 3}
"""

APPLIES_ONE = """
def apply_schedules(wanted):
    return {s.deployment: s.deployment == "open-round" for s in wanted}
"""


@pytest.fixture
def made_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with flows that only note how they were called."""
    root = desk.folder / "clone"
    (root / "flows").mkdir(parents=True)
    (root / "deep" / "er").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "hyperfed"\n')
    (root / "flows" / "__init__.py").write_text("")
    (root / "flows" / "federation_round.py").write_text(FLOW)
    (root / "flows" / "open_round.py").write_text(
        "def open_round(**given):\n    return {'round': given['round_id'] or 7, 'quorum': 2}\n"
    )
    (root / "flows" / "server.py").write_text(
        "def check_server():\n    return 'http://127.0.0.1:4200/api'\n"
    )
    (root / "flows" / "demo.py").write_text(
        "def run_demo(directory, **given):\n    print([str(directory), given])\n    return 1\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in [n for n in sys.modules if n == "flows" or n.startswith("flows.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(root / "deep" / "er")
    yield root
    for name in [n for n in sys.modules if n == "flows" or n.startswith("flows.")]:
        del sys.modules[name]


def test_flows_are_found_from_below_the_checkout_and_called_by_name(
    desk: Desk, made_up: Path
) -> None:
    assert desk.ok("round", "open") == {"ok": True, "exit_code": 0, "round": 7, "quorum": 2}
    assert (
        desk.ok("round", "run", "5", "--delay", "0", "--drop-box", "prod")["outcome"] == "committed"
    )
    assert "committed" in desk("round", "run", "5").out
    calls = sys.modules["flows.federation_round"].CALLS
    assert calls[0] == {
        "round_id": 5,
        "drop_box": "prod",
        "coordinator_keys": "hyperfed",
        "federation_policy": "hyperfed",
        "aggregation_delay_s": 0.0,
        "now": None,
    }


def test_a_flow_that_fails_says_why(desk: Desk, made_up: Path) -> None:
    assert desk.fails(4, "round", "run", "9")["rule"] == "R-62"
    assert "Save the blocks first" in desk.fails(2, "round", "run", "8")["remedy"]


def test_a_schedule_that_found_no_deployment_is_not_applied(desk: Desk, made_up: Path) -> None:
    (made_up / "flows" / "service").mkdir()
    (made_up / "flows" / "service" / "__init__.py").write_text(
        "def apply_schedules(wanted):\n    return {s.deployment: s.deployment == 'open-round' "
        "for s in wanted}\n"
    )
    args = ("schedule", "--round-duration", "24h", "--genesis", "2027-01-01T00:00:00Z", "--apply")
    ran, told = desk(*args, "--json"), desk(*args)
    assert (ran.code, told.code) == (4, 4)
    assert ran.json["applied"] == {"open-round": True, "federation-round": False}
    assert "not deployed: federation-round" in ran.error["problem"]
    assert "service install" in ran.error["problem"]
    assert "Applied" in told.out
    assert "open-round" in told.out.rpartition("Applied")[2]


def test_the_demo_gets_its_options_and_its_exit_code_is_the_commands(
    desk: Desk, made_up: Path
) -> None:
    ran = desk("demo", "--dir", "there", "--nights", "2", "--keep")
    assert ran.code == 1
    assert (
        ran.out.strip() == "['there', {'nights': 2, 'privacy': 'none', 'payload': 'edges', "
        "'as_json': False, 'keep': True}]"
    )


def test_what_is_missing_is_said(
    desk: Desk, made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made_up / "flows" / "open_round.py").write_text("import prefect_that_nobody_has\n")
    error = desk.fails(2, "round", "open")
    assert "'prefect_that_nobody_has'" in error["problem"]
    assert "make setup" in error["remedy"]
    (made_up / "flows" / "open_round.py").unlink()
    sys.modules.pop("flows.open_round", None)
    assert "has no module flows.open_round" in desk.fails(2, "round", "open")["problem"]
    monkeypatch.chdir(desk.folder)
    monkeypatch.setattr(
        checkout.hyperfed,
        "__file__",
        str(desk.folder / "site-packages" / "hyperfed" / "__init__.py"),
    )
    error = desk.fails(2, "round", "open")
    assert "Clone the repository" in error["remedy"]
    (made_up / "pyproject.toml").write_text('[project]\nname = "something-else"\n')
    monkeypatch.chdir(made_up)
    assert "not part of the installed package" in desk.fails(2, "demo")["problem"], (
        "another project's flows are not run"
    )


def test_an_editable_install_points_at_its_checkout(desk: Desk) -> None:
    assert (checkout.find_checkout() / "src" / "hyperfed").is_dir()


def test_status_follows_a_round(world: World) -> None:
    desk, federation = world.desk, world.federation
    assert desk.fails(4, "round", "status")["problem"] == "no round was opened yet"
    federation.open(1)
    federation.submit("texas")
    federation.put(b"garbage", "ohio")
    said = desk.ok("round", "status")
    assert (said["round"], said["outcome"], said["quorum"]) == (1, "open", 2)
    assert (said["present"], said["missing"]) == (["ohio", "texas"], ["iowa"])
    desk.now = federation.night(1)
    assert desk.ok("round", "status", "1")["outcome"] == "waits to be run"
    federation.submit("iowa")
    federation.run(1)
    said = desk.ok("round", "status", "1")
    assert said["outcome"] == "committed"
    assert [c["client"] for c in said["counted"]] == ["iowa", "texas"]
    assert [(r["client"], r["key"]) for r in said["refused"]] == [("ohio", "inbox/00000001/ohio/0")]
    assert {t["client"] for t in said["trust"]} == {"iowa", "ohio", "texas"}
    assert said["edges"] == len(federation.vocabulary) - 1
    told = desk("round", "status", "1")
    assert "Refused: 1" in told.out
    assert desk.fails(4, "round", "status", "40")["problem"] == "was not opened"


def test_status_reads_only(world: World) -> None:
    """Not even a round that is due to be voided is touched by looking."""
    world.federation.open(1)
    world.at(4)
    objects = world.objects()
    assert world.desk.ok("round", "status", "1")["outcome"] == "void is due"
    assert world.objects() == objects
