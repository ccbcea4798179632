"""tests/unit mirrors the source: a folder for each room, a file at the root for a root module."""

import re
from pathlib import Path

import pytest

from tests.unit.test_reference_page import DOCUMENTED

UNIT = Path(__file__).parent
SOURCE = UNIT.parents[1] / "src" / "hyperfed"
# Tests of the project as a whole: its names and pages, its locks and its scripts.
OF_THE_PROJECT = {
    "architecture",
    "bounds",
    "docs_site",
    "glossary",
    "how_to",
    "layout",
    "mutation",
    "public_names",
    "pythons",
    "reference_docs",
    "reference_mapping",
    "reference_page",
    "rules",
    "setup",
    "threat_model",
    "tutorial",
}

pytestmark = pytest.mark.unit


def _rooms() -> set[str]:
    return {folder.parent.name for folder in SOURCE.glob("*/__init__.py")}


def test_each_folder_is_a_room() -> None:
    folders = {file.relative_to(UNIT).parts[0] for file in UNIT.glob("*/**/*.py")}
    assert folders <= _rooms(), "move these tests to the folder of the room that they test"


def test_each_room_has_a_folder() -> None:
    assert _rooms() <= {file.parent.name for file in UNIT.glob("*/test_*.py")}


def test_files_at_the_root_are_of_root_modules_or_of_the_project() -> None:
    modules = {file.stem for file in SOURCE.glob("*.py")}
    files = {file.stem.removeprefix("test_") for file in UNIT.glob("*.py")}
    assert files <= modules | OF_THE_PROJECT, "a room's tests stand in its folder"
    assert files >= OF_THE_PROJECT, "OF_THE_PROJECT names a file that is gone"


def test_the_modules_at_the_root_are_names_of_the_reference_page_or_errors_or_config() -> None:
    modules = {file.stem for file in SOURCE.glob("*.py")} - {"__init__"}
    assert modules <= {*DOCUMENTED, "config", "errors"}


@pytest.mark.parametrize("module", sorted(file.stem for file in SOURCE.glob("*.py")))
def test_an_alias_is_one_star_and_nothing_else(module: str) -> None:
    text = (SOURCE / f"{module}.py").read_text(encoding="utf-8")
    starred = re.findall(r"^from (\S+) import \*", text, re.MULTILINE)
    if not starred:
        return
    assert len(starred) == 1
    assert re.findall(r"^(?:from|import|def|class) .*", text, re.MULTILINE) == [
        f"from {starred[0]} import *  # noqa: F403 - a one-line alias",
        f"from {starred[0]} import __all__ as __all__",
    ]
