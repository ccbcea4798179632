"""The how-to pages: their Python runs as it is written, and their commands and options exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from hyperfed import Discovery, Update
from hyperfed.cli.app import app
from hyperfed.testing.federation import SmallFederation

FOLDER = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in sorted(FOLDER.glob("*.md"))}
PYTHON = [name for name, text in PAGES.items() if "```python" in text]
COMMAND = re.compile(r"^ {4}(?:.*do )?(hyperfed .*?)(?:;.*|\s+#.*)?$", re.MULTILINE)

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def federation() -> SmallFederation:
    """A federation whose first round has ended, which the pages share."""
    federation = SmallFederation()
    federation.play(1)
    return federation


@pytest.fixture
def names(
    request: pytest.FixtureRequest,
    federation: SmallFederation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Any]:
    """What a page's Python has defined once it has run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"session": federation.session("site-01")}
    for text in re.findall(r"```python\n(.*?)```", PAGES[request.param], re.DOTALL):
        exec(compile(text, f"{request.param}.md", "exec"), names)  # noqa: S102 - the page's own
    return names


def test_each_page_with_python_has_a_test_of_what_it_makes() -> None:
    tested = {
        *("bring-my-own-graph", "write-an-engine", "write-a-store", "write-a-rule"),
        *("read-a-receipt", "run-twenty-sites", "private-rounds"),
    }
    assert set(PYTHON) == tested


@pytest.mark.parametrize("names", ["bring-my-own-graph"], indirect=True)
def test_a_graph_becomes_edges_and_keeps_a_variable_without_one(names: dict[str, Any]) -> None:
    found = names["found"]
    assert isinstance(found, Discovery)
    assert list(zip(found.source, found.target, strict=True)) == [
        ("heat", "load"),
        ("load", "wear"),
    ]
    assert "faults" in found.variables
    assert found.confidence.tolist() == pytest.approx([0.999, 0.98])
    lines = Path("found.csv").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("load,wear,0,-0.4,")]


@pytest.mark.parametrize("names", ["write-an-engine"], indirect=True)
def test_the_engine_finds_what_is_there_and_is_unsure_of_noise(names: dict[str, Any]) -> None:
    update = names["update"]
    assert isinstance(update, Update)
    assert update.lags == (1,)
    noise = names["engine"].discover()
    assert len(noise.effect) == 6
    assert 0.2 < noise.confidence.mean() < 0.8
    data = np.random.default_rng(2).normal(size=(300, 3))
    data[1:, 1] -= data[:-1, 0]
    found = names["LagCorrelations"](data, names["names"]).discover()
    edges = dict(
        zip(
            zip(found.source, found.target, strict=True),
            zip(found.effect, found.confidence, strict=True),
            strict=True,
        )
    )
    effect, confidence = edges["heat", "load"]
    assert effect < -0.5
    assert confidence > 0.999


@pytest.mark.parametrize("names", ["write-a-store"], indirect=True)
def test_the_store_breaks_no_rule_and_bears_a_round(names: dict[str, Any]) -> None:
    assert names["broken"] == []
    assert SmallFederation(store=names["SqliteStore"]("box.db")).play(1).counted == 3


@pytest.mark.parametrize("names", ["write-a-rule"], indirect=True)
def test_the_rule_bears_its_liars_and_refuses_below_its_breakdown(names: dict[str, Any]) -> None:
    assert np.abs(names["merged"] - 1).max() < 0.2
    assert names["misled"].max() < -15
    rule, rows = names["InnerMean"](f=2), names["honest"]
    assert rule.aggregate(rows[::-1]).tobytes() == rule.aggregate(rows).tobytes()
    with pytest.raises(Exception, match="needs at least 5"):
        rule.aggregate(rows[:4])


@pytest.mark.parametrize("names", ["read-a-receipt"], indirect=True)
def test_the_receipt_is_proven_and_the_table_has_every_fate(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from hyperfed.protocol.receipt_objects import Fate

    assert names["receipt"].fate is Fate.COUNTED
    rows = re.findall(r"^\| ([a-z ]+) \|", PAGES["read-a-receipt"], re.MULTILINE)
    assert sorted(set(rows) - {"fate"}) == sorted(fate.value for fate in Fate)


@pytest.mark.parametrize("names", ["run-twenty-sites"], indirect=True)
def test_a_round_of_twenty_goes_on_without_two(names: dict[str, Any]) -> None:
    assert (names["stage"].why.value, names["stage"].counted) == ("committed", 18)


@pytest.mark.parametrize("names", ["private-rounds"], indirect=True)
def test_a_private_round_of_six_hides_every_edge(names: dict[str, Any]) -> None:
    assert names["stage"].why.value == "committed"
    assert "privacy_epsilon" not in str(names["model"].privacy)
    assert names["model"].privacy.mechanism


def _commands() -> Iterator[tuple[str, str]]:
    for name, text in PAGES.items():
        for command in COMMAND.findall(text):
            yield name, command


@pytest.mark.parametrize(("page", "text"), list(_commands()))
def test_a_command_has_the_options_that_the_page_gives_it(page: str, text: str) -> None:
    words = shlex.split(text)[1:]
    command: click.Command = app
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, text
        command = found
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


def test_each_page_is_one_screen_and_says_what_can_go_wrong() -> None:
    for name, text in PAGES.items():
        assert "**What can go wrong.**" in text, name
        prose = re.sub(r"```python.*?```", "", text, flags=re.DOTALL)
        assert len(prose.splitlines()) < 65, name
