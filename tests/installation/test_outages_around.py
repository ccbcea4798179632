"""Nights without a store, with a wrong clock, without room on a disk, and with a power cut: a real
server, a real worker, the real clock, windows of a minute.

The first two end without a person. A full disk is told, once; so is a run whose machine died, and
neither a Retry of it nor the next night is crashed by what was left of it.
"""

import os
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from hyperfed.dev.processes import Process
from hyperfed.protocol.entries import EntryKind
from hyperfed.testing.seaweedfs import SeaweedFS
from tests.installation.receivers import web_server
from tests.installation.sites import Site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.seaweedfs,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(shutil.which("faketime") is None, reason="needs Debian's faketime"),
]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def state_at(site: Site, due: datetime) -> str:
    """The name of the state of the merge that was scheduled for an instant."""
    run = site.run_at("federation-round", due)
    return "" if run is None else str(run["state_name"])


def let_write(worker: Process, size: int) -> None:
    """Let the worker, and what it starts from now on, write files of at most so many bytes."""
    _, hard = resource.prlimit(worker.record.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.record.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_a_store_away_a_wrong_clock_a_full_disk_and_a_power_cut(
    tmp_path: Path, stack: ExitStack
) -> None:
    bucket = stack.enter_context(SeaweedFS(tmp_path / "seaweedfs"))
    told = stack.enter_context(web_server())
    site = Site(tmp_path, stack, bucket=bucket, ahead_s=20, PREFECT_FLOWS_HEARTBEAT_FREQUENCY="30")
    site.run("service", "notify", "ops", "--webhook", f"http://127.0.0.1:{told.port}/")
    clients = site.begin("--notify", "custom-webhook/ops")
    deadline, worker = site.federation.registry.windows.deadline, site.start_worker()

    # the store is away when the night is due, for longer than requests are repeated
    night = site.until(clients.round, "the clients have submitted")
    site.until(site.quiet, "nothing runs")
    site.until_clock(deadline(night), plus_s=-2)
    bucket.stop()
    site.until(lambda: state_at(site, deadline(night)) == "AwaitingRetry", "the run waits")
    bucket.start()
    assert site.until(lambda: site.end_of(night), "the night ends") is EntryKind.COMMIT
    assert site.counted(night) == list(site.federation.clients)

    # the worker's clock is an hour ahead: it takes tonight's run, and nothing is signed
    first = night
    night = site.until(lambda: clients.round(after=first), "the clients have submitted again")
    site.until(site.quiet, "nothing runs")
    worker.stop()
    worker = site.start_worker(before=("faketime", "-f", "+1h"))
    site.until(lambda: state_at(site, deadline(night)) == "AwaitingRetry", "the run is put off")
    worker.stop()
    assert not site.counted(night)
    assert not [text for text in told.texts if "failed" in text.lower()], told.texts

    # the clock is right again, and there is no room on the worker's disk
    worker = site.start_worker()
    let_write(worker, 0)
    site.until_clock(deadline(night))
    print(
        "full disk",
        site.until(
            lambda: state_at(site, deadline(night)) in ("Failed", "Completed", "Crashed"), "x"
        ),
    )
    print(site.run_at("federation-round", deadline(night))["state"], told.texts)
    let_write(worker, resource.RLIM_INFINITY)

    # the power fails while the night runs
    second = night
    night = site.until(lambda: clients.round(after=second), "the clients have submitted again")
    told.texts.clear()
    site.until(lambda: state_at(site, deadline(night)) == "Running", "the merge runs")
    os.killpg(worker.record.pid, signal.SIGKILL)
    worker = site.start_worker()
    told.awaits("Crashed", "no heartbeat", timeout_s=300)
    site.run("round", "retry", str(night))
    site.until(lambda: site.end_of(night), "the night ends")
    site.until(lambda: state_at(site, deadline(night)) in ("Completed", "Void"), "Retry ends")
    site.until(lambda: site.end_of(night + 1), "the next night ends")
    print(told.texts, site.end_of(night), site.end_of(night + 1))
