"""What a helper has answered, and what it answers next."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hyperfed.errors import ConfigError, RefusedError
from hyperfed.secure_aggregation import Cohort, HelperMarks, Manifest

ORGANISATIONS = {f"c{i}": f"org-{i}" for i in range(1, 9)}


def manifest(round_number: int, *clients: str, freeze: bytes = b"f" * 32) -> Manifest:
    messages = {client: client.encode().ljust(32, b".") for client in clients}
    cohort = Cohort(payload="statistics", length=3, messages=messages)
    return Manifest(round=round_number, freeze_digest=freeze, cohorts=(cohort,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "marks.json"


def test_the_same_manifest_is_answered_again_and_another_is_not(path: Path) -> None:
    HelperMarks(path).allow(manifest(4, "c1", "c2"))
    marks = HelperMarks(path)  # another process, after a crash
    marks.allow(manifest(4, "c1", "c2"))
    before = path.read_bytes()
    for second in (manifest(4, "c1"), manifest(4, "c1", "c2", freeze=b"g" * 32)):
        with pytest.raises(
            RefusedError, match=r"another manifest of this round.*statistics: c1, c2"
        ):
            marks.allow(second)
    assert path.read_bytes() == before
    marks.allow(manifest(5, "c1"))
    assert [opened.round for opened in HelperMarks(path).opened] == [4, 5]


def test_two_processes_of_one_helper_do_not_answer_two_manifests(path: Path) -> None:
    first, second = HelperMarks(path), HelperMarks(path)
    first.allow(manifest(4, "c1", "c2"))
    with pytest.raises(RefusedError, match="another manifest of this round"):
        second.allow(manifest(4, "c1"))


def test_rounds_before_its_enrolment_are_not_answered() -> None:
    marks = HelperMarks(first_round=9)
    with pytest.raises(RefusedError, match="answers from round 9 on"):
        marks.allow(manifest(8, "c1"))
    marks.allow(manifest(9, "c1"))


def test_sums_that_could_be_subtracted_are_refused(path: Path) -> None:
    marks = HelperMarks(path)
    rules = {"organisation_of": ORGANISATIONS, "smallest": 3}
    marks.allow(manifest(1, "c1", "c2", "c3", "c4", "c5", "c6", "c7"), **rules)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="c7 could be told apart: 1 organisations, and 3"):
        marks.allow(manifest(2, "c1", "c2", "c3", "c4", "c5", "c6"), **rules)  # type: ignore[arg-type]
    marks.allow(manifest(2, "c1", "c2", "c3"), **rules)  # type: ignore[arg-type]
    assert len(HelperMarks(path).opened) == 2


def test_a_client_that_leaves_takes_its_block_with_it() -> None:
    """Once a block was opened it is opened whole or not at all, however the rest is grouped."""
    rules = {"organisation_of": ORGANISATIONS, "smallest": 4}
    first, second = ("c1", "c2", "c3", "c4"), ("c5", "c6", "c7", "c8")
    marks = HelperMarks()
    marks.allow(manifest(1, *first, *second), **rules)  # type: ignore[arg-type]
    for rest in (first[1:], (*first[1:], *second)):
        with pytest.raises(RefusedError, match="could be told apart"):
            marks.allow(manifest(2, *rest), **rules)  # type: ignore[arg-type]
    marks.allow(manifest(2, *second), **rules)  # type: ignore[arg-type]


def test_a_client_that_comes_needs_a_block_of_newcomers() -> None:
    organisations = ORGANISATIONS | {f"n{i}": f"new-{i}" for i in range(1, 5)}
    rules = {"organisation_of": organisations, "smallest": 4}
    block, newcomers = ("c1", "c2", "c3", "c4"), ("n1", "n2", "n3", "n4")
    marks = HelperMarks()
    marks.allow(manifest(1, *block), **rules)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="n1 could be told apart: 1 organisations, and 4"):
        marks.allow(manifest(2, *block, "n1"), **rules)  # type: ignore[arg-type]
    marks.allow(manifest(2, *block, *newcomers), **rules)  # type: ignore[arg-type]


def test_baskets_of_one_manifest_count_as_sums_too() -> None:
    rules = {"organisation_of": ORGANISATIONS, "smallest": 2}
    whole = manifest(1, "c1", "c2", "c3")
    part = Cohort(payload="statistics/a", length=3, messages={"c1": b"x" * 32, "c2": b"y" * 32})
    with pytest.raises(RefusedError, match="c3 could be told apart"):
        HelperMarks().allow(replace(whole, cohorts=(*whole.cohorts, part)), **rules)  # type: ignore[arg-type]


def test_sums_with_noise_in_shares_tell_nobody_apart(path: Path) -> None:
    """A noised night may leave somebody out: what it tells is charged, and blocks stay as they are.

    Its twin, a night without noise, may not.
    """
    rules = {"organisation_of": ORGANISATIONS, "smallest": 4}
    block = ("c1", "c2", "c3", "c4")
    HelperMarks(path).allow(manifest(1, *block[1:]))
    marks = HelperMarks(path)
    assert [opened.noised for opened in marks.opened] == [True]
    marks.allow(manifest(2, *block), **rules)  # type: ignore[arg-type]
    marks.allow(manifest(3, "c1", "c2"))
    marks.allow(manifest(4, *block), **rules)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="could be told apart"):
        marks.allow(manifest(5, *block[1:]), **rules)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"opened": [{"round": 1}]}', '{"opened": [{"round": 1, "digest": "zz"}]}'],
)
def test_a_broken_file_is_an_error_and_is_kept(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"not what a helper's marks look.*this helper anew"):
        HelperMarks(path)
    assert path.read_text() == content


def test_the_mark_is_on_disk_before_an_answer(path: Path) -> None:
    HelperMarks(path).allow(manifest(4, "c2", "c1"))
    (entry,) = json.loads(path.read_text())["opened"]
    assert entry["cohorts"] == {"statistics": ["c1", "c2"]}
    assert entry["digest"] == manifest(4, "c1", "c2").digest.hex()
