"""Votes, sums and pooled rows on one federation, and the table and picture of their numbers."""

import json
from pathlib import Path

import pytest

from hyperfed.simulator.evidence.sums import WAYS, play_sums
from hyperfed.simulator.evidence.sums_page import PICTURES, filled, picture

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]


def test_with_many_small_clients_sums_find_what_votes_do_not() -> None:
    scores = dict(play_sums("var", 64, 1))
    assert tuple(scores) == WAYS
    assert scores["sums"] > scores["votes"]
    assert scores["sums"] > scores["pooled rows"] - 0.1


def test_page_and_pictures_are_those_of_the_numbers() -> None:
    cells = json.loads((ROOT / "benchmarks" / "results" / "sums.json").read_text())
    page = (ROOT / "docs" / "sums.md").read_text(encoding="utf-8")
    assert filled(page, cells) == page
    for kind, name in PICTURES.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == picture(cells, kind)
    cells[0]["f1"] = [0.0]
    assert filled(page, cells) != page
