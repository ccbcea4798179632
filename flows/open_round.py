"""`open_round`: at a window's start, create the round's plan, signed; whoever is second adopts it."""

from datetime import datetime
from typing import Any

from prefect import flow, get_run_logger
from prefect.states import Completed, State

from blocks import DropBox, FederationPolicy
from flows.coordination import load_runner, open_proven, rename_run, scheduled
from hyperfed.coordinator.links import issue_links

__all__ = ["open_round"]


@flow(name="open-round", flow_run_name="open round", persist_result=False)
def open_round(
    round_id: int | None = None,
    policy_overrides: dict[str, Any] | None = None,
    drop_box: str = "hyperfed",
    coordinator_keys: str = "hyperfed",
    federation_policy: str = "hyperfed",
    now: datetime | None = None,
) -> State[dict[str, object]]:
    """Open a round: create its signed plan. Clients can submit from then on.

    Args:
        round_id: The round to open; empty: that of the window in which this run was scheduled.
        policy_overrides: Fields of the policy pack that differ in this round, such as {"vote_min": 0.25}; refused where the round is open and says otherwise.
        drop_box: Name of the Hyperfed Drop-Box block.
        coordinator_keys: Name of the Hyperfed Coordinator Keys block.
        federation_policy: Name of the Hyperfed Federation Policy block.
        now: The clock, for rehearsals; empty: the real one.
    """
    runner, policy = load_runner(drop_box, coordinator_keys, now), FederationPolicy.load(federation_policy)
    windows = runner.reader.registry.windows
    number = round_id or windows.round_at(scheduled(now, runner))
    plan = open_proven(runner, number, policy, policy_overrides)
    box = DropBox.load(drop_box)
    links = issue_links(runner.store, box.clients_by_link, round_id=number, now=runner.now, keys=runner.keys, fingerprint=None, reader=runner.reader)
    for client, reason in links.refused:
        get_run_logger().warning("flow=open-round round=%d client=%s links=none reason=%s", number, client, reason)
    get_run_logger().info("flow=open-round round=%d cohort=%d quorum=%d deadline=%s", number, len(plan.cohort), plan.quorum, plan.deadline.isoformat())
    rename_run(f"open round {number}, {windows.opens(number):%Y-%m-%d}, {len(plan.cohort)} clients")
    data: dict[str, object] = {"round": number, "cohort": len(plan.cohort), "quorum": plan.quorum, "deadline": plan.deadline.isoformat()}
    return Completed(message=f"round {number} is open for {len(plan.cohort)} clients until {plan.deadline:%Y-%m-%d %H:%M %Z}", data=data)
