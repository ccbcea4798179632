"""`hyperfed upgrade check`: its verdict, its exit code, and that it only reads."""

from pathlib import Path

import pytest

from hyperfed.merge.pooling import FORMULA
from hyperfed.operations import upgrading
from tests.unit.cli.conftest import World


def test_its_exit_code_says_whether_something_is_to_be_done_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.federation.play(1)
    world.at(2)
    before = world.objects()
    shown = world.desk("upgrade", "check")
    assert (shown.code, "upgrade at any time" in shown.out) == (0, True)
    names = [step["name"] for step in world.desk.ok("upgrade", "check")["steps"]]
    assert {"format of a plan", "formula", "client key"} <= set(names)
    Path("texas.key").unlink()
    told = world.desk("upgrade", "check", "--json")
    assert told.code == 1
    assert told.error["problem"].startswith("client key: ")
    monkeypatch.setattr(upgrading, "FORMULA", FORMULA - 1)
    assert "formula: " in world.desk("upgrade", "check", "--json").error["problem"]
    assert world.objects() == before
