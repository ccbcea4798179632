"""Labels of pictures: short, and distinct wherever the names are."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfed.report.pictures.labels import distinct_labels

pytestmark = pytest.mark.unit

NAMES = st.lists(st.text("ab_", min_size=1, max_size=40), unique=True, max_size=12)


def test_what_fits_stays_and_what_does_not_keeps_both_ends() -> None:
    assert distinct_labels(["output", "mean_arterial_blood_pressure"], 16) == [
        "output",
        "mean_art\u2026ressure",
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("resting_blood_pressure_systolic", "resting_blood_pressure_diastolic"),
        ("systolic_blood_pressure_resting", "diastolic_blood_pressure_resting"),
        ("blood_pressure_systolic_at_night_mmhg", "blood_pressure_diastolic_at_night_mmhg"),
        ("x" * 30 + "a" + "y" * 30, "x" * 30 + "b" + "y" * 30),
        ("x" * 30 + "y" * 31, "x" * 31 + "y" * 30, "x" * 40 + "y" * 40),
    ],
)
def test_long_names_that_share_a_beginning_an_end_or_both_stay_apart(
    names: tuple[str, ...],
) -> None:
    labels = distinct_labels(names, 16)
    assert len({*labels}) == len(names), labels
    assert all(len(label) <= 16 for label in labels)


def test_where_names_differ_in_their_middle_that_place_is_shown() -> None:
    names = [f"ward_07_bed_{i:03d}_heart_rate_variability" for i in (112, 117)]
    first, second = distinct_labels(names, 24)
    assert "112" in first
    assert "117" in second


def test_a_short_name_that_looks_like_a_cut_one_is_no_collision() -> None:
    long = "mean_arterial_blood_pressure"
    short = distinct_labels([long], 16)[0]
    labels = distinct_labels([short, long], 16)
    assert labels[0] == short
    assert labels[1] != short


@given(names=NAMES, width=st.integers(8, 24), seed=st.integers(0, 9))
def test_labels_fit_are_as_many_as_the_names_and_do_not_depend_on_their_order(
    names: list[str], width: int, seed: int
) -> None:
    labels = distinct_labels(names, width)
    assert len({*labels}) == len(names)
    assert all(len(label) <= width for label in labels)
    assert all(
        label == name for label, name in zip(labels, names, strict=True) if len(name) <= width
    )
    shuffled = names[:]
    random.Random(seed).shuffle(shuffled)
    assert dict(zip(names, labels, strict=True)) == dict(
        zip(shuffled, distinct_labels(shuffled, width), strict=True)
    )
