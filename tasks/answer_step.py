"""Answer one step of a merge for some key ranges.

The answer is worked out where a worker is, and left, sealed, in scratch.
"""

from prefect import get_run_logger

from hyperfed.coordinator.remote.remote import answer
from tasks.coordinator import Coordinator, shuffle_of
from tasks.stages import round_task

__all__ = ["answer_step"]


@round_task("answer step", run_name="merge {round_id}, step {address}, portion {portion}")
def answer_step(coordinator: Coordinator, round_id: int, address: str, portion: int) -> int:
    """Return how many ranges had rows. None of their values passes through here."""
    ranges = answer(shuffle_of(coordinator, round_id), address, portion)
    get_run_logger().debug(
        "stage=merge round=%d step=%s portion=%d ranges=%d", round_id, address, portion, ranges
    )
    return ranges
