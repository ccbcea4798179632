"""Execute the commands of `protocol.machine` against an object store: one handler for each.

1. A handler reads, or makes one create-only write; every decision is the machine's.
2. An unknown outcome (a lost reply) is reported as such; the machine then reads and compares.
3. Gathering is refused here: it needs the inbox, which only the first stages of `runner` judge.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from hyperfed.config import Limits
from hyperfed.coordinator import budget
from hyperfed.coordinator.frozen_merge import FrozenMerge
from hyperfed.coordinator.noised_release import NoisedRelease
from hyperfed.coordinator.opened_sums import OpenedSums
from hyperfed.coordinator.receipts import Receipts
from hyperfed.coordinator.release_marks import ReleaseMarks
from hyperfed.coordinator.round_objects import draft_entry, draft_state, draft_tombstone
from hyperfed.coordinator.signed_writes import SignedWrites
from hyperfed.coordinator.timing import check_not_far_ahead
from hyperfed.crypto.envelope import PacketType
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.claims import check_holds_commit, check_seen, is_of_abandoned_branch
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import RESTORE_BUCKET, LedgerError, RoundError, TransientError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.protocol import machine as mc
from hyperfed.protocol.documents import COORDINATOR, end_of, sign_object
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.ledger import line_of, reserve_id
from hyperfed.protocol.machine import WriteOutcome
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan, Tombstone
from hyperfed.storage.store import ObjectStore

__all__ = ["CommandHandlers"]


class CommandHandlers:
    """Executes the machine's commands, for one coordinator at one instant."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        reader: DropBoxReader,
        key_pair: KeyPair,
        now: datetime,
        limits: Limits,
        merge: FrozenMerge,
        marks: ReleaseMarks,
    ) -> None:
        self.reader, self.key_pair, self.now = reader, key_pair, now
        self.merge = merge
        self.writes = SignedWrites(store=store, reader=reader, key_pair=key_pair)
        self.noised = NoisedRelease(writes=self.writes, merge=merge, marks=marks)
        self.opened = OpenedSums(writes=self.writes)
        self.receipts = Receipts(store=store, reader=reader, key_pair=key_pair, limits=limits)
        self._plans: dict[int, Stored[Plan]] = {}
        self._handlers: dict[type[Any], Callable[[mc.Machine, Any], Any]] = {
            mc.ReadLedger: self._read_ledger,
            mc.ReadPlan: self._read_plan,
            mc.ReadFreeze: self._read_freeze,
            mc.ReadResult: self._read_result,
            mc.Gather: self._gather,
            mc.PutFreeze: self._put_freeze,
            mc.ReadNoise: lambda machine, command: self.noised.read(command.round, machine.freeze),
            mc.PutNoise: lambda _, command: self.noised.draw(command.round, command.freeze),
            mc.Append: self._append,
            mc.ReadManifest: lambda machine, command: self.opened.is_named(
                self.plan(command.round), machine.freeze
            ),
            mc.PutManifest: lambda _, command: self.opened.name(
                self.plan(command.round), command.freeze
            ),
            mc.ReadOpenings: lambda _, command: self.opened.view(
                self.plan(command.round), command.freeze
            ),
            mc.Release: lambda _, command: self.noised.release(
                self.plan(command.round).value, command.freeze, command.noise
            ),
            mc.PutTombstone: self._put_tombstone,
            mc.PutState: self._put_state,
            mc.PutReceipts: self._put_receipts,
        }

    def execute(self, machine: mc.Machine, command: mc.Command) -> Any:
        """Execute one command and return the answer that the machine waits for."""
        return self._handlers[type(command)](machine, command)

    def economy(self) -> mc.Economy:
        """Return the functions by which the machine asks about budget, reserve and base round."""
        return budget.economy_of(self.reader, lambda round_id: self.plan(round_id).value)

    def plan(self, round_id: int) -> Stored[Plan]:
        """Return the round's plan. Raises RoundError where the round was not opened."""
        if round_id not in self._plans:
            stored_plan = self.reader.plan(round_id)
            if stored_plan is None:
                raise RoundError(
                    "was not opened",
                    subject=f"round {round_id}",
                    rule="R-60",
                    remedy="Wait for its window, at whose start the open-round deployment opens it",
                )
            self._plans[round_id] = stored_plan
        return self._plans[round_id]

    # -- reads -----------------------------------------------------------------------------------

    def _read_ledger(self, machine: mc.Machine, _: mc.ReadLedger) -> tuple[mc.Line, ...]:
        ledger = self.reader.ledger()
        if machine.phase is mc.Phase.RESERVE:
            frozen: Freeze = machine.freeze.value
            check_seen(
                self.reader,
                ledger,
                sequence=frozen.claim_sequence,
                digest=frozen.claim_digest,
                by=f"a counted update of round {frozen.round}",
            )
        return tuple(line_of(entry) for entry in ledger)

    def _read_plan(self, machine: mc.Machine, command: mc.ReadPlan) -> mc.PlanView | None:
        # a predecessor whose plan is refused was never opened: what is reserved for it is void
        plan = self._plan_here(command.round, or_none=command.round < machine.aim)
        if plan is None:
            return None
        check_holds_commit(self.reader, plan)
        if command.round < machine.aim:  # before anything is written for the predecessor
            aimed = self._plan_here(machine.aim, or_none=True)
            if aimed is not None:
                check_holds_commit(self.reader, aimed)
        self._plans[command.round] = plan
        check_not_far_ahead(
            self.reader.registry,
            self.reader.verified_entries(),
            self.now,
            limits=self.reader.limits,
        )
        return mc.PlanView(
            closed=self.now >= plan.value.close_by, begun=self.now >= plan.value.opens
        )

    def _plan_here(self, round_id: int, *, or_none: bool) -> Stored[Plan] | None:
        """Return a round's plan, or None where there is none.

        or_none: whether a plan that is refused counts as none. So does a plan of a branch that the
        registry's roots have abandoned: whoever copied it here cannot stop later rounds (R-152).
        Raises RoundError.
        """
        plan = self.reader.plan(round_id, or_none=or_none)
        if plan is None or not is_of_abandoned_branch(self.reader, plan.value):
            return plan
        if or_none:
            return None
        raise RoundError(
            f"is of a branch that the roots have abandoned: it names the commit of round "
            f"{plan.value.newest_commit_round} there",
            subject=plan.key,
            rule="R-152",
            remedy=(
                "Nothing to do: somebody copied it here. Nothing was written; this round is left "
                "out, and the next one goes on"
            ),
        )

    def check_base_plan(self, round_id: int) -> None:
        """Raise RoundError where the plan of the round that this one builds on is refused.

        What that round released is not to be built on. The roots have a way back (R-153).
        """
        ledger = self.reader.verified_entries()
        base = mc.last_committed(tuple(line_of(entry) for entry in ledger), round_id)
        try:
            if base:
                self.reader.plan(base)
        except RoundError as error:
            numbers = [str(c.entry.sequence) for c in ledger if c.entry.round == base]
            raise RoundError(
                f"{error.problem}; and entries {' and '.join(numbers)} of the ledger commit round "
                f"{base} by it",
                subject=error.subject,
                rule=error.rule,
                remedy="Whoever signed it has the coordinator's key: replace that key. The roots "
                f"annul the entries with `hyperfed registry annul {' '.join(numbers)}`, and rounds "
                "go on. Nothing was written",
            ) from error

    def _read_freeze(self, _: mc.Machine, command: mc.ReadFreeze) -> Stored[Freeze] | None:
        return self.reader.freeze(command.round)

    def _read_result(self, _: mc.Machine, command: mc.ReadResult) -> mc.ResultView | None:
        stored_result = self.reader.result(command.round)
        if stored_result is None:
            return None
        if isinstance(stored_result.value, Tombstone):
            return mc.ResultView(stored_result.digest, True)
        federation = self.reader.registry.federation
        asks = reserve_id(federation, command.round, stored_result.value.freeze)
        return mc.ResultView(stored_result.digest, False, asks)

    def _gather(self, _: mc.Machine, command: mc.Gather) -> Freeze | None:
        raise RoundError(
            "is not frozen yet, and this stage cannot decide who counts",
            subject=f"round {command.round}",
            remedy="Run the round from its first stage",
        )

    # -- writes ----------------------------------------------------------------------------------

    def _put_freeze(self, _: mc.Machine, command: mc.PutFreeze) -> WriteOutcome:
        freeze: Freeze = command.freeze
        write = sign_object(
            Keys.freeze(freeze.round),
            PacketType.FREEZE,
            freeze,
            key_pair=self.key_pair,
            time=freeze.time,
            audience=COORDINATOR,
        )
        return self.writes.create(write, freeze.round)

    def _append(self, _: mc.Machine, command: mc.Append) -> WriteOutcome:
        number, line, ledger = command.at, command.line, self.reader.ledger()
        if len(ledger) >= number:
            return WriteOutcome.EXISTS
        if len(ledger) < number - 1:
            raise LedgerError(
                f"ends at entry {len(ledger)}, it had {number - 1}",
                subject="ledger",
                rule="R-71",
                remedy=RESTORE_BUCKET,
            )
        entry = draft_entry(
            self.reader,
            number,
            line,
            ledger,
            mechanisms=lambda: budget.mechanisms_of(self.reader, self.plan(line.round).value),
        )
        self.reader.check_entry(entry)
        write = sign_object(
            Keys.ledger(number),
            PacketType.LEDGER,
            entry,
            key_pair=self.key_pair,
            time=entry.time,
            audience="all",
            sequence=number,
            previous=entry.previous,
        )
        return self.writes.create(write, entry.round)

    def _put_tombstone(self, _: mc.Machine, command: mc.PutTombstone) -> WriteOutcome:
        write = draft_tombstone(self.reader, command.round, command.rule, key_pair=self.key_pair)
        return self.writes.create(write, command.round)

    def _put_state(self, _: mc.Machine, command: mc.PutState) -> None:
        """Write the state, or adopt the one of this freeze, result and base state (R-67).

        `hyperfed audit` computes again what an adopted state holds.
        """
        plan = self.plan(command.round).value
        frozen, result = self.reader.freeze(plan.round), self.reader.result(plan.round)
        if (
            frozen is None
            or result is None
            or not isinstance(result.value, GlobalModel)
            or result.value.freeze != frozen.digest
        ):
            raise RoundError(
                "is not of this round's freeze",
                subject=Keys.result(plan.round),
                rule="R-66",
                remedy=RESTORE_BUCKET,
            )
        if self._state_is_there(frozen, result.digest):
            return
        merged = self.merge.of(plan, frozen)
        if merged.reconciliation is None:
            merged.weigh()
        write = draft_state(
            plan,
            frozen,
            result.digest,
            merged,
            before=self.merge.frozen_sets.state_before(frozen.value),
            last_models=self.merge.last_models(frozen.value.base_round),
            registry=self.reader.registry_at(frozen.value.registry_version),
            key_pair=self.key_pair,
        )
        created = self.writes.create(write, plan.round) is WriteOutcome.CREATED
        if not created and not self._state_is_there(frozen, result.digest):
            raise TransientError(
                "its write was lost", subject=write.key, remedy="Run the round again"
            )
        self.merge.forget()

    def _state_is_there(self, frozen: Stored[Freeze], result: bytes) -> bool:
        """Return whether the round has the state of this freeze.

        result: the digest of the round's result. Raises RoundError where it has the state of
        another freeze, result or base state (R-67).
        """
        stored_state = self.reader.state(frozen.value.round)
        if stored_state is None:
            return False
        of = (stored_state.value.freeze, stored_state.value.result, stored_state.value.base_state)
        if of != (frozen.digest, result, frozen.value.base_state):
            raise RoundError(
                "is of another freeze, result or base state",
                subject=stored_state.key,
                rule="R-67",
                remedy="The bucket was changed: restore it from its versions; run `hyperfed audit`",
            )
        return True

    def _put_receipts(self, _: mc.Machine, command: mc.PutReceipts) -> None:
        self.complete_receipts(command.round)

    def complete_receipts(self, round_id: int) -> None:
        """Write the receipts that an ended round still lacks."""
        end = end_of(self.reader.verified_entries(), round_id)
        # a round that nobody opened, or by no plan that follows, has no clients
        plan = self.reader.plan(round_id, or_none=True)
        if end is not None and plan is not None:
            self.writes.check_key(round_id)
            self.receipts.put(plan.value, end)

    def complete_earlier_receipts(self, round_id: int) -> None:
        """Write the receipts that the last ended round before this one lacks.

        Its coordinator may have died between the ledger entry and the receipts.
        """
        ended = [
            c.entry.round
            for c in self.reader.verified_entries()
            if c.entry.kind is not EntryKind.RESERVE and c.entry.round < round_id
        ]
        plan = self.reader.plan(ended[-1], or_none=True) if ended else None
        if plan is not None and not self.receipts.are_there(plan.value):
            self.complete_receipts(plan.value.round)
