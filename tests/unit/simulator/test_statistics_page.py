"""docs/statistics.md and its pictures: they are what the kept numbers give."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperfed.hypergraph.evidence import Evidence, Spread
from hyperfed.simulator import statistics_numbers
from hyperfed.simulator.panels import Panel, panels_svg
from hyperfed.simulator.statistics_page import pages

pytestmark = pytest.mark.unit

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "statistics.md").read_text(encoding="utf-8")
NUMBERS: dict[str, Any] = json.loads(
    (DOCS.parent / "benchmarks/results/statistics.json").read_text()
)


def test_the_page_and_its_pictures_are_what_the_numbers_give() -> None:
    for name, text in pages(PAGE, NUMBERS).items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"make statistics: {name}"


def test_every_number_that_an_edge_publishes_is_defined() -> None:
    defined = set(re.findall(r"`(\w+)`", PAGE.split("## The numbers of an edge")[1]))
    assert defined >= {*Evidence.COLUMNS, *Spread.COLUMNS, "effect", "ci_low", "ci_high"}


def test_coverage_is_of_at_least_two_thousand_replicates_and_within_what_is_promised() -> None:
    part = NUMBERS["coverage"]
    assert part["replicates"] >= 2000
    for row in part["effects"]:
        for name, low, high in (("interval", 0.93, 0.97), ("tau2_mean", 0.008, 0.012)):
            value, error = row[name]
            assert low - 2 * error <= value <= high + 2 * error, (row["effect"], name)


def test_no_honest_client_was_expelled_and_noise_kept_the_rate() -> None:
    assert not any(world["honest_expelled"] for world in NUMBERS["standing"]["worlds"])
    for row in NUMBERS["noise"]["rows"]:
        value, error = row["fdr"]["any_false"]
        assert value - 2 * error <= 0.05, row["clients"]


def test_a_number_stands_with_its_standard_error() -> None:
    values = np.random.default_rng(0).exponential(size=4000)
    mean, error = statistics_numbers._mean(values)
    assert mean == pytest.approx(values.mean(), rel=1e-4)
    assert error == pytest.approx(1 / np.sqrt(4000), rel=0.1)
    median, error = statistics_numbers._median(values)
    assert median == pytest.approx(np.log(2), abs=0.05)
    # of an exponential's median it is 1 / sqrt(n) too: sqrt(p (1 - p) / n) over the density of 1/2
    assert error == pytest.approx(1 / np.sqrt(4000), rel=0.3)
    assert statistics_numbers._mean([1.0]) == []


def test_parts_play_what_the_page_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest part of each, with two clients; the page of it has every table."""
    monkeypatch.setattr(statistics_numbers, "_CLIENTS", 3)
    monkeypatch.setattr(statistics_numbers, "_OTHER_CLIENTS", (2, 3))
    monkeypatch.setattr(statistics_numbers, "_NOISE_CLIENTS", (2,))
    monkeypatch.setattr(statistics_numbers, "_SYSTEM_CLIENTS", (2,))
    names = ("coverage", "clients", "noise", "systems")
    played = {name: statistics_numbers.PARTS[name](0.001) for name in names}
    made = pages(PAGE, NUMBERS | played)
    assert made.keys() == {
        "statistics.md",
        *(f"statistics-{name}.svg" for name in ("coverage", "clients", "errors")),
    }
    assert "5 replicates of 3 clients with 300 rows" in made["statistics.md"]
    assert "5 outcomes of noise a row" in made["statistics.md"]
    # of two clients there is no prediction interval
    assert played["clients"]["rows"][0]["prediction"] == []
    assert "| 2 | 1.000 | - |" in made["statistics.md"]


def test_a_panel_draws_two_standard_errors_and_what_is_promised() -> None:
    panel = Panel(
        title="a < b",
        across="clients",
        series={"one": {"2": (0.5, 0.1), "5": (2.0, 0.0)}},
        ticks=(0.0, 1.0),
        band=(0.4, 0.6),
        truth=0.5,
    )
    svg = panels_svg("all", [panel])
    assert "a &lt; b" in svg
    (top, bottom) = re.search(
        r'stroke-width="2" x1="\S+" y1="(\S+)" x2="\S+" y2="(\S+)"', svg
    ).groups()  # type: ignore[union-attr]
    low, high = re.findall(r'y="(\S+)" text-anchor="end"', svg)
    assert abs(float(top) - float(bottom)) == pytest.approx(
        0.4 * (float(low) - float(high)), abs=0.2
    )
    assert svg.count("stroke-dasharray") == svg.count("<rect") - 1 == 1
    assert svg == panels_svg("all", [panel])
