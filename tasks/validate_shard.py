"""Validate a shard: what `validate` does, for some of the clients, on whatever machine the task runner has (step 2)."""

from datetime import datetime

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from hyperfed.coordinator.inbox import Arrivals, Judged
from tasks.coordinator import runner_of
from tasks.faults import is_transient

__all__ = ["validate_shard"]


@task(
    name="validate shard",
    task_run_name="validate {arrivals.round}, shard {shard}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_transient,
)
def validate_shard(drop_box: str, coordinator_keys: str, now: datetime, arrivals: Arrivals, shard: int) -> Judged:
    """Who of the shard is admitted, and who is refused with which reason; content stays in the object store."""
    judged = runner_of(drop_box, coordinator_keys, now).validate(arrivals, keep=False)
    get_run_logger().info("stage=validate round=%d shard=%d admitted=%d refused=%d", arrivals.round, shard, len(judged.admitted), len(judged.refused))
    return judged
