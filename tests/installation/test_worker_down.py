"""An upgrade while a worker is down over a window's end: a real server, a real worker, the real
clock, windows of a minute.

The worker stops in the middle of a window, the window ends, `hyperfed service install` runs again,
and a worker starts: the merge that is late runs, and the round is committed. A machine so slow that
the round's `close_by` passes meanwhile has seen no such night: then the next round is tried.
"""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hyperfed.dev.processes import Process
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CHECKOUT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WINDOW_S = 60
ROUNDS = 5
LOGIN = "operator:for this test"
AUTHORIZATION = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"


class Site:
    """A drop-box in a folder, a Prefect server, and a worker that comes and goes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack, self.workers = folder, stack, 0
        (folder / "box").mkdir()
        genesis = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=WINDOW_S)
        self.federation = SmallFederation(
            clients=2, store=FilesystemStore(folder / "box"), window_s=WINDOW_S, genesis=genesis
        )
        self.federation.coordinator.save(folder / "coordinator.key")
        (folder / "hyperfed.toml").write_text(
            f'[store]\nurl = "file://{folder}/box"\n[federation]\nfingerprint = '
            f'"{self.federation.fingerprint}"\n[coordinator]\nkey = "coordinator.key"\n'
        )
        port = free_ports(["prefect"])["prefect"]
        self.url = f"http://127.0.0.1:{port}/api"
        self.environment = {
            "PREFECT_API_URL": self.url,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_SERVER_API_AUTH_STRING": LOGIN,
            "PREFECT_API_AUTH_STRING": LOGIN,
            "DO_NOT_TRACK": "1",
        }
        self.start("server", "server", "start", "--host", "127.0.0.1")
        self.until(self.answers, "the server answers")

    def start(self, name: str, *arguments: str, program: str = "prefect") -> Process:
        made = Process(
            name,
            [str(BIN / program), *arguments],
            environment=self.environment,
            log=self.folder / f"{name}.log",
            cwd=CHECKOUT,
        )
        made.start()
        self.stack.callback(made.stop)
        return made

    def start_worker(self) -> Process:
        self.workers += 1
        return self.start(
            f"worker-{self.workers}",
            *("service", "worker", "--config", str(self.folder / "hyperfed.toml")),
            program="hyperfed",
        )

    def api(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.url + path,
            data,
            {"content-type": "application/json", "authorization": AUTHORIZATION},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read())

    def answers(self) -> bool:
        try:
            return bool(self.api("/health"))
        except (urllib.error.URLError, OSError):
            return False

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        over = time.monotonic() + 180
        while not (found := holds()):
            assert time.monotonic() < over, f"in vain: {what}"
            time.sleep(0.2)
        return found

    def install(self, *options: str) -> Any:
        done = subprocess.run(
            [BIN / "hyperfed", "service", "install", *options, "--json"],
            cwd=self.folder,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def overdue(self) -> dict[str, str]:
        """The runs of rounds that are due and have not begun: id -> deployment and instant."""
        state = {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"before_": datetime.now(UTC).isoformat()},
        }
        out = {}
        for name in ("open-round", "federation-round"):
            deployment = self.api(f"/deployments/name/{name}/{name}")["id"]
            for run in self.api(
                "/flow_runs/filter",
                {"flow_runs": state, "deployments": {"id": {"any_": [deployment]}}},
            ):
                out[run["id"]] = f"{name} {run['expected_start_time']}"
        return out

    def quiet(self) -> bool:
        """Whether no run is about to begin, or running: a worker that stops in a run leaves its
        slot held for minutes.
        """
        state = {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}
        return not self.overdue() and not self.api("/flow_runs/filter", {"flow_runs": state})

    def reader(self) -> DropBoxReader:
        return DropBoxReader(self.federation.store, fingerprint=self.federation.fingerprint)

    def end_of(self, round_id: int) -> EntryKind | None:
        ends = {
            c.entry.round: c.entry.kind
            for c in self.reader().ledger()
            if c.entry.kind is not EntryKind.RESERVE
        }
        return ends.get(round_id)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def test_a_merge_that_became_late_while_the_worker_was_down_runs_after_an_upgrade(
    site: Site,
) -> None:
    installed = site.install(
        "--variables", ",".join(site.federation.vocabulary.names), "--poll", "1s"
    )
    assert installed["schedules"] == {"open-round": True, "federation-round": True}
    assert installed["aggregation_delay_s"] == WINDOW_S / 4, "the default fits a window of a minute"
    federation, windows = site.federation, site.federation.registry.windows
    worker, end = site.start_worker(), None
    for _ in range(ROUNDS):
        number = site.until(lambda: _opened(site), "a round is opened")
        for client in federation.clients:
            federation.submit(client, round_id=number, now=datetime.now(UTC))
        site.until(site.quiet, "nothing runs")
        if datetime.now(UTC) >= windows.deadline(number) - timedelta(seconds=5):
            continue  # this round's own worker merges it
        worker.stop()
        time.sleep(max(0.0, (windows.deadline(number) - datetime.now(UTC)).total_seconds()) + 1)
        late = site.until(
            lambda n=number: _both(site, windows.deadline(n)), "merge and opening are due"
        )
        site.install("--aggregation-delay", f"{10 + number}s")
        assert late.items() <= site.overdue().items(), "an install keeps what is late"
        worker = site.start_worker()
        end = site.until(lambda n=number: site.end_of(n), "the round ends")
        plan = site.reader().plan(number)
        assert plan is not None
        if end is EntryKind.COMMIT:
            break
        assert datetime.now(UTC) >= plan.value.close_by, "void before its time"
    assert end is EntryKind.COMMIT
    frozen = site.reader().freeze(number)
    assert frozen is not None
    assert [c.client for c in frozen.value.counted] == list(federation.clients)
    site.until(
        lambda: site.reader().plan(number + 1),
        "the next round, whose opening was late too, is open",
    )
    assert site.federation.store.head(Keys.plan(number + 1)) is not None


def _opened(site: Site) -> int | None:
    """The running round, where it is open, none of its updates is in, and half of its window is
    left.
    """
    now = datetime.now(UTC)
    windows = site.federation.registry.windows
    if now < windows.genesis or now >= windows.opens(number := windows.round_at(now)) + timedelta(
        seconds=WINDOW_S / 2
    ):
        return None
    waits = site.reader().plan(number) is not None and not any(
        site.federation.store.list(Keys.inbox(number))
    )
    return number if waits else None


def _both(site: Site, due: datetime) -> dict[str, str] | None:
    """The overdue merge and opening of an instant, once both are there."""
    stamp = due.strftime("%Y-%m-%dT%H:%M:%S")
    found = {run: what for run, what in site.overdue().items() if stamp in what}
    return found if len(found) == 2 else None
