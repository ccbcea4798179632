"""Nights without a worker, and a night without Prefect's server: a real server, a real worker, the
real clock, windows of a minute. Each ends without a person.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hyperfed.protocol.entries import EntryKind
from tests.installation.sites import Site

pytestmark = [pytest.mark.slow, pytest.mark.outage, pytest.mark.timeout(1200)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_three_nights_without_a_worker_and_a_night_without_the_server(
    tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(tmp_path, stack, ahead_s=20, PREFECT_WORKER_QUERY_SECONDS="0.5")
    clients = site.begin()
    windows, worker = site.federation.registry.windows, site.start_worker()
    first = site.until(clients.round, "the clients have submitted")
    worker.stop()

    # three nights pass
    site.until_clock(windows.deadline(first + 2), plus_s=2)
    late = {
        *(("federation-round", n) for n in range(first, first + 3)),
        *(("open-round", n) for n in range(first + 1, first + 4)),
    }
    site.until(lambda: _named_late(site) >= late, "Prefect calls the runs late")
    worker = site.start_worker()
    back = site.until(lambda: clients.round(after=first + 2), "the clients have submitted again")
    # the first night had updates: they count, unless the run of a later one came before its own
    assert site.end_of(first) is (EntryKind.COMMIT if site.counted(first) else EntryKind.VOID)
    assert [site.end_of(n) for n in (first + 1, first + 2)] == [EntryKind.VOID] * 2
    due = {
        "after_": windows.opens(first + 1).isoformat(),
        "before_": (windows.deadline(first + 2) + timedelta(seconds=1)).isoformat(),
    }
    for name in ("open-round", "federation-round"):
        ended = {run["state_type"] for run in site.runs(name, expected_start_time=due)}
        assert ended <= {"COMPLETED", "SCHEDULED"}, ended

    # the server is down while the night's run is due
    # (a worker takes runs ten seconds ahead; one that is beginning at that moment crashes)
    night = site.until(lambda: clients.round(after=back), "the clients have submitted once more")
    site.until_clock(windows.deadline(night), plus_s=-15)
    site.server.stop()
    site.until_clock(windows.deadline(night), plus_s=25)
    assert worker.running, worker.log_end(4000)
    site.start_server()
    assert site.until(lambda: site.end_of(night), "the night ends") is EntryKind.COMMIT
    assert site.counted(night) == list(site.federation.clients)
    said = worker.log.read_text()
    # Prefect's client asks again by itself for half a minute before the worker hears of it
    assert said.count("does not answer") == said.count("answers again") <= 1, said


def _named_late(site: Site) -> set[tuple[str, int]]:
    """(deployment, round) of the runs that Prefect calls late."""
    windows, late = site.federation.registry.windows, set[tuple[str, int]]()
    for name in ("open-round", "federation-round"):
        for run in site.runs(name, state={"name": {"any_": ["Late"]}}):
            instant = datetime.fromisoformat(run["expected_start_time"])
            late.add((name, windows.round_at(instant) - (name == "federation-round")))
    return late
