"""Nights over both ends of daylight saving: a real server and a real worker in a time zone whose
clocks go forward and then back within minutes, the real clock, windows of a minute.

The deployments' schedules are in that zone, too, where an operator's mistake would put them. Each
window is opened once and merged once, none is lost and none has two runs.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hyperfed.protocol.entries import EntryKind
from tests.installation.sites import WINDOW_S, Site
from tests.installation.zones import NAME, changing_zone

NAMES = ("open-round", "federation-round")
WINDOW, SECOND, DAY = (timedelta(seconds=seconds) for seconds in (WINDOW_S, 1, 86_400))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.outage,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        sys.version_info >= (3, 13),
        reason="Prefect's library there (whenever) takes no zone with two changes within an hour",
    ),
]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def move(site: Site, name: str) -> dict[str, Any]:
    """Put a deployment's schedule into the made zone, and return it as the server has it."""
    deployment = site.api(f"/deployments/name/{name}/{name}")
    (schedule,) = deployment["schedules"]
    moved = {"schedule": schedule["schedule"] | {"timezone": NAME}}
    path = f"/deployments/{deployment['id']}/schedules"
    site.api(f"{path}/{schedule['id']}", moved, method="PATCH")
    (kept,) = site.api(path)
    return dict(kept["schedule"])


def day_after(site: Site, instant: datetime) -> timedelta:
    """When a schedule of a day comes again after an instant, as the server computes it."""
    deployment = site.api("/deployments/name/simulate/simulate")
    path = f"/deployments/{deployment['id']}"
    rule = {"interval": 86_400, "anchor_date": instant.isoformat(), "timezone": NAME}
    (made,) = site.api(f"{path}/schedules", [{"active": True, "schedule": rule}])
    over = {"start_time": instant.isoformat(), "end_time": (instant + 9 * DAY).isoformat()}
    site.api(f"{path}/schedule", over | {"min_runs": 2, "max_runs": 2})
    begun, again = (
        datetime.fromisoformat(run["expected_start_time"]) for run in site.runs("simulate")[:2]
    )
    site.api(f"{path}/schedules/{made['id']}", method="DELETE")
    assert begun == instant
    return again - begun


def hour_of(site: Site, instant: datetime) -> int:
    """Which hour a process of this site's environment calls an instant."""
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import time; print(time.localtime({instant.timestamp()}).tm_hour)",
        ],
        env=os.environ | site.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(said.stdout)


def test_each_window_has_one_run_where_clocks_go_forward_and_back(
    tmp_path: Path, stack: ExitStack
) -> None:
    # 1. The clocks change in the middle of round 1, and in that of round 2.
    opens = datetime.now(UTC).replace(microsecond=0) + 1.5 * WINDOW
    forward, back = opens + WINDOW / 2, opens + 3 * WINDOW / 2
    zone = changing_zone(tmp_path, forward=forward, back=back)
    site = Site(tmp_path, stack, ahead_s=(opens - datetime.now(UTC)).total_seconds() + 1, **zone)
    site.begin()
    windows = site.federation.registry.windows
    for change, hours in ((forward, 1), (back, -1)):
        jump = hour_of(site, change + SECOND) - hour_of(site, change - SECOND)
        assert jump % 24 == hours % 24, "processes live in the zone"
    assert day_after(site, opens + WINDOW) == timedelta(hours=25), "the server knows it"
    assert [move(site, name)["timezone"] for name in NAMES] == [NAME] * 2
    worker = site.start_worker()
    assert datetime.now(UTC) < windows.genesis, "a machine too slow for this test"

    # 2. The nights pass.
    site.until_clock(windows.deadline(3))
    site.until(lambda: site.end_of(3), "the last night ends")
    site.until(site.quiet, "nothing runs")
    assert worker.running, worker.log_end()

    # 3. One run for each window, and one result for each round.
    nights = range(1, 4)
    due = {
        "open-round": [windows.opens(n) for n in nights],
        "federation-round": [windows.deadline(n) for n in nights],
    }
    for name, instants in due.items():
        over = {"after_": instants[0].isoformat(), "before_": instants[-1].isoformat()}
        runs = site.runs(name, expected_start_time=over)
        assert [datetime.fromisoformat(run["expected_start_time"]) for run in runs] == instants
        assert {run["state_name"] for run in runs} == {"Completed"}, runs
        if name == "federation-round":
            assert [run["name"].partition(",")[0] for run in runs] == [f"round {n}" for n in nights]
    ended = [
        c.entry.round
        for c in site.reader().ledger()
        if c.entry.kind is EntryKind.COMMIT and c.entry.round in nights
    ]
    assert ended == list(nights)
    assert [site.counted(n) for n in nights] == [list(site.federation.clients)] * 3
