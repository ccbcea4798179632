"""Retry a round from a terminal, as the UI's Retry button does.

The round's newest run is scheduled again, and goes on where it failed.
"""

import time
from typing import Any

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import AwaitingRetry

from hyperfed.errors import ConfigError, QuorumPending

__all__ = ["retry_round"]

_POLL_S = 1.0


def retry_round(number: int, *, wait_s: float = 0.0) -> dict[str, Any]:
    """Retry the newest run of round `number`, and wait up to `wait_s` seconds for its end.

    Returns the run's state, and whether that is good. Raises ConfigError where there is no such run
    or it has not ended, and QuorumPending where it does not end in that time.
    """
    with get_client(sync_client=True) as client:
        run = _newest(client, number)
        if run.state is None or not run.state.is_final():
            state = run.state.name if run.state else "unknown"
            raise ConfigError(
                f"its run {run.name!r} is {state}",
                subject=f"round {number}",
                remedy="Only a run that has ended is retried; look at it in the UI",
            )
        client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
        over = time.monotonic() + wait_s
        while wait_s:
            now = client.read_flow_run(run.id)
            if now.state is not None and now.state.is_final():
                return {
                    "round": number,
                    "run": str(run.id),
                    "name": now.name,
                    "state": now.state.name,
                    "message": now.state.message,
                    "good": now.state.is_completed(),
                }
            if time.monotonic() > over:
                raise QuorumPending(
                    f"its run has not ended after {wait_s:g} s",
                    subject=f"round {number}",
                    remedy="Check that a worker runs, with `prefect worker ls`",
                )
            time.sleep(_POLL_S)
    return {
        "round": number,
        "run": str(run.id),
        "name": run.name,
        "state": "AwaitingRetry",
        "message": "a worker takes it up",
        "good": True,
    }


def _newest(client: SyncPrefectClient, number: int) -> FlowRun:
    runs = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["federation-round"])),
        flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_=f"round {number}, ")),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
    )
    deployed = [
        run
        for run in runs
        if run.deployment_id is not None
        and run.name.startswith(f"round {number}, ")
        and "dry run" not in run.name
    ]
    if not deployed:
        raise ConfigError(
            "has no run of the federation-round deployment",
            subject=f"round {number}",
            remedy=f"Start one: hyperfed round run {number}",
        )
    return deployed[0]
