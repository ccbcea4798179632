"""Drive the round's state machine against an object store (`RoundRunner`).

1. Every decision is the machine's (`protocol.machine`); its commands are executed by `handlers`.
2. A stage drives the machine from the start to the stage's milestone (`milestones`). What is done
   already is read, not done again, and a stage needs nothing from memory but what validation
   hands to the freeze. A runner may be started anywhere, any number of times.
3. What was judged under an older registry or base state than the freeze sees is judged again: a
   revocation works at the next freeze (R-25).
4. An earlier round that is past its `close_by` is finished first, by whichever stage comes to it:
   run where a quorum lies in its inbox, void otherwise (R-60).
5. The caller reads the clock once. No round is touched whose window has not begun (R-115). The
   store retries passing faults (`storage.retrying`); a write whose outcome is still unknown after
   that is read and compared, or ends the stage for another try.

What it does not do: it does not wait (Prefect's task retries do), schedule or show anything.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.coordinator.admission_stage import AdmissionStage
from hyperfed.coordinator.collecting import list_arrivals
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.coordinator.frozen_merge import FrozenMerge
from hyperfed.coordinator.garbage import seldom_collecting
from hyperfed.coordinator.halting import refuse_halt, released
from hyperfed.coordinator.handlers import CommandHandlers
from hyperfed.coordinator.milestones import Milestone, Stage, milestone_of
from hyperfed.coordinator.opened_sums import await_helpers
from hyperfed.coordinator.opening import open_plan
from hyperfed.coordinator.release_marks import ReleaseMarks
from hyperfed.coordinator.round_objects import draft_freeze
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.inbox import Arrivals, Judged
from hyperfed.dropbox.ledger_copy import LedgerCopy
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import TransientError
from hyperfed.packets import PolicyPack
from hyperfed.protocol import machine as mc
from hyperfed.protocol.documents import end_of
from hyperfed.protocol.machine import Why as Why
from hyperfed.protocol.machine import WriteOutcome
from hyperfed.protocol.objects import Freeze, Plan, Refused, RoundState
from hyperfed.storage.store import ObjectStore
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.validator.admission import Admission

__all__ = ["Arrivals", "Judged", "RoundRunner", "Stage"]

log = logging.getLogger(__name__)

_MAX_FAILED_WRITES = 32


class RoundRunner:
    """Runs the stages of rounds, as a coordinator at one instant.

    Args:
        store: The drop-box.
        keys: The coordinator's key pair.
        now: The instant, which the caller has read from the clock once.
        fingerprint: The registry's root fingerprint, compared out of band; None: not compared.
        limits: The limits of what is read.
        copy: Where the ledger's entries are kept for the next process; None: nowhere.
        marks: Which private values this machine has shown; None: it is remembered in this process.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        key_pair: KeyPair,
        now: datetime,
        fingerprint: str | None,
        limits: Limits = DEFAULT_LIMITS,
        copy: LedgerCopy | None = None,
        marks: ReleaseMarks | None = None,
    ) -> None:
        self.store, self.key_pair, self.now = store, key_pair, now
        self.reader = DropBoxReader(
            store, fingerprint=fingerprint, limits=limits, copy=copy, now=now
        )
        self.frozen = FrozenSets(store=store, reader=self.reader, key_pair=key_pair, limits=limits)
        self.admission_stage = AdmissionStage(
            store, reader=self.reader, frozen=self.frozen, key_pair=key_pair, now=now, limits=limits
        )
        self.merge = FrozenMerge(self.frozen, reader=self.reader, key_pair=key_pair)
        self.handlers = CommandHandlers(
            store,
            reader=self.reader,
            key_pair=key_pair,
            now=now,
            limits=limits,
            merge=self.merge,
            marks=marks or ReleaseMarks(),
        )

    # -- opening ---------------------------------------------------------------------------------

    def open_round(
        self,
        round_id: int,
        *,
        policy: PolicyPack,
        vocabulary: Vocabulary,
        quorum: int | None = None,
        close_by: datetime | None = None,
    ) -> Stored[Plan]:
        """Create the round's plan, or adopt the one that is there (`opening.open_plan`)."""
        return open_plan(
            self.handlers.writes,
            round_id,
            policy=policy,
            vocabulary=vocabulary,
            quorum=quorum,
            close_by=close_by,
        )

    def plan(self, round_id: int) -> Stored[Plan]:
        """Return the round's plan. Raises RoundError where the round was not opened."""
        return self.handlers.plan(round_id)

    # -- the stages ------------------------------------------------------------------------------

    @seldom_collecting()
    def collect(self, round_id: int) -> Arrivals:
        """List the inbox of the round, and those of earlier rounds that it may still count from."""
        machine, command = self._drive(round_id, to=Milestone.COLLECTED)
        plan = self.plan(round_id).value
        self._refuse_halt(command)
        self.handlers.check_base_plan(round_id)
        self.handlers.complete_earlier_receipts(round_id)
        closed = machine.closed or self.now >= plan.close_by
        decided = not isinstance(command, mc.Gather)
        return list_arrivals(self.reader, plan, closed=closed, decided=decided)

    @seldom_collecting()
    def validate(self, arrivals: Arrivals, *, keep: bool = True) -> Judged:
        """Read and verify what was collected, and copy what is admitted to `accepted/` (step 2).

        What is returned holds no content. keep: whether this process will merge what it judges; the
        process of a shard does not. Raises LedgerError where an admitted update has seen a ledger
        entry that is not there (R-73); nothing was decided then.
        """
        if arrivals.decided:
            return Judged(admitted=(), refused=(), registry_version=0, base_state=b"")
        return self.admission_stage.judge(self.plan(arrivals.round).value, arrivals, keep=keep)

    @seldom_collecting()
    def freeze(self, round_id: int, admission: Admission) -> Stage:
        """Choose which updates count, by base state and trust, and create the freeze (step 3).

        Raises QuorumMissed below quorum before `close_by`.
        """
        refused: list[Refused] = []

        def gather(gathered: int) -> Freeze | None:
            judged = self._still_valid(gathered, admission)
            refused.extend(judged.refused)
            return self._draft(gathered, judged)

        _, command = self._drive(round_id, to=Milestone.FROZEN, gather=gather)
        self._refuse_halt(command, refused)
        return self._stage(round_id, command)

    @seldom_collecting()
    def reserve(self, round_id: int) -> Stage:
        """Write into the ledger what the round will spend (step 4)."""
        return self._stage(round_id, self._drive(round_id, to=Milestone.RESERVED)[1])

    @seldom_collecting()
    def open_sum(
        self, round_id: int, *, waited_s: float = 0.0, delay_s: float = 0.0, poll_s: float = 0.0
    ) -> Stage:
        """Name what helpers are to open, and return once they have (step 4); see `opened_sums`.

        Until `delay_s` is used up all seeds' sums must be checked. Raises QuorumPending while
        helpers are awaited, QuorumMissed after that, AggregationError where they differ. A round
        without secure sums needs no helpers.
        """
        self.handlers.opened.deadline_past = waited_s >= delay_s
        _, command = self._drive(round_id, to=Milestone.OPENED)
        if isinstance(command, mc.Halt) and command.why is Why.AWAITING_HELPERS:
            await_helpers(
                round_id,
                self.handlers.opened.problem,
                waited_s=waited_s,
                delay_s=delay_s,
                poll_s=poll_s,
            )
        self._refuse_halt(command)
        return self._stage(round_id, command)

    @seldom_collecting()
    def release(self, round_id: int) -> Stage:
        """Compute and create the result, or adopt it (step 5)."""
        self.handlers.opened.deadline_past = True  # `open_sum` has waited
        _, command = self._drive(round_id, to=Milestone.RELEASED)
        self._refuse_halt(command)
        return self._stage(round_id, command)

    @seldom_collecting()
    def conclude(self, round_id: int) -> Stage:
        """Write state, commit or void, and receipts (steps 6 and 7)."""
        return self._stage(round_id, self._drive(round_id, to=Milestone.ENDED)[1])

    def run(self, round_id: int) -> Stage:
        """Run all stages in one go, without waiting for stragglers."""
        stage = self.freeze(round_id, self.validate(self.collect(round_id)))
        if stage.why:
            return stage
        if self.plan(round_id).value.policy.aggregation == "secure-sum":
            self.open_sum(round_id)
        return self.conclude(round_id)

    # -- driving ---------------------------------------------------------------------------------

    def _drive(
        self,
        round_id: int,
        *,
        to: Milestone,
        gather: Callable[[int], Freeze | None] | None = None,
    ) -> tuple[mc.Machine, mc.Command]:
        """Run the machine until it halts, or wants to work for `round_id` beyond a milestone.

        gather: answers the machine's `Gather` with a freeze, or None below quorum. Without it this
        stage cannot decide who counts in `round_id`. Raises TransientError where too many writes
        were refused or lost, RoundError where the round has not begun.
        """
        self.reader.registry.windows.check_begun(round_id, self.now)
        self.reader.check_fresh()
        economy = self.handlers.economy()
        machine, command = mc.start(round_id)
        failed = 0
        while not isinstance(command, mc.Halt):
            towards = milestone_of(command)
            if machine.round == round_id and towards is not None and towards > to:
                break
            log.debug("round=%d phase=%s command=%s", round_id, machine.phase.value, type(command))
            answer: Any
            if isinstance(command, mc.Gather) and command.round != round_id:
                answer = self._draft(command.round, self._still_valid(command.round, None))
            elif isinstance(command, mc.Gather) and gather is not None:
                answer = gather(command.round)
            elif isinstance(command, mc.Release):
                answer = released(machine, partial(self.handlers.execute, machine, command))
            else:
                answer = self.handlers.execute(machine, command)
            failed += answer in (WriteOutcome.UNKNOWN, WriteOutcome.EXISTS)
            if failed > _MAX_FAILED_WRITES:
                raise TransientError(
                    f"{failed} writes were refused or lost in one run",
                    subject=f"round {round_id}",
                    remedy="Check the object store; then run the round again",
                )
            machine, command = mc.step(machine, answer, economy)
        return machine, command

    def _refuse_halt(self, command: mc.Command, refused: Sequence[Refused] = ()) -> None:
        """Raise an error where the machine halts because somebody must act (`halting`)."""
        refuse_halt(
            command,
            refused,
            plan_of=lambda round_id: self.plan(round_id).value,
            support=self.reader.registry.budget.minimum_support,
            openings=self.handlers.opened.problem,
        )

    def _stage(self, round_id: int, command: mc.Command) -> Stage:
        """Return how far the round has come, by what is in the drop-box."""
        frozen = self.reader.freeze(round_id)
        end = end_of(self.reader.verified_entries(), round_id)
        return Stage(
            round=round_id,
            why=command.why if isinstance(command, mc.Halt) else None,
            counted=len(frozen.value.counted) if frozen else 0,
            refused=len(frozen.value.refused) if frozen else 0,
            result=end.entry.result if end else b"",
        )

    # -- what stages need ------------------------------------------------------------------------

    def base_state(self, round_id: int) -> Stored[RoundState] | None:
        """Return the state of the last round committed before this one."""
        return self.admission_stage.base_state(round_id)

    def shadow(self, round_id: int) -> FederationCoordinator:
        """Return a coordinator that holds a frozen round's set whole, for rehearsals.

        Writes nothing. Raises RoundError where nothing is frozen, PrivacyError in a private round.
        """
        return self.merge.shadow(self.plan(round_id).value)

    def _draft(self, round_id: int, judged: Judged) -> Freeze | None:
        """Return the freeze of what was judged, or None below quorum."""
        plan, base = self.plan(round_id), self.base_state(round_id)
        return draft_freeze(self.reader, plan, base, judged, now=self.now)

    def _still_valid(self, round_id: int, admission: Admission | None) -> Judged:
        """Return the admission of a round if it was judged under today's registry and base state.

        Otherwise, and where it is None, the round is collected and judged again. Raises
        TransientError where another coordinator has decided the round meanwhile.
        """
        base = self.admission_stage.base_state(round_id, fresh=True)
        under = (self.reader.refresh_registry().version, base.digest if base else b"")
        if isinstance(admission, Judged) and (
            (admission.registry_version, admission.base_state) == under
        ):
            return admission
        arrivals = self.collect(round_id)
        if arrivals.decided:
            raise TransientError(
                "was decided by another coordinator meanwhile",
                subject=f"round {round_id}",
                remedy="Run the stage again",
            )
        return self.validate(arrivals)
