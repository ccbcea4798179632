"""A federation's site as its operator has it: a drop-box, a real Prefect server, and a real worker
that comes and goes, with the real clock and windows of a minute.
"""

import base64
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hyperfed.dev.processes import Process
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import HyperfedError
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS, free_ports
from tests.waiting import eventually

__all__ = ["WINDOW_S", "Clients", "Site"]

WINDOW_S = int(os.environ.get("HYPERFED_TEST_WINDOW_S", "60"))
"""The seconds of a window; a machine that is busy with other things needs longer ones."""
CHECKOUT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LOGIN = "operator:for this test"
AUTHORIZATION = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"


class Site:
    """A drop-box in a folder or in a `bucket`, a Prefect server, and a worker.

    `endpoint_url`: where the worker finds the bucket's server, unless it is its own address.
    `ahead_s`: in how many seconds the first window opens.
    """

    installed: datetime
    """When the deployments and their schedules were last installed."""

    def __init__(
        self,
        folder: Path,
        stack: ExitStack,
        *,
        bucket: SeaweedFS | None = None,
        endpoint_url: str = "",
        ahead_s: float = WINDOW_S,
        **environment: str,
    ) -> None:
        self.folder, self.stack, self.workers = folder, stack, 0
        (folder / "box").mkdir()
        genesis = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=ahead_s)
        store = FilesystemStore(folder / "box") if bucket is None else bucket.store("fed")
        self.federation = SmallFederation(
            clients=2, store=store, window_s=WINDOW_S, genesis=genesis
        )
        self.federation.coordinator.save(folder / "coordinator.key")
        (folder / "hyperfed.toml").write_text(
            f"[store]\n{self._store(bucket, endpoint_url)}[federation]\nfingerprint = "
            f'"{self.federation.fingerprint}"\n[coordinator]\nkey = "coordinator.key"\n'
        )
        port = free_ports(["prefect"])["prefect"]
        self.url = f"http://127.0.0.1:{port}/api"
        self.environment = {
            "HYPERFED_STATE": str(folder / "state"),
            "PREFECT_API_URL": self.url,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # half of the usual: more than the ten seconds by which a worker takes runs ahead
            "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "15",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_SERVER_API_AUTH_STRING": LOGIN,
            "PREFECT_API_AUTH_STRING": LOGIN,
            "DO_NOT_TRACK": "1",
            **environment,
        }
        self.server = self.start_server()

    def _store(self, bucket: SeaweedFS | None, endpoint_url: str) -> str:
        """The lines of the section [store]."""
        if bucket is None:
            return f'url = "file://{self.folder}/box"\n'
        key, path = bucket.credentials(), self.folder / "store.toml"
        path.write_text(f'access_key = "{key.access_key}"\nsecret_key = "{key.secret_key}"\n')
        path.chmod(0o600)
        return (
            f'url = "s3://fed"\nendpoint = "{endpoint_url or bucket.endpoint_url}"\n'
            'access_key_file = "store.toml"\n'
        )

    # -- processes ---------------------------------------------------------------------------------

    def start(self, name: str, *arguments: str, program: str = "prefect") -> Process:
        """Start a program of the environment."""
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

    def start_server(self) -> Process:
        """Start Prefect's server, on the database that is there, and wait until it answers."""
        server = self.start("server", "server", "start", "--host", "127.0.0.1")
        self.until(self.answers, "the server answers")
        return server

    def start_worker(self) -> Process:
        self.workers += 1
        return self.start(
            f"worker-{self.workers}",
            *("service", "worker", "--config", str(self.folder / "hyperfed.toml")),
            program="hyperfed",
        )

    def children(self, process: Process) -> list[str]:
        """The ids of the processes that one has started, and that go on."""
        listed = Path(f"/proc/{process.record.pid}/task").glob("*/children")
        return [pid for children in listed for pid in children.read_text().split()]

    def run(self, *arguments: str) -> Any:
        """What a command of the operator's says."""
        done = subprocess.run(
            [BIN / "hyperfed", *arguments, "--json"],
            cwd=self.folder,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def install(self, *options: str) -> Any:
        said = self.run("service", "install", *options)
        self.installed = datetime.now(UTC)
        return said

    def begin(self, *options: str) -> "Clients":
        """Install everything with these options, and let the clients be awake from now on."""
        names = ",".join(self.federation.vocabulary.names)
        self.install("--variables", names, "--poll", "1s", "--aggregation-delay", "5s", *options)
        clients = Clients(self)
        self.stack.callback(clients.close)
        return clients

    # -- what Prefect says -------------------------------------------------------------------------

    def api(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """What the server answers; a request with a body is a POST unless `method` says more.

        A server whose database is busy says 503 and has done nothing: it is asked again, as
        Prefect's own client does.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.url + path,
            data,
            {"content-type": "application/json", "authorization": AUTHORIZATION},
            method=method,
        )
        pauses_s = [1, 2, 4, 8, 16]
        while True:
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as refusal:
                if refusal.code != 503 or not pauses_s:
                    raise
                time.sleep(pauses_s.pop(0))

    def answers(self) -> bool:
        try:
            return bool(self.api("/health"))
        except (urllib.error.URLError, OSError):
            return False

    def until(self, holds: Callable[[], Any], what: str, *, most_s: float = 10 * WINDOW_S) -> Any:
        return eventually(holds, what, most_s=most_s)

    def until_clock(self, instant: datetime, *, plus_s: float = 0) -> None:
        """Wait until an instant, or some seconds after or before it."""
        left = instant + timedelta(seconds=plus_s) - datetime.now(UTC)
        time.sleep(max(0.0, left.total_seconds()))

    def runs(self, name: str, **filters: Any) -> list[dict[str, Any]]:
        """The runs of a deployment, by the instant that they were scheduled for."""
        deployment = self.api(f"/deployments/name/{name}/{name}")["id"]
        found: list[dict[str, Any]] = self.api(
            "/flow_runs/filter",
            {"flow_runs": filters, "deployments": {"id": {"any_": [deployment]}}},
        )
        return sorted(found, key=lambda run: run["expected_start_time"])

    def run_at(self, name: str, due: datetime) -> dict[str, Any] | None:
        """The run of a deployment that was scheduled for an instant."""
        stamp = due.strftime("%Y-%m-%dT%H:%M:%S")
        found = [run for run in self.runs(name) if run["expected_start_time"].startswith(stamp)]
        return found[0] if found else None

    def overdue(self) -> dict[str, str]:
        """The runs of rounds that are due and have not begun: id -> deployment and instant."""
        due = {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"before_": datetime.now(UTC).isoformat()},
        }
        return {
            run["id"]: f"{name} {run['expected_start_time']}"
            for name in ("open-round", "federation-round")
            for run in self.runs(name, **due)
        }

    def quiet(self) -> bool:
        """Whether no run is about to begin, or running: a worker that stops in a run leaves its
        slot held for minutes.
        """
        soon = datetime.now(UTC) + timedelta(seconds=10)  # a worker takes runs so long ahead
        going_on = {
            "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}},
            "expected_start_time": {"before_": soon.isoformat()},
        }
        return not self.api("/flow_runs/filter", {"flow_runs": going_on})

    # -- what the drop-box says --------------------------------------------------------------------

    def reader(self) -> DropBoxReader:
        return DropBoxReader(self.federation.store, fingerprint=self.federation.fingerprint)

    def end_of(self, round_id: int) -> EntryKind | None:
        ends = {
            c.entry.round: c.entry.kind
            for c in self.reader().ledger()
            if c.entry.kind is not EntryKind.RESERVE
        }
        return ends.get(round_id)

    def counted(self, round_id: int) -> list[str]:
        """The clients that a round counts."""
        frozen = self.reader().freeze(round_id)
        return [] if frozen is None else [c.client for c in frozen.value.counted]


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
            with suppress(HyperfedError):  # the store is away, or the window ends this moment
                if self.site.reader().plan(number) is None:
                    continue
                for client in federation.clients:
                    if (client, number) not in done:
                        federation.submit(client, round_id=number, now=now)
                        done.add((client, number))

    def round(self, *, after: int = 0) -> int | None:
        """The running round, where all have submitted, no run is due or goes on, and a third of its
        window is left.
        """
        windows, now = self.site.federation.registry.windows, datetime.now(UTC)
        if now < windows.genesis or (number := windows.round_at(now)) <= after:
            return None
        left_s = (windows.deadline(number) - now).total_seconds()
        there = len([*self.site.federation.store.list(Keys.inbox(number))])
        is_full = there == len(self.site.federation.clients)
        return number if is_full and left_s > WINDOW_S / 3 and self.site.quiet() else None
