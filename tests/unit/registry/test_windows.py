"""Rounds and windows, instants and client ids, at their ends."""

from datetime import UTC, datetime, timedelta

import pytest

from hyperfed.errors import ConfigError, RoundError
from hyperfed.registry.windows import Windows, check_client_id, check_instant, is_client_id

pytestmark = pytest.mark.unit

GENESIS = datetime(2026, 1, 1, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
DAILY = Windows(genesis=GENESIS, window_s=86_400)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("abc", True),
        ("0-_", True),
        ("a" * 32, True),
        ("ab", False),
        ("a" * 33, False),
        ("-ab", False),
        ("_ab", False),
        ("Abc", False),
        ("a.b", False),
        ("abé", False),
        ("", False),
    ],
)
def test_what_a_client_id_may_be(text: str, good: bool) -> None:
    assert is_client_id(text) is good
    if good:
        assert check_client_id(text) == text
        return
    with pytest.raises(ConfigError) as caught:
        check_client_id(text)
    assert caught.value.rule == "R-22"


def test_an_instant_has_a_time_zone() -> None:
    assert check_instant(GENESIS) == GENESIS
    naive = GENESIS.replace(tzinfo=None)
    for call in (
        lambda: check_instant(naive),
        lambda: Windows(genesis=naive, window_s=1),
        lambda: DAILY.round_at(naive),
    ):
        with pytest.raises(ConfigError, match="time zone"):
            call()


def test_a_window_has_a_length() -> None:
    assert Windows(genesis=GENESIS, window_s=1).deadline(1) == GENESIS + SECOND
    with pytest.raises(ConfigError, match="a window of 0 s"):
        Windows(genesis=GENESIS, window_s=0)


def test_a_window_begins_at_its_first_instant() -> None:
    assert [DAILY.round_at(GENESIS + delta) for delta in (0 * DAY, DAY - SECOND, DAY)] == [1, 1, 2]
    assert [DAILY.ended_at(GENESIS + delta) for delta in (DAY - SECOND, DAY)] == [0, 1]
    assert (
        (DAILY.opens(1), DAILY.deadline(1)) == (GENESIS, GENESIS + DAY) == (GENESIS, DAILY.opens(2))
    )
    with pytest.raises(ConfigError, match="genesis is"):
        DAILY.round_at(GENESIS - SECOND)


@pytest.mark.parametrize("number", [0, -1, True, 1.0, "1"])
def test_rounds_are_counted_from_one(number: int) -> None:
    with pytest.raises(ConfigError, match="is no round's number"):
        DAILY.check_begun(number, GENESIS)


def test_a_round_has_begun_once_its_window_is_open_by_some_clock() -> None:
    """R-115: a clock that may be behind by `skew_s` is given as much."""
    for now, skew_s in ((GENESIS, 0), (GENESIS - SECOND, 1)):
        DAILY.check_begun(1, now, skew_s=skew_s)
    for round_id, now, skew_s, said in (
        (1, GENESIS - SECOND, 0, "no round has begun"),
        (1, GENESIS - 2 * SECOND, 1, "no round has begun"),
        (2, GENESIS + DAY - SECOND, 0, "round 1 runs"),
        (50_000, GENESIS + 5 * DAY, 600, "round 6 runs"),
    ):
        with pytest.raises(RoundError, match="has not begun") as caught:
            DAILY.check_begun(round_id, now, skew_s=skew_s)
        assert caught.value.rule == "R-115"
        assert said in caught.value.remedy
        assert caught.value.subject == f"round {round_id}"
    with pytest.raises(RoundError, match="speaks for round 2, which has not begun") as caught:
        DAILY.check_begun(2, GENESIS, subject="rounds/00000002/plan")
    assert caught.value.subject == "rounds/00000002/plan"
    assert "registry annul" in caught.value.remedy
