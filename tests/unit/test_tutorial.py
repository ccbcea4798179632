"""The data scientist's tutorial, run as it is written, and the examples."""

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperfed.simulator.attackers import ATTACKS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "tutorial"

pytestmark = pytest.mark.unit


def run(page: str) -> dict[str, Any]:
    """What a page's Python has defined once it has run."""
    names: dict[str, Any] = {"__name__": "tutorial"}
    for text in re.findall(r"```python\n(.*?)```", (FOLDER / page).read_text("utf-8"), re.DOTALL):
        exec(compile(text, page, "exec"), names)  # noqa: S102 - the page's own text
    return names


def test_the_researchers_tutorial_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperfed.simulator.attackers.ATTACKS", dict(ATTACKS))
    monkeypatch.setattr(
        "hyperfed.simulator.attackers.catalogue.ATTACKS",
        sys.modules["hyperfed.simulator.attackers"].ATTACKS,
    )
    names = run("researcher.md")
    assert names["errors"]["mean"] > 0.5
    assert max(names["errors"][rule] for rule in ("median", "trimmed-mean", "multi-krum")) < 0.15
    assert names["night"].score.f1 > 0.9, "the attack moved the graph"
    assert names["night"].weight < 0.1
    assert names["own"].score.f1 > 0.6, "two liars of eight turned the states' graph"
    assert len(names["world"].graphs) == 8
    assert "one-edge" not in ATTACKS, "the page's attack stays in its test"


def test_the_data_scientists_tutorial_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("data-scientist.md")
    said = capsys.readouterr().out
    edges = {(e["source"], e["target"], e["lag"]): e for e in names["model"].rows()}
    assert edges["heat", "load", 1]["effect"] == pytest.approx(0.7, abs=0.1)
    assert edges["load", "wear", 1]["effect"] == pytest.approx(-0.6, abs=0.1)
    assert "3 clients" in said, "few clients are warned of"
    lying = {(e["source"], e["target"], e["lag"]): e for e in names["lying"].rows()}
    for edge in (("heat", "load", 1), ("load", "wear", 1)):
        assert (lying[edge]["effect"] > 0) == (edges[edge]["effect"] > 0), "the liar turned nothing"
    assert len(names["frame"]) == names["graph"].number_of_edges() == len(edges)
    assert "heat:1" in names["text"]


EXAMPLES = {  # how many clients, an edge that its page tells of, one that it says is not there
    "states": (48, ("output", "employment"), ("public_capital", "output")),
    "firms": (11, ("invest", "capital"), ("value", "invest")),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_finds_what_its_page_says_and_names_its_source(name: str) -> None:
    clients, there, absent = EXAMPLES[name]
    folder = ROOT / "examples" / name
    model = runpy.run_path(str(folder / "run.py"))["federate"]()
    assert model.clients == clients
    edges = {(row["source"], row["target"]): row for row in model.rows()}
    assert edges[there]["q"] < 0.06
    assert absent not in edges
    assert bool(model.warnings) == (name == "states"), "few rows are warned of"
    assert "**Data.**" in (folder / "README.md").read_text("utf-8")
