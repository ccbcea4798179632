"""Fourteen nights in fast forward: the instants come from the deployed schedules, or crons in their
place, the clock is injected, nobody sleeps.

In night 3 a client is late and in night 4 it is not there. Nobody runs night 5, and night 6 runs it
too, since its quorum lies in the inbox. Night 8 runs twice, clocks change in it where there is
daylight saving, and a budget of basic composition is used up before night 10.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule

from flows.federation_round import federation_round
from flows.open_round import open_round
from hyperfed.operations.schedules import schedules_of
from hyperfed.protocol.entries import (
    EntryKind,
    Mechanism,
)
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.registry.registry import Budget
from hyperfed.registry.windows import Windows
from hyperfed.testing.federation import SmallFederation

Found = Callable[..., tuple[SmallFederation, str]]
# central European clocks go back on the 25th: the window of round 8
GENESIS = datetime(2026, 10, 18, tzinfo=UTC)
NIGHTS = 14


def deployed(deployment: str) -> IntervalSchedule:
    """The nightly schedule as `service install` makes it."""
    (schedule,) = [
        s
        for s in schedules_of(genesis=GENESIS, round_duration=86_400)
        if s.deployment == deployment
    ]
    return IntervalSchedule(
        interval=timedelta(seconds=schedule.interval_s), anchor_date=schedule.anchor, timezone="UTC"
    )


def instants(
    schedule: IntervalSchedule | CronSchedule, start: datetime, count: int
) -> list[datetime]:
    """When the scheduler would run it, from `start` on."""

    async def dates() -> Sequence[datetime]:
        return await schedule.get_dates(n=count, start=start)

    return [datetime.fromtimestamp(date.timestamp(), UTC) for date in anyio.run(dates)]


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        (None, None),
        ("30 3 * * *", "Europe/Berlin"),
        ("15 2 * * *", "America/New_York"),
        ("0 12 * * *", "Australia/Lord_Howe"),
    ],
)
def test_a_year_of_instants_stands_for_each_round_once_or_is_harmlessly_repeated(
    cron: str | None, zone: str | None
) -> None:
    schedule = (
        deployed("federation-round") if cron is None else CronSchedule(cron=cron, timezone=zone)
    )
    windows = Windows(genesis=GENESIS, window_s=86_400)
    dates = instants(schedule, GENESIS + timedelta(days=1), 366)
    rounds = [windows.ended_at(date) for date in dates]
    local = [date.astimezone(ZoneInfo(zone or "UTC")) for date in dates]
    assert set(rounds) == set(range(rounds[0], rounds[-1] + 1))  # no round is left out
    assert rounds == sorted(rounds)
    if zone is None:
        assert rounds == list(range(1, 367))
    assert len({(d.hour, d.minute) for d in local}) <= 2


@pytest.mark.slow
def test_fourteen_nights(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, name = found(genesis=GENESIS, budget=Budget(epsilon=Decimal(9)), quorum=2)
    monkeypatch.setattr(
        "hyperfed.coordinator.budget.mechanisms_of",
        lambda reader, plan: (Mechanism(kind="basic", epsilon=Decimal(1), delta=Decimal(0)),),
    )
    opening = instants(deployed("open-round"), GENESIS, NIGHTS)
    running = instants(
        CronSchedule(cron="30 3 * * *", timezone="Europe/Berlin"),
        GENESIS + timedelta(days=1),
        NIGHTS,
    )
    assert {running[i + 1] - running[i] for i in range(NIGHTS - 1)} == {
        timedelta(hours=24),
        timedelta(hours=25),
    }
    blocks: dict[str, Any] = {"drop_box": name, "coordinator_keys": name, "federation_policy": name}
    states: dict[int, Any] = {}
    for night in range(1, NIGHTS + 1):
        assert open_round(now=opening[night - 1], return_state=True, **blocks).is_completed()
        absent = {3: ("site-03",), 4: ("site-03",), 6: ("site-02",)}.get(night, ())
        federation.submit_all(round_id=night, but=absent)
        if night == 5:
            continue  # nobody ran it: the machine was off
        states[night] = federation_round(now=running[night - 1], return_state=True, **blocks)
        if night == 3:
            federation.submit("site-03", round_id=3, now=running[2] + timedelta(minutes=20))
        if night == 8:
            before = federation.objects()
            again = federation_round(
                now=running[7] + timedelta(minutes=10), return_state=True, **blocks
            )
            assert again.message.startswith("already committed")
            assert federation.objects() == before

    outcomes = {night: state.result()["outcome"] for night, state in states.items()}
    assert outcomes == {
        n: "committed" if n < 10 else "void" for n in range(1, NIGHTS + 1) if n != 5
    }
    ends = {
        c.entry.round: c.entry.kind
        for c in federation.reader().ledger()
        if c.entry.kind is not EntryKind.RESERVE
    }
    assert ends == {n: EntryKind.COMMIT if n < 10 else EntryKind.VOID for n in range(1, NIGHTS + 1)}
    reserves = [
        c.entry.round for c in federation.reader().ledger() if c.entry.kind is EntryKind.RESERVE
    ]
    assert reserves == list(range(1, 10))
    assert {federation.receipt("site-01", n).fate for n in (10, 14)} == {Fate.VOID}  # type: ignore[union-attr]
    assert federation.receipt("site-03", 3).fate is Fate.NOT_SEEN  # type: ignore[union-attr]
    counted = {
        n: {c.client: c.made_for for c in federation.reader().freeze(n).value.counted}
        for n in (3, 4, 5, 6)
    }  # type: ignore[union-attr]
    assert counted[3] == {"site-01": 3, "site-02": 3}
    assert counted[4] == {"site-01": 4, "site-02": 4, "site-03": 3}  # late, and at a lower weight
    # the missed night is not lost, and nobody is counted twice
    assert counted[5] == {"site-01": 5, "site-02": 5, "site-03": 5}
    assert counted[6] == {"site-01": 6, "site-03": 6}
    assert "budget" in states[11].result()["headline"]
