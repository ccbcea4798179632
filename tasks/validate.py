"""Validate a round: read and verify what was collected, and copy what is admitted (step 2).

The copies are in `accepted/`.
"""

from prefect import get_run_logger

from hyperfed.coordinator.admission_stage import combined, shards_of
from hyperfed.coordinator.runner import Arrivals, Judged
from tasks.coordinator import Coordinator, new_runner, runner_of
from tasks.stages import arrivals_key, round_task
from tasks.workers import shared_out

__all__ = ["validate"]


@round_task("validate", run_name="validate {arrivals.round}", kept_by=arrivals_key)
def validate(coordinator: Coordinator, arrivals: Arrivals, shards: int = 1) -> Judged:
    """Return who is admitted, and who is refused for which reason.

    With `shards` above 1 clients are judged in so many parts, wherever the task runner has
    workers. The updates' content stays in the object store.
    """
    if shards == 1 or arrivals.decided:
        judged = runner_of(coordinator).validate(arrivals)
        _say(judged, arrivals.round, "")
        return judged
    parts = shared_out(_judge, [(coordinator, part) for part in shards_of(arrivals, shards)])
    for shard, part in enumerate(parts):
        _say(part, arrivals.round, f" shard={shard}")
    return combined(parts)


def _judge(coordinator: Coordinator, arrivals: Arrivals) -> Judged:
    """Judge one shard's clients, in a worker."""
    return new_runner(coordinator).validate(arrivals, keep=False)


def _say(judged: Judged, round_id: int, shard: str) -> None:
    get_run_logger().info(
        "stage=validate round=%d%s admitted=%d refused=%d",
        round_id,
        shard,
        len(judged.admitted),
        len(judged.refused),
    )
