"""Files of a round: pages are kept and made up for, and a folder that is full, or that nobody may
write into, costs a committed round nothing.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from flows.federation_round import federation_round
from flows.open_round import open_round
from hyperfed.protocol.entries import EntryKind
from hyperfed.report.metrics import file_name
from hyperfed.report.view import view_of
from hyperfed.testing.federation import SmallFederation
from tasks.report_files import METRICS_DIR, REPORT_DIR, _write_site

Found = Callable[..., tuple[SmallFederation, str]]
CHECKOUT = Path(__file__).parents[2]
FULL = 'mount -t tmpfs -o size=64k tmpfs "$0"; cat /dev/zero >"$0/ballast"; exec "$@"'
READ_ONLY = 'mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"; exec "$@"'
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]
NIGHT = """
import json, sys
from datetime import datetime
from flows.federation_round import federation_round
from hyperfed.operations.health.machine import disk_finding
state = federation_round(now=datetime.fromisoformat(sys.argv[2]), return_state=True,
                         **json.loads(sys.argv[1]))
found = disk_finding(())
print(json.dumps([state.name, state.message, found.level, found.said, found.remedy]))
"""


def may_mount() -> bool:
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(
            [*OWN_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
        ).returncode
    )


def night_with(mount: str, folder: Path, arguments: Sequence[str]) -> list[str]:
    """What a night says in a process of its own, which alone sees what is mounted on `folder`."""
    python = [sys.executable, "-W", "ignore", "-c", NIGHT, *arguments]
    done = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", mount, folder, *python],
        cwd=CHECKOUT,
        env=os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: list[str] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.flow
@pytest.mark.skipif(
    not may_mount() and "HYPERFED_CI" not in os.environ,
    reason="no process of this user may mount a file system",
)
@pytest.mark.parametrize(
    ("mount", "why", "room"),
    [
        (FULL, "No space left on device", "0 MB free in"),
        (READ_ONLY, "Read-only file system", "cannot be written into by this user"),
    ],
    ids=["full", "read-only"],
)
def test_a_folder_without_room_costs_a_round_nothing_and_the_next_writes_what_is_missing(
    found: Found,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mount: str,
    why: str,
    room: str,
) -> None:
    federation, name = found()
    blocks = {"drop_box": name, "coordinator_keys": name, "federation_policy": name}
    folder = tmp_path / "files"
    (folder / "pages").mkdir(parents=True)
    monkeypatch.setenv(METRICS_DIR, str(folder))
    monkeypatch.setenv(REPORT_DIR, str(folder / "pages"))

    def begun(number: int) -> None:
        assert open_round(now=federation.opens(number), return_state=True, **blocks).is_completed()
        federation.submit_all(round_id=number)

    # the folder has no room, or nobody may write into it
    begun(1)
    arguments = [json.dumps(blocks), federation.night(1).isoformat()]
    state, message, level, said, remedy = night_with(mount, folder, arguments)
    assert state == "Completed"
    assert ended(federation) == [(1, EntryKind.COMMIT)]
    for variable, path in ((METRICS_DIR, folder), (REPORT_DIR, folder / "pages")):
        assert f"{path}/" in message
        assert f"Make room in the folder that {variable} names" in message
    assert message.count(why) == 2, message
    assert (level, room in said, str(folder) in said) == ("critical", True, True)
    assert METRICS_DIR in remedy
    assert [*folder.rglob("*")] == [folder / "pages"]

    # the next night has room, and says nothing
    begun(2)
    after: Any = federation_round(now=federation.night(2), return_state=True, **blocks)
    assert (after.name, after.result()["unwritten"]) == ("Completed", [])
    assert "hyperfed_round{" in (folder / file_name("small-fed")).read_text()
    for number in (1, 2):
        page = (folder / "pages" / f"small-fed-round-{number:08d}.html").read_text()
        assert f"round {number}" in page
        assert (folder / "pages" / "small-fed" / "rounds" / f"{number:08d}.html").is_file()


def ended(federation: SmallFederation) -> list[tuple[int, EntryKind]]:
    """The rounds that have an end, and which."""
    entries = [c.entry for c in federation.reader().ledger()]
    return [(e.round, e.kind) for e in entries if e.kind is not EntryKind.RESERVE]


def test_each_round_adds_its_page_and_leaves_the_others(tmp_path: Path) -> None:
    fed = SmallFederation()
    fed.play(1)
    _site(fed, tmp_path, 1)
    first = tmp_path / "small-fed" / "rounds" / "00000001.html"
    first.write_text("as it was")
    fed.play(2)
    _site(fed, tmp_path, 2)
    assert first.read_text() == "as it was"
    home = (tmp_path / "small-fed" / "index.html").read_text()
    for number in (1, 2):
        assert f'href="rounds/{number:08d}.html"' in home


def _site(fed: SmallFederation, folder: Path, number: int) -> None:
    (link,) = _write_site(fed.runner(number), view_of(fed.reader(), number), folder)
    assert (folder / link[1]).is_file()
