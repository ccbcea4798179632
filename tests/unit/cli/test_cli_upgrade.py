"""`hyperfed upgrade check`: its verdict, its exit code, and that it only reads."""

from pathlib import Path

import pytest

from hyperfed.cli.operator import upgrade
from hyperfed.errors import TransientError
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


def test_the_server_is_asked_by_a_clone_and_a_wheel_alone_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever checks by the wheel must not read "at any time", nor be sent into the old clone."""
    world.federation.play(1)
    world.at(2)
    settings = Path("hyperfed.toml").read_text()
    Path("hyperfed.toml").write_text(f'{settings}[coordinator]\nkey = "coordinator.key"\n')

    def checked(code: int, server: str = "") -> str:
        named = {"PREFECT_API_URL": server, "PREFECT_HOME": str(Path.cwd())}
        shown = world.desk("upgrade", "check", "--json", env=named)
        assert shown.code == code, shown.out
        return shown.out

    assert "no server is named here" in checked(0)
    address = "http://127.0.0.1:9/api"
    with monkeypatch.context() as patched:
        patched.setattr(upgrade, "find_spec", lambda name: None)
        alone = checked(1, address)
    assert "this environment has a wheel alone" in alone
    assert "`git worktree add ../next TAG`" in alone

    def unanswered(module: str, attribute: str) -> None:
        raise TransientError("does not answer", subject=address, remedy="Start the server")

    with monkeypatch.context() as patched:
        patched.setattr(upgrade, "import_for_server", unanswered)
        asked = checked(1, address)
    assert f"the server could not be asked: {address} does not answer" in asked
    assert "worktree" not in asked
