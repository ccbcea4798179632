"""Supervise the servers of `hyperfed dev up`.

    python -m hyperfed.dev.supervisor FOLDER CHECKOUT WINDOW_S [PORT]

This process starts the servers, prepares the federation, restarts what ends, and stops
everything on SIGTERM.

1. `status.json` in the folder says what runs (process ids with start times), where, and in which
   phase: starting, ready, stopping or failed.
2. Where the supervisor itself was killed, `hyperfed dev down` ends what status.json names, and what
   else carries the supervisor's `MARK` in its environment: a flow whose worker was killed goes on
   as an orphan.
3. SIGTERM or SIGINT breaks off a start, so that nobody waits for a Prefect server only to end it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hyperfed.dev.founding import BUCKET, CLIENTS, found, play_first_window, write_settings
from hyperfed.dev.processes import Recorded
from hyperfed.dev.stack import Stack
from hyperfed.errors import ConfigError, HyperfedError, TransportError
from hyperfed.storage.local_files import write_durably

__all__ = ["MARK", "STATUS", "read_status", "supervise"]

STATUS = "status.json"
MARK = "HYPERFED_DEV_FOLDER"
_TEND_S = 2.0


def read_status(folder: Path) -> dict[str, Any]:
    """Return what the supervisor wrote last, or an empty dict where there is nothing."""
    try:
        status: dict[str, Any] = json.loads((folder / STATUS).read_text())
    except (OSError, ValueError):
        return {}
    return status


def _write_status(stack: Stack, phase: str, **more: Any) -> None:
    running = {p.name: asdict(p.record) for p in (stack.server, stack.worker) if p.running}
    if stack.store.running:
        running["seaweedfs"] = asdict(Recorded.of(stack.store.pid))
    document = {
        "phase": phase,
        "supervisor": asdict(Recorded.of(os.getpid())),
        "children": running,
        "ui": stack.ui_url,
        "api": stack.api_url,
        "login": str(stack.login_file),
        "reports": stack.pages.url,
        "store": stack.store.endpoint_url if stack.store.running else None,
        "bucket": BUCKET,
        "clients": list(CLIENTS),
        "config": str(stack.folder / "hyperfed.toml"),
        **more,
    }
    write_durably(
        stack.folder / STATUS,
        json.dumps(document, indent=1),
        error=ConfigError,
        remedy="Make the folder of `hyperfed dev` writable",
    )


def _prepare(stack: Stack, checkout: Path, window_s: int) -> None:
    """Found the federation where it is missing, and install blocks, deployments and automations."""
    store = stack.store.store(BUCKET)
    founded = found(stack.folder, store, window_s=window_s, now=datetime.now(UTC))
    write_settings(founded, stack.store.endpoint_url, stack.store.credentials())
    if founded.new:
        play_first_window(founded, store)
    store.close()
    record = {
        "genesis": founded.genesis.isoformat(),
        "window_s": founded.window_s,
        "fingerprint": founded.fingerprint,
        "endpoint": stack.store.endpoint_url,
        "checkout": str(checkout),
        "new": founded.new,
    }
    (stack.folder / "founded.json").write_text(json.dumps(record, indent=1))
    with (stack.folder / "logs" / "prepare.log").open("ab") as log:
        done = subprocess.run(  # noqa: S603 - our own arguments
            [sys.executable, "-m", "flows.service.development", str(stack.folder)],
            cwd=checkout,
            env=os.environ | stack.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=600,
            check=False,
        )
    if done.returncode:
        end = (stack.folder / "logs" / "prepare.log").read_text(errors="replace")[-600:]
        raise TransportError(
            "the deployments could not be installed",
            subject=stack.api_url,
            remedy=f"The end of logs/prepare.log: {end}",
        )


class _BrokenOff(BaseException):
    """The signal to end came while the servers were starting."""


def supervise(folder: Path, checkout: Path, window_s: int, port: int | None) -> int:
    """Run until SIGTERM. Returns 0 then, and 1 where the servers could not start."""
    over, starting = threading.Event(), True

    def end(*_: object) -> None:
        nonlocal starting
        over.set()
        if starting:
            starting = False  # a second signal does not break off the stopping
            raise _BrokenOff

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    stack = Stack(folder, checkout=checkout, port=port)
    _write_status(stack, "starting")
    try:
        stack.start()
        _write_status(stack, "starting")
        _prepare(stack, checkout, window_s)
        stack.start_worker()
        starting = False
    except _BrokenOff:
        stack.stop()
        (folder / STATUS).unlink(missing_ok=True)
        return 0
    except (HyperfedError, OSError, subprocess.SubprocessError) as error:
        stack.stop()
        _write_status(stack, "failed", problem=str(error))
        return 1
    _write_status(stack, "ready", since=time.time())
    while not over.wait(_TEND_S):
        if stack.tend():
            _write_status(stack, "ready")
    _write_status(stack, "stopping")
    stack.stop()
    (folder / STATUS).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(
        supervise(
            Path(sys.argv[1]),
            Path(sys.argv[2]),
            int(sys.argv[3]),
            int(sys.argv[4]) if len(sys.argv) > 4 else None,
        )
    )
