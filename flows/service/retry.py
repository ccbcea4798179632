"""Retry a round from a terminal, as the UI's Retry button does.

The round's newest run is scheduled again, and goes on where it failed.

1. A run is named after its round as soon as it has opened the drop-box (`rename_run`), and that
   name is believed first: then the drop-box need not be read here.
2. A run that was killed before that has another name. It is found as the flow would find its own
   round: by its parameter `round_id`, or else by the window that had ended when it was scheduled.

What it does not do: find the run of a rehearsed clock (`now`) that was killed before it had a name.
"""

import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import AwaitingRetry

from blocks import DropBox
from hyperfed.coordinator.running import round_to_run
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import ConfigError, QuorumPending
from hyperfed.registry.registry import Registry

__all__ = ["retry_round"]

_POLL_S = 1.0
_PAGE = 200
_NAMED = re.compile(r"round \d+, ")


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
    """Return the round's newest run. Raises ConfigError where there is none."""
    name = f"round {number}, "
    for run in _deployed(client, name=FlowRunFilterName(like_=name)):
        if run.name.startswith(name):
            return run
    registries: dict[str, Registry | None] = {}
    begun = FlowRunFilterExpectedStartTime.model_validate({"before_": datetime.now(UTC)})
    for run in _deployed(client, expected_start_time=begun):
        if not _NAMED.match(run.name) and _round_of(run, registries) == number:
            return run
    raise ConfigError(
        "has no run of the federation-round deployment",
        subject=f"round {number}",
        remedy=f"Start one: hyperfed round run {number}",
    )


def _deployed(client: SyncPrefectClient, **filters: Any) -> list[FlowRun]:
    """Return the deployments' runs that filters let through, newest first, without dry runs."""
    runs: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["federation-round"])),
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(is_null_=False), **filters
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=_PAGE,
        offset=len(runs),
    ):
        runs += page
    return [run for run in runs if not run.parameters.get("dry_run")]


def _round_of(run: FlowRun, registries: dict[str, Registry | None]) -> int:
    """Return the round that a run without its name is for; 0: none that can be told.

    registries: those that were read already, by the name of the drop-box's block.
    """
    wanted = run.parameters.get("round_id")
    if wanted is not None:
        return wanted if isinstance(wanted, int) else 0
    if run.expected_start_time is None or run.parameters.get("now") is not None:
        return 0
    block = run.parameters.get("drop_box", "hyperfed")
    if block not in registries:
        registries[block] = _registry(block)
    registry = registries[block]
    if registry is None:
        return 0
    # Prefect may give pendulum's datetime, whose differences do not divide by a timedelta
    return round_to_run(registry, datetime.fromtimestamp(run.expected_start_time.timestamp(), UTC))[
        0
    ]


def _registry(block: str) -> Registry | None:
    """Return the registry of a drop-box; None where its block is there no longer."""
    with suppress(ValueError):  # Prefect's answer where no block has this name
        box = DropBox.load(block)
        return DropBoxReader(box.open(), fingerprint=box.fingerprint or None).registry
    return None
