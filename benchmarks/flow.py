"""What Prefect adds to a night: the same inbox run by `RoundRunner` alone and by the flow
`federation_round`, on a warm server of this machine.

    .venv/bin/python benchmarks/flow.py [--clients 1000] [--edges 1000] [--json FILE]

1. The drop-box is a folder, copied once: both nights read the same bytes. It needs Prefect, and so
   the project's own environment.
2. Warm: the server is there, and the round was opened by a flow in the same process before. The
   heartbeat thread is off, as in the tests.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hyperfed.config import no_telemetry

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.update(no_telemetry(os.environ), HYPERFED_REHEARSAL="1")

from night import make_federation
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from blocks import CoordinatorKeys, DropBox, FederationPolicy
from flows.federation_round import federation_round
from hyperfed.storage.filesystem import FilesystemStore


def measure(clients: int, edges: int) -> dict[str, float]:
    """Seconds of the night without Prefect and with it."""
    with tempfile.TemporaryDirectory() as work:
        first, second = Path(work) / "a", Path(work) / "b"
        first.mkdir()
        federation = make_federation(FilesystemStore(first), clients, edges)
        shutil.copytree(first, second)
        federation.coordinator.save(Path(work) / "key")
        with (
            prefect_test_harness(server_startup_timeout=120),
            temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        ):
            os.environ["HYPERFED_STATE"] = str(Path(work) / "state")
            DropBox(url=f"file://{second}", fingerprint=federation.fingerprint).save("bench")
            CoordinatorKeys(key_file=str(Path(work) / "key")).save("bench")
            FederationPolicy(
                variables=list(federation.vocabulary.names), aggregation_delay_s=0, poll_s=0.01
            ).save("bench")
            names = {"drop_box": "bench", "coordinator_keys": "bench", "federation_policy": "bench"}
            rehearsed = federation_round(
                now=federation.night(1), round_id=1, dry_run=True, return_state=True, **names
            )
            assert rehearsed.is_completed(), rehearsed.message
            began = time.perf_counter()
            federation.runner(1).run(1)
            alone = time.perf_counter() - began
            began = time.perf_counter()
            state: Any = federation_round(
                now=federation.night(1), round_id=1, return_state=True, **names
            )
            flow = time.perf_counter() - began
            assert state.is_completed(), state.message
            assert state.result()["counted"] == clients
    return {
        "clients": clients,
        "edges": edges,
        "runner_seconds": alone,
        "flow_seconds": flow,
        "extra_seconds": flow - alone,
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--edges", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    result = measure(given.clients, given.edges)
    print(result)
    if given.json:
        given.json.write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
