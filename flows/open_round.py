"""Open a round: create its signed plan at the window's start.

Whoever comes second adopts the plan that is there. A run that comes so late that a later round has
ended has nothing to do: it ends well, and says so.
"""

import os
from datetime import UTC, datetime
from typing import Any

from prefect import State, flow, get_run_logger
from prefect.states import Completed

from blocks import DropBox, FederationPolicy
from blocks.bounds import bounds
from flows.again import again_later
from flows.coordination import await_instant, rename_run, scheduled
from hyperfed.coordinator.opening import open_checked
from hyperfed.coordinator.running import opened_as, round_to_open
from hyperfed.coordinator.timing import instant_of
from hyperfed.errors import RoundPassed
from hyperfed.gossip.reach import GossipReach
from hyperfed.links.issuing import issue_links
from hyperfed.report.wording import visible
from tasks.coordinator import Coordinator, new_runner

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
        round_id: The round to open; when empty, that of the window in which this run was scheduled.
        policy_overrides: Fields of the policy pack that differ in this round, such as {"vote_min":
            0.25}. They are refused where the round is open and says otherwise.
        drop_box: Name of the Hyperfed Drop-Box block.
        coordinator_keys: Name of the Hyperfed Coordinator Keys block.
        federation_policy: Name of the Hyperfed Federation Policy block.
        now: The clock, for processes that were started with HYPERFED_REHEARSAL=1; when empty, the
            real one.
    """
    policy, box = FederationPolicy.load(federation_policy), DropBox.load(drop_box)
    with again_later(policy.poll_s):
        await_instant()
    instant = instant_of(now, datetime.now(UTC), dry_run=False, environment=os.environ)
    with again_later(policy.poll_s):
        runner = new_runner(Coordinator(drop_box, coordinator_keys, instant))
        registry = runner.reader.registry
        number, early = round_to_open(registry, scheduled(now, runner), wanted=round_id)
        if early:
            return Completed(name="Skipped", message=early, data={"round": 0})
        bounds().check_round(round_id, registry.windows.round_at(runner.now))
        try:
            plan = open_checked(
                runner, number, policy.terms(policy_overrides), overrides=policy_overrides
            )
        except RoundPassed as passed:
            if round_id is not None:
                raise
            return Completed(name="Skipped", message=str(passed), data={"round": number})
        links = issue_links(
            runner.store,
            box.clients_by_link,
            round_id=number,
            now=runner.now,
            key_pair=runner.key_pair,
            fingerprint=None,
            reader=runner.reader,
            mail=GossipReach(runner.reader, number),
        )
    for client, reason in links.refused:
        get_run_logger().warning(
            "flow=open-round round=%d client=%s links=none reason=%s",
            number,
            client,
            visible(reason),
        )
    get_run_logger().info(
        "flow=open-round round=%d cohort=%d quorum=%d deadline=%s",
        number,
        len(plan.cohort),
        plan.quorum,
        plan.deadline.isoformat(),
    )
    rename_run(f"open round {number}, {plan.opens:%Y-%m-%d}, {len(plan.cohort)} clients")
    return Completed(
        message=f"round {number} is open for {len(plan.cohort)} clients until "
        f"{plan.deadline:%Y-%m-%d %H:%M %Z}",
        data=opened_as(plan),
    )
