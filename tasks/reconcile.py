"""Compute the result from the frozen set and create it, in one step that is never cached.

This is step 5.
"""

from collections.abc import Sequence

from prefect import get_run_logger

from hyperfed.coordinator.remote.remote import merging
from hyperfed.coordinator.runner import Stage
from tasks.answer_step import answer_step
from tasks.coordinator import Coordinator, runner_of
from tasks.placing import same_place
from tasks.stages import round_task

__all__ = ["reconcile"]


@round_task("reconcile", run_name="reconcile round {round_id}")
def reconcile(coordinator: Coordinator, round_id: int, shards: int = 1) -> Stage:
    """Return how far the round has come once its result is there.

    No value of the result passes through here. With `shards` above 1 tasks answer the steps of the
    merge, on the rows that `shuffle_shard` has left (docs/scale.md).
    """
    runner = runner_of(coordinator)

    def ask(address: str, portions: Sequence[int]) -> None:
        futures = []
        for portion in portions:
            with same_place(portion):
                futures.append(answer_step.submit(coordinator, round_id, address, portion))
        for future in futures:
            future.result()  # raises the first failure, which is then this task's

    if shards > 1 and runner.merge.is_due_elsewhere(runner.plan(round_id).value):
        runner.merge.merges_elsewhere = merging(ask)
    stage = runner.release(round_id)
    get_run_logger().info("stage=reconcile round=%d counted=%d", round_id, stage.counted)
    return stage
