"""`RoundRunner`: the round's state machine driven against an object store.

1. It executes the commands of `protocol.machine` one by one; every decision is the machine's. It may be started anywhere, any number of times.
2. The stages a flow runs (collect, validate, freeze, reserve, release, conclude) each drive the machine from the start: what is done already is
   read, not done again, and a stage's work needs nothing from memory but what validation hands to the freeze.
3. The clock is read by the caller, once. Passing faults are the store's business (`PatientStore`); what is still unknown after that is
   read and compared, or ends the stage for another try.

What it does not do: wait (Prefect's task retries do), schedule, show.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.dropbox import DropBoxReader, Stored
from hyperfed.errors import HyperfedError, LedgerError, ObjectNotFound, QuorumMissed, RoundError, TransientError, TransportError
from hyperfed.global_model import GlobalModel
from hyperfed.keys import KeyPair
from hyperfed.packets import PolicyPack, Update
from hyperfed.protocol import machine as mc
from hyperfed.protocol import merkle
from hyperfed.protocol.choose import Choice, choose
from hyperfed.protocol.documents import COORDINATOR, Write, end_of, make_plan, make_receipts, sign_object
from hyperfed.protocol.ledger import Chained, check_claim, line_of, reserve_id, spent
from hyperfed.protocol.machine import Outcome, Why
from hyperfed.protocol.objects import EntryKind, Freeze, LedgerEntry, Mechanism, Plan, RoundState, Tombstone
from hyperfed.protocol.reputation import next_states
from hyperfed.rounds import Keys
from hyperfed.signing import PacketType
from hyperfed.store import ObjectStore
from hyperfed.validator import Admission, Admitted, Arrival, PacketValidator, RoundContext, policy_digest
from hyperfed.vocabulary import Vocabulary

__all__ = ["Arrivals", "RoundRunner", "Stage", "waiting"]

log = logging.getLogger(__name__)

_MAX_DELTA_CHAIN = 32
_TOMBSTONE_REASONS = {
    "R-60": "it was not finished before its close_by",
    "R-62": "too few updates before its close_by",
    "R-65": "the privacy budget does not cover it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What lies in a round's inbox. present, missing: clients of the cohort with and without an update for this round;
    keys: all objects that may count, with sizes.

    decided: the round is past this stage (a freeze or an end exists), so nothing is waited for.
    """

    round: int
    quorum: int
    present: tuple[str, ...]
    missing: tuple[str, ...]
    keys: tuple[tuple[str, int], ...]
    closed: bool
    decided: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far a round has come. why: set where it has ended or cannot go on; counted, refused: of the freeze, where there is one."""

    round: int
    why: Why | None
    counted: int = 0
    refused: int = 0
    result: bytes = b""


def waiting(arrivals: Arrivals, *, waited_s: float, delay_s: float) -> str | None:
    """What to wait for, or None to go on: everyone there, at once; quorum there, when `delay_s` is used up; below it, the same: then the freeze refuses.

    Source: DESIGN section 4.
    """
    if arrivals.decided or arrivals.closed or not arrivals.missing or waited_s >= delay_s:
        return None
    absent = ", ".join(arrivals.missing[:10]) + (" ..." if len(arrivals.missing) > 10 else "")
    return f"{len(arrivals.present)} of {len(arrivals.present) + len(arrivals.missing)} are there, quorum {arrivals.quorum}; waiting for {absent}"


class RoundRunner:
    """A coordinator at one instant. fingerprint: the registry's roots, compared out of band; keys: the coordinator's; now: the flow's clock, read once."""

    def __init__(self, store: ObjectStore, *, keys: KeyPair, now: datetime, fingerprint: str | None, limits: Limits = DEFAULT_LIMITS) -> None:
        self.store, self.keys, self.now, self.limits = store, keys, now, limits
        self.reader = DropBoxReader(store, fingerprint=fingerprint, limits=limits)
        self._plans: dict[int, Stored[Plan]] = {}
        self._states: dict[int, Stored[RoundState]] = {}

    # -- opening -------------------------------------------------------------------------------------------------------------------

    def open_round(
        self, round_id: int, *, policy: PolicyPack, vocabulary: Vocabulary, quorum: int | None = None, close_by: datetime | None = None
    ) -> Stored[Plan]:
        """Step 0: create the plan, or adopt the one that is there."""
        known = self.reader.plan(round_id)
        if known is not None:
            return known
        commits = [c for c in self.reader.ledger() if c.entry.kind is EntryKind.COMMIT]
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
        )
        self._create(write)
        return self.plan(round_id)

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

    def collect(self, round_id: int) -> Arrivals:
        """List the inbox of the round and of those that may still be late for it."""
        machine, command = self._drive(round_id, until=(mc.Gather,))
        plan = self.plan(round_id).value
        decided = not isinstance(command, mc.Gather)
        if isinstance(command, mc.Halt):
            self._refuse_halt(command)
        first = max(1, round_id - plan.policy.max_staleness)
        judged = self._judged(first, round_id)
        listed = [info for r in range(first, round_id + 1) for info in self.store.list(Keys.inbox(r)) if info.key not in judged]
        here = {info.key.split("/")[2] for info in listed if info.key.startswith(Keys.inbox(round_id)) and info.key.count("/") == 3}
        return Arrivals(
            round=round_id,
            quorum=plan.quorum,
            present=tuple(c for c in plan.cohort if c in here),
            missing=tuple(c for c in plan.cohort if c not in here),
            keys=tuple((info.key, info.size) for info in listed),
            closed=machine.closed or self.now >= plan.close_by,
            decided=decided,
        )

    def _judged(self, first: int, round_id: int) -> set[str]:
        """Inbox keys that a committed round since `first` has counted or refused: they are not judged again. A void round's are."""
        keys: set[str] = set()
        for entry in (c.entry for c in self.reader.ledger() if c.entry.kind is EntryKind.COMMIT and first <= c.entry.round < round_id):
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

    def validate(self, arrivals: Arrivals) -> Admission:
        """Step 2: read, verify, and copy what is admitted to `accepted/`. Content stays out of what is returned.

        Raises LedgerError where an admitted update has seen a ledger entry that is not there (R-73); nothing was decided then.
        """
        if arrivals.decided:
            return Admission(admitted=(), refused=())
        round_id = arrivals.round
        context = self._context(round_id)
        admission = PacketValidator(context=context).admit(self._read_arrivals(arrivals))
        ledger = self.reader.ledger()
        for item in admission.admitted:
            check_claim(ledger, sequence=item.claim_sequence, digest=item.claim_digest, by=f"{item.client} ({item.key})")
        for item in admission.admitted:
            if item.data is not None:
                self.store.put_if_absent(Keys.accepted(round_id, item.digest), item.data)
        return Admission(admitted=tuple(replace(a, update=None, data=None) for a in admission.admitted), refused=admission.refused)

    def freeze(self, round_id: int, admission: Admission) -> Stage:
        """Step 3: choose by base state and trust, and create the freeze. Raises QuorumMissed below quorum before `close_by`."""
        _, command = self._drive(round_id, until=(mc.Append, mc.Release), gather=lambda r: self._candidate(r, admission))
        if isinstance(command, mc.Halt):
            self._refuse_halt(command)
        return self._stage(round_id, command)

    def reserve(self, round_id: int) -> Stage:
        """Step 4."""
        _, command = self._drive(round_id, until=(mc.Release,))
        return self._stage(round_id, command)

    def release(self, round_id: int) -> Stage:
        """Step 5: compute and create the result, or adopt it."""
        _, command = self._drive(round_id, until=(mc.PutState,))
        return self._stage(round_id, command)

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
        economy = mc.Economy(affordable=self._affordable, reserve_id=lambda r, frozen: reserve_id(self.reader.registry.federation, r, frozen.digest))
        machine, command = mc.start(round_id)
        while not isinstance(command, mc.Halt):
            mine = getattr(command, "round", machine.round) == round_id and machine.round == round_id
            reserving = isinstance(command, mc.Append) and command.line.kind is not EntryKind.RESERVE
            if mine and isinstance(command, until) and not reserving:
                break
            log.debug("round=%d phase=%s command=%s", round_id, machine.phase.value, type(command).__name__)
            answer = gather(command.round) if gather is not None and isinstance(command, mc.Gather) else self._execute(machine, command)
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
                return self._create(sign_object(Keys.freeze(freeze.round), PacketType.FREEZE, freeze, keys=self.keys, time=freeze.time, audience=COORDINATOR))
            case mc.Append(at=number, line=line):
                return self._append(number, line)
            case mc.Release(round=r, freeze=frozen):
                coordinator = self._coordinator(r, frozen)
                return self._create(*coordinator.broadcast(coordinator.aggregate()))
            case mc.PutTombstone(round=r, rule=rule):
                return self._create(self._tombstone(r, rule))
            case mc.PutState(round=r):
                return self._put_state(r)
            case mc.PutReceipts(round=r):
                return self._put_receipts(r)
        raise RoundError(f"command {command!r} is unknown")

    def _create(self, *writes: Write) -> Outcome:
        """Create-only writes, in order; the outcome of the last."""
        outcome = Outcome.CREATED
        for write in writes:
            try:
                outcome = Outcome.CREATED if self.store.put_if_absent(write.key, write.data) else Outcome.EXISTS
            except TransientError as error:
                log.debug("key=%s outcome=unknown error=%s", write.key, error)
                outcome = Outcome.UNKNOWN
        return outcome

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
        end = end_of(self.reader.ledger(), round_id)
        why = command.why if isinstance(command, mc.Halt) else None
        return Stage(round=round_id, why=why, counted=counts[0], refused=counts[1], result=end.entry.result if end else b"")

    # -- step 2 and 3 --------------------------------------------------------------------------------------------------------------

    def base_state(self, round_id: int) -> Stored[RoundState] | None:
        """The state of the last round committed before this one. Raises RoundError where it is missing or not the one the ledger names."""
        commits = [c.entry for c in self.reader.ledger() if c.entry.kind is EntryKind.COMMIT and c.entry.round < round_id]
        if not commits:
            return None
        last = commits[-1]
        if last.round not in self._states:
            found = self.reader.state(last.round)
            if found is None or found.digest != last.state:
                raise RoundError(
                    "is not the state that the ledger names" if found else "is missing",
                    subject=Keys.state(last.round),
                    rule="R-67",
                    remedy="Restore the bucket from its versions; run `hyperfed audit`",
                )
            self._states[last.round] = found
        return self._states[last.round]

    def model(self, round_id: int) -> GlobalModel | None:
        """The committed model of a round; None for round 0 and for void ones."""
        found = self.reader.result(round_id) if round_id else None
        return found.value if found is not None and isinstance(found.value, GlobalModel) else None

    def _context(self, round_id: int) -> RoundContext:
        plan, base = self.plan(round_id).value, self.base_state(round_id)
        policies = {}
        for r in range(max(1, round_id - plan.policy.max_staleness), round_id):
            earlier = self.reader.plan(r)
            if earlier is not None:
                policies[r] = policy_digest(earlier.value.policy)
        return RoundContext(
            registry=self.reader.refresh_registry(),
            plan=plan,
            now=self.now,
            policies=policies | {round_id: policy_digest(plan.policy)},
            highest={c.client: c.highest_sequence for c in base.value.clients} if base else {},
            keys=self.keys,
            base_of=lambda client, digest: self._base_update(base.value if base else None, client, digest),
            limits=self.limits,
        )

    def _read_arrivals(self, arrivals: Arrivals) -> list[Arrival]:
        sizes = dict(arrivals.keys)
        small = [key for key, size in arrivals.keys if size <= self.limits.max_update_bytes]
        found: dict[str, bytes | TransportError] = {}
        for key, data in self.store.read_many(small, max_bytes=self.limits.max_update_bytes):
            if isinstance(data, TransientError):
                raise data  # the stage is tried again: a fault of the store must not look like a fault of the client
            found[key] = data
        out = []
        for key, size in sizes.items():
            got = found.get(key)
            out.append(Arrival(key=key, size=size, data=None if isinstance(got, TransportError) else got, error=got if isinstance(got, TransportError) else None))
        return out

    def _base_update(self, base: RoundState | None, client: str, digest: bytes) -> Update | None:
        """The client's last counted update, its own deltas resolved; None where it is gone or not the last counted one."""
        state = base.of(client) if base else None
        if state is None or state.last_digest != digest:
            return None
        return self._counted_update(state.last_round, client, digest, depth=0)

    def _counted_update(self, round_id: int, client: str, digest: bytes, *, depth: int) -> Update | None:
        try:
            data = self.store.read(Keys.accepted(round_id, digest), max_bytes=self.limits.max_update_bytes)
        except ObjectNotFound:
            return None
        frozen = self.reader.freeze(round_id)
        counted = next((c for c in frozen.value.counted if c.client == client and c.digest == digest), None) if frozen else None
        if frozen is None or counted is None:
            return None
        base = self._state_before(frozen.value)

        def earlier(client: str, digest: bytes) -> Update | None:
            state = base.of(client) if base else None
            if depth >= _MAX_DELTA_CHAIN or state is None or state.last_digest != digest:
                return None
            return self._counted_update(state.last_round, client, digest, depth=depth + 1)

        return self._reopen(frozen.value, counted.made_for, client, digest, data, earlier).update

    def _state_before(self, freeze: Freeze) -> RoundState | None:
        if not freeze.base_round:
            return None
        found = self.reader.state(freeze.base_round)
        return found.value if found is not None and found.digest == freeze.base_state else None

    def _reopen(self, freeze: Freeze, made_for: int, client: str, digest: bytes, data: bytes, base_of: Callable[[str, bytes], Update | None]) -> Admitted:
        """A frozen update from its bytes in `accepted/`, its signature and digest verified again."""
        key = Keys.accepted(freeze.round, digest)
        validator = PacketValidator(self.reader.registry_at(freeze.registry_version), limits=self.limits)
        admitted = validator.reopen(data, key=key, client=client, made_for=made_for, keys=self.keys, base_of=base_of)
        if admitted.digest != digest:
            raise RoundError("is not the update that was frozen", subject=key, rule="R-66", remedy="Restore the bucket from its versions; run `hyperfed audit`")
        return admitted

    def _candidate(self, round_id: int, admission: Admission) -> Freeze | None:
        plan, base = self.plan(round_id), self.base_state(round_id)
        choice: Choice = choose(admission, base=base.value if base else None, plan=plan.value)
        if len(choice.counted) < plan.value.quorum:
            return None
        freeze = Freeze(
            federation=plan.value.federation,
            round=round_id,
            plan=plan.digest,
            registry_version=self.reader.registry.version,
            registry_digest=self.reader.registry_digest,
            base_round=base.value.round if base else 0,
            base_state=base.digest if base else b"",
            counted=choice.counted,
            refused=choice.refused,
            excluded=choice.excluded,
            claim_sequence=choice.claim_sequence,
            claim_digest=choice.claim_digest,
            merkle_head=b"",
            time=self.now,
        )
        return replace(freeze, merkle_head=merkle.head(freeze.leaves))

    # -- step 4 to 7 ---------------------------------------------------------------------------------------------------------------

    def mechanisms(self, plan: Plan) -> tuple[Mechanism, ...]:
        """What the round will spend; nothing where the policy asks for no noise."""
        return ()

    def _affordable(self, lines: tuple[mc.Line, ...], round_id: int) -> bool:
        budget = self.reader.registry.budget
        total = spent(self.reader.ledger()[: len(lines)])
        cost = self.mechanisms(self.plan(round_id).value)
        return total.epsilon + sum(m.epsilon for m in cost) <= budget.epsilon and total.delta + sum(m.delta for m in cost) <= budget.delta

    def _append(self, number: int, line: mc.Line) -> Outcome:
        ledger = self.reader.ledger()
        if len(ledger) >= number:
            return Outcome.EXISTS
        if len(ledger) < number - 1:
            raise LedgerError(f"ends at entry {len(ledger)}, it had {number - 1}", subject="ledger", rule="R-71", remedy="Restore the bucket from its versions")
        entry = self._entry(number, line, ledger)
        return self._create(
            sign_object(
                Keys.ledger(number), PacketType.LEDGER, entry, keys=self.keys, time=entry.time, audience="all", sequence=number, previous=entry.previous
            )
        )

    def _entry(self, number: int, line: mc.Line, ledger: Sequence[Chained]) -> LedgerEntry:
        frozen = self.reader.freeze(line.round)
        common: dict[str, Any] = {
            "federation": self.reader.registry.federation,
            "sequence": number,
            "previous": ledger[-1].digest if ledger else b"",
            "kind": line.kind,
            "round": line.round,
            "freeze": frozen.digest if frozen else b"",
            "merkle_head": frozen.value.merkle_head if frozen else merkle.head([]),
        }
        if line.kind is EntryKind.RESERVE and frozen is not None:
            return LedgerEntry(
                **common,
                id=reserve_id(common["federation"], line.round, frozen.digest),
                mechanisms=self.mechanisms(self.plan(line.round).value),
                time=frozen.value.time,
            )
        result = self.reader.result(line.round)
        if result is None:
            raise RoundError("is gone", subject=Keys.result(line.round), rule="R-67", remedy="Restore the bucket from its versions")
        if line.kind is EntryKind.VOID:
            return LedgerEntry(**common, id=line.ref if isinstance(line.ref, bytes) else b"", result=result.digest, time=result.value.time)
        state = self.reader.state(line.round)
        if state is None:
            raise RoundError("is gone", subject=Keys.state(line.round), rule="R-67", remedy="Restore the bucket from its versions")
        return LedgerEntry(**common, id=b"", result=result.digest, state=state.digest, time=result.value.time)

    def _coordinator(self, round_id: int, frozen: Stored[Freeze]) -> FederationCoordinator:
        """A coordinator that holds exactly the frozen set, read from `accepted/`. Raises RoundError where an object is gone or changed (R-66)."""
        freeze, plan = frozen.value, self.plan(round_id).value
        coordinator = FederationCoordinator(plan=plan, keys=self.keys, freeze=frozen.digest, time=freeze.time)
        base = self._state_before(freeze)
        by_key = {Keys.accepted(round_id, c.digest): c for c in freeze.counted}
        for key, data in self.store.read_many(by_key, max_bytes=self.limits.max_update_bytes):
            counted = by_key[key]
            if isinstance(data, TransientError):
                raise data
            if isinstance(data, HyperfedError):
                raise RoundError(f"cannot be read: {data}", subject=key, rule="R-66", remedy="Restore the bucket from its versions") from data
            admitted = self._reopen(
                freeze, counted.made_for, counted.client, counted.digest, data, lambda client, digest: self._base_update(base, client, digest)
            )
            coordinator.handle_update(counted.client, admitted)
        return coordinator

    def _tombstone(self, round_id: int, rule: str) -> Write:
        plan, frozen = self.plan(round_id).value, self.reader.freeze(round_id)
        tombstone = Tombstone(
            federation=plan.federation, round=round_id, rule=rule, reason=_TOMBSTONE_REASONS[rule], time=frozen.value.time if frozen else plan.close_by
        )
        return sign_object(Keys.result(round_id), PacketType.TOMBSTONE, tombstone, keys=self.keys, time=tombstone.time)

    def _put_state(self, round_id: int) -> None:
        """R-67. The state another coordinator wrote must say the same; else RoundError."""
        frozen, result = self.reader.freeze(round_id), self.reader.result(round_id)
        if frozen is None or result is None or not isinstance(result.value, GlobalModel):
            raise RoundError("has a result without a freeze", subject=f"round {round_id}", rule="R-66")
        coordinator = self._coordinator(round_id, frozen)
        coordinator.aggregate()
        reconciliation = coordinator.reconciliation
        if reconciliation is None:
            raise RoundError("was not merged", subject=f"round {round_id}")
        state = RoundState(
            federation=frozen.value.federation,
            round=round_id,
            freeze=frozen.digest,
            result=result.digest,
            base_state=frozen.value.base_state,
            clients=next_states(
                self._state_before(frozen.value),
                frozen.value,
                plan=self.plan(round_id).value,
                reconciliation=reconciliation,
                stores=dict(zip(coordinator.clients, coordinator.stores(), strict=True)),
                last_model=self.model(frozen.value.base_round),
            ),
        )
        outcome = self._create(sign_object(Keys.state(round_id), PacketType.STATE, state, keys=self.keys, time=frozen.value.time, audience=COORDINATOR))
        if outcome is Outcome.CREATED:
            return
        known = self.reader.state(round_id)
        if known is None:
            raise TransientError("its write was lost", subject=Keys.state(round_id), remedy="Run the round again")
        if known.value != state:
            raise RoundError(
                "differs from what its freeze and base state give",
                subject=Keys.state(round_id),
                rule="R-67",
                remedy="Run `hyperfed audit`: another coordinator runs other code, or the bucket was changed",
            )

    def _put_receipts(self, round_id: int) -> None:
        end = end_of(self.reader.ledger(), round_id)
        plan, frozen, result = self.reader.plan(round_id), self.reader.freeze(round_id), self.reader.result(round_id)
        if end is None or plan is None:
            return
        if result is None or result.digest != end.entry.result or (frozen.digest if frozen else b"") != end.entry.freeze:
            raise RoundError(
                "is not the one the ledger names",
                subject=Keys.result(round_id),
                rule="R-61",
                remedy="Restore the bucket from its versions; run `hyperfed audit`",
            )
        tombstone = result.value if isinstance(result.value, Tombstone) else None
        there = {info.key for info in self.store.list(Keys.receipt(round_id, ""))}
        for write in make_receipts(plan.value, frozen.value if frozen else None, end, tombstone=tombstone, keys=self.keys):
            if write.key not in there:
                self.store.put_if_absent(write.key, write.data)


def _below_quorum(plan: Plan, remedy: str) -> RoundError:
    return QuorumMissed(
        f"fewer than {plan.quorum} of {len(plan.cohort)} clients have an update that counts", subject=f"round {plan.round}", rule="R-62", remedy=remedy
    )
