"""`hyperfed dev`: a whole federation on this machine in the background, with Prefect's UI, to look at and to try things on."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from hyperfed.cli.checkout import find_checkout
from hyperfed.cli.durations import duration
from hyperfed.cli.invocation import Invocation, output_options, pass_invocation
from hyperfed.cli.output import show_pairs
from hyperfed.errors import ConfigError, TransportError

__all__ = ["dev", "down", "status", "up"]

_START_S = 300.0
_STOP_S = 60.0
_DIR = click.option(
    "--dir", "directory", type=click.Path(path_type=Path), default=".hyperfed/dev", show_default=True, help="Everything it writes lies below it."
)


@click.group()
def dev() -> None:
    """SeaweedFS, a Prefect server with its UI, a worker, all deployments and automations, and two demonstration clients.

    Needs the checkout and `pip install 'hyperfed[coordinator]'`; `make up` sees to both. Linux only.
    """


def _status(folder: Path) -> dict[str, Any]:
    from hyperfed.dev.supervisor import read_status

    return read_status(folder)


def _supervisor_alive(said: dict[str, Any]) -> bool:
    from hyperfed.dev.processes import Recorded

    return bool(said) and Recorded(**said["supervisor"]).alive


@dev.command()
@_DIR
@click.option("--window", default="24h", show_default=True, metavar="TIME", help="A round's length, where the federation is new: 15m, 24h.")
@click.option("--port", type=click.IntRange(1024, 65535), help="The UI's port; by default the one it had, else a free one.")
@output_options
@pass_invocation
def up(invocation: Invocation, directory: Path, window: str, port: int | None) -> None:
    """Start it, or say where it runs. What was there before is there again: rounds, runs, keys, addresses.

    \b
      hyperfed dev up
      hyperfed dev up --window 15m
    """
    from hyperfed.dev.supervisor import MARK

    folder, checkout = directory.resolve(), find_checkout()
    said = _status(folder)
    if not _supervisor_alive(said):
        _end_leftovers(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "hyperfed.dev.supervisor", str(folder), str(checkout), str(int(duration(window))), *([str(port)] if port else [])]
        with (folder / "logs" / "supervisor.log").open("ab") as log:
            started = subprocess.Popen(  # noqa: S603 - our own arguments
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=checkout,
                env=os.environ | {MARK: str(folder)},
                start_new_session=True,
            )
        with invocation.out.step("Starting SeaweedFS, Prefect and a worker; the first time Prefect makes its database"):
            said = _wait(folder, started)
    document = {name: said[name] for name in ("ui", "api", "reports", "store", "bucket", "config", "clients")}
    command = _command()
    pairs = {
        "Prefect UI": said["ui"],
        "Prefect API": f"export PREFECT_API_URL={said['api']}",
        "Reports": said["reports"],
        "Object store": f"{said['store']}, bucket {said['bucket']}",
        "Operator": f"{command} --config {_shown(Path(said['config']))} round status",
    }
    for client in said["clients"]:
        own = _shown(folder / client)
        pairs[f"Client {client}"] = f"{command} client night --config {own}/hyperfed.toml --data {own}/series.csv --out {own}/model"
    pairs["Stop"] = "make down" if directory == Path(".hyperfed/dev") else f"{command} dev down --dir {directory}"
    invocation.out.finish(document, lambda to: show_pairs(to, pairs))


def _command() -> str:
    """How this command is called from here: by its name where the PATH finds it, else by its path."""
    own = Path(sys.argv[0])
    found = shutil.which("hyperfed")
    return "hyperfed" if found and Path(found).resolve() == own.resolve() else str(_shown(own))


def _shown(path: Path) -> Path:
    """The path as seen from here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _wait(folder: Path, started: "subprocess.Popen[bytes]") -> dict[str, Any]:
    over = time.monotonic() + _START_S
    while time.monotonic() < over:
        said = _status(folder)
        if said.get("phase") == "ready" and said["supervisor"]["pid"] == started.pid:
            return said
        if started.poll() is not None:
            raise TransportError("it did not start", subject=str(folder), remedy=said.get("problem") or f"See {folder}/logs/supervisor.log")
        time.sleep(0.2)
    raise TransportError(f"it is not ready after {_START_S:g} s", subject=str(folder), remedy=f"See {folder}/logs; `hyperfed dev down` ends it")


@dev.command()
@_DIR
@output_options
@pass_invocation
def down(invocation: Invocation, directory: Path) -> None:
    """End exactly what `up` has started; the data stay.

    \b
      hyperfed dev down
    """
    from hyperfed.dev.processes import Recorded

    folder = directory.resolve()
    said = _status(folder)
    ran = _supervisor_alive(said)
    if ran:
        Recorded(**said["supervisor"]).end(timeout_s=_STOP_S)
    left = _end_leftovers(folder)
    (folder / "status.json").unlink(missing_ok=True)
    words = f"{folder}; the data stay" if ran else f"what a crash had left: {', '.join(left)}" if left else "nothing ran"
    invocation.out.finish({"stopped": ran, "left_by_a_crash": left}, lambda to: show_pairs(to, {"Stopped": words}))


def _end_leftovers(folder: Path) -> list[str]:
    """End what a crash has left, and name it: what status.json records, then what else was started under the supervisor's mark."""
    from hyperfed.dev.processes import Recorded, carrying
    from hyperfed.dev.supervisor import MARK

    children, left = _status(folder).get("children", {}), []
    for name, patience_s in (("prefect-worker", 10.0), ("prefect-server", 10.0), ("seaweedfs", 1.0)):  # SeaweedFS's own farewell takes it 15 s
        if name in children and (record := Recorded(**children[name])).alive:
            record.end(timeout_s=patience_s, group=name != "seaweedfs")
            left.append(name)
    orphans = carrying(MARK, str(folder))
    for orphan in orphans:
        orphan.end(timeout_s=2.0)
    return left + [f"process {orphan.pid}" for orphan in orphans]


@dev.command()
@_DIR
@output_options
@pass_invocation
def status(invocation: Invocation, directory: Path) -> int:
    """Say whether it runs, and where. Exit code 4 where it does not.

    \b
      hyperfed dev status
    """
    from hyperfed.dev.processes import Recorded

    said = _status(directory.resolve())
    if not _supervisor_alive(said):
        raise ConfigError("does not run", subject=str(directory), remedy="Start it with `hyperfed dev up`, or `make up`")
    children = {name: Recorded(**record).alive for name, record in said["children"].items()}
    document = {"phase": said["phase"], "ui": said["ui"], "api": said["api"], "store": said["store"], "running": children}
    pairs = document | {"running": ", ".join(name for name, alive in children.items() if alive)}
    invocation.out.finish(document, lambda to: show_pairs(to, pairs))
    return 0
