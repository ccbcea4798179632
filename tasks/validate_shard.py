"""Validate a shard: do for some of the clients what `validate` does for all (step 2).

The task runs wherever the task runner has a worker.
"""

from prefect import get_run_logger

from hyperfed.dropbox.inbox import Arrivals, Judged
from tasks.coordinator import Coordinator, new_runner
from tasks.stages import round_task

__all__ = ["validate_shard"]


@round_task("validate shard", run_name="validate {arrivals.round}, shard {shard}")
def validate_shard(coordinator: Coordinator, arrivals: Arrivals, shard: int) -> Judged:
    """Return who of the shard is admitted, and who is refused for which reason.

    The updates' content stays in the object store.
    """
    judged = new_runner(coordinator).validate(arrivals, keep=False)
    get_run_logger().info(
        "stage=validate round=%d shard=%d admitted=%d refused=%d",
        arrivals.round,
        shard,
        len(judged.admitted),
        len(judged.refused),
    )
    return judged
