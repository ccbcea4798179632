"""Bring the schedules of deployments up to date in place.

`hyperfed service install` and `hyperfed schedule --apply` ask for this.

1. When a schedule is deleted, Prefect deletes its deployment's runs that wait to begin, late runs
   too: a merge that is overdue would be lost, and its round void. A schedule is therefore changed
   in place, which deletes only runs of the future. Where it says what is wanted already, nothing is
   done.
2. The server's scheduler makes the deleted runs again, some seconds later. Those that were due in
   between are asked for here. A run's idempotency key holds its schedule and its instant, so that
   none is made twice.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound

from hyperfed.operations.schedules import Schedule

__all__ = ["apply_schedules"]

_SLUG = "windows"
_AHEAD_S = 3600.0  # as far as the server's own scheduler looks


def apply_schedules(
    wanted: Sequence[Schedule], *, since: datetime | None = None
) -> dict[str, bool]:
    """Return for each deployment whether it was there and has its schedule now.

    Its other schedules are off. `since` is when the change began that this call ends, by default
    now: no run that was due since then is missing.
    """
    done, began = {}, since or datetime.now(UTC)
    with get_client(sync_client=True) as client:
        for schedule in wanted:
            try:
                deployment = client.read_deployment_by_name(
                    f"{schedule.deployment}/{schedule.deployment}"
                )
            except ObjectNotFound:
                done[schedule.deployment] = False
                continue
            _apply(client, deployment.id, schedule)
            span = {
                "start_time": began.isoformat(),
                "min_time": (datetime.now(UTC) - began).total_seconds() + _AHEAD_S,
            }
            client.request(
                "POST", "/deployments/{id}/schedule", path_params={"id": deployment.id}, json=span
            )
            done[schedule.deployment] = True
    return done


def _apply(client: SyncPrefectClient, deployment: UUID, wanted: Schedule) -> None:
    """Make the schedule, or change what differs in the one that is there.

    The deployment's other schedules are switched off.
    """
    known = client.read_deployment_schedules(deployment)
    rule = IntervalSchedule(
        interval=timedelta(seconds=wanted.interval_s), anchor_date=wanted.anchor, timezone="UTC"
    )
    ours = next((k for k in known if k.slug == _SLUG), known[0] if known else None)
    if ours is None:
        made = DeploymentScheduleCreate(
            schedule=rule, active=True, parameters=wanted.parameters, slug=_SLUG
        )
        client.create_deployment_schedules(deployment, [made])
    elif not _says(ours, rule, wanted):
        client.update_deployment_schedule(
            deployment,
            ours.id,
            active=True,
            schedule=rule,
            parameters=wanted.parameters,
            slug=_SLUG,
        )
    for other in known:
        if other is not ours and other.active:
            client.update_deployment_schedule(deployment, other.id, active=False)


def _says(known: DeploymentSchedule, rule: IntervalSchedule, wanted: Schedule) -> bool:
    """Return whether a schedule is on and says what is wanted."""
    there = known.schedule
    return (
        isinstance(there, IntervalSchedule)
        and (there.interval, there.anchor_date, there.timezone)
        == (rule.interval, rule.anchor_date, rule.timezone)
        and (known.active, known.parameters, known.slug) == (True, wanted.parameters, _SLUG)
    )
