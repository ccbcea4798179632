"""The one reader: texts that are no tables, frames, pipes, wide files, codes for missing, edges."""

import gzip
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperfed.engines import read_series, read_table
from hyperfed.engines.readers import arrow
from hyperfed.engines.readers.edges_csv import EdgesFile
from hyperfed.engines.readers.numbers import Missing, NotANumber, numbers, plain_number
from hyperfed.engines.readers.oddities import notes_on_codes
from hyperfed.engines.readers.sheet import Form
from hyperfed.engines.readers.units import Conversion, Units
from hyperfed.engines.time_order import Every, Timing
from hyperfed.errors import ConfigError, EngineError
from hyperfed.tables.vocabulary import Variable, Vocabulary

pytestmark = pytest.mark.unit

FILES = Path(__file__).parents[2] / "files"
VARIABLES = ("output", "employment", "unemployment")


def _written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("is empty",)),
        ("\n1,2\n", ("line 1",)),
        ("x,x\n1,2\n", ("line 1", "'x'", "twice")),
        ("text,\na,b\n", ("no column of numbers",)),
        ("x,y\n", ("no rows",)),
        ("x,y\n1,2\n3\n", ("line 3", "1 cell ")),
        ("x,y\n1,2\n3,abc\n", ("line 3", "'y'", "'abc'")),
        ("x,y\n1,inf\n", ("'y'", "left out")),
        ('x,y\n1,"2\n', ("line 2",)),
        ("a,b,c\n1,1,2,3\n1,4,5,6\n", ("line 3", "Row names", "as R writes them")),
        (b"x\n\xff\n", ("UTF-8", "0xff")),
        (b"x\n\x001\n", ("bytes that no text has",)),
        (b"%PDF-1.7", ("PDF",)),
    ],
)
def test_what_is_no_table_is_refused_by_file_and_line(
    tmp_path: Path, text: str | bytes, words: tuple[str, ...]
) -> None:
    path = _written(tmp_path, text)
    if words[-1] == "left out":
        assert "y (holds 'inf', not a finite number)" in read_table(path).left_out
        return
    with pytest.raises(EngineError) as caught:
        read_table(path)
    assert all(word in str(caught.value) for word in ("data.csv", *words))


def test_columns_are_picked_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    read = read_table(_written(tmp_path, "x,t,y\n1.5,a,2\n-3e2,b,4\n"), columns=["y", "x"])
    assert read.names == ("y", "x")
    assert read.values.tolist() == [[2.0, 1.5], [4.0, -300.0]]
    with pytest.raises(EngineError, match="no column 'z'"):
        read_table(tmp_path / "data.csv", columns=["z"])


def test_without_a_vocabulary_every_column_of_numbers_is_taken() -> None:
    read = read_series(FILES / "eurostat-months.csv")
    assert read.names == VARIABLES
    assert read.left_out == ("TIME_PERIOD", "geo (holds 'DE', not a number)")
    german = read_series(FILES / "german-excel.csv", timing=Timing(column="Datum"))
    assert german.names == VARIABLES


# -- cells -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1", "-1.5", "+2.", ".5", "1e5", "1E-300", " 7 ", "007"])
def test_plain_numbers(text: str) -> None:
    assert plain_number(text) == float(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1_234", "inf", "nan", "0x1A", "1e400", "1,5", "1,234", "1.234,5", "1 234", "1'234"),
        *("12 %", "$5", "5 EUR", "\u2212 1", "\u22121", "\u0661", "\uff11", "TRUE", "1e", "--1"),
        *("1.2.3", "e5", ".", "+", "1 2"),
    ],
)
def test_what_is_no_number_says_what_to_do(text: str) -> None:
    with pytest.raises(NotANumber) as caught:
        plain_number(text)
    assert caught.value.problem
    assert caught.value.remedy


def test_a_fast_line_and_a_slow_line_give_the_same_numbers() -> None:
    """One odd cell decides how a line is read, never what its other cells are."""
    cells = ["1", "-2.5e-3", ".5", "+7."]
    fast = numbers(cells, Missing())
    slow = numbers([*cells, "NA"], Missing())
    assert slow[:4].tobytes() == fast.tobytes()
    assert np.isnan(slow[4])
    comma = numbers(["1", "-2,5e-3", ",5", "+7,"], Missing(), decimal=",")
    assert comma.tobytes() == fast.tobytes()


def test_a_missing_number_is_missing_however_it_is_written() -> None:
    said = Missing(("-999", "refused"))
    assert np.isnan(numbers(["-999", "-999.0", "-9.99e2", "Refused", "na"], said)).all()
    assert not np.isnan(numbers(["-99", "-9990"], said)).any()


# -- codes for missing -----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [-9.0, -99.0, -999.0, 9999.0])
def test_a_code_far_outside_the_rest_is_named(code: float) -> None:
    column = np.random.default_rng(0).uniform(0, 5, 60)
    column[[3, 20, 41]] = code
    (note,) = notes_on_codes(["x"], column[:, None])
    assert f"'x' holds {code:g} (3 times)" in note
    assert f"--missing {code:g}" in note


@pytest.mark.parametrize("kind", ["normal", "heavy", "counts", "two values", "seasons"])
def test_ordinary_columns_hold_no_codes(kind: str) -> None:
    rng = np.random.default_rng(1)
    column = {
        "normal": rng.normal(size=500),
        "heavy": np.round(rng.standard_t(3, 500), 2),
        "counts": rng.poisson(9.0, 500).astype(float),
        "two values": rng.integers(0, 2, 500) * 99.0,
        "seasons": np.tile([1.0, 2.0, 3.0, 5.0], 100),
    }[kind]
    assert notes_on_codes(["x"], column[:, None]) == ()


# -- frames and pipes ------------------------------------------------------------------------------


def _frames() -> dict[str, Any]:
    import polars
    import pyarrow

    table = pyarrow.ipc.open_file(FILES / "table.arrow").read_all()
    pandas_frame = table.to_pandas()
    return {
        "pyarrow Table": table,
        "pyarrow RecordBatchReader": table.to_reader(max_chunksize=5),
        "pandas DataFrame": pandas_frame,
        "pandas with its index": pandas_frame.set_index("date"),
        "polars DataFrame": polars.DataFrame(table),
    }


@pytest.mark.parametrize("kind", list(_frames()))
def test_a_frame_is_read_as_its_file(kind: str) -> None:
    frame = _frames()[kind]
    read, file = (
        read_series(source, variables=VARIABLES) for source in (frame, FILES / "table.parquet")
    )
    assert (read.names, read.missing, read.time) == (file.names, file.missing, file.time)
    assert read.values.tobytes() == file.values.tobytes()
    assert (read.clock.first, read.clock.last) == (file.clock.first, file.clock.last)
    again = read_series(FILES / "byte-order-mark.csv", variables=VARIABLES)
    there = ~np.isnan(file.values)
    assert (again.values[there] == file.values[there]).all()


def test_what_a_frame_holds_is_judged_as_a_files_cells_are() -> None:
    import pyarrow

    whole = {"a": [1, 2, 3], "b": [True, False, True], "c": ["1.5", "", "NA"], "d": [1.0, None, 2]}
    table = pyarrow.table(whole | {"e": [float("inf")] * 3, "f": [None] * 3})
    read = read_table(table, columns=["a", "c", "d", "f"])
    assert read.names == ("a", "c", "d")
    assert read.missing == (0, 2, 1)
    assert "f (no values)" in read.left_out
    for column, words in (("b", "truth values"), ("e", "row 0, column 'e' holds inf")):
        with pytest.raises(EngineError, match=words):
            read_table(table, columns=[column])
    with pytest.raises(ConfigError, match="a list is no source of data"):
        read_table([1, 2])
    with pytest.raises(EngineError, match="no rows"):
        read_table(table.slice(0, 0))


def test_without_pyarrow_a_frame_is_refused_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert not hasattr(arrow, "pyarrow"), "it is imported when it is needed"
    with pytest.raises(ConfigError, match="pyarrow is not installed") as caught:
        read_table(FILES / "table.parquet")
    assert caught.value.remedy.startswith("pip install pyarrow;")


def test_a_pipe_and_the_standard_input_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (FILES / "quoted-header.csv").read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for name, written in (("plain", data), ("gzip", gzip.compress(data))):
        writer = threading.Thread(target=pipe.write_bytes, args=(written,))
        writer.start()
        assert read_series(pipe, variables=VARIABLES).values.shape == (36, 3), name
        writer.join()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert read_series("-", variables=VARIABLES).time == "day"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(EngineError, match="standard input: is empty"):
        read_series("-", variables=VARIABLES)


def test_forty_thousand_columns(tmp_path: Path) -> None:
    """Each column is looked at a few times, not once for each other column."""
    names = [f"gene_{i:05d}" for i in range(40_000)]
    rows = [",".join(f"{(i * 31 + j) % 97}" for j in range(40_000)) for i in range(6)]
    path = _written(tmp_path, ",".join(names) + "\n" + "\n".join(rows) + "\n")
    read = read_series(path, variables=names, timing=Timing(in_order=True))
    assert read.values.shape == (6, 40_000)
    assert read.values[5, 39_999] == (5 * 31 + 39_999) % 97
    assert read_table(path, columns=["gene_39999"]).values.shape == (6, 1)


# -- what the user says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Form(delimiter="1"), "separates no cells"),
        (lambda: Form(delimiter=";;"), "separates no cells"),
        (lambda: Form(decimal="'"), "no decimal sign"),
        (lambda: Form(delimiter=",", decimal=","), "not both"),
        (lambda: Every.of("fortnight"), "no length of a step"),
        (lambda: Every.of("0d"), "no length of a step"),
        (lambda: Every.of("1.5mo"), "no length of a step"),
        (lambda: Timing(fill_gaps="linear"), "fills no gaps"),
        (lambda: Conversion.of("0", "a"), "converts nothing"),
        (lambda: Conversion.of("1000 EUR", "a"), "converts nothing"),
        (lambda: Conversion.of("2x3", "a"), "converts nothing"),
    ],
)
def test_what_no_file_is_is_a_wrong_setting(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_steps_need_a_column_that_tells_the_time() -> None:
    timing = Timing(in_order=True, every="1d")
    with pytest.raises(EngineError, match="no column tells the time"):
        read_series(FILES / "patients.csv", variables=VARIABLES, timing=timing)


def test_a_gap_stays_empty_where_it_is() -> None:
    timing = Timing(every="1d", fill_gaps="none")
    read = read_series(FILES / "one-day-missing.csv", variables=VARIABLES, timing=timing)
    plain = read_series(FILES / "one-day-missing.csv", variables=VARIABLES)
    assert np.flatnonzero(np.isnan(read.values).all(axis=1)).tolist() == [20]
    assert np.delete(read.values, 20, axis=0).tobytes() == plain.values.tobytes()


def test_values_are_converted_and_compared_with_what_is_plausible() -> None:
    import pyarrow

    heat = pyarrow.table({"heat": [50.0, 68.0, 212.0, None]})
    known = Vocabulary((Variable("heat", unit="C", low=-50, high=150),))
    units = Units(said={"heat": "F"}, convert={"heat": "0.5555555556x-17.77777778"})
    read = read_table(heat, variables=known, units=units)
    np.testing.assert_allclose(read.values[:3, 0], [10, 20, 100], atol=1e-6)
    assert read.document["units"] == {"heat": "C"}
    with pytest.raises(EngineError, match="'heat' is in 'F' here, and the round counts it in 'C'"):
        read_table(heat, variables=known, units=Units(said={"heat": "F"}))
    kelvin = pyarrow.table({"heat": [283.0, 293.0, 373.0]})
    with pytest.raises(EngineError, match="3 of 3 values of 'heat' lie outside -50 to 150 C"):
        read_table(kelvin, variables=known)
    one = pyarrow.table({"heat": [*range(1, 100), 900.0]})
    (note,) = read_table(one, variables=known).notes
    assert (
        note
        == "1 of 100 values of 'heat' lie outside -50 to 150 C, which the round calls plausible"
    )
    with pytest.raises(EngineError, match="'cold'"):
        read_table(heat, variables=known, units=Units(convert={"cold": "2"}))


def test_three_clients_and_one_in_thousands_do_not_pool() -> None:
    """The client whose data are in kEUR is stopped before it sends, by the range alone."""
    import pyarrow

    known = Vocabulary((Variable("sales", unit="EUR", low=1e4, high=1e8),))
    euros = pyarrow.table({"sales": [735_800.0 + 1000 * i for i in range(60)]})
    thousands = pyarrow.table({"sales": [735.8 + i for i in range(60)]})
    assert read_table(euros, variables=known).notes == ()
    with pytest.raises(EngineError) as caught:
        read_table(thousands, variables=known)
    assert "They would fit as --convert sales=1000" in caught.value.remedy
    read = read_table(thousands, variables=known, units=Units(convert={"sales": "1000"}))
    np.testing.assert_allclose(read.values, euros.column("sales").to_numpy()[:, None])


# -- finished edges --------------------------------------------------------------------------------

HEADER = "source,target,lag,effect,confidence,stability"


@pytest.mark.parametrize("kind", ["csv", "semicolons", "utf-16", "gzip", "frame"])
def test_finished_edges_are_read_as_data_are(tmp_path: Path, kind: str) -> None:
    rows = [["output", "employment", "1", "0.5", "0.9", "0.8"]]
    rows += [["employment", "employment", "2", "-0.25", "0.5", "1"]]
    text = "\n".join([HEADER, *(",".join(row) for row in rows)]) + "\n"
    source: Any = tmp_path / "data.csv"
    if kind == "frame":
        import pyarrow

        columns = list(zip(*rows, strict=True))
        source = pyarrow.table(
            {
                name: [int(v) if name == "lag" else float(v) if i > 2 else v for v in columns[i]]
                for i, name in enumerate(HEADER.split(","))
            }
        )
    else:
        if kind == "semicolons":
            text = text.replace(",", ";").replace(".", ",")
        encoded = text.encode("utf-16" if kind == "utf-16" else "utf-8")
        source.write_bytes(gzip.compress(encoded) if kind == "gzip" else encoded)
    found = EdgesFile(source, variables=VARIABLES).discover()
    assert found.variables == ("output", "employment")
    assert found.effect.tolist() == [0.5, -0.25]
    assert found.lag.tolist() == [1, 2]


def test_a_number_of_an_edge_is_a_plain_number(tmp_path: Path) -> None:
    for text in ("1_0", "inf", "1,5", "\u0661"):
        path = _written(tmp_path, f'{HEADER}\noutput,employment,1,"{text}",0.9,0.8\n')
        with pytest.raises(EngineError, match="line 2, column 'effect': "):
            EdgesFile(path, variables=VARIABLES).discover()


def test_edges_in_other_units_are_converted_or_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, f"{HEADER},std_error\noutput,employment,1,0.5,0.9,0.8,0.1\n")
    known = Vocabulary((Variable("output", unit="EUR"), Variable("employment")))
    with pytest.raises(EngineError, match="'output' is in 'kEUR' here"):
        EdgesFile(path, variables=known, units=Units(said={"output": "kEUR"})).discover()
    found = EdgesFile(path, variables=known, units=Units(convert={"output": "1000"})).discover()
    assert found.effect.tolist() == [0.0005]
    assert found.ci_high[0] - found.effect[0] == pytest.approx(1.96e-4, rel=1e-3)
    turned = EdgesFile(path, variables=known, units=Units(convert={"employment": "-2"})).discover()
    assert turned.effect.tolist() == [-1.0]
    assert turned.ci_low[0] < -1 < turned.ci_high[0]


def test_a_factor_below_0_turns_an_interval_round(tmp_path: Path) -> None:
    path = _written(tmp_path, f"{HEADER},ci_low,ci_high\noutput,rate,1,0.5,0.9,0.8,0.4,0.7\n")
    known = ("output", "rate")
    found = EdgesFile(path, variables=known, units=Units(convert={"rate": "-2"})).discover()
    assert found.rows()[0]["ci_low"] == -1.4
    assert found.rows()[0]["ci_high"] == -0.8


def test_a_file_of_edges_may_say_what_was_measured(tmp_path: Path) -> None:
    path = _written(tmp_path, f'# measured: "output",unemployment\n{HEADER}\n')
    found = EdgesFile(path, variables=VARIABLES).discover()
    assert (found.variables, len(found)) == (("output", "unemployment"), 0)
    named = EdgesFile(path, variables=VARIABLES, measured=("output",)).discover()
    assert named.variables == ("output",), "the option says more than the file"
    path = _written(tmp_path, f"# measured: heat\n{HEADER}\n")
    with pytest.raises(EngineError, match="'heat' was measured, which is no variable"):
        EdgesFile(path, variables=VARIABLES).discover()


def test_what_the_user_types_is_compared_in_nfc_too(tmp_path: Path) -> None:
    """A terminal may compose a letter, and the file or the round take it apart."""
    composed, apart = "d\u00e9bit", "de\u0301bit"
    path = _written(tmp_path, f"t,{apart}\n1,5\n2,7\n3,6\n")
    for known in (composed, apart):
        variables = Vocabulary((Variable(known, unit="l/s"),))
        for typed in (composed, apart):
            read = read_series(
                path,
                variables=variables,
                columns=[typed],
                units=Units(said={typed: "ml/s"}, convert={typed: "0.001"}),
            )
            assert read.names == (known,)
            assert read.values[0, 0] == 0.005
    edges = tmp_path / "edges.csv"
    edges.write_text(f"{HEADER}\n{apart},{composed},1,0.5,0.9,0.8\n")
    found = EdgesFile(edges, variables=(composed,), measured=(apart,)).discover()
    assert found.variables == (composed,)
