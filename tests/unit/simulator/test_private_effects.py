"""Private rounds of effects as the evidence plays them, and the table made of their numbers."""

import json
from pathlib import Path

import pytest

from hyperfed.simulator.evidence.private_effects import (
    filled_effects,
    measure_effects,
    play_effects,
    updates_of,
)

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]


def test_shares_are_nearly_as_good_as_central_noise_and_local_noise_is_not() -> None:
    """20 shares of which 12 are counted have 1.3 times the noise, and local noise 4.5 times."""
    world, updates = updates_of(3000)
    errors = {
        place: play_effects(world, updates, epsilon=4, place=place, unit="client")["rmse"]
        for place in ("central", "shares", "local")
    }
    assert 0.5 < errors["shares"] / errors["central"] < 3.3
    assert errors["local"] > 1.4 * errors["shares"]


def test_the_table_is_that_of_the_numbers() -> None:
    cells = json.loads((ROOT / "benchmarks" / "results" / "private_effects.json").read_text())
    page = (ROOT / "docs" / "secure-sums.md").read_text(encoding="utf-8")
    assert "<!-- effects: made by benchmarks/private_sums.py -->" in page
    assert filled_effects(page, cells) == page
    cells[0]["rmse"] = [0.5]
    assert filled_effects(page, cells) != page


def test_a_cell_for_each_unit_place_and_epsilon() -> None:
    told = list[str]()
    cells = measure_effects(range(3000, 3001), progress=told.append)
    assert len(cells) == 12
    assert len(told) == 2
    assert all(len(cell["rmse"]) == 1 for cell in cells)
    record = {c["place"]: c["rmse"][0] for c in cells if (c["unit"], c["epsilon"]) == ("record", 4)}
    client = {c["place"]: c["rmse"][0] for c in cells if (c["unit"], c["epsilon"]) == ("client", 4)}
    assert all(record[place] < client[place] / 5 for place in record)
