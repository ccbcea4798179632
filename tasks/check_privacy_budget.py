"""Check the privacy budget: reserve in the ledger what the round will spend, or end it (step 4)."""

from prefect import get_run_logger

from hyperfed.coordinator.runner import Stage
from tasks.coordinator import Coordinator, runner_of
from tasks.stages import round_task, stage_key

__all__ = ["check_privacy_budget"]


@round_task(
    "check privacy budget", run_name="reserve budget of round {round_id}", kept_by=stage_key
)
def check_privacy_budget(coordinator: Coordinator, round_id: int) -> Stage:
    """Return how far the round has come once its reserve lies in the ledger."""
    stage = runner_of(coordinator).reserve(round_id)
    get_run_logger().info("stage=check-privacy-budget round=%d ended=%s", round_id, stage.why)
    return stage
