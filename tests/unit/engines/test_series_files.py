"""Files as users have them (`tests/files`): which columns are taken, what tells the time, and what
is refused, with the line.
"""

from pathlib import Path

import numpy as np
import pytest

from hyperfed.client.settings import load_settings
from hyperfed.client.sources import read_source
from hyperfed.engines import read_series, read_table
from hyperfed.engines.time_formats import is_date, names_time
from hyperfed.engines.time_order import Timing
from hyperfed.errors import ConfigError, EngineError

pytestmark = pytest.mark.unit

FILES = Path(__file__).parents[2] / "files"
VARIABLES = ("output", "employment", "unemployment")


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("quoted-header.csv", "day"),
        ("trailing-blank.csv", "day"),
        ("trading-days.csv", "Date"),
        ("one-day-missing.csv", "date"),
        ("pandas-index.csv", "column 1"),
        ("eurostat-months.csv", "TIME_PERIOD"),
        ("german-dates.csv", "Stichtag"),
        ("us-dates.csv", "obs_date"),
        ("quarters.csv", "quarter"),
        ("blanks-and-quotes.csv", "day"),
    ],
)
def test_all_variables_are_taken_and_the_time_is_found(name: str, time: str) -> None:
    read = read_series(FILES / name, variables=VARIABLES)
    assert read.names == VARIABLES
    assert read.values.shape == (36, 3)
    assert read.time == time
    np.testing.assert_array_equal(
        read.values, read_table(FILES / "patients.csv", columns=VARIABLES).values
    )


def test_steps_of_another_length_are_said_and_taken() -> None:
    """A weekend is no fault; a missing day is one step too, and somebody should know."""
    assert read_series(FILES / "quoted-header.csv", variables=VARIABLES).notes == ()
    (weekends,) = read_series(FILES / "trading-days.csv", variables=VARIABLES).notes
    assert weekends.startswith(
        "7 of 35 steps of column 'Date' are not of the usual length (1 day), the first in line 7"
    )
    (gap,) = read_series(FILES / "one-day-missing.csv", variables=VARIABLES).notes
    assert gap.startswith(
        "1 of 35 steps of column 'date' are not of the usual length (1 day), the first in line 22"
    )


@pytest.mark.parametrize(
    ("name", "problem", "remedy"),
    [
        (
            "newest-first.csv",
            "line 3, column 'date': '2026-02-08' comes after '2026-02-09', so rows are newest "
            "first",
            "oldest first",
        ),
        ("clock-change.csv", "line 5, column 'time': '2026-10-25 02:00' comes twice", "UTC offset"),
        ("patients.csv", "nothing says that its rows are steps in time", "--series"),
        ("pandas-row-numbers.csv", "nothing says that its rows are steps in time", "--time"),
        (
            "admissions.csv",
            "steps of column 'admission_date' are not of the usual length",
            "--series",
        ),
        ("year-and-month.csv", "line 3, column 'year': '2023' comes twice", "--series"),
    ],
)
def test_rows_that_are_no_steps_in_time_are_refused(name: str, problem: str, remedy: str) -> None:
    with pytest.raises(EngineError) as caught:
        read_series(FILES / name, variables=VARIABLES)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert caught.value.subject == str(FILES / name)


def test_the_user_may_vouch_for_the_order_but_not_against_a_date() -> None:
    for name in (
        "patients.csv",
        "pandas-row-numbers.csv",
        "admissions.csv",
        "year-and-month.csv",
        "clock-change.csv",
    ):
        read = read_series(FILES / name, variables=VARIABLES, timing=Timing(in_order=True))
        assert (read.time, read.values.shape) == (None, (36, 3))
    with pytest.raises(EngineError, match="newest first") as refusal:
        read_series(FILES / "newest-first.csv", variables=VARIABLES, timing=Timing(in_order=True))
    # What was said already and changed nothing is no remedy.
    assert "--series" not in (refusal.value.remedy or "")


def test_a_table_says_where_its_rows_are_steps_in_time() -> None:
    (note,) = read_table(FILES / "german-dates.csv", columns=["output"]).notes
    assert "makes rows steps in time of 1 day" in note
    for name in ("admissions.csv", "patients.csv", "newest-first.csv"):
        notes = read_table(FILES / name, columns=["output", "employment"]).notes
        assert not any("steps in time" in one for one in notes), name


def test_the_user_may_name_the_column_of_times() -> None:
    assert (
        read_series(
            FILES / "patients.csv", variables=VARIABLES, timing=Timing(column="patient_id")
        ).time
        == "patient_id"
    )
    with pytest.raises(EngineError, match="line 14, column 'month': '1' comes after '12'"):
        read_series(
            FILES / "year-and-month.csv", variables=VARIABLES, timing=Timing(column="month")
        )
    with pytest.raises(
        EngineError, match="line 2, column 'sex' holds 'f', no time that is understood"
    ):
        read_series(FILES / "patients.csv", variables=VARIABLES, timing=Timing(column="sex"))
    with pytest.raises(EngineError, match="has no column 'patientid'") as caught:
        read_series(FILES / "patients.csv", variables=VARIABLES, timing=Timing(column="patientid"))
    assert "Did you mean 'patient_id'?" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "another-case.csv",
            "line 1: column 'Output' is no variable of the round; did you mean 'output'?",
        ),
    ],
)
def test_a_column_that_is_nearly_a_variable_is_named_not_left_out(name: str, said: str) -> None:
    with pytest.raises(EngineError) as caught:
        read_series(FILES / name, variables=VARIABLES)
    assert caught.value.problem == said
    assert "Rename it in line 1" in caught.value.remedy


@pytest.mark.parametrize(
    "spelt",
    [
        "Output",
        "OUTPUT",
        " out put",
        "out_put",
        "out-put",
        "\u201coutput\u201d",
        "'output'",
        "output\u200b",
        "\uff4futput",
    ],
)
def test_case_blanks_quotes_and_what_does_not_show(tmp_path: Path, spelt: str) -> None:
    path = tmp_path / "series.csv"
    path.write_text(
        f"year,{spelt},employment\n" + "".join(f"{1990 + i},{i},{i * i}\n" for i in range(9)),
        encoding="utf-8",
    )
    with pytest.raises(EngineError, match="did you mean 'output'"):
        read_series(path, variables=("output", "employment"))
    read = read_series(path, variables=("output", "employment"), columns=("employment",))
    assert read.names == ("employment",), "named columns are the user's decision"
    taken = read_series(path, variables=(spelt, "employment"))
    assert taken.names == (spelt, "employment"), "what the round itself calls it is its name"


def test_what_was_left_out_may_have_been_meant(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    path.write_text(
        "year,outptu,employment,,note\n" + "".join(f"{1990 + i},{i},{i * i},,\n" for i in range(9))
    )
    read = read_series(path, variables=("output", "employment"))
    assert read.left_out == (
        "year",
        "outptu (did you mean 'output'?)",
        "column 4, without a name",
        "note",
    )


def test_a_line_without_anything_is_a_missing_value_where_there_is_one_column() -> None:
    read = read_series(
        FILES / "one-column-with-gaps.csv", variables=VARIABLES, timing=Timing(in_order=True)
    )
    assert np.flatnonzero(np.isnan(read.values[:, 0])).tolist() == [5, 9]
    assert read.missing == (2,)


def test_what_python_reads_as_a_number_and_nobody_writes_as_one(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    path.write_text("year,output\n1990,1_234\n")
    with pytest.raises(EngineError, match="line 2, column 'output' holds '1_234'"):
        read_series(path, variables=("output",))


def test_a_folder_or_nothing_is_a_matter_of_configuration(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_series(path, variables=VARIABLES)


def test_the_documents_examples_are_read(tmp_path: Path) -> None:
    for page in ("README.md", "docs/clients.md"):
        lines = [
            line.removeprefix("    ") for line in (FILES.parents[1] / page).read_text().splitlines()
        ]
        start = lines.index("date,output,employment,unemployment")
        path = tmp_path / "tonight.csv"
        path.write_text("\n".join(lines[start : start + 3]) + "\n")
        read = read_series(path, variables=VARIABLES)
        assert (read.time, read.names, read.values.shape) == ("date", VARIABLES, (2, 3))
    start = lines.index("[data]")
    settings = tmp_path / "hyperfed.toml"
    settings.write_text("\n".join(lines[start : lines.index("", start)]) + "\n")
    source = read_source(load_settings(settings), {})
    assert source is not None
    assert (source.kind, source.file, source.time, source.columns) == (
        "series",
        tmp_path / "tonight.csv",
        "date",
        ("output", "employment"),
    )
    assert (source.lags, source.bootstraps) == ((1, 2), 200)


@pytest.mark.parametrize(
    "name",
    [
        "time",
        "Date",
        "DATE",
        "obs_time",
        "orderDate",
        "TIME_PERIOD",
        "Year",
        "t",
        "reference period",
    ],
)
def test_names_that_tell_the_time(name: str) -> None:
    assert names_time(name)


@pytest.mark.parametrize(
    "name", ["overtime", "daily", "output", "patient_id", "update", "sentiment", "yearly"]
)
def test_names_that_do_not(name: str) -> None:
    assert not names_time(name)


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "2026-01-31",
            "2026-01-31T02:00:00Z",
            "2026-01-31 02:00",
            "31.01.2026",
            "1/31/2026",
            "31/1/2026",
            "2026Q1",
            "2026-Q1",
            "Q1 2026",
            "2026M01",
            "2026-01",
            "Jan 2026",
        ),
        *("31 Jan 2026", "2026/01/31", "2026-W05-1"),
    ],
)
def test_dates_as_people_and_programs_write_them(cell: str) -> None:
    assert is_date(cell)


@pytest.mark.parametrize(
    "cell", ["", "DE", "1971", "20200131", "3.5", "1e5", "192.168.1.1", "2026-13-01", "low"]
)
def test_what_is_no_date(cell: str) -> None:
    assert not is_date(cell)


def test_a_date_with_two_readings_is_read_as_the_one_in_which_it_ascends(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    for days in (
        "01/02/2026 02/02/2026 03/02/2026 04/02/2026",
        "01/10/2026 02/09/2026 03/11/2026 04/10/2026",
    ):
        path.write_text(
            "date,output\n" + "".join(f"{day},{i}\n" for i, day in enumerate(days.split()))
        )
        assert read_series(path, variables=("output",)).notes == ()
