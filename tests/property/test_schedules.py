"""Schedules for any window: each run's instant lies in the window it stands for, as Prefect itself
counts instants.
"""

from datetime import UTC, datetime, timedelta, timezone

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.client.schemas.schedules import IntervalSchedule as Written
from prefect.server.schemas.schedules import IntervalSchedule

from hyperfed.errors import ConfigError
from hyperfed.operations.schedules import MAX_DELAY_S, default_delay_s, schedules_of
from hyperfed.registry.windows import Windows

pytestmark = pytest.mark.property

WINDOWS = st.one_of(
    st.sampled_from(
        [
            10,
            59,
            60,
            61,
            600,
            1000,
            1799,
            1800,
            1801,
            3600,
            5000,
            7200,
            86_399,
            86_400,
            90_000,
            604_800,
            366 * 86_400,
        ]
    ),
    st.integers(10, 366 * 86_400),
)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.builds(
    lambda zone, s: datetime(2020, 1, 1, tzinfo=zone) + timedelta(seconds=s),
    ZONES,
    st.integers(0, 10**8),
)


@settings(deadline=None, max_examples=60)
@given(window_s=WINDOWS, genesis=INSTANTS, later=st.integers(0, 10**9), zone=ZONES)
def test_every_run_lies_in_the_window_it_stands_for(
    window_s: int, genesis: datetime, later: int, zone: timezone
) -> None:
    """Three instants after any moment: open-round's begin their windows, federation-round's end
    them, none is left out.
    """
    windows = Windows(genesis=genesis.astimezone(UTC), window_s=window_s)
    opening, running = schedules_of(genesis=genesis.astimezone(zone), round_duration=window_s)
    start = genesis.astimezone(UTC) + timedelta(seconds=later)
    for schedule, round_of in ((opening, windows.round_at), (running, windows.ended_at)):
        written = Written(
            interval=timedelta(seconds=schedule.interval_s),
            anchor_date=schedule.anchor,
            timezone="UTC",
        )
        rule = IntervalSchedule.model_validate(written.model_dump(mode="json"))
        found = [
            datetime.fromtimestamp(d.timestamp(), UTC)
            for d in anyio.run(lambda rule=rule: rule.get_dates(3, start))
        ]
        assert all(moment >= start for moment in found)
        assert all(moment == windows.opens(windows.round_at(moment)) for moment in found)
        first = -(-later // window_s) + 1
        expected = (
            [first, first + 1, first + 2] if schedule is opening else [first - 1, first, first + 1]
        )
        assert [round_of(moment) for moment in found] == expected


@given(window_s=WINDOWS)
def test_the_wait_that_nobody_names_ends_before_the_next_window_does(window_s: int) -> None:
    delay_s = schedules_of(genesis=datetime(2026, 1, 1, tzinfo=UTC), round_duration=window_s)[
        1
    ].parameters["aggregation_delay_s"]
    assert delay_s == default_delay_s(window_s)
    assert 0 < delay_s < window_s
    assert delay_s <= MAX_DELAY_S


@given(window_s=WINDOWS, delay_s=st.floats(0, 10_000))
def test_a_wait_is_scheduled_as_it_is_given_or_refused_with_the_remedy(
    window_s: int, delay_s: float
) -> None:
    genesis = datetime(2026, 1, 1, tzinfo=UTC)
    if delay_s < window_s and delay_s <= MAX_DELAY_S:
        assert schedules_of(genesis=genesis, round_duration=window_s, aggregation_delay=delay_s)[
            1
        ].parameters == {"aggregation_delay_s": delay_s}
    else:
        with pytest.raises(ConfigError) as caught:
            schedules_of(genesis=genesis, round_duration=window_s, aggregation_delay=delay_s)
        assert caught.value.remedy
