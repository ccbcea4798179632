"""`ClientSession`: one client at one drop-box. Submit, pull, and what became of it.

1. Before anything is sent, its sequence is on disk: a crash costs a number, never a repeat (R-89).
2. A slot that is taken is read and compared: one's own retried write is a success, anything else means the next slot (R-1).
3. A broadcast is believed only if the ledger commits to it, it is not older than what was pulled before, has not expired, and speaks for the
   round it lies in; a ledger or registry shorter than what was seen is a rollback (R-50, R-51).
4. A receipt is shown only if its leaf says what the receipt says, and lies under the head that the round's commit or void carries (R-70).
5. Where the memory was lost, the sequence goes on above everything the receipts of ended rounds show (R-89).

6. In a round of local noise it is this class that noises, so that nobody can forget to; the client's own budget is charged first, and there is one message a
   round, in slot 0 (R-98, `client.noised`).

What it does not do: discovery (`client_agent`), clocks (`now` is an argument), configuration (`cli`).
"""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hyperfed.client.memory import ClientMemory
from hyperfed.client.noised import KeptMessage, noised, operation_of, recover
from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.dropbox import DropBoxReader, Stored
from hyperfed.encryption import bind_body, seal_body
from hyperfed.errors import AccessDenied, ObjectNotFound, ObjectTooLarge, RefusedError, RegistryError, RoundError
from hyperfed.global_model import GlobalModel
from hyperfed.keys import KeyPair
from hyperfed.packets import Update
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import EntryKind, Plan, Receipt
from hyperfed.protocol.receipts import receipt_holds
from hyperfed.rounds import SLOTS, Keys, check_client_id
from hyperfed.signing import Header, PacketType, digest_of, sign_envelope
from hyperfed.store import ObjectStore
from hyperfed.validator import check_against_policy, policy_digest

__all__ = ["ClientSession", "Submitted"]

_ROUNDS_TO_RECOVER = 64
_ROOM = 1024  # sequences that may have been used since the receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What was sent: the object's key, the round, the sequence, the packet digest, its size in bytes and the edges in it."""

    key: str
    round: int
    sequence: int
    digest: bytes
    size: int
    edges: int


class ClientSession:
    """fingerprint: the registry's roots as compared out of band. memory: what this client has seen. record_bound: what this client attests in claims that
    say nothing of it: how far one of its records moves its effects (L2)."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        client_id: str,
        keys: KeyPair,
        fingerprint: str | None,
        memory: ClientMemory | None = None,
        record_bound: float | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.client_id, self.keys, self.limits = check_client_id(client_id), keys, limits
        self.memory = memory or ClientMemory()
        self.record_bound = record_bound
        self.store = store
        self.reader = DropBoxReader(store, fingerprint=fingerprint, not_below=self.memory.marks.registry_version, limits=limits, copy=self.memory.ledger_copy)

    # -- submit --------------------------------------------------------------------------------------------------------------------

    def plan_at(self, now: datetime) -> Stored[Plan]:
        """The plan of the window that `now` lies in. Raises RoundError where it was not opened."""
        round_id = self.reader.registry.windows.round_at(now)
        return self.plan(round_id)

    def plan(self, round_id: int) -> Stored[Plan]:
        found = self.reader.plan(round_id)
        if found is None:
            raise RoundError(
                "is not open",
                subject=f"round {round_id}",
                rule="R-60",
                remedy="The coordinator opens it at its window's start; try again later, or tell the operator",
            )
        return found

    def submit(self, update: Update, *, now: datetime, plan: Stored[Plan] | None = None) -> Submitted:
        """Sign, seal and drop an update for the plan's round. Raises ConfigError, RegistryError, RefusedError, TransportError; nothing is sent then.

        A repeat after TransientError may send the same update again under a higher sequence: it counts once.
        """
        plan = plan or self.plan_at(now)
        self._check_registered(plan.value.round)
        update = self.attested(update, plan.value)
        self.check(update, plan.value)
        ledger = self.check_ledger()
        self._check_plan(plan, ledger)
        if plan.value.policy.privacy == "local":
            return self._submit_noised(update, now=now, plan=plan, ledger=ledger)
        data, sequence, digest = self._signed(update, plan, ledger=ledger, now=now)
        key = self._drop(data, plan.value.round)
        self.memory.raise_to(previous=digest)
        edges = len(update.edges or update.deltas or ())
        return Submitted(key=key, round=plan.value.round, sequence=sequence, digest=bytes.fromhex(digest), size=len(data), edges=edges)

    def attested(self, update: Update, plan: Plan) -> Update:
        """The update with this client's record bound in its claims, where the policy protects records and they say nothing of it."""
        if plan.policy.privacy == "none" or not plan.policy.record_bound or self.record_bound is None or update.claims.record_bound is not None:
            return update
        return replace(update, claims=replace(update.claims, record_bound=self.record_bound))

    def check(self, update: Update, plan: Plan) -> None:
        """R-90 and R-91 as this client can know them before it sends, and before any noise. Raises BoundsError, RefusedError."""
        if update.edges is not None:
            check_against_policy(update, _before_noise(plan), subject=f"update of {self.client_id} for round {plan.round}")

    def _submit_noised(self, update: Update, *, now: datetime, plan: Stored[Plan], ledger: list[Chained]) -> Submitted:
        """The round's one message of local noise (R-98): drawn and kept the first time, sent again as it is after that, refused once it has arrived.

        Raises PrivacyBudgetExhausted; nothing is noised or sent then. A message that never arrives stays charged: its noise was drawn.
        """
        operation, budget = operation_of(plan.value), self.reader.registry.budget
        kept = self.memory.message.of(operation)
        if kept is None:
            guard = self.memory.privacy_guard(budget)
            recover(guard, ledger)
            message = noised(update, plan.value, budget=budget, guard=guard)
            data, sequence, digest = self._signed(message, plan, ledger=ledger, now=now)
            edges = len(message.edges or ())
            kept = self.memory.message.keep(KeptMessage(operation=operation, sequence=sequence, digest=digest, edges=edges, data=data))
        elif kept.arrived:
            raise _second_message(self.client_id, plan.value.round)
        key = Keys.inbox(plan.value.round, self.client_id, 0)
        if not self.store.put_if_absent(key, kept.data) and not self._holds(key, kept.data):
            raise _second_message(self.client_id, plan.value.round)
        self.memory.message.arrived(operation)
        self.memory.raise_to(previous=kept.digest)
        digest_bytes = bytes.fromhex(kept.digest)
        return Submitted(key=key, round=plan.value.round, sequence=kept.sequence, digest=digest_bytes, size=len(kept.data), edges=kept.edges)

    def _signed(self, update: Update, plan: Stored[Plan], *, ledger: list[Chained], now: datetime) -> tuple[bytes, int, str]:
        """(envelope, sequence, digest in hexadecimal). Raises RefusedError where it is too large to be read."""
        if self.memory.marks.sequence == 0:
            self._recover_sequence(ledger)
        sequence = self.memory.take_sequence()
        data, header = self._envelope(update, plan, ledger=ledger, sequence=sequence, now=now)
        if len(data) > self.limits.max_update_bytes:
            raise RefusedError(
                f"{len(data)} bytes; at most {self.limits.max_update_bytes} are read",
                subject=f"update of {self.client_id} for round {plan.value.round}",
                rule="R-80",
                remedy="Share fewer edges",
            )
        return data, sequence, digest_of(PacketType.UPDATE, header.to_bytes()).hex()

    def _check_registered(self, round_id: int) -> None:
        registry = self.reader.registry
        record = registry.client(self.client_id)
        if not any(r.keys == self.keys.public and r.valid_in(round_id) for r in record.keys):
            raise RegistryError(
                f"key {self.keys.key_id} is not registered for round {round_id}",
                subject=f"client {self.client_id}",
                rule="R-81",
                remedy=f"Registry version {registry.version} names other keys or rounds; enrol this key with the operator",
            )

    def _check_plan(self, plan: Stored[Plan], ledger: list[Chained]) -> None:
        """R-50: a plan names the newest commit there was; a ledger without it is an old one."""
        if plan.value.newest_commit and not any(c.digest == plan.value.newest_commit for c in ledger):
            raise RoundError(
                f"names the commit of round {plan.value.newest_commit_round}, which the ledger does not hold",
                subject=plan.key,
                rule="R-50",
                remedy="Somebody shows an old ledger: tell the operator. Nothing was sent",
            )

    def _recover_sequence(self, ledger: list[Chained]) -> None:
        """A client without memory goes on above the newest sequence that a receipt shows, with room for updates that nobody has judged yet."""
        for round_id in sorted({c.entry.round for c in ledger if c.entry.kind is not EntryKind.RESERVE}, reverse=True)[:_ROUNDS_TO_RECOVER]:
            receipt = self.receipt(round_id)
            if receipt is not None and receipt.sequence:
                self.memory.raise_to(sequence=receipt.sequence + _ROOM)
                return

    def _envelope(self, update: Update, plan: Stored[Plan], *, ledger: list[Chained], sequence: int, now: datetime) -> tuple[bytes, Header]:
        marks = self.memory.marks
        header = Header(
            federation=plan.value.federation,
            round=plan.value.round,
            sender=self.client_id,
            key_id=self.keys.key_id,
            audience="coordinator",
            sequence=sequence,
            nonce=secrets.token_bytes(16),
            created=now,
            expires=now + timedelta(seconds=max(self.limits.update_lifetime_s, self.reader.registry.window_s * (plan.value.policy.max_staleness + 2))),
            policy=policy_digest(plan.value.policy),
            vocabulary=plan.value.vocabulary.digest,
            previous=bytes.fromhex(marks.previous),
            seen_broadcast=bytes.fromhex(marks.broadcast),
            ledger_sequence=len(ledger),
            ledger_digest=ledger[-1].digest if ledger else b"",
        )
        body = PayloadCodec(compression="zstd").encode(update)
        if plan.value.policy.sealed:
            header, body = seal_body(header, body, self.reader.registry.sealing_keys(plan.value.round))
        else:
            header = bind_body(header, body)
        return sign_envelope(PacketType.UPDATE, header, body, [self.keys]), header

    def _drop(self, data: bytes, round_id: int) -> str:
        for slot in range(SLOTS):
            key = Keys.inbox(round_id, self.client_id, slot)
            if self.store.put_if_absent(key, data) or self._holds(key, data):
                return key
        raise RefusedError(
            f"all {SLOTS} slots of round {round_id} are used",
            subject=f"client {self.client_id}",
            rule="R-93",
            remedy=f"An update can be corrected {SLOTS - 1} times a round; submit for the next one",
        )

    def _holds(self, key: str, data: bytes) -> bool:
        """Whether an object is one's own retried write. Not every client may read its inbox: one that may not takes the next slot, and counts once."""
        try:
            return self.store.read(key, max_bytes=self.limits.max_update_bytes) == data
        except (AccessDenied, ObjectNotFound, ObjectTooLarge):
            return False

    # -- pull ----------------------------------------------------------------------------------------------------------------------

    def check_ledger(self) -> list[Chained]:
        """The verified ledger, not shorter than and not other than what this client has seen; the marks rise. Raises RoundError (R-50)."""
        ledger, marks = self.reader.ledger(), self.memory.marks
        if len(ledger) < marks.ledger_sequence or (marks.ledger_sequence and ledger[marks.ledger_sequence - 1].digest.hex() != marks.ledger_digest):
            raise RoundError(
                f"does not hold entry {marks.ledger_sequence} as this client has seen it",
                subject="ledger",
                rule="R-50",
                remedy="The drop-box was rolled back or split: tell the operator, submit nothing",
            )
        self.memory.raise_to(
            registry_version=self.reader.registry.version, ledger_sequence=len(ledger), ledger_digest=ledger[-1].digest.hex() if ledger else ""
        )
        return ledger

    def pull(self, *, now: datetime) -> Stored[GlobalModel] | None:
        """The newest committed result, verified against the ledger; None before the first. Raises RoundError, SignatureError, SchemaError."""
        ledger = self.check_ledger()
        commits = [c for c in ledger if c.entry.kind is EntryKind.COMMIT]
        if not commits:
            return None
        entry = commits[-1].entry
        key = Keys.result(entry.round)
        found = self.reader.result(entry.round)
        if found is None or not isinstance(found.value, GlobalModel) or found.digest != entry.result or found.value.freeze != entry.freeze:
            raise RoundError("is not the result that the ledger commits to", subject=key, rule="R-51", remedy="Somebody mixes rounds: tell the operator")
        if entry.round < self.memory.marks.broadcast_round:
            raise RoundError(
                f"is older than round {self.memory.marks.broadcast_round}, which was pulled before",
                subject=key,
                rule="R-50",
                remedy="The drop-box was rolled back: tell the operator",
            )
        skew = timedelta(seconds=self.limits.clock_skew_s)
        if found.signed.header.expires <= now - skew:
            raise RoundError(
                f"expired at {found.signed.header.expires.isoformat()}",
                subject=key,
                rule="R-50",
                remedy="No round was committed since, or somebody holds newer ones back: ask the operator",
            )
        self.memory.raise_to(broadcast_round=entry.round, broadcast=found.digest.hex())
        return found

    # -- status --------------------------------------------------------------------------------------------------------------------

    def receipt(self, round_id: int) -> Receipt | None:
        """This client's receipt of a round, its proof verified; None where the round has not ended. Raises RoundError."""
        found = self.reader.receipt(round_id, self.client_id, self.keys)
        if found is None:
            return None
        receipt, ledger = found.value, self.check_ledger()
        named = ledger[receipt.ledger_sequence - 1].entry if 0 < receipt.ledger_sequence <= len(ledger) else None
        if (
            named is None
            or named.kind is EntryKind.RESERVE
            or ledger[receipt.ledger_sequence - 1].digest != receipt.ledger_digest
            or (named.round, named.merkle_head, named.result) != (round_id, receipt.merkle_head, receipt.result)
        ):
            raise RoundError("names a ledger entry that is not there", subject=found.key, rule="R-70", remedy="Two views of the round exist: tell the operator")
        if not receipt_holds(receipt, voided=named.kind is EntryKind.VOID):
            raise RoundError("does not prove what it says", subject=found.key, rule="R-70", remedy="Tell the operator")
        return receipt

    def receipts(self, *, last: int = 7) -> list[Receipt]:
        """The receipts of the last ended rounds, newest first."""
        ended = sorted({c.entry.round for c in self.check_ledger() if c.entry.kind is not EntryKind.RESERVE}, reverse=True)
        found = (self.receipt(r) for r in ended[:last])
        return [receipt for receipt in found if receipt is not None]


def _before_noise(plan: Plan) -> Plan:
    """The plan as an update has to fit it before this client noises it."""
    return replace(plan, policy=replace(plan.policy, privacy="none")) if plan.policy.privacy == "local" else plan


def _second_message(client_id: str, round_id: int) -> RefusedError:
    return RefusedError(
        f"round {round_id} has its message already",
        subject=f"client {client_id}",
        rule="R-98",
        remedy="Nothing was sent or spent. Local noise allows one message a round: a second would tell more than the budget counts; correct in the next round",
    )
