"""Shuffle a shard: read and verify some of what is frozen, cut its rows by key range and leave them, sealed, in scratch (step 5, across machines)."""

from datetime import datetime

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from tasks.coordinator import shuffle_of
from tasks.faults import is_transient

__all__ = ["shuffle_shard"]


@task(
    name="shuffle shard",
    task_run_name="shuffle {round_id}, shard {shard}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_transient,
)
def shuffle_shard(drop_box: str, coordinator_keys: str, now: datetime, round_id: int, shard: int) -> int:
    """How many rows the shard has; they stay in the object store."""
    rows = shuffle_of(drop_box, coordinator_keys, now, round_id).spread(shard)
    get_run_logger().info("stage=shuffle round=%d shard=%d rows=%d", round_id, shard, rows)
    return rows
