"""Open sums: exact with a quorum, nothing without, and disputes are named."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from hyperfed.errors import AggregationError, BreakdownError, RefusedError, SignatureError
from hyperfed.secure_aggregation import (
    Cohort,
    Manifest,
    OpenedSum,
    Opening,
    check_seeds,
    from_fixed_point,
    open_box,
    open_sum,
    to_fixed_point,
)
from hyperfed.secure_aggregation.boxes import Seeds
from hyperfed.secure_aggregation.opening import add_masks
from tests.unit.secure_aggregation.sums import SecureRound, group_of


@pytest.fixture(scope="module")
def night() -> SecureRound:
    return SecureRound(group_of(), tuple(f"ward-{i}" for i in range(1, 6)))


@pytest.mark.parametrize(("helpers", "colluding"), [(4, 1), (5, 2), (7, 4)])
@pytest.mark.parametrize("clients", [4, 5, 20, 100])
def test_sums_are_exact(helpers: int, colluding: int, clients: int) -> None:
    night = SecureRound(
        group_of(helpers, colluding), tuple(f"c{i:03d}" for i in range(clients)), length=3
    )
    manifest = night.manifest()
    openings = [night.answer(helper) for helper in night.group.helpers[-night.group.quorum :]]
    opened = open_sum(
        manifest, "statistics", night.group, night.masked(), openings, deadline_past=True
    )
    np.testing.assert_array_equal(
        from_fixed_point(opened.total), np.sum([night.values[c] for c in night.clients], axis=0)
    )
    assert opened.helpers == night.group.helpers[-night.group.quorum :]


@pytest.mark.parametrize(("helpers", "colluding"), [(4, 1), (5, 2), (7, 1), (7, 4)])
def test_any_quorum_gives_the_same_sum_and_fewer_give_none(helpers: int, colluding: int) -> None:
    night = SecureRound(group_of(helpers, colluding), ("ward-1", "ward-2"), length=2)
    fewer = night.group.quorum - 1
    openings = {helper: night.answer(helper) for helper in night.group.helpers}
    sums = []
    for answering in combinations(night.group.helpers, night.group.quorum):
        opened = open_sum(
            night.manifest(),
            "statistics",
            night.group,
            night.masked(),
            [openings[helper] for helper in answering],
            deadline_past=True,
        )
        sums.append(opened.total.tobytes())
    total = to_fixed_point(night.values["ward-1"] + night.values["ward-2"], cohort=1000)
    assert set(sums) == {total.tobytes()}
    for answering in combinations(night.group.helpers, fewer):
        said = f"{fewer} of {helpers} helpers have answered, and {fewer + 1} open a sum"
        with pytest.raises(BreakdownError, match=said):
            open_sum(
                night.manifest(),
                "statistics",
                night.group,
                night.masked(),
                [openings[helper] for helper in answering],
                deadline_past=True,
            )


def test_a_smaller_cohort_is_opened_without_those_who_are_missing(night: SecureRound) -> None:
    manifest = night.manifest(("ward-1", "ward-4"))
    openings = [night.answer(helper, manifest) for helper in night.group.helpers]
    opened = open_sum(
        manifest, "statistics", night.group, night.masked(), openings, deadline_past=False
    )
    np.testing.assert_array_equal(
        from_fixed_point(opened.total), night.values["ward-1"] + night.values["ward-4"]
    )
    assert opened.unchecked == ()


def _opened_boxes(
    night: SecureRound, helper: str, boxes: Mapping[str, Mapping[str, bytes]]
) -> dict[str, Seeds]:
    """The seeds of the clients that this helper confirms: boxes that open and match."""
    confirmed: dict[str, Seeds] = {}
    for client, sent in boxes.items():
        try:
            seeds = open_box(sent[helper], helper, night.group, night.secret_keys[helper])
        except SignatureError:
            continue
        commitments = night.messages[client].sealed.commitments
        if not check_seeds(seeds, commitments, night.context(client)):
            confirmed[client] = seeds
    return confirmed


@pytest.mark.parametrize("clients", [4, 5, 20, 100])
def test_whoever_is_missing_at_a_step_the_others_sum_exactly(clients: int) -> None:
    """A client that never sends, one that a helper does not confirm, a helper that comes late, and
    one that never comes back.
    """
    night = SecureRound(group_of(5, 2), tuple(f"c{i:03d}" for i in range(clients)), length=2)
    silent, unconfirmed, half_confirmed = night.clients[:3]
    boxes = {c: dict(m.sealed.boxes) for c, m in night.messages.items() if c != silent}
    for client, helper in ((unconfirmed, "h2"), (half_confirmed, "h5")):
        boxes[client][helper] = bytes(len(boxes[client][helper]))

    # 1. h5 is away before the freeze. The four others are Q, and all confirm all but one client.
    named = ("h1", "h2", "h3", "h4")
    confirmed = {helper: _opened_boxes(night, helper, boxes) for helper in named}
    cohort = tuple(c for c in boxes if all(c in confirmed[helper] for helper in named))
    assert set(boxes) - set(cohort) == {unconfirmed}
    manifest = night.manifest(cohort)
    contexts = {client: night.context(client) for client in boxes}

    def answer(helper: str, seeds: Mapping[str, Seeds]) -> Opening:
        return add_masks(manifest, "statistics", helper, night.group, seeds, contexts)

    def opened(openings: Sequence[Opening]) -> npt.NDArray[np.float64]:
        masked = night.masked()
        return from_fixed_point(
            open_sum(
                manifest, "statistics", night.group, masked, openings, deadline_past=True
            ).total
        )

    # 2. All of Q answer: the sum is that of the cohort, exactly.
    openings = [answer(helper, confirmed[helper]) for helper in named]
    expected = np.sum([night.values[client] for client in cohort], axis=0)
    np.testing.assert_array_equal(opened(openings), expected)

    # 3. h4 never comes back, and h5 holds no seeds of a client that counts: nothing opens.
    with pytest.raises(BreakdownError, match="3 of 5 helpers have answered"):
        opened(openings[:3])
    with pytest.raises(RefusedError, match=f"{half_confirmed}: the manifest names it, and h5"):
        answer("h5", _opened_boxes(night, "h5", boxes))


def test_before_the_deadline_every_seed_is_checked_by_one_more_than_may_collude(
    night: SecureRound,
) -> None:
    openings = [night.answer(helper) for helper in night.group.helpers[:3]]
    said = "3 of 6 sums are confirmed by fewer than 2 helpers.*Wait for h4 until the deadline"
    with pytest.raises(BreakdownError, match=said):
        open_sum(
            night.manifest(),
            "statistics",
            night.group,
            night.masked(),
            openings,
            deadline_past=False,
        )
    opened = open_sum(
        night.manifest(), "statistics", night.group, night.masked(), openings, deadline_past=True
    )
    assert len(opened.unchecked) == 3  # the result says so


def test_nobody_is_awaited_once_all_have_answered_and_what_is_unchecked_is_listed() -> None:
    """With 5 helpers of whom 2 may collude a seed has two holders: no number of answers checks it.
    Two who collude could then shift a sum, which is why the result says so.
    """
    night = SecureRound(group_of(5, 2), ("ward-1", "ward-2"), length=2)
    openings = [night.answer(helper) for helper in night.group.helpers]

    def opened() -> OpenedSum:
        return open_sum(
            night.manifest(),
            "statistics",
            night.group,
            night.masked(),
            openings,
            deadline_past=False,
        )

    honest = opened()
    assert honest.unchecked == night.group.sets()
    shared = ("h3", "h4", "h5")  # the set whose seed h1 and h2 alone hold
    for i in (0, 1):
        sums = openings[i].sums
        openings[i] = replace(openings[i], sums={**sums, shared: sums[shared] - np.uint64(9)})
    np.testing.assert_array_equal(opened().total, honest.total + np.uint64(9))


def test_helpers_that_differ_are_named_and_nothing_is_released(night: SecureRound) -> None:
    openings = [night.answer(helper) for helper in night.group.helpers]
    names = night.group.held_by("h1")[0]
    lie = replace(openings[0], sums={**openings[0].sums, names: openings[0].sums[names] + 1})
    with pytest.raises(AggregationError, match="h1, h4 gave different sums of one seed"):
        open_sum(
            night.manifest(),
            "statistics",
            night.group,
            night.masked(),
            [lie, *openings[1:]],
            deadline_past=True,
        )


def test_an_answer_to_another_question_is_refused(night: SecureRound) -> None:
    openings = [night.answer(helper) for helper in night.group.helpers]
    other = night.answer("h1", night.manifest(("ward-1", "ward-2")))
    short = replace(
        openings[0], sums={names: words[:-1] for names, words in openings[0].sums.items()}
    )
    fewer = replace(openings[0], sums=dict(list(openings[0].sums.items())[1:]))
    for wrong in (other, short, fewer, openings[1], replace(openings[0], payload="effects")):
        with pytest.raises(AggregationError, match=r"opening of h[12]: answers another manifest"):
            open_sum(
                night.manifest(),
                "statistics",
                night.group,
                night.masked(),
                [wrong, *openings[1:]],
                deadline_past=True,
            )


def test_a_helper_adds_only_what_it_confirmed(night: SecureRound) -> None:
    with pytest.raises(RefusedError, match="ward-1: the manifest names it, and h1 did not confirm"):
        add_masks(night.manifest(), "statistics", "h1", night.group, {}, {})
    later = replace(night.manifest(), round=13)
    with pytest.raises(RefusedError, match="header names another client, round or payload"):
        night.answer("h1", later)


def test_a_message_of_another_length_stops_the_sum(night: SecureRound) -> None:
    openings = [night.answer(helper) for helper in night.group.helpers]
    masked = night.masked()
    masked["ward-2"] = masked["ward-2"][:-1]
    with pytest.raises(
        AggregationError, match="ward-2: its masked message is missing, or is not 7"
    ):
        open_sum(night.manifest(), "statistics", night.group, masked, openings, deadline_past=True)


def test_a_manifest_names_each_payload_once() -> None:
    cohort = Cohort(payload="statistics", length=3, messages={"a": b"1" * 32})
    with pytest.raises(AggregationError, match="names no sum, or one payload twice"):
        Manifest(round=1, freeze_digest=b"f" * 32, cohorts=(cohort, cohort))
    manifest = Manifest(round=1, freeze_digest=b"f" * 32, cohorts=(cohort,))
    assert manifest.digest != replace(manifest, round=2).digest
    with pytest.raises(AggregationError, match="names no sum of effects"):
        manifest.cohort("effects")
