"""`Stack`: SeaweedFS, a Prefect server with its UI, and a worker, below one folder.

1. They listen on 127.0.0.1 only. Ports are chosen once and kept with the data, so that addresses survive a restart.
2. All data lie below the folder: buckets, Prefect's database, logs. A restart on the same folder loses nothing.
3. Heartbeats are on, so that the zombie automation can end runs whose process is gone; telemetry is off.
4. `tend` starts again what has ended, at the same address.
5. Each round's HTML report lies in `reports/` and is served beside the UI (`pages`): the round's page links to it.

What it does not do: found a federation (`founding`), install blocks or deployments (the application's `flows.service`).
"""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from hyperfed.dev.pages import ReportPages
from hyperfed.dev.processes import Process
from hyperfed.errors import TransportError
from hyperfed.testing.seaweedfs import SeaweedFS, free_ports

__all__ = ["POOL", "Stack"]

POOL = "hyperfed"
HEARTBEAT_S = 30


class Stack:
    """The servers of one folder. checkout: where the flows are; port: the UI's, None: the one it had, else a free one; worker: whether there is one;
    identities: further ones of SeaweedFS, with their actions.
    """

    def __init__(
        self,
        folder: Path,
        *,
        checkout: Path,
        port: int | None = None,
        heartbeat_s: int = HEARTBEAT_S,
        worker: bool = True,
        identities: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.folder, self.checkout = folder.resolve(), checkout
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, pages_port = self._ports(port)
        self.pages = ReportPages(self.folder / "reports", pages_port)
        self.environment = {
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_UI_API_URL": self.api_url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(heartbeat_s),
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            "DO_NOT_TRACK": "1",
            "HYPERFED_CHECKOUT": str(checkout),
            "HYPERFED_METRICS_DIR": str(self.folder / "metrics"),
            "HYPERFED_REPORT_DIR": str(self.pages.folder),
            "HYPERFED_REPORT_URL": self.pages.url,
            "PYTHONUNBUFFERED": "1",
        }
        prefect = [sys.executable, "-m", "prefect"]
        self.store = SeaweedFS(self.folder / "seaweedfs", identities=identities)
        self.server = self._process("prefect-server", [*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(self.port)])
        self.worker = self._process("prefect-worker", [*prefect, "worker", "start", "--pool", POOL, "--type", "process", "--name", "dev"])
        self._wants_worker = worker

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def ui_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, *, timeout_s: float = 120.0) -> Self:
        """Start what does not run, and wait until it answers. Raises TransportError with the end of a log."""
        (self.folder / "prefect").mkdir(exist_ok=True)
        try:
            self.pages.start()
            self.store.start()
            self.server.start()
            self.wait_for_server(timeout_s=timeout_s)
            if self._wants_worker:
                self.worker.start()
        except BaseException:
            self.stop()
            raise
        return self

    def wait_for_server(self, *, timeout_s: float = 120.0) -> None:
        """Until the API answers. Raises TransportError where it does not in time, or has ended."""
        over = time.monotonic() + timeout_s
        while time.monotonic() < over and self.server.running:
            try:
                with urllib.request.urlopen(f"{self.api_url}/health", timeout=2):  # noqa: S310 - our own loopback address
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise TransportError("the Prefect server does not answer", subject=self.api_url, remedy=f"The end of its log: {self.server.log_end()}")

    def tend(self) -> list[str]:
        """Start again what has ended; the names of it."""
        again = []
        if not self.store.running:
            self.store.start()
            again.append("seaweedfs")
        for process in (self.server, *((self.worker,) if self._wants_worker else ())):
            if not process.running:
                process.start()
                again.append(process.name)
        return again

    def stop(self) -> None:
        """End all, worker first."""
        for process in (self.worker, self.server):
            process.stop()
        self.store.stop()
        self.pages.stop()

    def _process(self, name: str, argv: list[str]) -> Process:
        return Process(name, argv, environment=self.environment, log=self.folder / "logs" / f"{name}.log", cwd=self.checkout)

    def _ports(self, wanted: int | None) -> tuple[int, int]:
        """(the UI's, the reports'): the wanted one, else those of the last start, else free ones."""
        path = self.folder / "ports.json"
        known: dict[str, int] = json.loads(path.read_text()) if path.exists() else free_ports(["ui", "reports"])
        known["ui"] = wanted or known["ui"]
        path.write_text(json.dumps(known))
        return known["ui"], known["reports"]
