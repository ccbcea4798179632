"""`hyperfed simulate`: its document, its table and plot, and what it refuses."""

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
