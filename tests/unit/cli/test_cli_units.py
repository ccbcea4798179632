"""`hyperfed service units`, read back by systemd's own tools: nothing of it is started here."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hyperfed.cli.app import app
from tasks.report_files import METRICS_DIR, _write

WITH_SYSTEMD = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and "HYPERFED_CI" not in os.environ,
    reason="systemd is not here",
)


def run(*arguments: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["service", "units", *arguments, "--json"])
    assert done.exit_code == code, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def read(text: str) -> dict[str, list[str]]:
    """The settings of a unit's [Service] section, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in text.rpartition("[Service]\n")[2].split("[Install]")[0].splitlines():
        name, _, value = line.partition("=")
        if name:
            found.setdefault(name, []).append(value)
    return found


def units_of(*arguments: str) -> dict[str, dict[str, list[str]]]:
    files = run("--checkout", "/opt/hyperfed", *arguments)["files"]
    return {
        Path(path).stem.removeprefix("hyperfed-"): read(text)
        for path, text in files.items()
        if path.endswith(".service")
    }


@WITH_SYSTEMD
def test_units_pass_systemds_own_check_and_are_locked_up(tmp_path: Path) -> None:
    run("--checkout", "/opt/hyper fed%", "--settings", "/etc/a b%", "--write", str(tmp_path))
    folder = tmp_path / "etc" / "systemd" / "system"
    units = ("hyperfed-server.service", "hyperfed-worker.service")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(folder / unit) for unit in units)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = [line for line in verified.stderr.splitlines() if "hyperfed" in line]
    assert [line.split(" is not executable")[0] for line in said] == [
        "hyperfed-server.service: Command /opt/hyper fed%/.venv/bin/prefect",
        "hyperfed-worker.service: Command /opt/hyper fed%/.venv/bin/hyperfed",
    ], f"nothing else is wrong but that the clone is not there: {said}"
    exposed = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=yes", "--threshold=18", "--no-pager"),
            f"--root={tmp_path}",
            *units,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert exposed.returncode == 0, exposed.stdout + exposed.stderr
    (tmp_path / "etc" / "passwd").touch()
    users = subprocess.run(
        ["systemd-sysusers", "--dry-run", f"--root={tmp_path}", "hyperfed.conf"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    for user in ("prefect", "hyperfed"):
        assert f"Creating user '{user}' " in users.stderr, users.stderr


def test_the_server_cannot_read_the_coordinators_key_and_no_unit_holds_a_secret() -> None:
    server, worker = units_of().values()
    assert (server["User"], worker["User"]) == (["prefect"], ["hyperfed"])
    assert run("--checkout", "/opt/h", "--server-user", "one", "--worker-user", "one", code=2)
    assert server["EnvironmentFile"] == ["/etc/hyperfed/server.env"]
    assert worker["EnvironmentFile"] == ["/etc/hyperfed/worker.env"]
    for unit in (server, worker):
        assert not any("AUTH" in line or "PASS" in line for line in unit["Environment"])
        assert unit["Restart"] == ["always"]
        assert "ReadWritePaths" not in unit


def test_each_machine_gets_what_runs_there(tmp_path: Path) -> None:
    found = units_of("worker", "--worker-user", "fed", "--settings", "/srv/fed")
    assert list(found) == ["worker"]
    assert found["worker"]["ExecStart"] == [
        "/opt/hyperfed/.venv/bin/hyperfed service worker --config /srv/fed/hyperfed.toml"
    ]
    assert "Environment=HYPERFED_STATE=/var/lib/fed/state" in {
        f"Environment={line}" for line in found["worker"]["Environment"]
    }
    said = run("worker", "--checkout", "/opt/hyperfed", "--write", str(tmp_path))
    assert "server" not in "".join(said["files"]["/etc/sysusers.d/hyperfed.conf"].lower())
    for name in said["written"]:
        assert Path(name).stat().st_mode & 0o777 == 0o644
    (tmp_path / "file").touch()
    refused = run("--checkout", "/opt/h", "--write", str(tmp_path / "file"), code=2)
    assert "leave --write out" in refused["error"]["remedy"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--checkout", "/home/me/hyperfed"),
        ("--checkout", "hyperfed"),
        ("--checkout", "/opt/h", "--settings", "/root/fed"),
        ("--checkout", "/opt/a\nExecStartPre=/bin/sh"),
        ("--checkout", "/opt/h", "--server-user", "a\nb"),
        ("--checkout", "/opt/h", "--worker-user", "Fed"),
    ],
)
def test_what_no_unit_could_see_or_hold_is_refused(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    refused = run(*arguments, "--write", str(tmp_path / "root"), code=2)
    assert refused["error"]["remedy"]
    assert not (tmp_path / "root").exists()


def test_what_the_page_adds_for_figures_lets_the_node_exporter_read_them(tmp_path: Path) -> None:
    """The exporter runs as another user, who finds nothing in a file of the unit's own umask."""
    page = (Path(__file__).parents[3] / "docs" / "server.md").read_text()
    added = read(page.split("    [Service]\n")[1].split("\n\n")[0].replace("    ", ""))
    (folder,) = added["ReadWritePaths"]
    assert f"\n    {METRICS_DIR}={folder}\n" in page, "what a check has, too"
    assert f"\n    install -d -o {units_of()['worker']['User'][0]} {folder}\n" in page
    modes = []
    for umask in (units_of()["worker"]["UMask"][0], added["UMask"][0]):
        before = os.umask(int(umask, 8))
        try:
            _write(tmp_path / umask / "hyperfed_fed.prom", "", METRICS_DIR)
        finally:
            os.umask(before)
        modes.append((tmp_path / umask / "hyperfed_fed.prom").stat().st_mode & 0o004)
    assert modes == [0, 0o004]
