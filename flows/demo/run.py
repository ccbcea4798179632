"""Run the demonstration from its beginning to its end.

1. Everything lies under one folder: the SeaweedFS server's data, every key, Prefect's database, and
   what is written. A new run begins a new federation.
2. Each state is a client with its own key, its own data and its own signed and sealed update. Only
   the clock is rehearsed.
3. Night by night more of the panel is known (to 1984, 1985, 1986). From the third night on 14
   states lie: they flip the sign of all they found.
4. What stands above chance is measured against time-shuffled data, and the lie against the plain
   mean (`hyperfed.demo.figures`).
"""

import os
import shutil
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console

from flows.demo.night import PlayedNight, play_night
from flows.demo.progress import progress
from flows.demo.stopping import ending_on_ctrl_c
from flows.demo.telling import tell, write_results
from flows.demo.us_states import BUCKET, demo_policy, found, save_blocks, terms_policy, write_config
from hyperfed.coordinator.timing import REHEARSAL
from hyperfed.demo.figures import null_vote, without_noise
from hyperfed.errors import ConfigError
from hyperfed.testing.seaweedfs import SeaweedFS

__all__ = ["run_demo"]

_MARKER = "this-folder-is-hyperfeds-demo"
_COMMAND = Path(sys.executable).parent / "hyperfed"


def run_demo(
    directory: Path,
    *,
    nights: int = 3,
    privacy: str = "none",
    payload: str = "edges",
    as_json: bool = False,
    keep: bool = False,
    console: Console | None = None,
) -> int:
    """Run the demonstration under `directory`. Returns 0 where every round was committed, else 1.

    `nights` is from 1 to 30. `privacy` says who adds noise: "none" (nobody), "central" or "local".
    `payload` says what the states send: "edges", "statistics" or "both".
    `keep` leaves the object store running until Ctrl-C, so that `hyperfed --config ... inspect` can
    be tried on it. With `as_json` one JSON document is printed. Raises HyperfedError.
    """
    if not 1 <= nights <= 30:
        raise ConfigError(f"{nights} nights; 1 to 30 can be shown", subject="demo")
    policy = demo_policy(privacy, nights, payload=payload)
    console = console or Console(stderr=as_json)
    folder = _fresh(directory)
    _prefect_home(directory)
    with (
        progress(console, nights) as steps,
        ending_on_ctrl_c(steps.farewell),
        ThreadPoolExecutor(1) as beside,
        SeaweedFS(folder / "seaweedfs") as server,
    ):
        # Prefect's database takes a while the first time; the rest goes on meanwhile
        prefect = beside.submit(_wake_prefect)
        store = server.store(BUCKET)
        steps.advance(f"a real S3 server listens on {server.endpoint_url}")
        federation = found(folder, store, nights, policy=policy)
        write_config(federation, server.endpoint_url, server.credentials())
        steps.advance(
            f"{len(federation.keys)} states enrolled, each with a key of its own; the registry "
            "is signed"
        )
        null = null_vote(np.random.default_rng(7), policy=without_noise(terms_policy(policy)))
        steps.advance(f"time-shuffled data: chance alone reaches |vote| {null:.2f}")
        steps.say("Prefect makes its database (the first time takes longer)")
        prefect.result()
        save_blocks(federation, server.endpoint_url, policy=policy)
        told: list[PlayedNight] = []
        for round_id in range(1, nights + 1):
            told.append(
                play_night(
                    federation,
                    store,
                    round_id,
                    last=told[-1] if told else None,
                    null=null,
                    steps=steps,
                )
            )
        written = write_results(federation, store, folder / "out", nights)
        steps.close()
        tell(
            console,
            federation,
            store,
            told,
            null=null,
            written=written,
            directory=directory,
            as_json=as_json,
        )
        if keep:
            _stay(console, folder, server.endpoint_url)
        elif not as_json:
            console.print(
                "To look around in the drop-box, play it again and keep the store:\n"
                f"  {_COMMAND} demo --keep",
                highlight=False,
                soft_wrap=True,
            )
    return 0 if all(night.summary["outcome"] == "committed" for night in told) else 1


def _fresh(directory: Path) -> Path:
    """Return the folder of this run, empty but for its marker.

    What an earlier run left there is removed, and what is not ours is not touched. Raises
    ConfigError.
    """
    folder = directory / "demo"
    if folder.exists():
        if any(folder.iterdir()) and not (folder / _MARKER).exists():
            raise ConfigError(
                "is not empty and was not made by a demonstration",
                subject=str(folder),
                remedy="Choose another folder with --dir, or move it away",
            )
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True)
        (folder / _MARKER).touch()
    except OSError as exc:
        raise ConfigError(
            f"cannot be made: {exc.strerror}",
            subject=str(folder),
            remedy="Choose another folder with --dir",
        ) from exc
    return folder


def _prefect_home(directory: Path) -> None:
    """Put Prefect's own database into the demonstration's folder, and keep Prefect quiet.

    Settings that the user made stay. Raises ConfigError where Prefect was imported before.
    """
    home = (directory / "prefect").resolve()
    home.mkdir(parents=True, exist_ok=True)
    defaults = {
        "PREFECT_HOME": str(home),
        REHEARSAL: "1",  # its nights have dates of their own
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
    if (
        "prefect" in sys.modules
        and os.environ.get("PREFECT_HOME") != defaults["PREFECT_HOME"]
        and not os.environ.get("PREFECT_API_URL")
    ):
        raise ConfigError(
            "Prefect was imported before the demonstration could give it a folder",
            subject="demo",
            remedy="Run it as its own command: hyperfed demo",
        )
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _wake_prefect() -> None:
    """Start Prefect's own server for this process, or reach the one that PREFECT_API_URL names."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.api_healthcheck()


def _stay(console: Console, folder: Path, endpoint: str) -> None:
    """Keep the object store running until Ctrl-C."""
    command = f"{_COMMAND} --config {folder.resolve() / 'hyperfed.toml'}"
    console.print(
        f"\nThe object store stays at {endpoint} until Ctrl-C. In another terminal:\n"
        f"  {command} inspect\n  {command} report --out site/",
        highlight=False,
        soft_wrap=True,
    )
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    over.wait()
    console.print("Stopping the object store and Prefect's server")
