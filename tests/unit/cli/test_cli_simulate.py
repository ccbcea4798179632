"""`hyperfed simulate`: its document, its table and plot, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from .conftest import Desk

pytestmark = pytest.mark.unit


def test_nights_as_a_document_and_for_people(desk: Desk) -> None:
    args = (
        "simulate",
        "--clients",
        "12",
        "--byzantine",
        "0.25",
        "--attack",
        "alie",
        "--rule",
        "multi-krum",
        "--world",
        "var",
        "--nights",
        "2",
    )
    said = desk.ok(*args)
    assert (said["liars"], said["f"], len(said["nights"])) == (3, 3, 2)
    assert said["nights"][0]["score"]["f1"] > 0.8
    shown = desk(*args).out
    assert "12 clients, 3 of them lie (alie); multi-krum with f = 3" in shown
    assert shown.count("|#") == 2


def test_names_and_mistakes(desk: Desk) -> None:
    assert "rare-edges" in desk.ok("simulate", "--attack", "list")["attacks"]
    wrong = desk("simulate", "--rule", "magic", "--json")
    assert wrong.code == 2
    assert "unknown rule" in wrong.error["problem"]
    assert desk("simulate", "--attack", "kindness", "--json").code == 2


def own_files(folder: Path, clients: int = 5) -> Path:
    """A folder of series in which a drives b, one step later."""
    folder.mkdir()
    for i in range(clients):
        rng = np.random.default_rng(i)
        values = rng.normal(size=(120, 2))
        values[1:, 1] += 0.8 * values[:-1, 0]
        rows = "\n".join(f"{a:.6f},{b:.6f}" for a, b in values)
        (folder / f"clinic-{i}.csv").write_text(f"a,b\n{rows}\n")
    return folder


def test_a_folder_of_ones_own_is_a_federation(desk: Desk, tmp_path: Path) -> None:
    folder = own_files(tmp_path / "clinics")
    args = ("simulate", "--data", str(folder), "--series", "--nights", "1", "--byzantine", "0.2")
    said = desk.ok(*args)
    assert said["liars"] == 1
    (night,) = said["nights"]
    assert night["honest"]["f1"] == 1, "without lies it is what the files say together"
    assert night["weight"] < 0.2
    one = desk.ok(*args, "--rule", "mean")["nights"][0]
    assert one["weight"] > night["weight"], "a mean gives the liar its share"
    (folder / "clinic-0.parquet").write_bytes(b"")
    assert "another file names already" in desk(*args, "--json").error["problem"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--series",), "how your own files are read"),
        (("--data", "FOLDER", "--world", "sem"), "--world does not go with --data"),
        (("--data", "FOLDER", "--clients", "5"), "--clients does not go with --data"),
        (("--data", "nowhere"), "cannot be read"),
        (("--data", "EMPTY"), "holds 0 files"),
        (("--data", "FOLDER"), "time"),
    ],
)
def test_a_folder_that_is_none_is_refused(
    desk: Desk, tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    (tmp_path / "empty").mkdir()
    folder = own_files(tmp_path / "clinics", clients=3)
    places = {"FOLDER": str(folder), "EMPTY": str(tmp_path / "empty")}
    said = desk("simulate", *(places.get(word, word) for word in arguments), "--json")
    assert said.code != 0
    assert problem in said.error["problem"] + said.error["remedy"]
