"""Shuffle a shard: read and verify some of what is frozen, and cut its rows by key range.

The rows are left, sealed, in scratch.
"""

from prefect import get_run_logger

from tasks.coordinator import Coordinator, shuffle_of
from tasks.stages import round_task

__all__ = ["shuffle_shard"]


@round_task("shuffle shard", run_name="shuffle {round_id}, shard {shard}")
def shuffle_shard(coordinator: Coordinator, round_id: int, shard: int) -> int:
    """Return how many rows the shard has. The rows stay in the object store."""
    rows = shuffle_of(coordinator, round_id).spread(shard)
    get_run_logger().info("stage=shuffle round=%d shard=%d rows=%d", round_id, shard, rows)
    return rows
