"""Broadcast: state, commit or void, receipts (steps 6 and 7)."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from hyperfed.coordinator.runner import RoundRunner, Stage
from tasks.faults import is_transient

__all__ = ["broadcast"]


@task(
    name="broadcast",
    task_run_name="broadcast round {round_id}",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_transient,
)
def broadcast(runner: RoundRunner, round_id: int) -> Stage:
    """How the round ended."""
    stage = runner.conclude(round_id)
    get_run_logger().info("stage=broadcast round=%d ended=%s result=%s", round_id, stage.why, stage.result.hex()[:16])
    return stage
