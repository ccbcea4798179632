"""The protocol holds in every reachable state of `tests.property.protocol_model`, and every classic
mistake is found in it.
"""

import pytest

from tests.property.protocol_model import MISTAKES, NOISE_MISTAKES, Explorer, Setup
from tests.property.protocol_world import Violation


@pytest.mark.parametrize(
    "setup",
    [
        Setup(budget=1),
        Setup(budget=2),
        Setup(budget=0),
        Setup(budget=2, quorum=2),
        Setup(budget=2, aims=(1, 1)),
        pytest.param(
            Setup(budget=1, private=True, hostile=True, aims=(1, 1)), marks=pytest.mark.slow
        ),
        Setup(budget=2, private=True),
        Setup(budget=2, ahead=True),
        Setup(budget=2, ahead=True, aims=(2, 2)),
        Setup(budget=2, impossible=True),
        Setup(budget=3, thief=1),
        pytest.param(Setup(budget=3, thief=1, private=True), marks=pytest.mark.slow),
        Setup(budget=3, thief=2),
        Setup(budget=3, thief=1, unopened=True),
        pytest.param(Setup(budget=2, annuls=True), marks=pytest.mark.slow),
        Setup(budget=2, impossible=True, foreseen=True, private=True),
    ],
    ids=str,
)
def test_the_protocol_holds_in_every_state(setup: Setup) -> None:
    assert Explorer(setup).explore() > 10_000


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("crashes", [1, 2])
@pytest.mark.parametrize("late_plan", [False, True])
@pytest.mark.parametrize("aims", [(1, 2), (1, 1)])
@pytest.mark.parametrize("budget", [1, 2])
def test_the_protocol_holds_in_every_state_with_crashes(
    budget: int, aims: tuple[int, int], late_plan: bool, crashes: int
) -> None:
    assert (
        Explorer(Setup(budget=budget, crashes=crashes, aims=aims, late_plan=late_plan)).explore()
        > 100_000
    )


@pytest.mark.slow
def test_the_protocol_holds_when_a_plan_appears_late() -> None:
    assert Explorer(Setup(budget=2, late_plan=True)).explore() > 100_000


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_classic_mistake_is_found(mistake: str) -> None:
    # a frozen round is void where nothing can be computed from it, an unfrozen one below quorum
    impossible = mistake in ("refund_early", "late_by_freeze")
    quorum = 2 if mistake == "refund_nothing" else 1
    setup = Setup(budget=2, crashes=1, impossible=impossible, quorum=quorum, mistake=mistake)
    with pytest.raises(Violation):
        Explorer(setup).explore()


@pytest.mark.parametrize("mistake", NOISE_MISTAKES)
def test_every_mistake_with_noise_is_found(mistake: str) -> None:
    """In rounds where the bucket shows what it is given, and takes the seed away once."""
    with pytest.raises(Violation):
        Explorer(Setup(budget=2, crashes=1, private=True, hostile=True, mistake=mistake)).explore()


def test_a_coordinator_that_believes_its_own_clock_is_found() -> None:
    """It ends a round before its window has begun, by which no earlier round can end any more."""
    with pytest.raises(Violation, match="before the round has begun"):
        Explorer(Setup(budget=2, ahead=True, mistake="own_clock")).explore()


def test_a_coordinator_that_voids_a_predecessor_without_looking_into_its_inbox_is_found() -> None:
    with pytest.raises(Violation, match="a quorum is void"):
        Explorer(Setup(budget=2, mistake="void_unseen")).explore()


def test_a_round_that_goes_on_under_a_thiefs_reserve_is_found() -> None:
    with pytest.raises(Violation, match="released under an alien reserve"):
        Explorer(Setup(budget=3, thief=1, mistake="any_reserve")).explore()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_protocol_holds_where_roots_annul_all_that_a_thief_wrote() -> None:
    assert Explorer(Setup(budget=3, annuls=True, thief=1)).explore() > 10_000


def test_an_annulled_void_that_ends_its_round_all_the_same_is_found() -> None:
    with pytest.raises(Violation, match="stuck"):
        Explorer(Setup(budget=2, annuls=True, mistake="annulled_ends")).explore()


def test_a_reserve_of_a_round_that_nobody_opened_that_is_waited_for_is_found() -> None:
    with pytest.raises(Violation, match="stuck"):
        Explorer(Setup(budget=3, thief=1, unopened=True, mistake="unopened_waits")).explore()


def test_a_charge_for_a_round_that_is_known_to_have_no_result_is_found() -> None:
    setup = Setup(budget=2, private=True, impossible=True, foreseen=True, mistake="reserve_first")
    with pytest.raises(Violation, match="charged for a round"):
        Explorer(setup).explore()


def test_a_round_without_a_result_that_is_tried_for_ever_is_found() -> None:
    with pytest.raises(Violation, match="stuck"):
        Explorer(Setup(budget=2, impossible=True, mistake="try_for_ever")).explore()


@pytest.mark.parametrize("mistake", ["refund_early", "publish_first", "no_id", "result_over"])
def test_the_classic_mistakes_are_found_in_private_rounds_too(mistake: str) -> None:
    impossible = mistake == "refund_early"
    setup = Setup(budget=2, crashes=1, private=True, impossible=impossible, mistake=mistake)
    with pytest.raises(Violation):
        Explorer(setup).explore()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("budget", "crashes"), [(1, 1), (2, 0)], ids=str)
def test_one_noised_value_a_round_whatever_the_bucket_does(budget: int, crashes: int) -> None:
    """Five million states each; a crash with two rounds' budget would be thirty, and 3 GB."""
    setup = Setup(budget=budget, crashes=crashes, private=True, hostile=True)
    assert Explorer(setup).explore() > 1_000_000


def test_some_mistakes_show_only_with_slack_in_the_budget() -> None:
    assert Explorer(Setup(budget=1, mistake="no_id")).explore() > 10_000


def test_a_freeze_that_a_late_round_made_stale_is_found() -> None:
    with pytest.raises(Violation, match="counted twice"):
        Explorer(Setup(budget=2, late_plan=True, mistake="stale_base")).explore()


def test_missing_progress_is_found_too() -> None:
    assert Explorer(Setup(quorum=3)).explore() > 1_000
    with pytest.raises(Violation, match="stuck"):
        Explorer(Setup(quorum=3, mistake="never_void")).explore()
