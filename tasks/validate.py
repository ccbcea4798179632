"""Validate a round: read and verify what was collected, and copy what is admitted (step 2).

The copies are in `accepted/`.
"""

from prefect import get_run_logger

from hyperfed.coordinator.runner import Arrivals, Judged
from tasks.coordinator import Coordinator, runner_of
from tasks.stages import arrivals_key, round_task

__all__ = ["validate"]


@round_task("validate", run_name="validate {arrivals.round}", kept_by=arrivals_key)
def validate(coordinator: Coordinator, arrivals: Arrivals) -> Judged:
    """Return who is admitted, and who is refused for which reason."""
    judged = runner_of(coordinator).validate(arrivals)
    get_run_logger().info(
        "stage=validate round=%d admitted=%d refused=%d",
        arrivals.round,
        len(judged.admitted),
        len(judged.refused),
    )
    return judged
