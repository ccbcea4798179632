"""docs/reference-mapping.md: every target imports, and what it says is missing is missing."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import hyperfed
from tests.unit.test_reference_page import DOCUMENTED

PAGE = (Path(__file__).parents[2] / "docs" / "reference-mapping.md").read_text(encoding="utf-8")
ABSENT = "not in this version"
CORE = ["hierarchical", "aggregator", "gossip", "basket", "buffer", "layers", "secure_aggregation"]
UTILITY = [
    "packets",
    "codec",
    "validator",
    "privacy_guard",
    "trust_scorer",
    "scheduler",
    "client_agent",
    "coordinator",
    "reconciler",
    "transport",
]

pytestmark = pytest.mark.unit


def _rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)[2:]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


FILES = {row[0].strip("`").removesuffix(".py"): row[1:] for row in _rows("Core files")} | {
    row[0].strip("`").removesuffix(".py"): row[1:] for row in _rows("Utility files")
}
MENTIONED = dict(_rows("Names that the reference only mentions"))


def test_all_seventeen_files_are_mapped() -> None:
    assert list(FILES) == [*CORE, *UTILITY]
    assert {f for f, row in FILES.items() if row[0] != ABSENT} <= set(DOCUMENTED)


@pytest.mark.parametrize("file", FILES)
def test_each_file_is_where_the_page_says(file: str) -> None:
    where, code, names = FILES[file]
    if where == ABSENT:
        assert find_spec(f"hyperfed.{file}") is None, "it has come: say where it is"
        return
    assert where == f"`hyperfed.{file}`"
    room, home = import_module(f"hyperfed.{file}"), import_module(code.strip("`"))
    listed = re.findall(r"`(\w+)`", names)
    assert set(DOCUMENTED[file]) <= set(listed)
    for name in listed:
        value = getattr(room, name)
        assert value is getattr(home, name)
        if file in UTILITY:
            assert value is getattr(hyperfed, name)


@pytest.mark.parametrize("name", MENTIONED)
def test_each_name_that_is_only_mentioned(name: str) -> None:
    target = MENTIONED[name].strip("`")
    if target == ABSENT:
        assert name.strip("`") not in hyperfed.__all__
        return
    module, _, found = target.rpartition(".")
    assert getattr(import_module(module), found).__name__ == found


def test_its_snippet_runs() -> None:
    for snippet in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(snippet, {})  # noqa: S102 - the page's own imports
    from hyperfed import PrivacyGuard  # what its next paragraph writes

    assert PrivacyGuard is hyperfed.PrivacyGuard
