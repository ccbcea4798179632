"""Daylight saving at both ends: by Prefect's own arithmetic every window has one run, since a
schedule of ours is in UTC; in the time zone of a deployment it would not.
"""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import anyio
import pytest
from prefect import flow, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.server.schemas.schedules import IntervalSchedule as ServerSchedule

from flows.service.schedules import apply_schedules
from hyperfed.coordinator.running import round_to_open, round_to_run
from hyperfed.operations.schedules import Schedule, schedules_of
from hyperfed.registry.windows import Windows
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.flow

BERLIN = ZoneInfo("Europe/Berlin")
CHANGES = [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)]


def instants(schedule: Schedule, zone: str, *, around: datetime) -> list[datetime]:
    """When the server lets a deployment run, from four days before an instant to four after it."""
    rule = ServerSchedule(
        interval=timedelta(seconds=schedule.interval_s),
        anchor_date=schedule.anchor,
        timezone=zone,
    )
    start, end = around - timedelta(days=4), around + timedelta(days=4)
    found = anyio.run(rule.get_dates, 1000, start, end)
    return [datetime.fromtimestamp(instant.timestamp(), UTC) for instant in found]


@pytest.mark.parametrize("change", CHANGES, ids=["spring", "autumn"])
@pytest.mark.parametrize("window_s", [3600, 86_400])
@pytest.mark.parametrize(
    "genesis",
    [datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 7, 1, 2, 30, tzinfo=BERLIN)],
    ids=str,
)
def test_each_window_is_opened_once_and_run_once_over_a_change(
    genesis: datetime, window_s: int, change: datetime
) -> None:
    genesis = genesis.astimezone(UTC)
    federation = SmallFederation(window_s=window_s, genesis=genesis)
    windows, registry = federation.registry.windows, federation.registry
    opening, running = schedules_of(genesis=genesis, round_duration=window_s)
    begun = instants(opening, "UTC", around=change)
    ended = instants(running, "UTC", around=change)
    opened = [round_to_open(registry, instant)[0] for instant in begun]
    ran = [round_to_run(registry, instant)[0] for instant in ended]
    assert len(opened) >= 8
    assert opened == list(range(opened[0], opened[0] + len(opened)))
    assert ran == list(range(ran[0], ran[0] + len(ran)))
    assert begun == [windows.opens(number) for number in opened]
    assert ended == [windows.deadline(number) for number in ran]


def test_in_a_deployments_own_time_zone_a_night_would_run_twice_and_another_never() -> None:
    genesis = datetime(2025, 1, 1, tzinfo=UTC)
    windows = Windows(genesis=genesis, window_s=86_400)
    _, running = schedules_of(genesis=genesis, round_duration=86_400)
    ran = [
        [windows.ended_at(i) for i in instants(running, "Europe/Berlin", around=change)]
        for change in CHANGES
    ]
    steps = [{b - a for a, b in itertools.pairwise(r)} for r in ran]
    assert steps[0] == {0, 1}
    assert steps[1] in ({1, 2}, {1})  # earlier versions of Prefect run the longer night in time


def test_an_installation_puts_a_schedule_of_another_time_zone_back(prefect_harness: None) -> None:
    @flow(name="open-round")
    def nothing() -> None: ...

    genesis = datetime(2026, 1, 1, tzinfo=UTC)
    opening, _ = schedules_of(genesis=genesis, round_duration=86_400)
    moved = IntervalSchedule(
        interval=timedelta(days=1), anchor_date=genesis, timezone="Europe/Berlin"
    )
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(
            flow_id=client.create_flow(nothing),
            name="open-round",
            schedules=[DeploymentScheduleCreate(schedule=moved, active=True, slug="windows")],
            parameter_openapi_schema={},
        )
        assert apply_schedules([opening]) == {"open-round": True}
        (schedule,) = client.read_deployment_schedules(deployment)
    assert schedule.schedule.timezone == "UTC"
