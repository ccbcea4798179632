"""The figures of docs/gossip.md: a small part is played again, and page and picture follow."""

import json
from pathlib import Path

import numpy as np
import pytest

from hyperfed.simulator.gossip_page import CLIENTS, measure, picture, table, with_table

ROOT = Path(__file__).parents[3]
NUMBERS = json.loads((ROOT / "benchmarks" / "results" / "gossip.json").read_text())


def test_page_and_picture_are_what_the_numbers_give() -> None:
    page = (ROOT / "docs" / "gossip.md").read_text(encoding="utf-8")
    assert with_table(page, NUMBERS) == page, "python benchmarks/gossip.py --page"
    assert (ROOT / "docs" / "gossip.svg").read_text(encoding="utf-8") == picture(NUMBERS)
    assert [int(count) for count in NUMBERS["exact"]] == list(CLIENTS)


def test_a_basket_of_ten_gives_the_numbers_that_are_kept() -> None:
    played = measure(seeds=2, clients=(10,))
    for kind, kept in NUMBERS.items():
        assert np.allclose(played[kind]["10"], kept["10"][:2], rtol=1e-3)


def test_the_table_says_what_was_not_reached() -> None:
    slow = {"10": [[1.0] * 13, [1.0, 0.001] + [0.001] * 11]}
    row = table({"exact": slow, "away": slow, "noised": slow}).splitlines()[2]
    assert row == "| 10 | 4 | 1 to more than 12 | 1 to more than 12 | 0.50 |"


@pytest.mark.parametrize("count", [str(n) for n in CLIENTS])
def test_theory_holds_for_every_basket_measured(count: str) -> None:
    """Six to ten epochs reach a hundredth, a tenth of the visits missing or not."""
    for kind, most in (("exact", 7), ("away", 10)):
        for errors in NUMBERS[kind][count]:
            assert next(i for i, error in enumerate(errors) if error < 0.01) <= most
