"""Add to an installed federation what `hyperfed dev up` needs.

This is a deployment for each of the two clients, and the first runs. This module runs as its own
process, so that Prefect's settings come from the environment:

    python -m flows.service.development FOLDER
"""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.deployments import run_deployment

from flows.service.install import Wanted, install
from hyperfed.dev.founding import BUCKET, CLIENTS

__all__ = ["prepare"]


def prepare(folder: Path) -> None:
    """Install the federation in `folder`.

    On its first start also run round 1, whose window has ended, and open round 2.
    """
    said = json.loads((folder / "founded.json").read_text())
    genesis, window_s = datetime.fromisoformat(said["genesis"]), int(said["window_s"])
    install(
        Wanted(
            checkout=Path(said["checkout"]),
            url=f"s3://{BUCKET}",
            endpoint=said["endpoint"],
            access_key_file=folder / "keys" / "access-key.toml",
            key_file=folder / "keys" / "coordinator.key",
            fingerprint=said["fingerprint"],
            poll_s=5.0,
        )
    )
    with get_client(sync_client=True) as client:
        for client_id in CLIENTS:
            _deploy_client(client, folder, client_id, genesis=genesis, window_s=window_s)
    if said["new"]:
        for name in ("federation-round/federation-round", "open-round/open-round"):
            run_deployment(name, timeout=0, as_subflow=False)


def _deploy_client(
    client: SyncPrefectClient, folder: Path, client_id: str, *, genesis: datetime, window_s: int
) -> None:
    """Make a client's own deployment beside the template in prefect.yaml.

    It runs halfway into each window.
    """
    template = client.read_deployment_by_name("client-night/client-night")
    own = folder / client_id
    schedule = IntervalSchedule(
        interval=timedelta(seconds=window_s),
        anchor_date=genesis + timedelta(seconds=window_s / 2),
        timezone="UTC",
    )
    client.create_deployment(
        flow_id=template.flow_id,
        name=client_id,
        entrypoint=template.entrypoint,
        pull_steps=template.pull_steps,
        work_pool_name=template.work_pool_name,
        work_queue_name=template.work_queue_name,
        parameters={
            "config": str(own / "hyperfed.toml"),
            "data": str(own / "series.csv"),
            "model_folder": str(own / "model"),
        },
        parameter_openapi_schema=template.parameter_openapi_schema,
        description=f"The demonstration's client {client_id}: pull, discover, submit",
        tags=["hyperfed", "demo-client"],
        schedules=[DeploymentScheduleCreate(schedule=schedule, active=True, slug="windows")],
    )


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
