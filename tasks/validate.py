"""Validate: read and verify what was collected, and copy what is admitted to `accepted/` (step 2)."""

from prefect import get_run_logger, task
from prefect.tasks import exponential_backoff

from hyperfed.coordinator.runner import Arrivals, RoundRunner
from hyperfed.validator import Admission
from tasks.faults import is_transient
from tasks.stages import StageSerializer, arrivals_key

__all__ = ["validate"]


@task(
    name="validate",
    task_run_name="validate {arrivals.round}",
    persist_result=True,
    result_serializer=StageSerializer(),
    cache_key_fn=arrivals_key,
    retries=3,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_transient,
)
def validate(runner: RoundRunner, arrivals: Arrivals) -> Admission:
    """Who is admitted, and who is refused with which reason."""
    admission = runner.validate(arrivals)
    get_run_logger().info("stage=validate round=%d admitted=%d refused=%d", arrivals.round, len(admission.admitted), len(admission.refused))
    return admission
