"""Fast forward: an update for a round to come, a clock set ahead, a round opened before its time.
The round number decides before any clock (R-84, R-85).
"""

from collections.abc import Callable
from datetime import timedelta

import pytest

from hyperfed.errors import HyperfedError
from hyperfed.protocol.machine import Why
from hyperfed.testing.federation import SmallFederation
from tests.attack.conftest import VICTIM


def test_an_update_in_a_folder_of_the_future_waits_there_and_moves_nothing(
    fed: SmallFederation,
) -> None:
    before = fed.decided()
    fed.put(fed.envelope(VICTIM, round=9), VICTIM, round_id=9)
    judged = fed.judge(1)
    assert [a.client for a in judged.admitted] == ["site-01", "site-02"]
    with pytest.raises(HyperfedError):
        fed.run(1)
    assert fed.decided() == before


def test_an_update_that_says_a_round_of_the_future(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    refuse(fed, fed.put(fed.envelope(VICTIM, round=2), VICTIM), "R-84")


def test_an_update_from_the_future(fed: SmallFederation, refuse: Callable[..., object]) -> None:
    ahead = fed.night(1) + timedelta(minutes=11)
    refuse(
        fed,
        fed.put(fed.envelope(VICTIM, created=ahead, expires=ahead + timedelta(days=1)), VICTIM),
        "R-85",
    )


def test_a_round_run_ahead_of_an_open_one_waits(fed: SmallFederation) -> None:
    """Whoever runs round 2 first cannot skip round 1 while it may still be finished (R-60)."""
    fed.open(2)
    fed.submit_all(round_id=2)
    before = fed.decided()
    with pytest.raises(HyperfedError, match="still open") as caught:
        fed.run(2, now=fed.night(1))
    assert caught.value.rule == "R-60"
    assert fed.decided() == before


def test_the_honest_twin_with_a_clock_nine_minutes_ahead_counts(
    fed: SmallFederation, commit: Callable[..., None]
) -> None:
    ahead = fed.night(1) + timedelta(minutes=9)
    fed.put(fed.envelope(VICTIM, created=ahead, expires=ahead + timedelta(days=1)), VICTIM)
    commit(fed)
    assert fed.run(1).why is Why.COMMITTED
