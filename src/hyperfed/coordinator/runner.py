"""`RoundRunner`: the round's state machine driven against an object store.

1. It executes the commands of `protocol.machine` one by one; every decision is the machine's. It may be started anywhere, any number of times.
2. The stages a flow runs (collect, validate, freeze, reserve, release, conclude) each drive the machine from the start: what is done already is
   read, not done again, and a stage's work needs nothing from memory but what validation hands to the freeze.
3. Nothing is signed with a key that the registry does not name for the round: what nobody can verify would occupy its key for ever (R-81).
4. What was judged under an older registry or base state than the freeze sees is judged again: a revocation works at the next freeze (R-25).
5. The clock is read by the caller, once. Passing faults are the store's business (`PatientStore`); what is still unknown after that is
   read and compared, or ends the stage for another try.

What it does not do: wait (Prefect's task retries do), schedule, show.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from hyperfed.collector import seldom_collecting
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.coordinator.budget import accountant_of, budget_in_force
from hyperfed.coordinator.drafts import draft_entry, draft_freeze, draft_state, draft_tombstone
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.coordinator.inbox import Arrivals, Judged, is_inbox_key, without_litter
from hyperfed.coordinator.intake import Intake
from hyperfed.coordinator.receipts import Receipts
from hyperfed.coordinator.shuffle import Shuffle, may_shuffle
from hyperfed.dropbox import DropBoxReader, Stored
from hyperfed.errors import LedgerError, QuorumMissed, RegistryError, RoundError, TransientError
from hyperfed.global_model import GlobalModel
from hyperfed.keys import KeyPair
from hyperfed.ledger_copy import LedgerCopy
from hyperfed.packets import PolicyPack
from hyperfed.privacy.policy import check_private_plan, night_of
from hyperfed.protocol import machine as mc
from hyperfed.protocol.documents import COORDINATOR, Write, end_of, make_plan, sign_object
from hyperfed.protocol.ledger import check_claim, line_of, reserve_id
from hyperfed.protocol.machine import Outcome, Why
from hyperfed.protocol.objects import EntryKind, Freeze, Mechanism, Plan, RoundState, Tombstone
from hyperfed.protocol.reputation import ACCURACY_ROUNDS
from hyperfed.rounds import Keys
from hyperfed.signing import PacketType
from hyperfed.store import ObjectStore
from hyperfed.testing.fire_drill import Drill, fire_drill
from hyperfed.validator import Admission
from hyperfed.vocabulary import Vocabulary

__all__ = ["Arrivals", "Judged", "RoundRunner", "Stage"]

log = logging.getLogger(__name__)

_STAGES = (mc.PutFreeze, mc.Append, mc.Release, mc.PutState)  # what later stages than collecting are there for
_MAX_FAILED_WRITES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far a round has come. why: set where it has ended or cannot go on; counted, refused: of the freeze, where there is one."""

    round: int
    why: Why | None
    counted: int = 0
    refused: int = 0
    result: bytes = b""


class RoundRunner:
    """A coordinator at one instant. fingerprint: the registry's roots, compared out of band; keys: the coordinator's; now: the flow's clock, read once;
    copy: where the ledger's entries are kept for the next process."""

    def __init__(
        self, store: ObjectStore, *, keys: KeyPair, now: datetime, fingerprint: str | None, limits: Limits = DEFAULT_LIMITS, copy: LedgerCopy | None = None
    ) -> None:
        self.store, self.keys, self.now, self.limits = store, keys, now, limits
        self.reader = DropBoxReader(store, fingerprint=fingerprint, limits=limits, copy=copy)
        self.frozen = FrozenSets(store=store, reader=self.reader, keys=keys, limits=limits)
        self.intake = Intake(store, reader=self.reader, frozen=self.frozen, keys=keys, now=now, limits=limits)
        self.receipts = Receipts(store=store, reader=self.reader, keys=keys, limits=limits)
        self._plans: dict[int, Stored[Plan]] = {}
        self._merged: dict[int, FederationCoordinator] = {}
        self.merges_elsewhere: Callable[[FederationCoordinator, Shuffle], FederationCoordinator] | None = None  # see `coordinator.remote`
        self.code = ""

    # -- opening -------------------------------------------------------------------------------------------------------------------

    def open_round(
        self, round_id: int, *, policy: PolicyPack, vocabulary: Vocabulary, quorum: int | None = None, close_by: datetime | None = None
    ) -> Stored[Plan]:
        """Step 0: create the plan, or adopt the one that is there."""
        known = self.reader.plan(round_id)
        if known is not None:
            return known
        later = [c.entry.round for c in self.reader.ledger() if c.entry.round > round_id]
        if later:
            raise RoundError(
                f"cannot be opened any more: round {later[0]} stands in the ledger",
                subject=f"round {round_id}",
                rule="R-60",
                remedy="Rounds finish in order; clients that missed it submit for the next one",
            )
        if policy.privacy != "none":
            ledger = self.reader.verified_entries()
            check_private_plan(policy, vocabulary, accountant_of(self.reader, ledger), budget_in_force(self.reader, ledger))
        commits = [c for c in self.reader.verified_entries() if c.entry.kind is EntryKind.COMMIT]
        _, write = make_plan(
            registry=self.reader.registry,
            registry_digest=self.reader.registry_digest,
            round_id=round_id,
            policy=policy,
            vocabulary=vocabulary,
            quorum=quorum,
            newest_commit=commits[-1] if commits else None,
            keys=self.keys,
            close_by=close_by,
            **self._last_baskets(commits[-1].entry.round if commits and policy.basket_minimum else 0),
        )
        if self._create(write, round_id) is Outcome.UNKNOWN and self.reader.plan(round_id) is None:
            raise TransientError("its write was lost", subject=write.key, remedy="Open the round again")
        return self.plan(round_id)

    def _last_baskets(self, round_id: int) -> dict[str, Any]:
        """The baskets of a committed round's plan and whom it counted, for the next plan."""
        plan, frozen = (self.reader.plan(round_id), self.reader.freeze(round_id)) if round_id else (None, None)
        if plan is None or frozen is None:
            return {}
        return {"baskets": plan.value.baskets, "counted": [c.client for c in frozen.value.counted]}

    def plan(self, round_id: int) -> Stored[Plan]:
        """Raises RoundError where the round was not opened."""
        if round_id not in self._plans:
            found = self.reader.plan(round_id)
            if found is None:
                raise RoundError(
                    "was not opened", subject=f"round {round_id}", rule="R-60", remedy="The open-round deployment opens each round at its window's start"
                )
            self._plans[round_id] = found
        return self._plans[round_id]

    # -- the stages ----------------------------------------------------------------------------------------------------------------

    @seldom_collecting()
    def collect(self, round_id: int) -> Arrivals:
        """List the inbox of the round and of those that may still be late for it."""
        machine, command = self._drive(round_id, until=(mc.Gather, *_STAGES))
        plan = self.plan(round_id).value
        decided = not isinstance(command, mc.Gather)
        if isinstance(command, mc.Halt):
            self._refuse_halt(command)
        self._complete_receipts(round_id)
        first = max(1, round_id - plan.policy.max_staleness)
        judged = self._judged(first, round_id)
        listed = [info for r in range(first, round_id + 1) for info in self.store.list(Keys.inbox(r)) if info.key not in judged]
        listed = [*without_litter(listed, known={record.client_id for record in self.reader.registry.clients})]
        here = {info.key.split("/")[2] for info in listed if info.key.startswith(Keys.inbox(round_id)) and is_inbox_key(info.key)}
        return Arrivals(
            round=round_id,
            quorum=plan.quorum,
            present=tuple(c for c in plan.cohort if c in here),
            missing=tuple(c for c in plan.cohort if c not in here),
            keys=tuple((info.key, info.size) for info in listed),
            closed=machine.closed or self.now >= plan.close_by,
            decided=decided,
        )

    def _complete_receipts(self, round_id: int) -> None:
        """Receipts that the round before still lacks: its coordinator may have died between the ledger and them."""
        ended = [c.entry.round for c in self.reader.verified_entries() if c.entry.kind is not EntryKind.RESERVE and c.entry.round < round_id]
        if ended and not self.receipts.are_there(self.plan(ended[-1]).value):
            self._put_receipts(ended[-1])

    def _judged(self, first: int, round_id: int) -> set[str]:
        """Inbox keys that a committed round since `first` has counted or refused: they are not judged again. A void round's are."""
        keys: set[str] = set()
        for entry in (c.entry for c in self.reader.verified_entries() if c.entry.kind is EntryKind.COMMIT and first <= c.entry.round < round_id):
            frozen = self.reader.freeze(entry.round)
            if frozen is None or frozen.digest != entry.freeze:
                raise RoundError(
                    "is not the freeze that the ledger names",
                    subject=Keys.freeze(entry.round),
                    rule="R-63",
                    remedy="Restore the bucket from its versions; run `hyperfed audit`",
                )
            keys |= {c.key for c in frozen.value.counted} | {r.key for r in frozen.value.refused}
        return keys

    @seldom_collecting()
    def validate(self, arrivals: Arrivals, *, keep: bool = True) -> Judged:
        """Step 2: read, verify, and copy what is admitted to `accepted/`. Content stays out of what is returned.

        keep: whether this process will merge it; a shard's does not. Raises LedgerError where an admitted update has seen a ledger entry that is
        not there (R-73); nothing was decided then.
        """
        if arrivals.decided:
            return Judged(admitted=(), refused=(), registry_version=0, base_state=b"")
        return self.intake.judge(self.plan(arrivals.round).value, arrivals, keep=keep)

    @seldom_collecting()
    def freeze(self, round_id: int, admission: Admission) -> Stage:
        """Step 3: choose by base state and trust, and create the freeze. Raises QuorumMissed below quorum before `close_by`."""
        _, command = self._drive(round_id, until=_STAGES[1:], gather=lambda r: self._candidate(r, self._still_valid(r, admission)))
        if isinstance(command, mc.Halt):
            self._refuse_halt(command)
        return self._stage(round_id, command)

    @seldom_collecting()
    def reserve(self, round_id: int) -> Stage:
        """Step 4."""
        _, command = self._drive(round_id, until=_STAGES[2:])
        return self._stage(round_id, command)

    @seldom_collecting()
    def release(self, round_id: int) -> Stage:
        """Step 5: compute and create the result, or adopt it."""
        _, command = self._drive(round_id, until=_STAGES[3:])
        return self._stage(round_id, command)

    @seldom_collecting()
    def conclude(self, round_id: int) -> Stage:
        """Steps 6 and 7."""
        _, command = self._drive(round_id, until=())
        return self._stage(round_id, command)

    def run(self, round_id: int) -> Stage:
        """All stages in one go, without waiting for anyone."""
        arrivals = self.collect(round_id)
        stage = self.freeze(round_id, self.validate(arrivals))
        return stage if stage.why else self.conclude(round_id)

    # -- driving -------------------------------------------------------------------------------------------------------------------

    def _drive(self, round_id: int, *, until: tuple[type[Any], ...], gather: Callable[[int], Freeze | None] | None = None) -> tuple[mc.Machine, Any]:
        """Run the machine until it halts, or wants to do for `round_id` what a later stage is there for."""
        economy = mc.Economy(
            affordable=self._affordable,
            reserve_id=lambda r, frozen: reserve_id(self.reader.registry.federation, r, frozen.digest),
            base_of=lambda frozen: int(frozen.value.base_round),
        )
        machine, command = mc.start(round_id)
        failed = 0
        while not isinstance(command, mc.Halt):
            ending = isinstance(command, mc.Append) and command.line.kind is not EntryKind.RESERVE
            mine = machine.round == round_id
            if mine and isinstance(command, until) and not ending:
                break
            log.debug("round=%d phase=%s command=%s", round_id, machine.phase.value, type(command).__name__)
            answer = gather(command.round) if gather is not None and isinstance(command, mc.Gather) else self._execute(machine, command)
            failed += answer in (Outcome.UNKNOWN, Outcome.EXISTS)
            if failed > _MAX_FAILED_WRITES:
                raise TransientError(
                    f"{failed} writes were refused or lost in one run", subject=f"round {round_id}", remedy="Check the object store; then run the round again"
                )
            machine, command = mc.step(machine, answer, economy)
        return machine, command

    def _execute(self, machine: mc.Machine, command: Any) -> Any:
        match command:
            case mc.ReadLedger():
                ledger = self.reader.ledger()
                if machine.phase is mc.Phase.RESERVE:
                    frozen: Freeze = machine.freeze.value
                    check_claim(ledger, sequence=frozen.claim_sequence, digest=frozen.claim_digest, by=f"a counted update of round {frozen.round}")
                return tuple(line_of(c) for c in ledger)
            case mc.ReadPlan(round=r):
                plan = self.reader.plan(r)
                if plan is None:
                    return None
                self._check_not_cut(plan)
                self._plans[r] = plan
                return mc.PlanView(closed=self.now >= plan.value.close_by)
            case mc.ReadFreeze(round=r):
                return self.reader.freeze(r)
            case mc.ReadResult(round=r):
                found = self.reader.result(r)
                return None if found is None else mc.ResultView(found.digest, isinstance(found.value, Tombstone))
            case mc.Gather(round=r):
                raise RoundError(
                    "is not frozen yet, and this stage cannot decide who counts", subject=f"round {r}", remedy="Run the round from its first stage"
                )
            case mc.PutFreeze(freeze=freeze):
                write = sign_object(Keys.freeze(freeze.round), PacketType.FREEZE, freeze, keys=self.keys, time=freeze.time, audience=COORDINATOR)
                return self._create(write, freeze.round)
            case mc.Append(at=number, line=line):
                return self._append(number, line)
            case mc.Release(round=r, freeze=frozen):
                coordinator = self._merged_of(r, frozen, fresh=True)
                (write,) = coordinator.broadcast(coordinator.aggregate())
                return self._create(write, r)
            case mc.PutTombstone(round=r, rule=rule):
                return self._create(draft_tombstone(self.plan(r).value, self.reader.freeze(r), rule, keys=self.keys), r)
            case mc.PutState(round=r):
                return self._put_state(r)
            case mc.PutReceipts(round=r):
                return self._put_receipts(r)
        raise RoundError(f"command {command!r} is unknown")

    def _check_not_cut(self, plan: Stored[Plan]) -> None:
        """R-73: the ledger holds the commit that was the newest when the round was opened. Raises LedgerError."""
        if plan.value.newest_commit and not any(c.digest == plan.value.newest_commit for c in self.reader.verified_entries()):
            raise LedgerError(
                f"does not hold the commit of round {plan.value.newest_commit_round}, which {plan.key} names",
                subject="ledger",
                rule="R-73",
                remedy="Its tail was cut off: restore the bucket from its versions. Nothing was written",
            )

    def _create(self, write: Write, round_id: int) -> Outcome:
        """One create-only write of an object of the coordinator's. Raises RegistryError where its key is not the coordinator's in the round (R-81)."""
        self._check_key(round_id)
        try:
            return Outcome.CREATED if self.store.put_if_absent(write.key, write.data) else Outcome.EXISTS
        except TransientError as error:
            log.debug("key=%s outcome=unknown error=%s", write.key, error)
            return Outcome.UNKNOWN

    def _check_key(self, round_id: int) -> None:
        if self.reader.registry.coordinator_key(self.keys.key_id, round_id) is None:
            registry = self.reader.refresh_registry()
            if registry.coordinator_key(self.keys.key_id, round_id) is None:
                raise RegistryError(
                    f"key {self.keys.key_id} is not the coordinator's in round {round_id}",
                    subject=f"round {round_id}",
                    rule="R-81",
                    remedy=f"Registry version {registry.version} names the coordinator's keys; use one of them. Nothing was written",
                )

    def _refuse_halt(self, halt: mc.Halt) -> None:
        """Raises RoundError for a halt that needs somebody: not opened, waiting for a predecessor, below quorum."""
        remedies = {
            Why.NOT_OPENED: "The open-round deployment opens each round at its window's start",
            Why.PREDECESSOR_OPEN: "Rounds finish in order: retry the earlier one, or wait for its close_by",
            Why.BELOW_QUORUM: "Retry when more clients have submitted; after close_by the round is void and its updates are late for the next",
        }
        if halt.why in remedies:
            subject = f"round {halt.round}"
            if halt.why is Why.BELOW_QUORUM:
                raise _below_quorum(self.plan(halt.round).value, remedies[halt.why])
            raise RoundError(halt.why.value, subject=subject, rule="R-60", remedy=remedies[halt.why])

    def _stage(self, round_id: int, command: Any) -> Stage:
        frozen = self.reader.freeze(round_id)
        counts = (len(frozen.value.counted), len(frozen.value.refused)) if frozen else (0, 0)
        end = end_of(self.reader.verified_entries(), round_id)
        why = command.why if isinstance(command, mc.Halt) else None
        return Stage(round=round_id, why=why, counted=counts[0], refused=counts[1], result=end.entry.result if end else b"")

    # -- step 2 and 3 --------------------------------------------------------------------------------------------------------------

    def base_state(self, round_id: int) -> Stored[RoundState] | None:
        """The state of the last round committed before this one; see `Intake.base_state`."""
        return self.intake.base_state(round_id)

    def model(self, round_id: int) -> GlobalModel | None:
        """The committed model of a round; None for round 0 and for void ones."""
        found = self.reader.result(round_id) if round_id else None
        return found.value if found is not None and isinstance(found.value, GlobalModel) else None

    def _last_models(self, round_id: int) -> list[GlobalModel]:
        """The committed models up to a round, newest first, along the freezes' base rounds."""
        models: list[GlobalModel] = []
        while round_id and len(models) < ACCURACY_ROUNDS:
            model, frozen = self.model(round_id), self.reader.freeze(round_id)
            models += [] if model is None else [model]
            round_id = frozen.value.base_round if frozen is not None else 0
        return models

    def _still_valid(self, round_id: int, admission: Admission) -> Judged:
        """The admission, if it was judged under today's registry and base state; else the round is collected and judged again."""
        self.reader.ledger()
        version, base = self.reader.refresh_registry().version, self.base_state(round_id)
        if isinstance(admission, Judged) and (admission.registry_version, admission.base_state) == (version, base.digest if base else b""):
            return admission
        arrivals = self.collect(round_id)
        if arrivals.decided:
            raise TransientError("was decided by another coordinator meanwhile", subject=f"round {round_id}", remedy="Run the stage again")
        return self.validate(arrivals)

    def _candidate(self, round_id: int, admission: Judged) -> Freeze | None:
        return draft_freeze(self.reader, self.plan(round_id), self.base_state(round_id), admission, now=self.now)

    # -- step 4 to 7 ---------------------------------------------------------------------------------------------------------------

    def mechanisms(self, plan: Plan) -> tuple[Mechanism, ...]:
        """What the round will spend, by its plan and by the registry that it was frozen under; nothing where the policy asks for no noise."""
        frozen = self.reader.freeze(plan.round)
        budget = self.reader.registry_at(frozen.value.registry_version).budget if frozen else self.reader.registry.budget
        night = night_of(plan.policy, plan.vocabulary, budget)
        return () if night is None else night.mechanisms

    def _affordable(self, lines: tuple[mc.Line, ...], round_id: int) -> bool:
        """R-72. Raises PrivacyError where the budget was loosened while it is being spent; nothing is reserved then."""
        cost = self.mechanisms(self.plan(round_id).value)
        return not cost or accountant_of(self.reader, self.reader.verified_entries()[: len(lines)]).fits(cost)

    def _append(self, number: int, line: mc.Line) -> Outcome:
        ledger = self.reader.ledger()
        if len(ledger) >= number:
            return Outcome.EXISTS
        if len(ledger) < number - 1:
            raise LedgerError(f"ends at entry {len(ledger)}, it had {number - 1}", subject="ledger", rule="R-71", remedy="Restore the bucket from its versions")
        entry = draft_entry(self.reader, number, line, ledger, mechanisms=lambda: self.mechanisms(self.plan(line.round).value))
        self.reader.check_entry(entry)
        write = sign_object(
            Keys.ledger(number), PacketType.LEDGER, entry, keys=self.keys, time=entry.time, audience="all", sequence=number, previous=entry.previous
        )
        return self._create(write, entry.round)

    def fire_drill(self, round_id: int) -> tuple[Drill, ...]:
        """Tonight's attacks on a shadow copy of the frozen set: counts, and nothing is written. Raises RoundError where nothing is frozen, PrivacyError in a
        private round."""
        frozen = self.reader.freeze(round_id)
        if frozen is None:
            raise RoundError("is not frozen yet", subject=f"round {round_id}", remedy="Run the round first")
        self.merges_elsewhere = None
        coordinator = self._merged_of(round_id, frozen, fresh=True, whole=True)
        if coordinator.policy.privacy != "none":
            coordinator.rehearse({})  # refuses
        stores = dict(zip(coordinator.clients, coordinator.stores(), strict=True))
        return fire_drill(stores, coordinator.rehearse, rng=np.random.default_rng(int.from_bytes(frozen.digest[:8], "big")))

    def _merged_of(self, round_id: int, frozen: Stored[Freeze], *, fresh: bool = False, whole: bool = False) -> FederationCoordinator:
        """The coordinator that holds the frozen set; fresh: read it anew; whole: with its edges, as an attack needs them. The state of a round may use what
        its release has just read."""
        known = self._merged.get(round_id)
        if fresh or known is None or known.freeze != frozen.digest:
            plan = self.plan(round_id).value
            if self.merges_elsewhere is not None and may_shuffle(plan.policy):
                self._merged = {round_id: self.merges_elsewhere(self.frozen.coordinator(plan, frozen, keys=self.keys, empty=True), self.shuffle(round_id))}
            else:
                models = None if whole else partial(self._last_models, frozen.value.base_round)
                self._merged = {round_id: self.frozen.coordinator(plan, frozen, keys=self.keys, models=models)}
        return self._merged[round_id]

    def shuffle(self, round_id: int) -> Shuffle:
        """The shuffle of a frozen round, for the code that `code` names. Raises RoundError where nothing is frozen."""
        frozen = self.reader.freeze(round_id)
        if frozen is None:
            raise RoundError("is not frozen yet", subject=f"round {round_id}", remedy="Run the round first")
        base = frozen.value.base_round
        return Shuffle(self.frozen, frozen, keys=self.keys, code=self.code, models=lambda: self._last_models(base))

    def needs_merge(self, round_id: int) -> bool:
        """Whether the round is frozen, may be merged across machines, and has no state yet."""
        frozen = self.reader.freeze(round_id)
        return frozen is not None and may_shuffle(self.plan(round_id).value.policy) and self.reader.state(round_id) is None

    def _put_state(self, round_id: int) -> None:
        """R-67. A state that is there is adopted if it is of this freeze, result and base; what is in it `hyperfed audit` computes again."""
        frozen, result = self.reader.freeze(round_id), self.reader.result(round_id)
        if frozen is None or result is None or not isinstance(result.value, GlobalModel) or result.value.freeze != frozen.digest:
            raise RoundError(
                "is not of this round's freeze", subject=Keys.result(round_id), rule="R-66", remedy="Restore the bucket from its versions; run `hyperfed audit`"
            )
        if self._state_is_there(round_id, frozen, result):
            return
        merged = self._merged_of(round_id, frozen)
        if merged.reconciliation is None:
            merged.weigh()
        before, models = self.frozen.state_before(frozen.value), self._last_models(frozen.value.base_round)
        write = draft_state(self.plan(round_id).value, frozen, result.digest, merged, before=before, last_models=models, keys=self.keys)
        if self._create(write, round_id) is not Outcome.CREATED and not self._state_is_there(round_id, frozen, result):
            raise TransientError("its write was lost", subject=write.key, remedy="Run the round again")
        self._merged.clear()

    def _state_is_there(self, round_id: int, frozen: Stored[Freeze], result: Stored[Any]) -> bool:
        known = self.reader.state(round_id)
        if known is None:
            return False
        if (known.value.freeze, known.value.result, known.value.base_state) != (frozen.digest, result.digest, frozen.value.base_state):
            raise RoundError(
                "is of another freeze, result or base state",
                subject=known.key,
                rule="R-67",
                remedy="The bucket was changed: restore it from its versions; run `hyperfed audit`",
            )
        return True

    def _put_receipts(self, round_id: int) -> None:
        end = end_of(self.reader.verified_entries(), round_id)
        if end is not None:
            self._check_key(round_id)
            self.receipts.put(self.plan(round_id).value, end)


def _below_quorum(plan: Plan, remedy: str) -> RoundError:
    return QuorumMissed(
        f"fewer than {plan.quorum} of {len(plan.cohort)} clients have an update that counts", subject=f"round {plan.round}", rule="R-62", remedy=remedy
    )
