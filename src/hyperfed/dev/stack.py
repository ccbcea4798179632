"""Run SeaweedFS, a Prefect server with its UI, and a worker below one folder (`Stack`).

1. The servers listen on 127.0.0.1 only. Ports are chosen once and kept with the data, so that
   addresses survive a restart.
2. All data lie below the folder: buckets, Prefect's database, logs. A restart on the same folder
   loses nothing.
3. Heartbeats are on, so that the zombie automation can end runs whose process is gone. Telemetry is
   off.
4. `tend` restarts what has ended, at the same address.
5. Prefect's API asks for a login (R-140), which is made once and kept in `prefect-login`, readable
   by this user only.
6. Each round's HTML report lies in `reports/` and is served beside the UI (`pages`). The round's
   page links to it.

What it does not do: found a federation (`founding`), or install blocks and deployments (the
application's `flows.service`).
"""

import base64
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from hyperfed.config import no_telemetry
from hyperfed.dev.pages import ReportPages
from hyperfed.dev.processes import Process
from hyperfed.errors import TransportError
from hyperfed.testing.seaweedfs import SeaweedFS, free_ports

__all__ = ["POOL", "Stack"]

POOL = "hyperfed"
HEARTBEAT_S = 30


class Stack:
    """Runs the servers of one folder.

    `checkout` is where the flows are. `port` is the UI's; None takes the one it had, or else a free
    one. `heartbeat_s` is the time between heartbeats of flows, in seconds. `worker` says whether
    there is a worker. `identities` are further identities of SeaweedFS, with their actions.
    `settings_file` is the hyperfed.toml that bounds the worker; None: the one in the folder.
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
        settings_file: Path | None = None,
    ) -> None:
        self.folder, self.checkout = folder.resolve(), checkout
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings_file = settings_file or self.folder / "hyperfed.toml"
        self.port, pages_port = self._ports(port)
        self.login = self._login()
        self.pages = ReportPages(self.folder / "reports", pages_port)
        self.environment = {
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_UI_API_URL": self.api_url,
            "PREFECT_SERVER_API_AUTH_STRING": self.login,
            "PREFECT_API_AUTH_STRING": self.login,
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(heartbeat_s),
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            "HYPERFED_CHECKOUT": str(checkout),
            "HYPERFED_METRICS_DIR": str(self.folder / "metrics"),
            "HYPERFED_REPORT_DIR": str(self.pages.folder),
            "HYPERFED_REPORT_URL": self.pages.url,
            "PYTHONUNBUFFERED": "1",
            **no_telemetry(os.environ),
        }
        prefect = [sys.executable, "-m", "prefect"]
        self.store = SeaweedFS(self.folder / "seaweedfs", identities=identities)
        self.server = self._process(
            "prefect-server",
            [*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(self.port)],
        )
        self.worker = self._process(
            "prefect-worker",
            [
                sys.executable,
                "-c",
                "from hyperfed.cli import main; main()",
                *("service", "worker", "--pool", POOL, "--name", "dev"),
                *("--config", str(self.settings_file)),
            ],
        )
        self._wants_worker = worker

    @property
    def login_file(self) -> Path:
        """Return the file of the login, one line NAME:SECRET."""
        return self.folder / "prefect-login"

    @property
    def authorization(self) -> str:
        """Return the header Authorization of a request to Prefect's API."""
        return f"Basic {base64.b64encode(self.login.encode()).decode()}"

    @property
    def api_url(self) -> str:
        """Return the address of Prefect's API."""
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def ui_url(self) -> str:
        """Return the address of Prefect's UI."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, *, timeout_s: float = 120.0) -> Self:
        """Start what does not run, and wait until it answers.

        Raises TransportError, which has the end of a log.
        """
        (self.folder / "prefect").mkdir(exist_ok=True)
        try:
            self.pages.start()
            self.store.start()
            self.server.start()
            self.wait_for_server(timeout_s=timeout_s)
            self.start_worker()
        except BaseException:
            self.stop()
            raise
        return self

    def start_worker(self) -> None:
        """Start the worker where one is wanted and the file that bounds it is there."""
        if self._wants_worker and self.settings_file.exists():
            self.worker.start()

    def wait_for_server(self, *, timeout_s: float = 120.0) -> None:
        """Wait until Prefect's API answers.

        Raises TransportError where it does not answer within `timeout_s` seconds, or has ended.
        """
        over = time.monotonic() + timeout_s
        while time.monotonic() < over and self.server.running:
            try:
                with urllib.request.urlopen(f"{self.api_url}/health", timeout=2):  # noqa: S310 - our own loopback address
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise TransportError(
            "the Prefect server does not answer",
            subject=self.api_url,
            remedy=f"The end of its log: {self.server.log_end()}",
        )

    def tend(self) -> list[str]:
        """Restart what has ended, and return the names."""
        again = []
        if not self.store.running:
            self.store.start()
            again.append("seaweedfs")
        if not self.server.running:
            self.server.start()
            again.append(self.server.name)
        if self._wants_worker and not self.worker.running:
            self.start_worker()
            again.append(self.worker.name)
        return again

    def stop(self) -> None:
        """End all servers, the worker first."""
        for process in (self.worker, self.server):
            process.stop()
        self.store.stop()
        self.pages.stop()

    def _process(self, name: str, argv: list[str]) -> Process:
        return Process(
            name,
            argv,
            environment=self.environment,
            log=self.folder / "logs" / f"{name}.log",
            cwd=self.checkout,
        )

    def _login(self) -> str:
        """Return the login of Prefect's API, which is made where the folder has none."""
        if not self.login_file.exists():
            self.login_file.touch(mode=0o600)
            self.login_file.write_text(f"operator:{secrets.token_urlsafe(24)}\n")
        return self.login_file.read_text().strip()

    def _ports(self, ui_port: int | None) -> tuple[int, int]:
        """Return the port of the UI and that of the reports.

        They are those of the last start, or else free ones. `ui_port` overrides the UI's.
        """
        path = self.folder / "ports.json"
        ports: dict[str, int] = (
            json.loads(path.read_text()) if path.exists() else free_ports(["ui", "reports"])
        )
        ports["ui"] = ui_port or ports["ui"]
        path.write_text(json.dumps(ports))
        return ports["ui"], ports["reports"]
