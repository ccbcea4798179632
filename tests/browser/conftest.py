"""The whole of it as an operator has it: SeaweedFS, a Prefect server with its UI, a worker,
everything installed; and Chromium to look at it.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hyperfed.dev import Stack
from hyperfed.storage.s3 import S3Credentials
from hyperfed.testing.federation import SmallFederation
from tests.waiting import PATIENCE_S, eventually

BUCKET = "fed"
CHECKOUT = Path(__file__).parents[2]
SHOTS = Path(os.environ.get("HYPERFED_SCREENSHOTS", CHECKOUT / ".hyperfed" / "screenshots"))
# A coordinator whose right to the ledger was forgotten: its round fails at the fourth stage, where
# the budget is reserved.
NO_LEDGER = [
    f"List:{BUCKET}",
    f"Read:{BUCKET}/*",
    f"Write:{BUCKET}/rounds/*",
    f"Write:{BUCKET}/prefect/*",
]


@dataclass
class Site:
    """A running installation and its federation, whose windows have ended already."""

    stack: Stack
    federation: SmallFederation
    folder: Path
    scheduled: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def api(
        self, path: str, body: Any = None, *, method: str | None = None, attempts: int = 5
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", "authorization": self.stack.authorization}
        request = urllib.request.Request(self.stack.api_url + path, data, headers, method=method)  # noqa: S310 - our own loopback address
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            # "database is locked", where the machine is busy: Prefect's own client asks again too
            if error.code != 503 or attempts == 1:
                raise
        time.sleep(1)
        return self.api(path, body, method=method, attempts=attempts - 1)

    def use(self, credentials: S3Credentials) -> None:
        """The coordinator's access key from now on."""
        file = self.folder / "access-key.toml"
        file.touch(mode=0o600)
        file.write_text(
            f'access_key = "{credentials.access_key}"\nsecret_key = "{credentials.secret_key}"\n'
        )

    def serves(self, federation: SmallFederation, *, url: str, key: str) -> Path:
        """Write whose rounds the worker may run from now on; the file."""
        config = self.folder / "hyperfed.toml"
        config.write_text(
            f'[store]\nurl = "{url}"\nendpoint = "{self.stack.store.endpoint_url}"\n'
            'access_key_file = "access-key.toml"\n'
            f'[federation]\nfingerprint = "{federation.fingerprint}"\n'
            f'[coordinator]\nkey = "{key}"\n'
        )
        return config

    def start(self, deployment: str, **parameters: Any) -> str:
        """Start a run of a deployment now; its id."""
        found = self.api(f"/deployments/name/{deployment}/{deployment}")
        return str(
            self.api(
                f"/deployments/{found['id']}/create_flow_run",
                {"parameters": parameters, "state": {"type": "SCHEDULED"}},
            )["id"]
        )

    def start_night(self, round_id: int) -> str:
        """Start a run of a round a minute after its window's end, by the run's own clock; its
        id.
        """
        return self.start(
            "federation-round", round_id=round_id, now=self.federation.night(round_id).isoformat()
        )

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api(f"/flow_runs/{run_id}")
        return found

    def ended(self, run_id: str, *, but: dict[str, Any] | None = None) -> dict[str, Any]:
        """The run, once it has ended. but: in another state than this one of its own."""

        def found() -> dict[str, Any] | None:
            run = self.run(run_id)
            ended = run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
            return run if ended and (but is None or run["state"]["id"] != but["id"]) else None

        return eventually(
            found,
            lambda: f"{self.run(run_id)['state_name']}; worker: {self.stack.worker.log_end()}",
        )

    def states_of_tasks(self, run_id: str) -> list[tuple[str, str]]:
        """(task, state name) of a run's task runs in the order they began; the server learns of
        them a little later than the flow goes on.
        """
        rows = self.api(
            "/task_runs/filter",
            {
                "flow_runs": {"id": {"any_": [run_id]}},
                "sort": "EXPECTED_START_TIME_ASC",
                "limit": 200,
            },
        )
        return [
            (
                row["name"].rsplit("-", 1)[0] if row["name"].count("-") else row["name"],
                row["state_name"],
            )
            for row in rows
        ]

    def ready(self, round_id: int) -> None:
        """Open a round whose window has ended and let everybody submit, in time."""
        self.federation.open(round_id)
        self.federation.submit_all(round_id=round_id)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    stack = Stack(
        folder / "stack",
        checkout=CHECKOUT,
        heartbeat_s=30,
        identities={"no-ledger": NO_LEDGER},
        settings_file=folder / "hyperfed.toml",
    )
    with stack:
        site = Site(stack, _federation(stack), folder)
        site.use(stack.store.credentials())
        _install(site)
        stack.start_worker()
        yield site


def _federation(stack: Stack) -> SmallFederation:
    """Its tenth window ended twelve hours ago: that round can be run by the real clock, the earlier
    ones by a rehearsed one.
    """
    genesis = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(
        days=10, hours=12
    )
    return SmallFederation(
        clients=3, name="browser-fed", store=stack.store.store(BUCKET), genesis=genesis
    )


def _install(site: Site) -> None:
    site.federation.coordinator.save(site.folder / "coordinator.key")
    config = site.serves(site.federation, url=f"s3://{BUCKET}", key="coordinator.key")
    command = [
        "service",
        "install",
        "--config",
        str(config),
        "--variables",
        ",".join(site.federation.vocabulary.names),
        "--aggregation-delay",
        "0s",
        "--poll",
        "1s",
        "--json",
    ]
    done = hyperfed(site, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    # this module decides what runs, and when
    for name in ("open-round", "federation-round", "audit", "housekeeping"):
        deployment = site.api(f"/deployments/name/{name}/{name}")
        site.scheduled[name] = _scheduled_runs(site, deployment["id"])
        site.api(f"/deployments/{deployment['id']}/pause_deployment", {})


def _scheduled_runs(site: Site, deployment_id: str) -> list[dict[str, Any]]:
    """The runs that the server's scheduler made for a deployment, once there are some."""
    body = {
        "deployments": {"id": {"any_": [deployment_id]}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 50,
    }

    def found() -> list[dict[str, Any]]:
        return [run for run in site.api("/flow_runs/filter", body) if run["auto_scheduled"]]

    return eventually(found, lambda: f"a run; the server: {site.stack.server.log_end()}")


def hyperfed(site: Site, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command, as an operator runs it beside this installation."""
    code = "from hyperfed.cli import main; main()"
    environment = os.environ | site.stack.environment
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,  # a command may wait for as long itself
        check=False,
    )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for one module: as long as it lives, its event loop is this thread's, and Prefect's
    synchronous calls would return coroutines.
    """
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, site: Site) -> Iterator[Any]:
    login = {"Authorization": site.stack.authorization}
    page = chromium.new_page(viewport={"width": 1400, "height": 1000}, extra_http_headers=login)
    page.set_default_timeout(1000 * PATIENCE_S)
    yield page
    page.close()


def pressed(page: Any, press: Callable[[], None], what: str, *, attempts: int = 5) -> None:
    """Press until the server has done what the page asks of it with a POST to an address that ends
    with `what`.

    A busy server's SQLite refuses one now and then ("database is locked"): the page says so and
    stays as it is, and whoever sits before it presses again.
    """
    for attempt in range(attempts):
        with page.expect_response(
            lambda answer: answer.request.method == "POST" and answer.url.endswith(what),
            timeout=1000 * PATIENCE_S,
        ) as answered:
            press()
        if answered.value.status != 503:
            break
        page.wait_for_timeout(1000 * (attempt + 1))
    assert answered.value.ok, f"{what}: {answered.value.status} {answered.value.text()}"


@pytest.fixture
def shoot(page: Any) -> Callable[..., None]:
    """Keep a picture of the page, as a CI artifact."""
    SHOTS.mkdir(parents=True, exist_ok=True)

    def take(name: str, *, settle_s: float = 2.0, full: bool = False) -> None:
        page.wait_for_timeout(settle_s * 1000)
        page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=full)

    return take
