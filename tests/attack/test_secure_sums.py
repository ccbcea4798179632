"""Who tries to see one client's numbers in a secure sum, and what they get.

Each attack stands beside its honest twin: the same night, where everyone does what the protocol
says and the sum opens.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from hyperfed.errors import BreakdownError, RefusedError
from hyperfed.registry.helper_group import HelperSet
from hyperfed.registry.secure_sums import HelperRecord, SecureSums, told_apart_by_blocks
from hyperfed.secure_aggregation import (
    HelperMarks,
    MaskContext,
    check_seeds,
    from_fixed_point,
    masking,
    open_box,
    open_sum,
)
from hyperfed.secure_aggregation.masking import draw_seeds, masked
from hyperfed.secure_aggregation.streams import Words, mask
from hyperfed.testing.federation import SmallFederation
from tests.unit.secure_aggregation.sums import SecureRound, group_of

WARDS = tuple(f"ward-{i}" for i in range(1, 6))


def _opened(night: SecureRound, cohort: tuple[str, ...], answering: tuple[str, ...]) -> np.ndarray:  # type: ignore[type-arg]
    manifest = night.manifest(cohort)
    openings = [night.answer(helper, manifest) for helper in answering]
    opened = open_sum(
        manifest, "statistics", night.group, night.masked(), openings, deadline_past=True
    )
    return from_fixed_point(opened.total)


def test_helpers_without_marks_would_give_a_client_away() -> None:
    """What the marks are for: two cohorts of one round, subtracted, are one client's numbers."""
    night = SecureRound(group_of(), WARDS)
    difference = _opened(night, WARDS, night.group.helpers) - _opened(
        night, WARDS[1:], night.group.helpers
    )
    np.testing.assert_array_equal(difference, night.values["ward-1"])


@pytest.mark.parametrize(("helpers", "colluding"), [(4, 1), (5, 2), (7, 3)])
def test_a_coordinator_that_splits_its_questions_opens_one_cohort_at_most(
    helpers: int, colluding: int, tmp_path: Path
) -> None:
    """Every choice of dishonest helpers and of those who are asked first; the honest keep marks."""
    night = SecureRound(group_of(helpers, colluding), WARDS, length=1)
    whole, fewer = night.manifest(WARDS), night.manifest(WARDS[1:])
    group = night.group
    for dishonest in combinations(group.helpers, colluding):
        honest = [helper for helper in group.helpers if helper not in dishonest]
        for size in range(len(honest) + 1):
            for asked_first in combinations(honest, size):
                marks = {helper: HelperMarks() for helper in honest}
                answers: dict[bytes, set[str]] = {
                    whole.digest: set(dishonest),
                    fewer.digest: set(dishonest),
                }
                questions = [(h, whole) for h in asked_first] + [(h, fewer) for h in honest]
                for helper, manifest in questions:
                    try:
                        marks[helper].allow(manifest)
                    except RefusedError:
                        continue
                    answers[manifest.digest].add(helper)
                opened = [group.can_open(sorted(who)) for who in answers.values()]
                assert sum(opened) <= 1
    honest_night = HelperMarks(tmp_path / "marks.json")
    honest_night.allow(whole)
    np.testing.assert_array_equal(
        _opened(night, WARDS, group.helpers[: group.quorum]),
        np.sum(list(night.values.values()), axis=0),
    )


@pytest.mark.parametrize("dishonest", ["h1", "h2", "h3", "h4"])
def test_another_input_gives_colluders_the_same_view(
    dishonest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replace one client's input, and shift one stream that the colluders lack by the difference.

    Both streams are uniform, so both nights are equally likely; and all that the helper, the
    coordinator and the bucket see is the same to the byte.
    """
    group = group_of()
    context = SecureRound(group, ("ward-1",)).context("ward-1")
    seeds = draw_seeds(group, random_bytes=np.random.default_rng(2).bytes)
    mine, other = np.arange(7, dtype=np.uint64), np.full(7, 2**63, dtype=np.uint64)
    lacking = next(names for names in group.sets() if names not in group.held_by(dishonest))
    message = masked(mine, seeds, context)

    def shifted(seed: bytes, of: MaskContext, names: HelperSet, length: int) -> Words:
        stream = mask(seed, of, names, length)
        return stream + mine - other if names == lacking else stream

    monkeypatch.setattr(masking, "mask", shifted)
    np.testing.assert_array_equal(masked(other, seeds, context), message)
    held = {names: seeds[names] for names in group.held_by(dishonest)}
    assert lacking not in held
    assert not np.array_equal(masked(other, held, context), message)  # and it lacks something


def test_what_a_colluding_helper_is_left_with_is_uniform() -> None:
    """A chi-square on the bytes, for two very different inputs; 255 degrees of freedom each."""
    group, counts = group_of(), []
    night = SecureRound(group, ("ward-1",), length=1)
    context, rng = night.context("ward-1"), np.random.default_rng(8)
    for value in (0, 2**62):
        values = np.full(4000, value, dtype=np.uint64)
        seeds = draw_seeds(group, random_bytes=rng.bytes)
        left = masked(values, seeds, context)
        for names in group.held_by("h1"):
            left -= mask(seeds[names], context, names, len(values))
        counts.append(np.bincount(left.view(np.uint8), minlength=256))
    for count in counts:
        expected = count.sum() / 256
        assert float(((count - expected) ** 2 / expected).sum()) < 255 + 5 * np.sqrt(2 * 255)
    np.testing.assert_array_less(np.abs(counts[0] - counts[1]), 6 * np.sqrt(2 * 4000 * 8 / 256))


def test_too_few_helpers_open_nothing_and_one_more_opens_all() -> None:
    night = SecureRound(group_of(5, 2), WARDS)
    with pytest.raises(BreakdownError, match="3 of 5 helpers have answered"):
        _opened(night, WARDS, night.group.helpers[:3])
    np.testing.assert_array_equal(
        _opened(night, WARDS, night.group.helpers[:4]), np.sum(list(night.values.values()), axis=0)
    )


def test_a_client_whose_seeds_differ_spoils_no_sum_because_it_is_not_confirmed() -> None:
    """Seeds of one helper replaced after the commitment: that helper does not confirm it."""
    night = SecureRound(group_of(), WARDS)
    liar = night.messages["ward-5"].sealed
    foreign = night.messages["ward-4"].sealed.boxes["h2"]  # sealed to the right key, other seeds
    seeds = open_box(foreign, "h2", night.group, night.secret_keys["h2"])
    assert len(check_seeds(seeds, liar.commitments, night.context("ward-5"))) == 3
    np.testing.assert_array_equal(  # the honest twin: the others are summed without it
        _opened(night, WARDS[:4], night.group.helpers),
        np.sum([night.values[ward] for ward in WARDS[:4]], axis=0),
    )


def test_without_noise_two_nights_show_what_one_client_changed() -> None:
    """What docs/secure-sums.md says plainly: masks do not prevent it."""
    first = SecureRound(group_of(), WARDS)
    second = SecureRound(group_of(), WARDS, round=13, changed={"ward-3": 0.25})
    difference = _opened(second, WARDS, second.group.helpers) - _opened(
        first, WARDS, first.group.helpers
    )
    np.testing.assert_array_equal(difference, np.full(first.length, 0.25))


def test_three_quorums_need_not_share_an_honest_helper_that_knows_all_three_sums() -> None:
    """Marks of one's own answers alone are not enough where the roots draw blocks anew twice. So
    helpers take earlier cohorts from the ledger (R-212, test_earlier_sums), and `hyperfed registry
    helpers` tells the roots whom that gives away (R-174).
    """
    first, second, victim = WARDS[:3], ("yard-1", "yard-2", "yard-3"), "dock-1"
    cohorts = [(victim, *first, *second), first, second]
    fed = SmallFederation(clients=(*cohorts[0], "h1x", "h2x", "h3x", "h4x"))
    organisation_of = {name: name for name in cohorts[0]}
    marks = {helper: HelperMarks() for helper in ("h1", "h2", "h3")}  # h4 answers everything
    asked = [("h1", "h2"), ("h2", "h3"), ("h1", "h3")]
    for number, (cohort, helpers) in enumerate(zip(cohorts, asked, strict=True)):
        manifest = SecureRound(group_of(), cohort, round=12 + number, length=1).manifest()
        for helper in helpers:
            marks[helper].allow(
                manifest, organisation_of=organisation_of, placed=set(cohorts[0]), smallest=3
            )
    with pytest.raises(RefusedError, match=f"{victim} could be told apart"):
        # the honest twin: a helper that has answered all three
        marks["h2"].allow(manifest, organisation_of=organisation_of, smallest=3)
    records = tuple(HelperRecord(client_id=f"h{n}x") for n in range(1, 5))
    drawn = [SecureSums(helpers=records, blocks=(tuple(sorted(cohort)),)) for cohort in cohorts]
    clients = fed.registry.clients
    assert told_apart_by_blocks(drawn[:1], drawn[1], clients) == ()
    assert told_apart_by_blocks(drawn[:2], drawn[2], clients) == (victim,)
