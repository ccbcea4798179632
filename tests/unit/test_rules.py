"""Every rule has an id that the page explains and the code cites, and nothing else has one."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULE = re.compile(r"\bR-\d+\b")


def cited(*folders: str) -> set[str]:
    return {
        rule
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for rule in RULE.findall(path.read_text())
    }


@pytest.fixture(scope="module")
def page() -> set[str]:
    return set(RULE.findall((ROOT / "docs" / "protocol.md").read_text()))


def test_every_rule_that_the_code_cites_is_explained(page: set[str]) -> None:
    assert sorted(cited("src", "flows", "tasks", "blocks") - page) == []


def test_every_rule_that_is_explained_is_held_by_code(page: set[str]) -> None:
    assert sorted(page - cited("src", "flows", "blocks")) == []


def test_every_rule_is_cited_by_a_test(page: set[str]) -> None:
    assert sorted(page - cited("tests")) == []
