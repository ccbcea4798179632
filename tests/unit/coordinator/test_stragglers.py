"""Waiting for stragglers: whom a round waits for, how long, and what it says when it gives up
(R-62).
"""

from dataclasses import replace

import pytest

from hyperfed.coordinator.stragglers import await_stragglers, named, polls
from hyperfed.dropbox.inbox import Arrivals
from hyperfed.errors import QuorumMissed, QuorumPending

pytestmark = pytest.mark.unit


def arrivals(
    *present: str, closed: bool = False, decided: bool = False, late: tuple[str, ...] = ()
) -> Arrivals:
    cohort = ("a-site", "b-site", "c-site")
    keys = [(f"inbox/00000007/{client}/0", 10) for client in present] + [
        (f"inbox/00000006/{client}/0", 10) for client in late
    ]
    missing = tuple(c for c in cohort if c not in present)
    return Arrivals(
        round=7,
        quorum=2,
        present=present,
        missing=missing,
        keys=tuple(keys),
        closed=closed,
        decided=decided,
    )


@pytest.mark.parametrize(
    ("delay_s", "poll_s", "times"),
    [(0.0, 30.0, 0), (60.0, 30.0, 2), (61.0, 30.0, 3), (10.0, 30.0, 1), (10.0, 0.0, 0)],
)
def test_polls_use_the_delay_up_and_no_more(delay_s: float, poll_s: float, times: int) -> None:
    assert polls(delay_s=delay_s, poll_s=poll_s) == times


def test_everyone_there_goes_on_at_once() -> None:
    whole = arrivals("a-site", "b-site", "c-site")
    assert await_stragglers(whole, waited_s=0, delay_s=1800) is whole


def test_quorum_there_waits_until_the_delay_is_used_up() -> None:
    some = arrivals("a-site", "b-site")
    with pytest.raises(
        QuorumPending,
        match=r"waiting for 1 of 3 clients \(quorum 2\): c-site.*looking again in 30 s",
    ):
        await_stragglers(some, waited_s=1799, delay_s=1800, poll_s=30)
    assert await_stragglers(some, waited_s=1800, delay_s=1800) is some


def test_below_quorum_at_the_end_fails_and_names_the_missing() -> None:
    with pytest.raises(
        QuorumMissed, match=r"1 of the 2 clients needed.*missing: b-site, c-site"
    ) as caught:
        await_stragglers(arrivals("a-site"), waited_s=1800, delay_s=1800)
    assert caught.value.rule == "R-62"
    assert "`hyperfed submit --round 7 --data FILE`" in caught.value.remedy
    assert "`hyperfed round retry 7`" in caught.value.remedy


def test_a_late_update_counts_toward_the_quorum() -> None:
    two = arrivals("a-site", late=("b-site",))
    assert await_stragglers(two, waited_s=1800, delay_s=1800) is two


def test_the_same_client_twice_is_one() -> None:
    with pytest.raises(QuorumMissed, match="1 of the 2"):
        await_stragglers(arrivals("a-site", late=("a-site",)), waited_s=0, delay_s=0)


def test_who_is_not_of_the_cohort_makes_no_quorum() -> None:
    """Neither an object that lies in no client's folder nor a client that was not asked."""
    few = arrivals("a-site", late=("d-site", "Nobody"))
    few = replace(few, keys=(*few.keys, ("inbox/what", 10)))
    with pytest.raises(QuorumMissed, match="1 of the 2"):
        await_stragglers(few, waited_s=0, delay_s=0)


@pytest.mark.parametrize("over", [{"closed": True}, {"decided": True}])
def test_a_closed_or_decided_round_waits_for_nobody(over: dict[str, bool]) -> None:
    none = arrivals(**over)
    assert await_stragglers(none, waited_s=0, delay_s=1800) is none


def test_long_lists_end_with_a_count() -> None:
    assert named(tuple(f"site-{i:02d}" for i in range(12))).endswith("site-09 and 2 more")
