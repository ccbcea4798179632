"""Turn the machine's halts into errors that say why a round cannot go on and who must act.

1. Below quorum the error names how many are missing, and what was refused (R-62).
2. A round that is not open, has not begun, or waits for its predecessor is left for a later run
   (R-60, R-115).
3. A release that fails for what was frozen, or since the store has lost it, ends its round once
   `close_by` is past (R-118). Until then the error is shown, since it may be mended. Passing
   faults, faults of this machine, and objects that were replaced never end a round: the true ones
   may still exist.

What it does not do: decide when a round halts (`protocol.machine`).
"""

import logging
from collections.abc import Callable, Sequence

from hyperfed.coordinator.opened_sums import await_helpers
from hyperfed.coordinator.stragglers import below_quorum, refusals_in_words
from hyperfed.errors import (
    AggregationError,
    FrozenUpdateLost,
    PrivacyError,
    QuorumMissed,
    RoundError,
)
from hyperfed.protocol import machine as mc
from hyperfed.protocol.machine import Why, WriteOutcome
from hyperfed.protocol.objects import Plan, Refused

__all__ = ["refuse_halt", "released"]

log = logging.getLogger(__name__)

_REMEDIES = {
    Why.NOT_OPENED: "The open-round deployment opens each round at its window's start",
    Why.NOT_BEGUN: "Run it after its window's end; check the number, and this machine's clock",
    Why.PREDECESSOR_OPEN: "Rounds finish in order: retry the earlier one, or wait for its close_by",
}


def refuse_halt(
    command: mc.Command,
    refused: Sequence[Refused],
    *,
    plan_of: Callable[[int], Plan],
    support: int,
    openings: str = "",
) -> None:
    """Raise an error where the machine halts because somebody must act.

    refused: the objects of the inbox that were refused, which may be why the quorum is missed.
    support: the registry's minimum support. openings: what the last look at helpers' answers found
    wrong. Raises QuorumMissed below quorum and where helpers have not answered, AggregationError
    where their answers differ, RoundError where the round is not open or has not begun, or an
    earlier one has not ended.
    """
    if not isinstance(command, mc.Halt):
        return
    subject = f"round {command.round}"
    if command.why is Why.BELOW_QUORUM:
        plan = plan_of(command.round)
        few = (
            f"fewer than {max(plan.quorum, support)} of {len(plan.cohort)} clients have an "
            "update that counts"
        )
        if support > plan.quorum:
            few += f": the quorum is {plan.quorum}, and the registry's minimum support {support}"
        raise QuorumMissed(
            few + refusals_in_words(refused),
            subject=subject,
            rule="R-62",
            remedy=below_quorum(plan.round),
        )
    if command.why is Why.AWAITING_HELPERS:
        await_helpers(command.round, openings, waited_s=0.0, delay_s=0.0, poll_s=0.0)
    if command.why is Why.DISPUTED:
        raise AggregationError(
            openings,
            subject=subject,
            rule="R-167",
            remedy="Nothing is released. Find out which of them is wrong; after its close_by the "
            "round is void",
        )
    if command.why in _REMEDIES:
        rule = "R-115" if command.why is Why.NOT_BEGUN else "R-60"
        raise RoundError(
            command.why.value, subject=subject, rule=rule, remedy=_REMEDIES[command.why]
        )


def released(machine: mc.Machine, release: Callable[[], WriteOutcome]) -> WriteOutcome:
    """Return how a release ended; `IMPOSSIBLE` where it fails after the round's `close_by`.

    Raises what `release` raises before that, and where the store or this machine failed,
    or an object is not what was frozen.
    """
    try:
        return release()
    except (AggregationError, FrozenUpdateLost, PrivacyError) as error:
        if not machine.closed:
            raise
        log.warning("round %d ends without a result: %s", machine.round, error)
        return WriteOutcome.IMPOSSIBLE
