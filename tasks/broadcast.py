"""Broadcast a round's end: state, commit or void, receipts (steps 6 and 7)."""

from prefect import get_run_logger

from hyperfed.coordinator.runner import Stage
from tasks.coordinator import Coordinator, runner_of
from tasks.stages import round_task

__all__ = ["broadcast"]


@round_task("broadcast", run_name="broadcast round {round_id}")
def broadcast(coordinator: Coordinator, round_id: int) -> Stage:
    """Return how the round ended."""
    stage = runner_of(coordinator).conclude(round_id)
    get_run_logger().info(
        "stage=broadcast round=%d ended=%s result=%s", round_id, stage.why, stage.result.hex()[:16]
    )
    return stage
