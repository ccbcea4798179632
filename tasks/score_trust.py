"""Score trust: exclude clients that the base state does not trust, choose updates, and freeze.

This is step 3.
"""

from prefect import get_run_logger

from hyperfed.coordinator.runner import Stage
from hyperfed.validator.admission import Admission
from tasks.coordinator import Coordinator, runner_of
from tasks.stages import round_task, stage_key

__all__ = ["score_trust"]


@round_task("score trust", run_name="score trust, freeze round {round_id}", kept_by=stage_key)
def score_trust(coordinator: Coordinator, round_id: int, admission: Admission) -> Stage:
    """Return how many updates the freeze counts.

    Raises QuorumMissed below quorum before `close_by`; nothing is decided then.
    """
    stage = runner_of(coordinator).freeze(round_id, admission)
    get_run_logger().info(
        "stage=score-trust round=%d counted=%d refused=%d", round_id, stage.counted, stage.refused
    )
    return stage
