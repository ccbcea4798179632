"""`hyperfed discover` and the edges it writes; units, gaps and own rules at `hyperfed submit`."""

from pathlib import Path

import click
import pytest

from hyperfed.cli.values import Override, Range
from hyperfed.demo import VARIABLES
from hyperfed.tables.vocabulary import Variable, Vocabulary
from tests.unit.cli.conftest import Desk, World
from tests.unit.cli.test_cli_submit import _received

pytestmark = pytest.mark.unit

FEW = ("--bootstraps", "10")


def test_discover_needs_no_round_store_or_key(desk: Desk, world: World) -> None:
    data = world.data()
    Path("hyperfed.toml").unlink()
    before = world.files()
    said = desk.ok("discover", "--data", data, *FEW)
    assert world.files() == before
    assert said["measured"] == list(VARIABLES)
    assert len(said["edges"]) == 25
    assert said["read"]["rows"] == 16
    assert said["read"]["period"] == ["1971", "1986"]
    told = desk("discover", "--data", data, *FEW)
    assert told.code == 0
    assert "16 rows of 5 columns" in told.out
    assert "1971 to 1986 by column 'year'" in told.out


def test_submit_takes_what_discover_has_found(world: World) -> None:
    """The same update leaves, by either way."""
    world.federation.open(1)
    data = world.data()
    world.desk.ok("discover", "--data", data, "--out", "edges.csv", "--seed", "3")
    direct = world.desk.ok("submit", "--data", data, "--seed", "3", "--dry-run")
    later = world.desk.ok("submit", "--edges", "edges.csv", "--dry-run")
    assert later["measured"] == direct["measured"]
    assert later["lags"] == direct["lags"]
    for row, expected in zip(later["edges"], direct["edges"], strict=True):
        assert row == pytest.approx(expected)
    some = world.desk.ok(
        "discover", "--data", data, "--columns", "output,employment", "--out", "few.csv", *FEW
    )
    assert some["measured"] == ["output", "employment"]
    assert world.desk.ok("submit", "--edges", "few.csv")["measured"] == ["output", "employment"]
    assert _received(world).measured.tolist() == [2, 3]


def test_discover_says_what_it_cannot_use(desk: Desk) -> None:
    assert desk.fails(2, "discover")["problem"] == "nothing to discover in"
    Path("edges.csv").write_text("source,target\n")
    assert "discovered already" in desk.fails(2, "discover", "--edges", "edges.csv")["problem"]
    Path("words.csv").write_text("date,word\n2026-01-01,a\n")
    assert desk.fails(1, "discover", "--data", "words.csv")["problem"] == (
        "has no column of numbers"
    )


def test_discover_refuses_lags_at_which_the_engine_cannot_look(desk: Desk) -> None:
    Path("rows.csv").write_text("dose,heat\n" + "".join(f"{i},{i * i}\n" for i in range(9)))
    for words in (("--engine", "pc", "--lags", "1"), ("--series", "--lags", "0")):
        error = desk.fails(2, "discover", "--data", "rows.csv", *words)
        assert "where engine" in error["problem"]
        assert error["subject"] == "--lags, or [data] lags"


def test_a_dry_run_says_what_was_read_and_both_sets_of_rules(world: World) -> None:
    world.federation.open(1)
    Path("hyperfed.toml").write_text(
        world.config("texas")
        + '[sharing]\nnever = ["unemployment", "income"]\nsmallest_n = 10\ndigits = 2\n'
    )

    def change(cells: list[list[str]]) -> None:
        cells[4][2] = "NA"
        cells[9][2] = "-"

    data = world.data(change=change)
    said = world.desk.ok("submit", "--data", data, "--dry-run", *FEW)
    assert said["read"]["missing"] == {VARIABLES[1]: 2}
    assert "unemployment" in said["measured"]
    assert said["own_rules"][0] == "never shared: unemployment, income"
    assert said["told_as_measured"] == [name for name in VARIABLES if name != "unemployment"]
    assert said["policy"]["stability_min"] == 0.1
    sent = said["edges_shared"] + said["edges_estimated"]
    assert sent == len(said["edges"]) + said["own_rules_held_back"]
    assert not any("unemployment" in (row["source"], row["target"]) for row in said["edges"])
    assert all(row["effect"] == float(f"{row['effect']:.1e}") for row in said["edges"])
    told = world.desk("submit", "--data", data, "--dry-run", *FEW)
    for words in (
        "Policy of the round",
        "never shared: unemployment",
        "2 of 80 values",
        "Missing",
        "Told as measured",
    ):
        assert words in told.out
    assert "'income', which is no variable of this round" in told.err
    sent = world.desk.ok("submit", "--data", data, *FEW)
    assert sent["sequence"] == 1
    assert _received(world).measured.tolist() == [0, 1, 2, 3], "unemployment is the fifth"


def test_own_rules_hold_at_night_and_for_finished_edges(world: World) -> None:
    world.federation.open(1)
    text = world.config("texas") + '[sharing]\nnever = ["unemployment"]\n'
    Path("hyperfed.toml").write_text(text)
    world.desk.ok("client", "night", "--data", world.data(), *FEW)
    assert 4 not in _received(world).measured.tolist()
    Path("hyperfed.toml").write_text(text.replace("unemployment", "Unemployment"))
    before = world.objects()
    error = world.desk.fails(2, "submit", "--data", world.data(), *FEW)
    assert "did you mean 'unemployment'" in error["problem"]
    assert world.objects() == before, "nothing was sent"


def test_another_unit_is_refused_before_anything_is_sent(world: World) -> None:
    """One client in thousands: the range stops it, --convert lets it in, in the round's unit."""
    entries = [Variable(name, "economics") for name in VARIABLES]
    entries[2] = Variable("output", "economics", "percent", low=-60, high=60)
    world.federation.vocabulary = Vocabulary(tuple(entries))
    world.federation.open(1)
    plain = world.desk.ok("submit", "--data", world.data(), "--dry-run", "--seed", "1", *FEW)
    assert plain["read"]["units"] == {"output": "percent"}

    def change(cells: list[list[str]]) -> None:
        for row in cells[1:]:
            row[3] = repr(float(row[3]) * 1000)

    data, before = world.data(change=change), world.objects()
    error = world.desk.fails(1, "submit", "--data", data, *FEW)
    assert "the plausible range of the round" in error["problem"]
    assert "--convert output=0.001" in error["remedy"]
    stated = ("--unit", "output=permille", "--columns", "output,employment")
    error = world.desk.fails(1, "submit", "--data", data, *stated)
    assert (
        "'output' is in 'permille' here, and the round counts it in 'percent'" in error["problem"]
    )
    assert world.objects() == before, "nothing was sent"
    converted = ("--convert", "output=0.001", "--seed", "1", *FEW)
    said = world.desk.ok("submit", "--data", data, "--dry-run", *converted)
    for row, expected in zip(said["edges"], plain["edges"], strict=True):
        assert row["effect"] == pytest.approx(expected["effect"], rel=1e-6)


def test_gaps_and_markers_are_options_of_every_way_in(world: World) -> None:
    world.federation.open(1)

    def change(cells: list[list[str]]) -> None:
        cells[5][1] = "-999"
        del cells[11]

    data = world.data(change=change)
    said = ("--every", "1y", "--fill-gaps", "none", "--missing", "-999")
    read = world.desk.ok("submit", "--data", data, "--dry-run", *said, *FEW)["read"]
    assert (read["rows"], read["empty_rows"]) == (15, 1)
    assert read["missing"] == {VARIABLES[0]: 1}
    assert (
        "--fill-gaps none"
        in world.desk.fails(1, "submit", "--data", data, "--every", "1y", *FEW)["remedy"]
    )
    Path("hyperfed.toml").write_text(
        world.config("texas")
        + f'[data]\nfile = "{data}"\nevery = "1y"\nfill_gaps = "none"\nmissing = [-999]\n'
    )
    night = world.desk.ok("client", "night", *FEW)
    assert night["update"]["read"]["empty_rows"] == 1
    timer = world.desk.ok("client", "timer", "--data", data, *said, "--unit", "output=a b")
    for words in ("--every 1y", "--fill-gaps none", "--missing=-999", "output=a b"):
        assert words in timer["text"].replace("--missing -999", "--missing=-999")
    assert "standard input" in world.desk.fails(2, "client", "timer", "--data", "-")["problem"]


def test_a_series_through_a_pipe(world: World) -> None:
    world.federation.open(1)
    text = world.data().read_text()
    said = world.desk.ok("submit", "--data", "-", "--dry-run", *FEW, stdin=text)
    assert said["read"]["rows"] == 16


def test_marks_of_editors_in_settings_and_enrolments(world: World) -> None:
    """Notepad and PowerShell begin a file with a byte-order mark."""
    world.federation.open(1)
    path = Path("hyperfed.toml")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    data = world.data()
    data.write_bytes(b"\xef\xbb\xbf" + data.read_bytes())
    assert world.desk.ok("submit", "--data", data, "--dry-run", *FEW)["read"]["rows"] == 16


@pytest.mark.parametrize("text", ["1_000", "\u0661", "1_0.5"])
def test_an_override_refuses_what_only_python_reads_as_a_number(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no number: write it as 1000"):
        Override().convert(f"vote_min={text}", None, None)


@pytest.mark.parametrize(("text", "value"), [("1000", 1000), ("-0.5", -0.5)])
def test_an_override_takes_plain_numbers(text: str, value: object) -> None:
    made = Override().convert(f"vote_min={text}", None, None)
    assert made == ("vote_min", value)
    assert type(made[1]) is type(value)


@pytest.mark.parametrize(
    ("text", "ends"),
    [("a=b=0:1.5", [0.0, 1.5]), ("a=b=:-1e3", [None, -1e3]), ("a=b=2:", [2, None])],
)
def test_a_range_has_two_ends_or_one(text: str, ends: list[float | None]) -> None:
    assert Range().convert(text, None, None) == ("a=b", ends)


@pytest.mark.parametrize("text", ["a", "a=", "a=1", "a=:", "=1:2", "a=1_0:2", "a=one:2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="write it as output=0:1000"):
        Range().convert(text, None, None)
