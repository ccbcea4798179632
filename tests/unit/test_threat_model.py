"""docs/threat-model.md: every row names the test that shows it, and every test it names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/test_[a-z_0-9]+)::(test_\w+)`")
PARTIES = (
    "The bucket",
    "The network",
    "A client",
    "The thief of a client's key",
    "The thief of the coordinator's key",
    "The coordinator",
    "Whoever may use Prefect's API or database",
    "Another user of a machine",
    "A departed member",
)


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def rows() -> list[tuple[str, str]]:
    """Each row of a party's table with the party."""
    found, party = [], ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            party = line.removeprefix("## ")
        elif line.startswith("| ") and party and "shown by" not in line:
            found.append((party, line))
    return found


def test_every_party_has_rows() -> None:
    assert tuple(dict.fromkeys(party for party, _ in rows())) == PARTIES


@pytest.mark.parametrize(("party", "row"), rows())
def test_a_row_names_tests_that_exist(party: str, row: str) -> None:
    named = NAMED.findall(row.rsplit("|", 2)[1])
    assert named, "no test shows this"
    for file, function in named:
        path = ROOT / "tests" / f"{file}.py"
        assert path.is_file(), f"{party}: there is no {path.relative_to(ROOT)}"
        assert function in functions(path), f"{party}: {file} has no {function}"
