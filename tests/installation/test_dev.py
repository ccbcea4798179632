"""`hyperfed dev up` and `down` as a user has them: addresses, restarts, crashes, the report's
link, and every command of the operator's tutorial.
"""

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hyperfed.dev.founding import BUCKET
from hyperfed.dev.processes import Recorded, carrying
from hyperfed.dev.supervisor import MARK, read_status
from hyperfed.storage.s3 import S3Credentials, S3Store
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.seaweedfs, pytest.mark.timeout(600)]
CHECKOUT = Path(__file__).parents[2]


class Desk:
    """A folder of `hyperfed dev`, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str | Path, code: int = 0, said: Any = None) -> Any:
        own = {}
        if said is not None:
            login = Path(said["login"]).read_text().strip()
            own = {"PREFECT_API_URL": said["api"], "PREFECT_API_AUTH_STRING": login}
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from hyperfed.cli import main; main()",
                *map(str, arguments),
                "--json",
            ],
            cwd=CHECKOUT,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def dev(self, what: str, code: int = 0) -> Any:
        return self.run("dev", what, "--dir", self.folder, code=code)

    def night(self, client: str) -> Any:
        own = self.folder / client
        return self.run(
            "client",
            "night",
            "--config",
            own / "hyperfed.toml",
            "--data",
            own / "series.csv",
            "--out",
            own / "model",
        )

    def api(self, said: Any, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own address
            said["api"] + path,
            None if body is None else json.dumps(body).encode(),
            {"content-type": "application/json", "authorization": self.authorization(said)},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read())

    def authorization(self, said: Any) -> str:
        """The login, which only this user can read."""
        file = Path(said["login"])
        assert file.stat().st_mode & 0o077 == 0
        return f"Basic {base64.b64encode(file.read_text().strip().encode()).decode()}"

    def runs(self, said: Any) -> list[str]:
        ended = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
        return sorted(run["name"] for run in self.api(said, "/flow_runs/filter", ended))

    def run_round(self, said: Any, number: int) -> Any:
        """Run a round as at the end of its window, and return the run once it has ended."""
        name = "federation-round"
        deployment = self.api(said, f"/deployments/name/{name}/{name}")
        opens, window = (self.folder / "genesis").read_text().split()
        over = datetime.fromisoformat(opens) + timedelta(seconds=number * int(window) + 60)
        parameters = {"round_id": number, "now": over.isoformat(), "aggregation_delay_s": 0}
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        run = self.api(said, f"/deployments/{deployment['id']}/create_flow_run", body)
        self.ended(said, run)
        return self.api(said, f"/flow_runs/{run['id']}")

    def ended(self, said: Any, run: Any) -> str:
        """Return what a run says once it has ended, after the state that `run` has."""
        ends = ("COMPLETED", "FAILED", "CRASHED")

        def found() -> Any:
            now = self.api(said, f"/flow_runs/{run['id']}")["state"]
            return now if now["type"] in ends and now["id"] != run["state"]["id"] else None

        return str(eventually(found, "the run ends")["message"])

    def objects(self, said: Any) -> dict[str, int]:
        entry = json.loads((self.folder / "seaweedfs" / "identities.json").read_text())[
            "identities"
        ][0]["credentials"][0]
        store = S3Store(
            BUCKET,
            endpoint_url=said["store"],
            credentials=S3Credentials(access_key=entry["accessKey"], secret_key=entry["secretKey"]),
        )
        found = {info.key: info.size for info in store.list("")}
        store.close()
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    here = Desk(tmp_path / "dev")
    yield here
    here.dev("down")


def stopped(desk: Desk) -> tuple[bool, list[str]]:
    said = desk.dev("down")
    return said["stopped"], said["left_by_a_crash"]


def follow_the_tutorial(desk: Desk, said: Any) -> None:
    """Run the commands of docs/tutorial/operator.md on a federation whose round 2 is open.

    What the schedule does at the window's end is done by a run of the same deployment whose clock
    stands there.
    """
    page = (CHECKOUT / "docs" / "tutorial" / "operator.md").read_text("utf-8")
    commands = [
        shlex.split(line.replace(".hyperfed/dev", str(desk.folder)), comments=True)[1:]
        for line in re.findall(r"^    (hyperfed .*)$", page, re.MULTILINE)
    ]
    names = [" ".join(words[2:4] if words[0] == "--config" else words[:2]) for words in commands]
    assert names == [
        *("dev up", "round status", "client night", "client night"),
        *("round retry", "audit", "dev down"),
    ]
    _, status, ohio, texas, retry, audit, _ = commands
    assert desk.run(*status)
    assert not desk.run(*ohio)["update"]["sent"], "it has sent already"
    failed = desk.run_round(said, 2)
    assert "missing: texas" in failed["state"]["message"]
    before = desk.objects(said)
    assert not [key for key in before if key.startswith("rounds/00000002/freeze")]
    assert desk.run(*texas)["update"]["sent"]
    desk.run(*retry, said=said)
    assert "Round 2 is committed: 2 of 2 clients counted" in desk.ended(said, failed)
    assert desk.run(*audit)["findings"] == []


def test_up_and_down_and_up_again_after_crashes_with_nothing_lost(desk: Desk) -> None:
    said = desk.dev("up")
    artifacts = {"artifacts": {"key": {"any_": ["round-00000001"]}}}
    (page,) = eventually(
        lambda: desk.api(said, "/artifacts/filter", artifacts), "round 1 has a page"
    )
    link = re.search(r"\((http[^)]*\.html)\)", page["data"])
    assert link is not None, page["data"][:600]
    assert link[1].startswith(said["reports"])
    with urllib.request.urlopen(link[1], timeout=10) as answer:  # noqa: S310 - our own loopback address
        assert "Round 1 is committed: 2 of 2 clients counted" in answer.read().decode()
    eventually(lambda: "rounds/00000002/plan" in desk.objects(said), "round 2 is open")
    assert desk.night("ohio")["update"]["sent"]
    before = (desk.runs(said), desk.objects(said))
    assert len(before[0]) >= 2

    worker = Recorded(**read_status(desk.folder)["children"]["prefect-worker"])
    worker.signal(signal.SIGKILL)
    eventually(
        lambda: (
            read_status(desk.folder)["children"].get("prefect-worker", {}).get("pid")
            not in (None, worker.pid)
        ),
        "the worker is started again",
    )
    again = desk.dev("up")
    assert again == said, "it runs: nothing is started"

    status = read_status(desk.folder)
    for record in (status["supervisor"], status["children"]["prefect-server"]):
        os.kill(record["pid"], signal.SIGKILL)
    assert stopped(desk) == (False, ["prefect-worker", "seaweedfs"])
    assert carrying(MARK, str(desk.folder)) == []

    restarted = desk.dev("up")
    assert restarted == said
    assert set(before[0]) <= set(desk.runs(restarted))
    assert before[1].items() <= desk.objects(restarted).items()
    follow_the_tutorial(desk, restarted)
    assert stopped(desk) == (True, [])
    assert carrying(MARK, str(desk.folder)) == []
    assert "does not run" in desk.dev("status", code=4)["error"]["problem"]
