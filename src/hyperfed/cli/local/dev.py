"""Implement `hyperfed dev`, which runs a whole federation on this machine in the background.

The federation is there to be looked at, with Prefect's UI, and for experiments.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.checkout import find_checkout
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.options import FILE, output_options
from hyperfed.cli.output import clean, show_pairs
from hyperfed.cli.values import Duration
from hyperfed.errors import ObjectNotFound, TransportError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["dev", "down", "status", "up"]

_START_S = 300.0
_STOP_S = 60.0
_BREAK_OFF_S = 3.0
_DIR = click.option(
    "--dir",
    "directory",
    type=FILE,
    default=".hyperfed/dev",
    show_default=True,
    help="The folder for everything that it writes.",
)


@click.group(cls=Group)
def dev() -> None:
    """Run a whole federation on this machine in the background, with Prefect's UI.

    It consists of SeaweedFS, a Prefect server, a worker, all deployments and automations, and two
    demonstration clients. It runs from a clone of the repository; `make up` installs what it needs
    and starts it. It needs Linux.

    \b
      hyperfed dev up
      hyperfed dev status
      hyperfed dev down
    """


def _status(folder: Path) -> dict[str, Any]:
    from hyperfed.dev.supervisor import read_status

    return read_status(folder)


def _supervisor_alive(running: dict[str, Any]) -> bool:
    from hyperfed.dev.processes import Recorded

    return bool(running) and Recorded(**running["supervisor"]).alive


@dev.command()
@_DIR
@click.option(
    "--window",
    type=Duration(least=1, whole=True),
    default="24h",
    show_default=True,
    metavar="TIME",
    help="A round's length, for a new federation: 15m, 24h.",
)
@click.option(
    "--port",
    type=click.IntRange(1024, 65535),
    help="The UI's port; by default the one it had before, or a free one.",
)
@output_options
@pass_invocation
def up(invocation: Invocation, directory: Path, window: float, port: int | None) -> None:
    """Start the servers, or show where they run.

    Rounds, runs, keys and addresses are kept from the last time.

    \b
      hyperfed dev up
      hyperfed dev up --window 15m
    """
    from hyperfed.dev.processes import interrupts_held
    from hyperfed.dev.supervisor import MARK

    folder, checkout = directory.resolve(), find_checkout()
    status = _status(folder)
    if not _supervisor_alive(status):
        _end_leftovers(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        argv = [
            sys.executable,
            "-m",
            "hyperfed.dev.supervisor",
            str(folder),
            str(checkout),
            str(int(window)),
            *([str(port)] if port else []),
        ]
        try:
            # interrupted between its start and this line, a supervisor would be nobody's
            with (folder / "logs" / "supervisor.log").open("ab") as log, interrupts_held():
                started = subprocess.Popen(  # noqa: S603 - our own arguments
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=checkout,
                    env=os.environ | {MARK: str(folder)},
                    start_new_session=True,
                )
            with invocation.out.step(
                "Starting SeaweedFS, Prefect and a worker; the first time Prefect makes its "
                "database"
            ):
                status = _wait(folder, started)
        except KeyboardInterrupt:
            _break_off(folder)
            raise
    document = {
        name: status[name]
        for name in ("ui", "api", "login", "reports", "store", "bucket", "config", "clients")
    }
    command = _command()
    login = _shown(Path(status["login"]))
    pairs = {
        "Prefect UI": status["ui"],
        "Login": f"cat {login}",
        "Reports": status["reports"],
        "Object store": f"{status['store']}, bucket {status['bucket']}",
        "Stop": "make down"
        if directory == Path(".hyperfed/dev")
        else f"{command} dev down --dir {directory}",
    }
    commands = {
        "Prefect API": f"export PREFECT_API_URL={status['api']} "
        f"PREFECT_API_AUTH_STRING=$(cat {login})",
        "Operator": f"{command} --config {_shown(Path(status['config']))} round status",
    }
    for client in status["clients"]:
        shown_folder = _shown(folder / client)
        commands[f"Client {client}"] = (
            f"{command} client night --config {shown_folder}/hyperfed.toml "
            f"--data {shown_folder}/series.csv --out {shown_folder}/model"
        )

    def render(to: "Console") -> None:
        show_pairs(to, pairs)
        for name, line in commands.items():
            to.print(clean(name), style="bold")
            to.print(f"  {clean(line)}", soft_wrap=True)  # one line, which can be copied

    invocation.out.finish(document, render)


def _break_off(folder: Path) -> None:
    """End within seconds what this command has begun to start. A second Ctrl-C changes nothing."""
    from hyperfed.dev.processes import carrying, end_all, named
    from hyperfed.dev.supervisor import MARK

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    running = named(carrying(MARK, str(folder))) or "what was starting"
    sys.stderr.write(f"\nStopping {running}\n")
    end_all(MARK, str(folder), timeout_s=_BREAK_OFF_S)
    (folder / "status.json").unlink(missing_ok=True)
    sys.stderr.write("Stopped; nothing is left running. The data stay.\n")


def _command() -> str:
    """Return how this command is called from here.

    It is called by its name where the PATH finds it, and by its path elsewhere.
    """
    script = Path(sys.argv[0])
    installed = shutil.which("hyperfed")
    return (
        "hyperfed"
        if installed and Path(installed).resolve() == script.resolve()
        else str(_shown(script))
    )


def _shown(path: Path) -> Path:
    """Return a path as seen from the working directory, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _wait(folder: Path, started: "subprocess.Popen[bytes]") -> dict[str, Any]:
    over = time.monotonic() + _START_S
    while time.monotonic() < over:
        status = _status(folder)
        if status.get("phase") == "ready" and status["supervisor"]["pid"] == started.pid:
            return status
        if started.poll() is not None:
            raise TransportError(
                "it did not start",
                subject=str(folder),
                remedy=status.get("problem") or f"See {folder}/logs/supervisor.log",
            )
        time.sleep(0.2)
    raise TransportError(
        f"it is not ready after {_START_S:g} s",
        subject=str(folder),
        remedy=f"See {folder}/logs; `hyperfed dev down` ends it",
    )


@dev.command()
@_DIR
@output_options
@pass_invocation
def down(invocation: Invocation, directory: Path) -> None:
    """Stop exactly what `up` has started; the data stay.

    \b
      hyperfed dev down
    """
    from hyperfed.dev.processes import Recorded

    folder = directory.resolve()
    status = _status(folder)
    ran = _supervisor_alive(status)
    if ran:
        Recorded(**status["supervisor"]).end(timeout_s=_STOP_S)
    leftovers = _end_leftovers(folder)
    (folder / "status.json").unlink(missing_ok=True)
    words = (
        f"{folder}; the data stay"
        if ran
        else f"what a crash had left: {', '.join(leftovers)}"
        if leftovers
        else "nothing ran"
    )
    invocation.out.finish(
        {"stopped": ran, "left_by_a_crash": leftovers},
        lambda to: show_pairs(to, {"Stopped": words}),
    )


def _end_leftovers(folder: Path) -> list[str]:
    """End what a crash has left, and return the names.

    That is what status.json records, and then what else was started under the supervisor's mark.
    """
    from hyperfed.dev.processes import Recorded, carrying
    from hyperfed.dev.supervisor import MARK

    children, leftovers = _status(folder).get("children", {}), []
    # SeaweedFS needs 15 s to stop by itself
    for name, timeout_s in (
        ("prefect-worker", 10.0),
        ("prefect-server", 10.0),
        ("seaweedfs", 1.0),
    ):
        if name in children and (record := Recorded(**children[name])).alive:
            record.end(timeout_s=timeout_s, group=name != "seaweedfs")
            leftovers.append(name)
    orphans = carrying(MARK, str(folder))
    for orphan in orphans:
        orphan.end(timeout_s=2.0)
    return leftovers + [f"process {orphan.pid}" for orphan in orphans]


@dev.command()
@_DIR
@output_options
@pass_invocation
def status(invocation: Invocation, directory: Path) -> None:
    """Show whether the servers run, and where.

    The exit code is 4 if they do not run.

    \b
      hyperfed dev status
    """
    from hyperfed.dev.processes import Recorded

    running = _status(directory.resolve())
    if not _supervisor_alive(running):
        raise ObjectNotFound(
            "does not run",
            subject=str(directory),
            remedy="Start it with `hyperfed dev up`, or `make up`",
        )
    children = {name: Recorded(**record).alive for name, record in running["children"].items()}
    document = {
        "phase": running["phase"],
        "ui": running["ui"],
        "api": running["api"],
        "store": running["store"],
        "running": children,
    }
    pairs = document | {"running": ", ".join(name for name, alive in children.items() if alive)}
    invocation.out.finish(document, lambda to: show_pairs(to, pairs))
