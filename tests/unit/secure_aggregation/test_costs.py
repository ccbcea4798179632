"""What secure sums cost: the page's tables follow from the numbers kept, and keep to the limits."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
MADE: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "secure_sums.py"))
NUMBERS = json.loads((ROOT / "benchmarks" / "results" / "secure_sums.json").read_text())


def test_the_tables_are_what_the_numbers_give() -> None:
    page = (ROOT / "docs" / "secure-sums.md").read_text(encoding="utf-8")
    assert MADE["with_tables"](page, NUMBERS) == page, "python benchmarks/secure_sums.py --page"
    sizes = [(row["clients"], row["length"]) for row in NUMBERS["beside"]["rows"]]
    assert sizes == MADE["SIZES"]


def test_what_was_measured_keeps_to_the_limits() -> None:
    """With at most 10 seeds: 50 ms for a client, 2 s for a helper of 100 clients. A share of noise
    is added to a client's, and takes no more than that again.
    """
    small = [row for row in NUMBERS["curve"]["rows"] if row["seeds"] <= 10]
    whole = [row[name] for row in NUMBERS["beside"]["rows"] for name in ("4 helpers", "5 helpers")]
    assert len(small) == 3
    assert all(row["share_s"] <= 0.05 for row in NUMBERS["beside"]["rows"])
    for row in small + whole:
        assert row["client_s"] <= 0.05
        assert row["helper_s"] <= 2.0


@pytest.mark.parametrize("group", [(4, 1), (5, 2)])
@pytest.mark.parametrize("length", [11_000, 200_000])
def test_a_message_is_hardly_longer_than_its_numbers(group: tuple[int, int], length: int) -> None:
    """Counted on a real message, boxes and commitments included; with 11,000 numbers 1.6 %."""
    night = MADE["Night"](*group, 1, length)
    sent = MADE["upload"](night.client(night.clients[0]))
    assert 8 * length < sent <= 1.02 * 8 * length
