"""Check the privacy budget: reserve in the ledger what the round will spend, or end it (step 4)."""

from prefect import get_run_logger, task
from prefect.tasks import exponential_backoff

from hyperfed.coordinator.runner import RoundRunner, Stage
from tasks.faults import is_transient
from tasks.stages import StageSerializer, stage_key

__all__ = ["check_privacy_budget"]


@task(
    name="check privacy budget",
    task_run_name="reserve budget of round {round_id}",
    persist_result=True,
    result_serializer=StageSerializer(),
    cache_key_fn=stage_key,
    retries=3,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_transient,
)
def check_privacy_budget(runner: RoundRunner, round_id: int) -> Stage:
    """How far the round has come once its reserve lies in the ledger."""
    stage = runner.reserve(round_id)
    get_run_logger().info("stage=check-privacy-budget round=%d ended=%s", round_id, stage.why)
    return stage
