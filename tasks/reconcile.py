"""Reconcile: compute from the frozen set and create the result, in one step that is never cached (step 5)."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from hyperfed.coordinator.runner import RoundRunner, Stage
from tasks.faults import is_transient

__all__ = ["reconcile"]


@task(
    name="reconcile",
    task_run_name="reconcile round {round_id}",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_transient,
)
def reconcile(runner: RoundRunner, round_id: int) -> Stage:
    """How far the round has come once its result is there; no value of it passes through here."""
    stage = runner.release(round_id)
    get_run_logger().info("stage=reconcile round=%d counted=%d", round_id, stage.counted)
    return stage
