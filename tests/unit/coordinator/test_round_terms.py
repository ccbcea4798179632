"""What an operator writes down about rounds becomes a vocabulary, or is refused by name."""

import math
from pathlib import Path
from typing import Any

import pytest

from hyperfed.client.settings import load_settings
from hyperfed.coordinator.opening import RoundTerms
from hyperfed.errors import BoundsError, ConfigError
from hyperfed.tables.vocabulary import Variable

pytestmark = pytest.mark.unit


def test_units_and_ranges_belong_to_their_variables() -> None:
    terms = RoundTerms.of(
        variables=["output", "rate", "heat"],
        domains=["economics", "economics", "plant"],
        units={"output": "EUR"},
        ranges={"rate": [0, 100], "heat": [None, 80], "output": [0, math.inf]},
    )
    assert terms.vocabulary.variables == (
        Variable("output", "economics", "EUR", 0.0),
        Variable("rate", "economics", low=0.0, high=100.0),
        Variable("heat", "plant", high=80.0),
    )
    plain = RoundTerms.of(variables=["output"]).vocabulary.variables[0]
    assert plain.is_plain


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"units": {"outptu": "EUR"}}, "'outptu', which is no variable"),
        ({"ranges": {"outptu": [0, 1]}}, "'outptu', which is no variable"),
        ({"ranges": {"output": [0]}}, "'output' has 1 numbers"),
        ({"ranges": {"output": [2, 1]}}, "2 to 1; the low end comes first"),
        ({"ranges": {"output": [math.nan, 1]}}, "low end of its plausible range is nan"),
        ({"units": {"output": "E\nUR"}}, "a variable's unit"),
    ],
)
def test_a_unit_of_nothing_and_a_range_that_is_none_are_refused(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises((ConfigError, BoundsError), match=words):
        RoundTerms.of(variables=["output", "rate"], **given)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("units = { output = 'EUR' }", "rounds.units", {"output": "EUR"}),
        ("ranges = { output = [0, 1e6] }", "rounds.ranges", {"output": (0.0, 1e6)}),
        ("ranges = { output = [0, inf] }", "rounds.ranges", {"output": (0.0, math.inf)}),
    ],
)
def test_settings_say_units_and_ranges_by_name(
    tmp_path: Path, line: str, name: str, value: Any
) -> None:
    path = tmp_path / "hyperfed.toml"
    path.write_text(f"[rounds]\n{line}\n")
    assert load_settings(path).values[name] == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[rounds]\nunits = 'EUR'", "must give a text by name"),
        ("[rounds]\nunits = { output = true }", "must give a text by name"),
        ("[rounds]\nranges = { output = 5 }", "must give two numbers by name"),
        ("[rounds]\nranges = { output = [1, 2, 3] }", "must give two numbers by name"),
        ("[rounds]\nranges = {}", "must give two numbers by name"),
        ("[data]\nmissing = '-999'", "must be a list of texts or numbers"),
        ("[data]\nmissing = [true]", "must be a list of texts or numbers"),
        ("[data]\nconvert = { output = [1] }", "must give a text by name"),
        ("[sharing]\nnevr = ['a']", "is unknown"),
        ("[sharing]\ndigits = 0", "must be a whole number above 0"),
    ],
)
def test_settings_that_are_none_are_refused_with_an_example(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "hyperfed.toml"
    path.write_text(text + "\n")
    with pytest.raises(ConfigError, match=words) as caught:
        load_settings(path)
    assert caught.value.remedy
