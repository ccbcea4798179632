"""A table that is written in any of the ways that programs and people write tables is read back to
the same numbers, or refused: never to others.
"""

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.engines import read_table
from hyperfed.errors import EngineError

pytestmark = pytest.mark.property

NAMES = ("output", "Größe, real", "rate")
numbers = st.floats(allow_nan=False, allow_infinity=False, width=64) | st.integers(-9999, 9999)
cells = st.none() | numbers
tables = st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=12)


def _spelt(value: float | None, decimal: str, marker: str, digits: str) -> str:
    if value is None:
        return marker
    text = f"{value:{digits}}" if isinstance(value, int) or digits == ".17g" else repr(value)
    return text.replace(".", decimal)


@settings(max_examples=80, deadline=None)
@given(
    rows=tables,
    delimiter=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    marker=st.sampled_from(["", "NA", "nan", "-", " "]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    shape=st.sampled_from(["plain", "trailing", "row names", "index", "blank lines"]),
    packed=st.booleans(),
)
def test_what_was_written_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[float | None, ...]],
    delimiter: str,
    decimal: str,
    marker: str,
    quoting: int,
    end: str,
    encoding: str,
    shape: str,
    packed: bool,
) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator=end)
    extra = {"trailing": ["", *[""] * len(rows)], "index": ["", *map(str, range(len(rows)))]}
    header = {"trailing": [*NAMES, ""], "index": ["", *NAMES]}.get(shape, list(NAMES))
    writer.writerow(header)
    for at, row in enumerate(rows):
        said = [_spelt(value, decimal, marker, ".17g") for value in row]
        if shape == "trailing":
            said.append(extra["trailing"][at + 1])
        elif shape == "index":
            said.insert(0, extra["index"][at + 1])
        elif shape == "row names":
            said.insert(0, f"r{at}")
        writer.writerow(said)
    if shape == "blank lines":
        stream.write(end * 3)
    data = stream.getvalue().encode(encoding)
    path = tmp_path_factory.mktemp("reader") / "data"
    path.write_bytes(gzip.compress(data) if packed else data)
    expected = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=float)
    try:
        read = read_table(Path(path), columns=NAMES)
    except EngineError as exc:
        refused = exc
    else:
        refused = None
    if refused is not None:
        assert refused.remedy, refused
        return
    assert len(read.values) == len(rows) or _only_blank_at_the_end(rows, marker)
    for at, name in enumerate(read.names):
        column = expected[: len(read.values), NAMES.index(name)]
        np.testing.assert_array_equal(read.values[:, at], column)


def _only_blank_at_the_end(rows: list[tuple[float | None, ...]], marker: str) -> bool:
    """Return whether the last row holds nothing, which is no row in a file."""
    return not marker.strip() and all(value is None for value in rows[-1])


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet="0123456789.,-+eE \"';\t|\n\r#%$_\u2212\u00a0NAnan", max_size=60))
def test_any_text_is_read_or_refused_with_a_remedy(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("reader") / "data.csv"
    path.write_text("x;y\n" + text, encoding="utf-8", newline="")
    try:
        read = read_table(path, columns=["x", "y"])
    except EngineError as exc:
        refused = exc
    else:
        refused = None
    if refused is not None:
        assert str(path) in str(refused)
        assert refused.remedy
        return
    assert np.isfinite(read.values[~np.isnan(read.values)]).all()
