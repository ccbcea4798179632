"""Nights without a store, with a wrong clock, without room on a disk, and with a power cut: a real
server, a real worker, the real clock, windows of a minute.

The first three end without a person. A run whose machine died, even before it sent a heartbeat, is
told, once, and neither a Retry of it nor the next night is crashed by what was left of it. Its run
was planned more than five minutes before, as those of nights are: what follows within five minutes
of an event that Prefect has not seen, such as a schedule's first runs, it keeps back for 15.
"""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from hyperfed.dev.processes import Process
from hyperfed.protocol.entries import EntryKind
from hyperfed.testing.seaweedfs import SeaweedFS
from tests.installation.receivers import Kept, web_server
from tests.installation.shifted import shifted
from tests.installation.sites import WINDOW_S, Site

FINAL = ("Completed", "Void", "Failed", "Crashed")
KEPT_BACK_S = 300
"""Within how many seconds of a run's planning Prefect waits for the event that says so."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.outage,
    pytest.mark.seaweedfs,
    pytest.mark.timeout(2400),
]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def state_at(site: Site, due: datetime) -> str:
    """The name of the state of the merge that was scheduled for an instant."""
    run = site.run_at("federation-round", due)
    return "" if run is None else str(run["state_name"])


def runs(site: Site, due: datetime, named: str) -> bool:
    """Whether a merge goes on, and has come so far that its name says which round it is."""
    run = site.run_at("federation-round", due)
    return bool(run and run["state_name"] == "Running" and run["name"].startswith(named))


def waiting(site: Site, why: str) -> list[str]:
    """When the merges were due that are to be tried again, as their states say, since `why`."""
    runs = site.runs("federation-round", state={"name": {"any_": ["AwaitingRetry"]}})
    return [run["expected_start_time"] for run in runs if why in run["state"]["message"]]


def said(told: Kept, *words: str) -> list[str]:
    """The notifications with one of these words."""
    return [text for text in told.texts if any(word in text for word in words)]


def let_write(worker: Process, size: int) -> None:
    """Let the worker, and what it starts from now on, write files of at most so many bytes."""
    _, hard = resource.prlimit(worker.record.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.record.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_a_store_away_a_wrong_clock_a_full_disk_and_a_power_cut(
    tmp_path: Path, stack: ExitStack
) -> None:
    bucket = stack.enter_context(SeaweedFS(tmp_path / "seaweedfs"))
    store = stack.enter_context(shifted(int(bucket.endpoint_url.rpartition(":")[2])))
    told = stack.enter_context(web_server())
    site = Site(
        tmp_path,
        stack,
        bucket=bucket,
        endpoint_url=store.endpoint_url,
        ahead_s=20,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY="30",
    )
    site.run("service", "notify", "ops", "--webhook", f"http://127.0.0.1:{told.port}/")
    clients = site.begin("--notify", "custom-webhook/ops")
    deadline, worker = site.federation.registry.windows.deadline, site.start_worker()

    # the store is away when the night is due, for longer than requests are repeated; when it is
    # back, the worker's clock is an hour ahead of it
    night = site.until(clients.round, "the clients have submitted")
    told.texts.clear()
    site.until_clock(deadline(night), plus_s=-2)
    bucket.stop()
    site.until(lambda: waiting(site, "the connection to"), "the run waits")
    store.behind_s = 3600.0
    bucket.start()
    site.until(lambda: waiting(site, "clock is"), "the run, or a later one, waits for the clock")
    assert not site.counted(night)
    store.behind_s = 0.0
    assert site.until(lambda: site.end_of(night), "the night ends") is EntryKind.COMMIT
    assert site.counted(night) == list(site.federation.clients)
    assert not said(told, f"round {night}, "), told.texts

    # there is no room on the worker's disk, and a small night needs none
    night = site.until(lambda n=night: clients.round(after=n), "the clients have submitted again")
    site.until(lambda: not site.children(worker), "earlier processes have ended")
    let_write(worker, 0)
    written = worker.log.stat().st_size
    site.until(lambda: state_at(site, deadline(night)) in FINAL, "the run ends")
    assert worker.log.stat().st_size == written, "there was room"
    let_write(worker, resource.RLIM_INFINITY)
    assert state_at(site, deadline(night)) == "Completed"
    assert site.end_of(night) is EntryKind.COMMIT
    assert site.counted(night) == list(site.federation.clients)

    # the power fails while the night runs
    site.until_clock(site.installed, plus_s=KEPT_BACK_S)
    night = site.until(lambda n=night: clients.round(after=n), "the clients have submitted again")
    told.texts.clear()
    store.takes_writes.clear()
    site.until(lambda: runs(site, deadline(night), f"round {night}, "), "the merge runs")
    os.killpg(worker.record.pid, signal.SIGKILL)
    store.takes_writes.set()
    worker = site.start_worker()
    told.awaits(f"round {night}, ", "Crashed", "no heartbeat", most_s=4 * WINDOW_S)
    site.run("round", "retry", str(night))
    site.until(lambda: state_at(site, deadline(night)) in FINAL, "the Retry ends")
    assert state_at(site, deadline(night)) == "Completed"
    assert site.end_of(night) is EntryKind.COMMIT
    assert site.counted(night) == list(site.federation.clients)
    site.until(lambda: state_at(site, deadline(night + 1)) in FINAL, "the next night's run ends")
    assert state_at(site, deadline(night + 1)) != "Crashed"
    crashed = [text.rpartition("flow-run/")[2] for text in said(told, "Crashed")]
    assert len(crashed) == len(set(crashed)), told.texts
