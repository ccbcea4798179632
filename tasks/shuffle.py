"""Shuffle a round's rows: cut what is frozen by key range, where it is merged on other machines.

The rows are left, sealed, in scratch.
"""

from prefect import get_run_logger

from tasks.coordinator import Coordinator, runner_of, shuffle_of
from tasks.stages import round_task
from tasks.workers import shared_out

__all__ = ["shuffle"]


@round_task("shuffle", run_name="shuffle {round_id}")
def shuffle(coordinator: Coordinator, round_id: int, shards: int) -> int:
    """Return how many rows were cut, 0 where the merge needs none. They stay in the store."""
    merge = runner_of(coordinator).merge
    if not merge.is_due_elsewhere(runner_of(coordinator).plan(round_id).value):
        return 0
    layout = merge.shuffle(round_id).layout(shards)
    parts = [(coordinator, round_id, shard) for shard in range(len(layout.shards) - 1)]
    counts = shared_out(_spread, parts)
    for shard, rows in enumerate(counts):
        get_run_logger().info("stage=shuffle round=%d shard=%d rows=%d", round_id, shard, rows)
    return sum(counts)


def _spread(coordinator: Coordinator, round_id: int, shard: int) -> int:
    """Cut one shard's rows, in a worker."""
    return shuffle_of(coordinator, round_id).spread(shard)
