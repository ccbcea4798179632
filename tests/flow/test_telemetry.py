"""No process that is started here lets Prefect send anything home, unless its user has asked for
it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.service.pool import job_template
from hyperfed.config import no_telemetry
from hyperfed.dev import Stack

ROOT = Path(__file__).parents[2]
OFF = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}

# What a flow's process is told when it imports Prefect, and what the temporary server says that it
# then starts.
ASKED = """
import json, os, sys

class Watch:
    def find_spec(self, name, path, target=None):
        if name == "prefect":
            said["client"] = os.environ.get("DO_NOT_TRACK")

said = {}
sys.meta_path.insert(0, Watch())

from hyperfed.cli.checkout import import_from_checkout

import_from_checkout("flows.open_round", "open_round")

from prefect.client.orchestration import get_client

with get_client(sync_client=True) as client:
    said["server"] = client.request("GET", "/admin/settings").json()["server"]["analytics_enabled"]
print(json.dumps(said))
"""


def asked(folder: Path, **settings: str) -> Any:
    """What ASKED says in a process of its own, whose user made these settings."""
    environment = {
        name: value for name, value in os.environ.items() if name not in (*OFF, "PREFECT_API_URL")
    }
    own = {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "110",
    }
    ran = subprocess.run(
        [sys.executable, "-c", ASKED],
        cwd=ROOT,
        env=environment | own | settings,
        capture_output=True,
        text=True,
        timeout=115,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_a_flows_process_and_its_temporary_server_send_nothing(tmp_path: Path) -> None:
    assert asked(tmp_path) == {"client": "1", "server": False}


def test_what_the_user_has_set_stays(tmp_path: Path) -> None:
    assert no_telemetry({}) == OFF
    assert no_telemetry({"DO_NOT_TRACK": "0", "HOME": "/"}) == OFF | {"DO_NOT_TRACK": "0"}
    code = (
        "import os, flows; print(os.environ['DO_NOT_TRACK'], "
        "os.environ['PREFECT_SERVER_ANALYTICS_ENABLED'])"
    )
    for asked_for in ("true", "false"):
        own = {"DO_NOT_TRACK": "0", "PREFECT_SERVER_ANALYTICS_ENABLED": asked_for}
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ran.stdout.split() == ["0", asked_for]


def test_the_servers_of_dev_and_the_runs_of_a_worker_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OFF:
        monkeypatch.delenv(name, raising=False)
    assert Stack(tmp_path / "one", checkout=ROOT).environment.items() >= OFF.items()
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "true")
    assert (
        Stack(tmp_path / "two", checkout=ROOT).environment["PREFECT_SERVER_ANALYTICS_ENABLED"]
        == "true"
    )
    configuration = job_template()["job_configuration"]
    assert configuration["env"].items() >= OFF.items()
