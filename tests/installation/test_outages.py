"""Outages of nights, one after the other: a real server, a real worker, the real clock, windows of
a minute. Each ends without a person, where DESIGN says so.

The clients are awake all the time: whenever a round is open, they submit.
"""

import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hyperfed.errors import TransportError
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.object_keys import Keys
from hyperfed.testing.seaweedfs import SeaweedFS
from tests.installation.receivers import web_server
from tests.installation.sites import WINDOW_S, Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class Clients:
    """The clients of a site: each submits once for every round that it finds open."""

    def __init__(self, site: Site) -> None:
        self.site, self._over = site, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        federation, done = self.site.federation, set[tuple[str, int]]()
        windows = federation.registry.windows
        while not self._over.wait(0.5):
            now = datetime.now(UTC)
            if now < windows.genesis:
                continue
            number = windows.round_at(now)
            with suppress(TransportError):  # the store is away
                if self.site.reader().plan(number) is None:
                    continue
                for client in federation.clients:
                    if (client, number) not in done:
                        federation.submit(client, round_id=number, now=now)
                        done.add((client, number))

    def round(self, *, after: int = 0) -> int | None:
        """The running round, where all have submitted and a third of its window is left."""
        windows, now = self.site.federation.registry.windows, datetime.now(UTC)
        if now < windows.genesis or (number := windows.round_at(now)) <= after:
            return None
        left_s = (windows.deadline(number) - now).total_seconds()
        there = len([*self.site.federation.store.list(Keys.inbox(number))])
        is_full = there == len(self.site.federation.clients)
        return number if is_full and left_s > WINDOW_S / 3 else None


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def installed(site: Site, stack: ExitStack, *options: str) -> Clients:
    names = ",".join(site.federation.vocabulary.names)
    site.install("--variables", names, "--poll", "1s", *options)
    clients = Clients(site)
    stack.callback(clients.close)
    return clients


def test_three_nights_without_a_worker_and_a_night_without_the_server(
    tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(tmp_path, stack, PREFECT_WORKER_QUERY_SECONDS="0.5")
    clients = installed(site, stack)
    windows, worker = site.federation.registry.windows, site.start_worker()
    first = site.until(clients.round, "the clients have submitted")
    site.until(site.quiet, "nothing runs")
    worker.stop()

    # three nights pass
    site.until_clock(windows.deadline(first + 2), plus_s=2)
    late = site.until(lambda: _named_late(site, windows.deadline(first + 2)), "runs are late")
    assert late == {("federation-round", n) for n in range(first, first + 3)} | {
        ("open-round", n) for n in range(first + 1, first + 4)
    }
    worker = site.start_worker()
    back = site.until(lambda: clients.round(after=first + 2), "the clients have submitted again")
    site.until(site.quiet, "what was late has run")
    assert [site.end_of(n) for n in range(first, first + 3)] == [EntryKind.VOID] * 3
    for name in ("open-round", "federation-round"):
        for run in site.runs(name, state={"type": {"any_": ["FAILED", "CRASHED"]}}):
            raise AssertionError(f"{run['name']}: {run['state']['message']}")

    # the server is down while the night's run is due
    site.until_clock(windows.deadline(back), plus_s=-5)
    site.server.stop()
    site.until_clock(windows.deadline(back), plus_s=25)
    assert worker.running, worker.log_end(4000)
    site.start_server()
    assert site.until(lambda: site.end_of(back), "the night ends") is EntryKind.COMMIT
    assert site.counted(back) == list(site.federation.clients)
    said = worker.log.read_text()
    assert said.count("does not answer") == said.count("answers again") == 1, said


def _named_late(site: Site, due: datetime) -> set[tuple[str, int]] | None:
    """(deployment, round) of the runs that Prefect calls late, once one that is due then is."""
    windows, late = site.federation.registry.windows, set[tuple[str, int]]()
    for name in ("open-round", "federation-round"):
        for run in site.runs(name, state={"name": {"any_": ["Late"]}}):
            instant = datetime.fromisoformat(run["expected_start_time"])
            late.add((name, windows.round_at(instant) - (name == "federation-round")))
    return late if ("open-round", windows.round_at(due)) in late else None


@pytest.mark.seaweedfs
@pytest.mark.skipif(shutil.which("faketime") is None, reason="needs Debian's package faketime")
def test_nights_without_the_store_without_room_with_a_wrong_clock_and_with_a_power_cut(
    tmp_path: Path, stack: ExitStack
) -> None:
    bucket = stack.enter_context(SeaweedFS(tmp_path / "seaweedfs"))
    told = stack.enter_context(web_server())
    site = Site(tmp_path, stack, bucket=bucket, PREFECT_FLOWS_HEARTBEAT_FREQUENCY="30")
    site.run("service", "notify", "ops", "--webhook", f"http://127.0.0.1:{told.port}/")
    clients = installed(site, stack, "--notify", "custom-webhook/ops")
    windows, worker = site.federation.registry.windows, site.start_worker()
    told.texts.clear()

    # the store is away when the night is due, for longer than requests are repeated
    night = site.until(clients.round, "the clients have submitted")
    site.until_clock(windows.deadline(night), plus_s=-3)
    bucket.stop()
    site.until(
        lambda: (
            (site.run_at("federation-round", windows.deadline(night)) or {}).get("state_name")
            == "AwaitingRetry"
        ),
        "the run waits",
    )
    bucket.start()
    assert site.until(lambda: site.end_of(night), "the night ends") is EntryKind.COMMIT

    # no room on the worker's disk
    night = site.until(lambda n=night: clients.round(after=n), "the clients have submitted")
    site.until_clock(windows.deadline(night), plus_s=-5)
    _, hard = resource.prlimit(worker.record.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.record.pid, resource.RLIMIT_FSIZE, (0, hard))
    site.until_clock(windows.deadline(night), plus_s=25)
    resource.prlimit(worker.record.pid, resource.RLIMIT_FSIZE, (hard, hard))
    print("disk", site.end_of(night), site.run_at("federation-round", windows.deadline(night)))

    # the worker's clock is an hour ahead
    night = site.until(lambda n=night: clients.round(after=n), "the clients have submitted")
    site.until(site.quiet, "nothing runs")
    worker.stop()
    worker = site.start_worker(before=("faketime", "-f", "+1h"))
    site.until_clock(windows.deadline(night), plus_s=10)
    print("clock", site.end_of(night), site.run_at("federation-round", windows.deadline(night)))
    worker.stop()
    worker = site.start_worker()
    print("clock end", site.until(lambda: site.end_of(night), "the night ends"), told.texts)

    # a power cut while the night runs
    night = site.until(clients.round, "the clients have submitted")
    print(told.texts)
