"""Ask the Prefect server how this federation's deployments stand, for `hyperfed check`.

Nothing on the server is changed. The address and the login are checked before
(`flows.server.check_server`).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import prefect
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import Worker
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound

from flows.service.automations import read_automations
from flows.service.pool import POOL
from hyperfed.errors import TransportError
from hyperfed.operations.health import ServerFacts
from hyperfed.operations.schedules import Schedule, schedules_of
from hyperfed.registry.registry import Registry

__all__ = ["server_facts", "server_versions"]

_MOST_LATE = 20  # late runs that are named
_AUTOMATIONS = Path(__file__).parents[2] / "deployments" / "automations.yaml"


def server_facts(registry: Registry) -> ServerFacts:
    """Return what the server says of schedules, workers and late runs.

    Raises TransportError where it does not answer.
    """
    wanted = schedules_of(genesis=registry.genesis, round_duration=registry.window_s)
    try:
        with get_client(sync_client=True) as client:
            deployed = {s.deployment: _deployed(client, s.deployment) for s in wanted}
            return ServerFacts(
                versions=(prefect.__version__, client.api_version()),
                schedules={
                    s.deployment: _wrong_with(client, deployed[s.deployment], s) for s in wanted
                },
                worker_seen=max(
                    (
                        worker.last_heartbeat_time
                        for worker in _workers(client)
                        if worker.last_heartbeat_time is not None
                    ),
                    default=None,
                ),
                late=_late(client, {d.id: n for n, d in deployed.items() if d is not None}),
                paused=_paused(client),
                automations_off=_automations_off(client),
            )
    except (httpx.HTTPError, RuntimeError) as exc:  # RuntimeError: Prefect's "Failed to reach API"
        raise TransportError(
            f"gives no answer: {exc!s:.200}",
            subject="the Prefect server",
            remedy="Start it, or correct PREFECT_API_URL; its log says more",
        ) from exc


def server_versions() -> tuple[str, str]:
    """Return the version of Prefect here and the server's, whose address was checked before."""
    with get_client(sync_client=True) as client:
        return prefect.__version__, client.api_version()


def _deployed(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(f"{name}/{name}")
    except ObjectNotFound:
        return None


def _wrong_with(
    client: SyncPrefectClient, deployment: DeploymentResponse | None, wanted: Schedule
) -> str:
    """Return what keeps a deployment from running at the windows' instants, or ""."""
    if deployment is None:
        return "is not deployed"
    if deployment.paused:
        return "is paused"
    active = [s.schedule for s in client.read_deployment_schedules(deployment.id) if s.active]
    if not active:
        return "has no active schedule"
    if len(active) > 1:
        return f"has {len(active)} active schedules"
    rule = active[0]
    interval = timedelta(seconds=wanted.interval_s)
    if isinstance(rule, IntervalSchedule) and rule.interval == interval:
        if rule.timezone not in (None, "UTC"):  # daylight saving would move its runs (ADR 0009)
            return f"is in the time zone {rule.timezone} and not in UTC"
        apart_s = (wanted.anchor - rule.anchor_date).total_seconds()
        if apart_s % wanted.interval_s == 0:
            return ""
    return "runs at other instants than the registry's windows"


def _workers(client: SyncPrefectClient) -> Sequence[Worker]:
    try:
        return client.read_workers_for_work_pool(POOL)
    except httpx.HTTPStatusError as exc:
        if exc.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return ()  # there is no pool yet


def _late(client: SyncPrefectClient, deployments: Mapping[UUID, str]) -> list[str]:
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"]))
        ),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=list(deployments))),
        limit=_MOST_LATE,
    )
    return sorted(
        f"{deployments[run.deployment_id]} of {run.expected_start_time:%Y-%m-%d %H:%M} UTC"
        for run in runs
        if run.deployment_id is not None
    )


def _paused(client: SyncPrefectClient) -> dict[str, str]:
    """Return what is paused and holds every run back, and the command that resumes it."""
    try:
        pool = client.read_work_pool(POOL)
    except ObjectNotFound:
        return {}  # there is no pool yet
    queues = client.read_work_queues(work_pool_name=POOL)
    paused = {f"the work pool {POOL}": f"prefect work-pool resume {POOL}"} if pool.is_paused else {}
    return paused | {
        f"the queue {queue.name} of {POOL}": f"prefect work-queue resume {queue.name} --pool {POOL}"
        for queue in queues
        if queue.is_paused
    }


def _automations_off(client: SyncPrefectClient) -> list[str]:
    """Return the automations that end what a dead machine left, and that are missing or off."""
    names = [a["name"] for a in read_automations(_AUTOMATIONS) if "notify" not in a]
    return [n for n in names if not any(a.enabled for a in client.read_automations_by_name(n))]
