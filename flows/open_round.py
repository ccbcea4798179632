"""`open_round`: at a window's start, create the round's plan, signed; whoever is second adopts it."""

from datetime import UTC, datetime

from prefect import flow, get_run_logger, runtime
from prefect.states import Completed, State

from blocks import CoordinatorKeys, DropBox, FederationPolicy
from hyperfed.coordinator.runner import RoundRunner

__all__ = ["open_round"]


@flow(name="open-round", flow_run_name="open round", persist_result=False)
def open_round(
    round_id: int | None = None,
    drop_box: str = "hyperfed",
    coordinator_keys: str = "hyperfed",
    federation_policy: str = "hyperfed",
    now: datetime | None = None,
) -> State[dict[str, object]]:
    """Open a round.

    Args:
        round_id: The round to open; empty: that of the window in which this run was scheduled.
        drop_box: Name of the Hyperfed Drop-Box block.
        coordinator_keys: Name of the Hyperfed Coordinator Keys block.
        federation_policy: Name of the Hyperfed Federation Policy block.
        now: The clock, for rehearsals; empty: the real one.
    """
    scheduled: datetime | None = runtime.flow_run.scheduled_start_time
    clock = now or datetime.now(UTC)
    box, policy = DropBox.load(drop_box), FederationPolicy.load(federation_policy)
    runner = RoundRunner(box.open(), keys=CoordinatorKeys.load(coordinator_keys).load_keys(), now=clock, fingerprint=box.fingerprint or None)
    number = round_id or runner.reader.registry.windows.round_at(now or scheduled or clock)
    plan = runner.open_round(number, policy=policy.pack(), vocabulary=policy.vocabulary(), quorum=policy.quorum).value
    get_run_logger().info("flow=open-round round=%d cohort=%d quorum=%d deadline=%s", number, len(plan.cohort), plan.quorum, plan.deadline.isoformat())
    data: dict[str, object] = {"round": number, "cohort": len(plan.cohort), "quorum": plan.quorum, "deadline": plan.deadline.isoformat()}
    return Completed(message=f"round {number} is open for {len(plan.cohort)} clients until {plan.deadline:%Y-%m-%d %H:%M %Z}", data=data)
