"""Run one client at one drop-box: submit, pull, and read what became of an update.

1. Before anything is sent, its sequence is on disk: a crash costs a number, never a repeat (R-89,
   `client.signing`).
2. A slot that is taken is read and compared: the client's own retried write is a success, and
   anything else means that the next slot is tried (R-1).
3. A broadcast is believed only if the ledger commits to it, it is not older than what was pulled
   before, has not expired, and belongs to the round it lies in. A ledger or registry shorter than
   what was seen is a rollback (R-50, R-51).
4. A receipt is shown only if its leaf says what the receipt says, and lies under the head that the
   round's commit or void carries (R-70).
5. Where the memory was lost or restored, the sequence goes on above everything the receipts of
   ended rounds show (R-89, `client.going_on`).
6. In a round of local noise it is this class that noises, so that nobody can forget to. The
   client's own budget is charged first, and there is one message a round, in slot 0 (R-98,
   `client.noised`).
7. Nothing leaves past the client's own rules, which are applied last (`client.sharing`).
8. A plan below the floors that the registry's roots sign gets nothing (R-125).
9. A round of secure sums takes one masked message, in slot 0, and boxes of its seeds (R-164).
10. Where changes against the last counted update are much shorter, they are sent (`client.deltas`).

What it does not do: it does not discover (`client_agent`), read a clock (`now` is an argument) or a
configuration (`cli`).
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from hyperfed.client.checks import (
    check_ledger,
    check_plan,
    check_receipt,
    check_registered,
    check_result,
)
from hyperfed.client.going_on import ROOM, sequence_from_receipts
from hyperfed.client.masked import masked_message, masked_operation, second_masked, send_masked
from hyperfed.client.memory import ClientMemory
from hyperfed.client.noised import (
    KeptMessage,
    before_noise,
    charge_share,
    noised,
    operation_of,
    recover,
    recover_all,
    second_message,
)
from hyperfed.client.own_slots import check_first_slot, write_first_slot, write_free_slot
from hyperfed.client.sharing import Sharing
from hyperfed.client.signing import signed_update
from hyperfed.client.standing import check_cohort, check_still_open, revocation_of
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.charges import charging
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import AccessDenied, RefusedError, RoundError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import Update
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Plan
from hyperfed.protocol.plan_checks import check_floors
from hyperfed.protocol.receipt_objects import Receipt
from hyperfed.protocol.sequences import abandoned_sequence
from hyperfed.registry.windows import check_client_id, check_instant
from hyperfed.storage.clock import check_clock
from hyperfed.storage.store import ObjectStore
from hyperfed.validator.policy import check_against_policy

__all__ = ["ClientSession", "Submitted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """Holds what was sent."""

    key: str
    """The object's key in the drop-box."""
    round: int
    """The round that the update is for."""
    sequence: int
    """The update's sequence."""
    digest: bytes
    """The digest of the update's header."""
    size: int
    """The size of the envelope, in bytes."""
    edges: int
    """The number of edges, or of deltas, in the update."""


class ClientSession:
    """Acts for one client at one drop-box.

    Args:
        store: The drop-box.
        client_id: The client's id, as registered.
        keys: The client's key pair.
        fingerprint: The fingerprint of the registry's roots, as compared out of band.
        memory: What this client has seen; None starts without a file.
        record_bound: How far one of this client's records moves its effects (L2). It is attested in
            claims that do not state it.
        sharing: The client's own rules of what may leave; None sets none.
        limits: The sizes and times that this client accepts.
        now: The instant of the session, by which it refuses what is ahead of its time (R-115). A
            method that is given another one goes on by that.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        client_id: str,
        key_pair: KeyPair,
        fingerprint: str | None,
        memory: ClientMemory | None = None,
        record_bound: float | None = None,
        sharing: Sharing | None = None,
        limits: Limits = DEFAULT_LIMITS,
        now: datetime | None = None,
    ) -> None:
        self.client_id, self.key_pair, self.limits = check_client_id(client_id), key_pair, limits
        self.memory = memory or ClientMemory()
        self.record_bound, self.sharing = record_bound, sharing or Sharing()
        self.store = store
        self.reader = DropBoxReader(
            store,
            fingerprint=fingerprint,
            not_below=self.memory.marks.registry_version,
            limits=limits,
            copy=self.memory.ledger_copy,
            now=now,
        )

    # -- submit ------------------------------------------------------------------------------------

    def plan_at(self, now: datetime, round_id: int | None = None) -> Stored[Plan]:
        """Return the plan of the round that an update sent at `now` is for.

        That is round `round_id`, or by default that of the window that runs. An earlier round takes
        updates until its `close_by`.

        Raises RegistryError for a revoked client. Raises RoundError where the round was not opened,
        has not begun, takes no more updates, or counts without this client. Raises RefusedError
        where a noised message would shut out another.
        """
        self.reader.now = check_instant(now)
        self.reader.check_fresh()
        registry = self.reader.registry
        running = registry.windows.round_at(now)
        number = running if round_id is None else round_id
        revoked = revocation_of(self.reader, self.client_id, min(running, number))
        if revoked is not None:
            raise revoked.error()
        registry.client(self.client_id)
        if number > running:
            raise RoundError(
                "has not begun",
                subject=f"round {number}",
                rule="R-60",
                remedy="Nothing was sent. It opens at "
                f"{registry.windows.opens(number).isoformat()}; round {running} runs now: leave "
                "--round out",
            )
        plan = self.plan(number) if number == running else self._earlier(number)
        check_cohort(
            self.reader,
            self.client_id,
            plan.value,
            running=self._running(running),
            running_round=running,
        )
        if number < running:
            check_still_open(self.reader, plan, now=now)
            self._check_not_noised(number, running)
        return plan

    def _earlier(self, round_id: int) -> Stored[Plan]:
        """Return the plan of an earlier round. Raises RoundError where it was not opened."""
        plan = self.reader.plan(round_id)
        if plan is None:
            raise RoundError(
                "was not opened",
                subject=f"round {round_id}",
                remedy="Nothing was sent. Submit for the round that runs now: leave --round out",
            )
        return plan

    def _running(self, running: int) -> Plan | None:
        """Return the plan of the running round, or None where it is not open yet."""
        plan = self.reader.plan(running)
        return None if plan is None else plan.value

    def sent_later(self, round_id: int, *, now: datetime) -> int | None:
        """Return the running round where it holds this client's update and `round_id` is earlier.

        Returns None otherwise. An update sent for the earlier round now has the higher sequence.
        Once it is counted, R-89 refuses the update in the running round, which has to be sent
        again.
        """
        running = self.reader.registry.windows.round_at(now)
        if round_id >= running:
            return None
        lies_there = any(True for _ in self.store.list(Keys.inbox(running, self.client_id)))
        return running if lies_there else None

    def _check_not_noised(self, round_id: int, running: int) -> None:
        """Raise RefusedError where the running round has a noised message of this client (R-98).

        Such a message cannot be sent again, so no update may come after it.
        """
        later = self._running(running)
        if (
            later is None
            or not later.policy.noised_by_clients
            or not any(True for _ in self.store.list(Keys.inbox(running, self.client_id)))
        ):
            return
        raise RefusedError(
            f"round {running} has your message already, and one for round {round_id} would shut "
            "it out",
            subject=f"client {self.client_id}",
            rule="R-98",
            remedy="Nothing was sent or spent. Local noise allows one message a round: submit "
            "for an earlier round before the running one",
        )

    def plan(self, round_id: int) -> Stored[Plan]:
        """Return a round's plan. Raises RoundError where it is not open, or below the floors."""
        stored = self.reader.plan(round_id)
        if stored is None:
            raise RoundError(
                "is not open",
                subject=f"round {round_id}",
                rule="R-60",
                remedy="The coordinator opens it at its window's start; try again later, or "
                "tell the operator",
            )
        check_floors(stored.value.policy, self.reader.registry, subject=stored.key)
        return stored

    def submit(
        self, update: Update, *, now: datetime, plan: Stored[Plan] | None = None
    ) -> Submitted:
        """Sign and seal an update, and write it to the inbox of the plan's round.

        Raises ConfigError, RegistryError, RefusedError or TransportError; nothing is sent then.
        ConfigError is also raised where the clocks differ by more than the federation tolerates. A
        repeat after TransientError may send the same update again under a higher sequence: it
        counts once.
        """
        self.reader.now = check_instant(now)
        self.reader.check_fresh()
        plan = plan or self.plan_at(now)
        check_registered(
            self.reader.registry, self.client_id, self.key_pair, round_id=plan.value.round
        )
        check_floors(plan.value.policy, self.reader.registry, subject=plan.key)
        update = self.leaving(update, plan.value)
        self.check(update, plan.value)
        ledger = self.check_ledger()
        check_plan(plan, ledger)
        self._go_on(ledger)
        check_clock(self.store, most_s=self.limits.clock_skew_s)
        if plan.value.policy.privacy == "local":
            return self._submit_noised(update, now=now, plan=plan, ledger=ledger)
        if plan.value.policy.aggregation == "secure-sum":
            return self._submit_masked(update, now=now, plan=plan, ledger=ledger)
        last, previous = self.memory.last_update, self.memory.marks.previous
        leaving, depth = last.shortest(update, plan.value, previous, self.receipt)
        data, sequence, digest = self._signed(leaving, plan, ledger=ledger, now=now)
        key = write_free_slot(self.store, self.client_id, plan.value.round, data)
        self.memory.raise_to(previous=digest)
        self.memory.sent.add(plan.value, key=key, sequence=sequence, digest=digest, now=now)
        last.keep(update, plan.value, digest=digest, depth=depth)
        return Submitted(
            key=key,
            round=plan.value.round,
            sequence=sequence,
            digest=bytes.fromhex(digest),
            size=len(data),
            edges=len(leaving.edges or leaving.deltas or ()),
        )

    def leaving(self, update: Update, plan: Plan) -> Update:
        """Return the update as it leaves: without what the client's own rules hold back.

        This client's record bound is added to its claims, where the policy protects records and the
        claims do not state one. Raises ConfigError where the rules leave nothing.
        """
        update = self.sharing.allowed(update, plan.policy, plan.vocabulary)
        if (
            plan.policy.privacy == "none"
            or not plan.policy.record_bound
            or self.record_bound is None
            or update.claims.record_bound is not None
        ):
            return update
        return replace(update, claims=replace(update.claims, record_bound=self.record_bound))

    def check(self, update: Update, plan: Plan) -> None:
        """Check R-90 and R-91 as far as this client can before it sends, and before any noise.

        Raises BoundsError, RefusedError.
        """
        check_against_policy(
            update,
            before_noise(plan),
            subject=f"update of {self.client_id} for round {plan.round}",
            unmasked=True,
        )

    def _submit_noised(
        self, update: Update, *, now: datetime, plan: Stored[Plan], ledger: list[Chained]
    ) -> Submitted:
        """Send the round's one message of local noise (R-98).

        It is drawn and kept the first time, sent again as it is after that, and refused once it has
        arrived. Raises PrivacyBudgetExhausted; nothing is noised or sent then. A message that never
        arrives stays charged: its noise was drawn.
        """
        kept_message = self.memory.message.of(operation_of(plan.value))
        if kept_message is None:
            kept_message = self.drawn_message(update, now=now, plan=plan, ledger=ledger)
        elif kept_message.arrived:
            raise second_message(self.client_id, plan.value.round)
        key = Keys.inbox(plan.value.round, self.client_id, 0)
        if not write_first_slot(self.store, self.client_id, plan.value.round, kept_message.data):
            raise second_message(self.client_id, plan.value.round, drawn=True)
        return self._sent(kept_message, key, plan.value, now=now)

    def _submit_masked(
        self, update: Update, *, now: datetime, plan: Stored[Plan], ledger: list[Chained]
    ) -> Submitted:
        """Send the round's one masked message (R-164); what was kept is sent again as it is."""
        operation, round_id = masked_operation(plan.value), plan.value.round
        kept = self.memory.message.of(operation)
        if kept is not None and kept.arrived:
            raise second_masked(self.client_id, round_id)
        if kept is None:
            drawn = self.memory.drew(operation, round_id)
            check_first_slot(self.store, self.client_id, round_id, second_masked, drawn=drawn)
            message = masked_message(
                update,
                OpeningReader(self.reader, plan),
                client_id=self.client_id,
                key_pair=self.key_pair,
                sign=lambda masked: self._signed(masked, plan, ledger=ledger, now=now),
                box_keys=self.memory.box_keys,
                now=now,
                charge=lambda: charge_share(
                    plan.value, self.reader, ledger, guard_of=self.memory.privacy_guard
                ),
            )
            kept = self.memory.message.keep(message)
        key = send_masked(self.store, kept, client_id=self.client_id, round_id=round_id)
        return self._sent(kept, key, plan.value, now=now)

    def _sent(self, kept: KeptMessage, key: str, plan: Plan, *, now: datetime) -> Submitted:
        """Remember that a kept message was sent, and return what it was.

        That it has arrived is noted last: until then a repeat remembers everything.
        """
        self.memory.raise_to(previous=kept.digest)
        self.memory.sent.add(plan, key=key, sequence=kept.sequence, digest=kept.digest, now=now)
        self.memory.message.arrived(kept.operation)
        return Submitted(
            key=key,
            round=plan.round,
            sequence=kept.sequence,
            digest=bytes.fromhex(kept.digest),
            size=len(kept.data) + len(kept.boxes),
            edges=kept.edges,
        )

    def drawn_message(
        self, update: Update, *, now: datetime, plan: Stored[Plan], ledger: list[Chained]
    ) -> KeptMessage:
        """Return the round's one message of local noise, drawn once. Raises as `submit`."""
        operation, round_id = operation_of(plan.value), plan.value.round
        if (kept_message := self.memory.message.of(operation)) is not None:
            return kept_message
        drawn = self.memory.drew(operation, round_id)
        check_first_slot(self.store, self.client_id, round_id, second_message, drawn=drawn)
        guard = self.memory.privacy_guard(budget := self.reader.registry.budget)
        recover(guard, charging(self.reader, ledger))
        message = noised(update, plan.value, budget=budget, guard=guard)
        signed = self._signed(message, plan, ledger=ledger, now=now)
        return self.memory.message.keep(KeptMessage.of(operation, message, *signed))

    def _signed(
        self, update: Update, plan: Stored[Plan], *, ledger: list[Chained], now: datetime
    ) -> tuple[bytes, int, str]:
        """Return the envelope, its sequence, and its digest in hexadecimal.

        Raises RefusedError where the envelope is larger than what is read.
        """
        return signed_update(
            update,
            plan.value,
            client_id=self.client_id,
            key_pair=self.key_pair,
            reader=self.reader,
            memory=self.memory,
            ledger=ledger,
            limits=self.limits,
            now=now,
        )

    def _go_on(self, ledger: list[Chained]) -> None:
        """Raise the sequence above what receipts show, where this machine's memory is behind.

        What local noise has cost in the ledger is then charged to the guard as well: it may be of
        the same backup. Raises RegistryError.
        """
        marks = self.memory.marks
        sequence, newest = sequence_from_receipts(
            self.memory,
            {c.entry.round for c in ledger if c.entry.kind is not EntryKind.RESERVE},
            self.receipt,
            records=self.reader.registry.keys_of(self.client_id),
            own=self.key_pair.public,
        )
        # what an abandoned branch has counted shows in no receipt of this one
        registry, key_id = self.reader.registry, self.key_pair.key_id
        sequence = max(sequence, abandoned_sequence(registry, self.client_id, key_id))
        behind = sequence > marks.sequence
        if behind:
            recover_all(self.memory.privacy_guard(self.reader.registry.budget), ledger)
        if behind or newest > marks.receipt_round:
            self.memory.raise_to(
                receipt_round=newest, sequence=sequence + ROOM if behind else marks.sequence
            )

    # -- pull --------------------------------------------------------------------------------------

    def check_ledger(self) -> list[Chained]:
        """Return the verified ledger, and raise the marks to it.

        Raises RoundError where it is shorter than what this client has seen, or different (R-50).
        """
        ledger = self.reader.ledger()
        if not check_ledger(ledger, self.memory.marks, self.reader.registry):
            self.memory.abandon_ledger()
        self.memory.raise_to(
            registry_version=self.reader.registry.version,
            ledger_sequence=len(ledger),
            ledger_digest=ledger[-1].digest.hex() if ledger else "",
        )
        return ledger

    def pull(self, *, now: datetime) -> Stored[GlobalModel] | None:
        """Return the newest committed result, verified against the ledger; None before the first.

        Raises RoundError, SignatureError, SchemaError, and RegistryError where the registry has
        expired.
        """
        self.reader.now = check_instant(now)
        self.reader.check_fresh()
        ledger = self.check_ledger()
        commits = [c for c in ledger if c.entry.kind is EntryKind.COMMIT]
        if not commits:
            return None
        entry = commits[-1].entry
        with suppress(AccessDenied):  # links reach the newest plans only
            self.reader.plan(entry.round)  # one that follows from no registry is refused
        result = check_result(
            self.reader.result(entry.round),
            entry,
            marks=self.memory.marks,
            now=now,
            skew_s=self.limits.clock_skew_s,
        )
        self.memory.raise_to(broadcast_round=entry.round, broadcast=result.digest.hex())
        return result

    # -- status ------------------------------------------------------------------------------------

    def receipt(self, round_id: int) -> Receipt | None:
        """Return this client's receipt of a round, or None before the round has ended.

        Its proof is verified. Raises RoundError.
        """
        stored = self.reader.receipt(round_id, self.client_id, self.key_pair)
        if stored is None:
            return None
        check_receipt(stored, self.check_ledger(), round_id=round_id)
        return stored.value

    def receipts(self, *, last: int = 7) -> list[Receipt]:
        """Return the receipts of the last ended rounds, newest first."""
        ended = sorted(
            {c.entry.round for c in self.check_ledger() if c.entry.kind is not EntryKind.RESERVE},
            reverse=True,
        )
        stored_receipts = (self.receipt(r) for r in ended[:last])
        return [receipt for receipt in stored_receipts if receipt is not None]
