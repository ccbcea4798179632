"""Nights without a worker, and a night without Prefect's server: a real server, a real worker, the
real clock, windows of a minute. Each ends without a person; only the last of the missed nights may
be below quorum before its `close_by`, which its run says. A missed night whose runs came after
those of a later one was never opened, and there is nothing of it.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hyperfed.dev.processes import Process
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.object_keys import Keys
from tests.installation.sites import Site

NAMES = ("open-round", "federation-round")
pytestmark = [pytest.mark.slow, pytest.mark.outage, pytest.mark.timeout(2400)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_three_nights_without_a_worker_and_a_night_without_the_server(
    tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(tmp_path, stack, PREFECT_WORKER_QUERY_SECONDS="0.5")
    clients = site.begin()
    windows, worker = site.federation.registry.windows, site.start_worker()
    first = site.until(clients.round, "the clients have submitted")
    worker.stop()

    # three nights pass
    site.until_clock(windows.deadline(first + 2), plus_s=2)
    late = {(name, windows.deadline(n)) for n in range(first, first + 3) for name in NAMES}
    site.until(lambda: _named_late(site) >= late, "Prefect calls the runs late")
    worker = site.start_worker()
    site.until(lambda: all(_ended(site, *run) for run in late), "the late runs have ended")
    # the first night had updates: they count, unless the run of a later one came before its own
    assert site.end_of(first) is (EntryKind.COMMIT if site.counted(first) else EntryKind.VOID)
    for night in (first + 1, first + 2):
        if site.reader().plan(night) is not None:
            end = site.until(lambda n=night: site.end_of(n), "a night that nobody worked ends")
            assert end is EntryKind.VOID
        else:
            run = site.run_at("open-round", windows.opens(night))
            assert run is not None
            assert run["state_name"] == "Skipped", run["state"]
    for name, due in late:
        run = site.run_at(name, due)
        assert run is not None
        # a run looks at the clock as it begins
        state, began = run["state"], datetime.fromisoformat(run["start_time"])
        if state["type"] != "COMPLETED":  # below quorum until its close_by: for a person to see
            assert (name, due) == ("federation-round", windows.deadline(first + 2)), state
            assert "[R-62]" in state["message"], state
            assert began < windows.deadline(first + 3), state

    # the server goes away while the night's runs begin, until their processes have given up
    night = site.until(lambda: _beginning(site, worker), "merge and opening are about to begin")
    before = worker.log.read_text().count("does not answer")
    os.killpg(site.server.record.pid, signal.SIGKILL)
    site.until(lambda: not site.children(worker), "their processes have ended")
    site.until(
        lambda: worker.log.read_text().count("does not answer") > before, "the worker says so"
    )
    assert site.end_of(night) is None
    site.start_server()
    assert site.until(lambda: site.end_of(night), "the night ends") is EntryKind.COMMIT
    assert site.counted(night) == list(site.federation.clients)
    for name in NAMES:
        due = windows.deadline(night)
        site.until(lambda n=name, due=due: _ended(site, n, due) == "COMPLETED", f"{name} ends well")
    assert worker.running, worker.log_end(4000)
    said = worker.log.read_text()
    # once for the night without it; a busy server may fail to answer at other moments, too
    assert said.count("does not answer") == said.count("answers again") > before, said


def _beginning(site: Site, worker: Process) -> int | None:
    """The running round, where all have submitted, and processes of the worker's are there for both
    runs of its end, of which none runs yet.
    """
    windows, federation = site.federation.registry.windows, site.federation
    number = windows.round_at(datetime.now(UTC))
    if len([*federation.store.list(Keys.inbox(number))]) < len(federation.clients):
        return None
    runs = [site.run_at(name, windows.deadline(number)) for name in NAMES]
    is_pending = all(run and run["state_type"] == "PENDING" for run in runs)
    return number if is_pending and len(site.children(worker)) >= len(runs) else None


def _ended(site: Site, name: str, due: datetime) -> str:
    """How the run of an instant has ended, empty where it has not."""
    run = site.run_at(name, due)
    return run["state_type"] if run and run["end_time"] else ""


def _named_late(site: Site) -> set[tuple[str, datetime]]:
    """Deployment and instant of the runs that Prefect calls late."""
    return {
        (name, datetime.fromisoformat(run["expected_start_time"]))
        for name in NAMES
        for run in site.runs(name, state={"name": {"any_": ["Late"]}})
    }
