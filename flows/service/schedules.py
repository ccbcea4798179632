"""Schedules of deployments, replaced as a whole: what `hyperfed schedule --apply` asks for."""

from collections.abc import Sequence
from datetime import timedelta

from prefect import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound

from hyperfed.scheduling import Schedule

__all__ = ["apply_schedules"]


def apply_schedules(wanted: Sequence[Schedule]) -> dict[str, bool]:
    """Deployment -> whether it was there and has its schedule now; each keeps no other schedule."""
    done = {}
    with get_client(sync_client=True) as client:
        for schedule in wanted:
            try:
                deployment = client.read_deployment_by_name(f"{schedule.deployment}/{schedule.deployment}")
            except ObjectNotFound:
                done[schedule.deployment] = False
                continue
            for known in client.read_deployment_schedules(deployment.id):
                client.delete_deployment_schedule(deployment.id, known.id)
            made = DeploymentScheduleCreate(
                schedule=IntervalSchedule(interval=timedelta(seconds=schedule.interval_s), anchor_date=schedule.anchor, timezone="UTC"),
                active=True,
                parameters=schedule.parameters,
                slug="windows",
            )
            client.create_deployment_schedules(deployment.id, [made])
            done[schedule.deployment] = True
    return done
