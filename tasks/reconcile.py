"""Compute the result from the frozen set and create it, in one step that is never cached.

This is step 5.
"""

from collections.abc import Sequence

from prefect import get_run_logger

from hyperfed.coordinator.remote.remote import answer, merging
from hyperfed.coordinator.runner import Stage
from tasks.coordinator import Coordinator, runner_of, shuffle_of
from tasks.stages import round_task
from tasks.workers import shared_out

__all__ = ["reconcile"]


@round_task("reconcile", run_name="reconcile round {round_id}")
def reconcile(coordinator: Coordinator, round_id: int, shards: int = 1) -> Stage:
    """Return how far the round has come once its result is there.

    No value of the result passes through here. With `shards` above 1 workers answer the steps of
    the merge, on the rows that `shuffle` has left (docs/scale.md).
    """
    runner = runner_of(coordinator)

    def ask(address: str, portions: Sequence[int]) -> None:
        parts = [(coordinator, round_id, address, portion) for portion in portions]
        ranges = shared_out(_answer, parts, kept=True)
        get_run_logger().debug(
            "stage=merge round=%d step=%s portions=%d ranges=%d",
            *(round_id, address, len(portions), sum(ranges)),
        )

    if shards > 1 and runner.merge.is_due_elsewhere(runner.plan(round_id).value):
        runner.merge.merges_elsewhere = merging(ask)
    stage = runner.release(round_id)
    get_run_logger().info("stage=reconcile round=%d counted=%d", round_id, stage.counted)
    return stage


def _answer(coordinator: Coordinator, round_id: int, address: str, portion: int) -> int:
    """Answer a step of the merge for a portion's key ranges, in a worker.

    The answer is left, sealed, in scratch. Returns how many ranges had rows.
    """
    return answer(shuffle_of(coordinator, round_id), address, portion)
