"""Make the work pool, whose job template leaves a run nothing to say about its process.

Prefect's own template for processes takes command, environment and working directory from whoever
creates a run. This one has no variables: they are ignored where a run brings them.
"""

from contextlib import suppress
from typing import Any

from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists

from hyperfed.config import no_telemetry

__all__ = ["HEARTBEATS", "POOL", "job_template", "make_pool"]

POOL = "hyperfed"
"""Name of the work pool."""
HEARTBEATS = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
"""The environment by which a run's process says every 30 s that it is there."""
_DESCRIPTION = "Hyperfed's flows, as processes on the coordinator's machine"


def job_template() -> dict[str, Any]:
    """Return the template: every run is Prefect's engine in the worker's Python.

    A server refuses a run that brings a variable, since there is none.
    """
    return {
        "job_configuration": {
            "command": None,
            # a run imports Prefect before it imports a flow
            "env": {**no_telemetry({}), **HEARTBEATS},
            "working_dir": None,
            "stream_output": True,
        },
        "variables": {"type": "object", "properties": {}, "additionalProperties": False},
    }


def make_pool(name: str = POOL) -> None:
    """Make a pool, or give the one that is there this template."""
    template = job_template()
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(
                WorkPoolCreate(
                    name=name,
                    type="process",
                    description=_DESCRIPTION,
                    base_job_template=template,
                )
            )
            return
        client.request(
            "PATCH",
            "/work_pools/{name}",
            path_params={"name": name},
            json=WorkPoolUpdate(base_job_template=template).model_dump(
                mode="json", exclude_unset=True
            ),
        )
