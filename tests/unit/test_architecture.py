"""docs/architecture.md and its picture are those of the code, and cannot go stale unnoticed."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
READ = ("src", "flows", "tasks", "blocks", "pyproject.toml")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import draw_architecture

    yield draw_architecture
    for name in [n for n in sys.modules if n.partition(".")[0] == "architecture"]:
        del sys.modules[name]
    del sys.modules["draw_architecture"]


@pytest.fixture
def checkout(script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A checkout with this one's code and pages of its own."""
    for name in READ:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").mkdir()
    for name in ("architecture.md", "architecture.svg"):
        shutil.copy(ROOT / "docs" / name, tmp_path / "docs")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    return tmp_path


def library(root: Path, **texts: str) -> Path:
    """A library of rooms with these texts."""
    folder = root / "src" / "hyperfed"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('"""A library."""\n')
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return root


def test_page_and_picture_are_current(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status = script.main(["--check"])
    assert (status, capsys.readouterr().err) == (0, "")


def test_no_arrow_runs_back_up_and_no_two_rooms_import_each_other(script: Any) -> None:
    house = script.House.of(ROOT)
    assert (house.back_up, house.pairs) == ((), ())
    assert all(house.storeys[a] > house.storeys[b] for a, b in house.arrows)


@pytest.mark.parametrize("name", ["architecture.md", "architecture.svg"])
def test_a_figure_that_is_not_the_codes_is_told_and_mended(
    script: Any, checkout: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page, current = checkout / "docs" / name, (ROOT / "docs" / name).read_text()
    old = current.replace("**coordinator**", "**somebody**").replace(">coordinator<", ">somebody<")
    page.write_text(old)
    assert script.main(["--check"]) == 1
    assert f"docs/{name} is not current" in capsys.readouterr().err
    assert page.read_text() == old
    assert script.main(["--write"]) == 0
    assert page.read_text() == current


def test_a_stop_that_the_code_does_not_have_is_told(script: Any) -> None:
    from architecture.paths import check_stop

    house = script.House.of(ROOT)
    stop = next(s for s in script.UPDATE if s.at.endswith("ClientSession.submit"))
    check_stop(stop, house, ROOT)
    for other, says in (
        (replace(stop, at="client.session:ClientSession.post"), "defines no ClientSession.post"),
        (replace(stop, at="client.sitting:ClientSession.submit"), "no module client.sitting"),
        (replace(stop, by="storage.store"), "storage.store does not use ClientSession.submit"),
    ):
        with pytest.raises(script.StaleError, match=says):
            check_stop(other, house, ROOT)


def test_a_circle_of_rooms_has_an_arrow_that_runs_back_up(script: Any, tmp_path: Path) -> None:
    root = library(
        tmp_path,
        low="def late():\n    from hyperfed import high\n",
        middle="from hyperfed.low import late\n",
        high="import hyperfed.middle\nimport hyperfed.low\n",
        other='"""Give the reference page\'s name to `hyperfed.low`."""\n'
        "from hyperfed.low import *\n",
    )
    house = script.House.of(root)
    assert (house.rooms, house.aliases) == (("high", "low", "middle"), ("other",))
    assert len(house.arrows) == 4
    assert house.pairs == (("high", "low"),)
    assert house.back_up == (("low", "high"),)
    with pytest.raises(script.StaleError, match="low -> high"):
        _ = house.storeys


def test_a_room_that_no_group_has_is_told(script: Any, tmp_path: Path) -> None:
    house = script.House.of(library(tmp_path, attic='"""What nobody needs."""\n'))
    with pytest.raises(script.StaleError, match="lacks attic"):
        script.draw(house)
