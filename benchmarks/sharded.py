"""A night in shards as the flow runs it: CPU seconds of this process and all that it has started,
beside the same night in one process, and whether all decide the same.

    .venv/bin/python benchmarks/sharded.py [--clients 500] [--edges 10000] [--shards 4] \\
        [--runners threads,dask,ray] [--json FILE]

1. The drop-box is a folder, copied once a night: all nights read the same bytes. The flow reads the
   real machine's clock nowhere (HYPERFED_REHEARSAL).
2. CPU seconds are those of this process and its descendants: what starts a cluster and what it does
   in the background are in them, and so is Prefect's server.
3. A cluster of Dask or Ray is started before, as docs/scale.md says, and has two workers; a night
   is run on it twice.
   What starting it costs is told apart, and so is what cluster and server take a second without
   work: a night on a busy machine takes long, and pays for it. "dask:2" and "ray:" name clusters
   that the night itself starts and ends.
4. The results are compared byte for byte with the same shards on threads.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from hyperfed.config import no_telemetry

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.update(no_telemetry(os.environ), HYPERFED_REHEARSAL="1")

from measure import machine
from night import make_federation
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from blocks import CoordinatorKeys, DropBox, FederationPolicy
from flows.federation_round import federation_round
from flows.task_runners import task_runner
from hyperfed.storage.filesystem import FilesystemStore

# what docs/scale.md has workers of a standing cluster started with
MEMORY = {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432"}
_IDLE_S = 10.0  # how long it is looked at what a cluster and Prefect's server cost without work
_TICKS = os.sysconf("SC_CLK_TCK")


def _seconds(fields: list[str], first: int, last: int) -> float:
    return sum(map(int, fields[first:last])) / _TICKS


def _family() -> dict[int, float]:
    """CPU seconds of this process and its descendants, each with what it has waited for."""
    parents, seconds = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(fields[1])
                seconds[int(folder.name)] = _seconds(fields, 11, 15)
    family = {os.getpid()}
    while grown := {p for p, parent in parents.items() if parent in family} - family:
        family |= grown
    return {process: seconds[process] for process in family}


def cpu_of(run: Callable[[], None]) -> dict[str, float]:
    """The CPU seconds of a call: of this process, and of all others that it has started."""
    before, began = _family(), time.process_time()
    run()
    own, after = time.process_time() - began, _family()
    both = sum(seconds - before.get(process, 0.0) for process, seconds in after.items())
    return {"own_seconds": own, "cpu_seconds": both}


@contextmanager
def standing(runner: str) -> Iterator[str]:
    """Yield what names a runner whose cluster stands while the context lasts.

    The first night on it has its workers import everything; the second finds them ready. "dask:2"
    and "ray:" are clusters that each night starts and ends itself.
    """
    if runner == "dask":
        from distributed import LocalCluster

        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
        os.environ |= MEMORY
        with LocalCluster(**options) as cluster:  # type: ignore[no-untyped-call]
            yield f"dask:{cluster.scheduler_address}"
    elif runner == "ray":
        import ray

        ray.init(include_dashboard=False, num_cpus=2)
        try:
            yield runner
        finally:
            ray.shutdown()
    else:
        yield runner


def measure(clients: int, edges: int, shards: int, runners: list[str]) -> list[dict[str, Any]]:
    """What each night cost: first in one process without Prefect, then by the flow."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as work:
        first = Path(work) / "a"
        first.mkdir()
        federation = make_federation(FilesystemStore(first), clients, edges)
        federation.coordinator.save(Path(work) / "key")
        box = Path(work) / "b"

        def night(name: str, run: Callable[[], Any]) -> None:
            shutil.rmtree(box, ignore_errors=True)
            shutil.copytree(first, box)
            began = time.perf_counter()
            cpu = cpu_of(run)
            result = (box / "rounds" / "00000001" / "result").read_bytes()
            row = {"night": name, "seconds": time.perf_counter() - began}
            rows.append(row | cpu | {"result": hashlib.sha256(result).hexdigest()})
            print(
                f"{name:<26} {cpu['cpu_seconds']:7.1f} s CPU, {cpu['own_seconds']:7.1f} s of them "
                f"its own, in {row['seconds']:7.1f} s",
                flush=True,
            )

        with (
            prefect_test_harness(server_startup_timeout=120),
            temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        ):
            os.environ["HYPERFED_STATE"] = str(Path(work) / "state")
            DropBox(url=f"file://{box}", fingerprint=federation.fingerprint).save("bench")
            CoordinatorKeys(key_file=str(Path(work) / "key")).save("bench")
            FederationPolicy(
                variables=list(federation.vocabulary.names), aggregation_delay_s=0, poll_s=0.01
            ).save("bench")
            names = {"drop_box": "bench", "coordinator_keys": "bench", "federation_policy": "bench"}

            def flow(runner: str | None, shards: int) -> None:
                shutil.rmtree(Path(work) / "state", ignore_errors=True)
                round_flow = federation_round.with_options(task_runner=task_runner(runner))
                state: Any = round_flow(
                    now=federation.night(1), round_id=1, shards=shards, return_state=True, **names
                )
                assert state.is_completed(), state.message
                assert state.result()["counted"] == clients

            def alone() -> None:
                federation.store = FilesystemStore(box)
                federation.runner(1).run(1)

            night("without Prefect", alone)
            night("in one piece", lambda: flow("threads", 1))
            for runner in runners:
                began = sum(_family().values())
                with standing(runner) as there:
                    started = sum(_family().values()) - began
                    began = sum(_family().values())
                    time.sleep(_IDLE_S)
                    idle = (sum(_family().values()) - began) / _IDLE_S
                    rows.append({"standing": runner, "start_seconds": started, "idle": idle})
                    print(
                        f"{runner:<26} {started:7.1f} s CPU to start, {idle:.3f} a second for "
                        "nothing",
                        flush=True,
                    )
                    for time_ in ("first", "again")[runner not in ("dask", "ray") :]:
                        name = f"{shards} shards on {runner}, {time_}"
                        night(name, partial(flow, there, shards))
            results = {row["result"] for row in rows[2:] if "result" in row}
            assert len(results) <= 1, "results differ"
    return rows


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--edges", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--runners", default="threads,dask,ray")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    rows = measure(given.clients, given.edges, given.shards, given.runners.split(","))
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "result": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
