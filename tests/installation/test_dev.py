"""`hyperfed dev up` and `down` as a user has them: addresses, restarts, crashes, the report's
link.
"""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperfed.dev.founding import BUCKET
from hyperfed.dev.processes import Recorded, carrying
from hyperfed.dev.supervisor import MARK, read_status
from hyperfed.storage.s3 import S3Credentials, S3Store

pytestmark = [pytest.mark.slow, pytest.mark.seaweedfs, pytest.mark.timeout(600)]
CHECKOUT = Path(__file__).parents[2]


class Desk:
    """A folder of `hyperfed dev`, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str | Path, code: int = 0) -> Any:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from hyperfed.cli import main; main()",
                *map(str, arguments),
                "--json",
            ],
            cwd=CHECKOUT,
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

    def api(self, said: Any, path: str, body: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own address
            said["api"] + path,
            json.dumps(body).encode(),
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


def eventually(what: str, found: Any, *, timeout_s: float = 90) -> Any:
    over = time.monotonic() + timeout_s
    while not (value := found()):
        assert time.monotonic() < over, what
        time.sleep(0.5)
    return value


def stopped(desk: Desk) -> tuple[bool, list[str]]:
    said = desk.dev("down")
    return said["stopped"], said["left_by_a_crash"]


def test_up_and_down_and_up_again_after_crashes_with_nothing_lost(desk: Desk) -> None:
    said = desk.dev("up")
    artifacts = {"artifacts": {"key": {"any_": ["round-00000001"]}}}
    (page,) = eventually(
        "round 1 has no page", lambda: desk.api(said, "/artifacts/filter", artifacts)
    )
    link = re.search(r"\((http[^)]*\.html)\)", page["data"])
    assert link is not None, page["data"][:600]
    assert link[1].startswith(said["reports"])
    with urllib.request.urlopen(link[1], timeout=10) as answer:  # noqa: S310 - our own loopback address
        assert "Round 1 is committed: 2 of 2 clients counted" in answer.read().decode()
    eventually("round 2 is not open", lambda: "rounds/00000002/plan" in desk.objects(said))
    assert desk.night("ohio")["update"]["sent"]
    before = (desk.runs(said), desk.objects(said))
    assert len(before[0]) >= 2

    worker = Recorded(**read_status(desk.folder)["children"]["prefect-worker"])
    worker.signal(signal.SIGKILL)
    eventually(
        "the worker is not started again",
        lambda: (
            read_status(desk.folder)["children"].get("prefect-worker", {}).get("pid")
            not in (None, worker.pid)
        ),
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
    assert not desk.night("ohio")["update"]["sent"]
    assert desk.night("texas")["update"]["sent"]
    assert stopped(desk) == (True, [])
    assert carrying(MARK, str(desk.folder)) == []
    assert "does not run" in desk.dev("status", code=4)["error"]["problem"]
