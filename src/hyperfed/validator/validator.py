"""Decide who may say what, and when: turn received bytes into an admitted update or a refusal.

A refusal names object, rule and remedy. `PacketValidator().validate(packet)` answers for one
packet, `verify()` raises for one signed update, and `admit()` collects for a batch.

The rules, in the order in which they are checked (docs/protocol.md has them in prose):

- R-80: the size is within the limit, before anything is read.
- R-81: the key is known, and valid in the round the update is for and in the one that would count
  it.
- R-30: type and form are right.
- R-31: the signature is right.
- R-33: the body has the digest that the header states.
- R-82: sender, folder and key are of the same client.
- R-83: the update is for this federation and for its coordinator.
- R-125: the round's plan is not below the floors of the newest registry.
- R-84: the round is the folder's, and not too old.
- R-85: the update is not from the future and has not expired (10 minutes of skew are tolerated).
- R-86: the vocabulary is the round's.
- R-87: the policy is the round's.
- R-88: the body is sealed where the policy says so.
- R-89: the sequence is above what was counted under its key, and the nonce is unseen (no replay).
- R-142: it has no more values, rows, dag edges and interventions than the policy lets be shared.
- R-11: schema and bounds hold.
- R-90: indices are inside the vocabulary, and lags within the limit.
- R-91: the policy lets everything in it be shared.
- R-99: its effects can be merged.
- R-97: changes are against the sender's last counted update, which must be there.
- R-92: a sequence does not stand on two digests, whatever their rounds; where it does, both are
  refused.
- R-93: no update of its client for the same round supersedes it by a higher sequence.

In a round with noise what is said of a body quotes nothing of it (R-141).

The round number decides before any clock does.

What it does not do: read the store, judge what nobody signed (`unsigned`), or decide what a round
counts (`coordinator.choose`).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import PacketType, Signed, open_envelope, verify_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import NOT_SEALED, open_body
from hyperfed.errors import (
    RESTORE_BUCKET,
    HyperfedError,
    PacketError,
    RefusedError,
    SchemaError,
    SignatureError,
)
from hyperfed.packets import Update
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.object_keys import parse_inbox_key
from hyperfed.protocol.objects import Plan
from hyperfed.registry.floors import below_floors
from hyperfed.registry.registry import Registry
from hyperfed.validator.admission import (
    Admission,
    Admitted,
    Arrival,
    BaseOf,
    RoundContext,
    refused_as,
    with_remedy,
)
from hyperfed.validator.batch import Batch, FolderContent
from hyperfed.validator.content_limits import check_counts, decoding_limits, without_values
from hyperfed.validator.deltas import resolved
from hyperfed.validator.header import check_addressee, check_header
from hyperfed.validator.policy import check_against_policy
from hyperfed.validator.unsigned import check_document, check_object

__all__ = ["PacketValidator"]


class PacketValidator:
    """Judges packets one by one or in a batch.

    `registry` is the list of clients and keys. Without it a signed packet is refused, since nothing
    says whose it is. `context` is that of a round; `verify` and `admit` need it.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        context: RoundContext | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._context = context
        self._registry = context.registry if context else registry
        self._limits = context.limits if context else limits
        self._seen: set[tuple[str, bytes]] = set()
        clients = self._registry.clients if self._registry else ()
        self._known = {r.keys.key_id: (c.client_id, r) for c in clients for r in c.keys}
        self._places = {r.keys.key_id: place for c in clients for place, r in enumerate(c.keys)}
        self._vocabulary = context.plan.vocabulary.digest if context else b""
        self._policy = policy_digest(context.plan.policy) if context else b""
        self._below = (
            below_floors(
                context.plan.policy,
                context.registry.floors,
                minimum_support=context.registry.budget.minimum_support,
            )
            if context
            else []
        )

    def validate(self, packet: Any) -> tuple[bool, str | None]:
        """Return (True, None), or (False, what is wrong and what to do).

        `packet` is a packet object or a list of them, a document's bytes, or an envelope's bytes.

        With a registry an envelope's signature, key, federation, audience and nonce are checked, so
        that the same signed packet is valid once. With a round's context all rules of `verify` are
        checked, except for the folder. A sealed body is looked into only with the context's keys.
        """
        plan = self._context.plan if self._context else None
        try:
            if isinstance(packet, bytes | bytearray | memoryview):
                self._validate_bytes(bytes(packet))
            elif isinstance(packet, list | tuple):
                for item in packet:
                    check_object(item, limits=self._limits, plan=plan)
                PayloadCodec(limits=self._limits).encode(packet)
            else:
                check_object(packet, limits=self._limits, plan=plan)
        except PacketError as error:
            return False, str(with_remedy(error))
        return True, None

    def _validate_bytes(self, data: bytes) -> None:
        self._check_size(len(data), "packet")
        try:
            envelope = open_envelope(data)
        except SchemaError as error:
            check_document(data, limits=self._limits, no_envelope=error)
            return
        registry = self._need_registry(envelope.type[:60])
        context = self._context
        if context is not None:
            signed = self._check_signature(data, (context.plan.round,), "packet")
            self._check_floors(context, "packet")
            check_header(
                signed.header,
                context,
                vocabulary=self._vocabulary,
                policy_now=self._policy,
                client=signed.header.sender,
                made_for=signed.header.round,
                key="packet",
            )
            self._check_replay(signed, context.highest, "packet")
        else:
            signed = self._check_signature(data, (), "packet")
            check_addressee(signed.header, registry.federation, "packet")
            self._check_replay(signed, {}, "packet")
        key_pair = context.key_pair if context else None
        if signed.header.encryption == NOT_SEALED or key_pair is not None:
            update = PayloadCodec(limits=self._limits).decode(
                open_body(signed, key_pair, subject="packet"), Update
            )
            if context is not None and update.deltas is None:
                check_against_policy(update, context.plan, subject="packet")

    def _need_registry(self, subject: str) -> Registry:
        if self._registry is None:
            raise SignatureError(
                "a signed packet cannot be judged without a registry",
                subject=subject,
                rule="R-32",
                remedy="PacketValidator(registry=...) says whose key it is",
            )
        return self._registry

    def _check_size(self, size: int, subject: str) -> None:
        if size > self._limits.max_update_bytes:
            raise RefusedError(
                f"{size} bytes; at most {self._limits.max_update_bytes} are read",
                subject=subject,
                rule="R-80",
                remedy="Share fewer edges, or compress",
            )

    def _check_signature(
        self, data: bytes | memoryview, rounds: Sequence[int], subject: str
    ) -> Signed:
        """Return the signed update after R-81, R-30 to R-33 and R-82.

        It is signed by a client's key that is valid in the round the update is for, and in all
        `rounds`. A key that was revoked from this round on must not speak for an earlier one
        either: whoever stole it would only have to date back.
        """
        registry = self._need_registry(subject)
        envelope = open_envelope(data, subject=subject)
        signers = self._known
        if signers.keys().isdisjoint([key_id for key_id, _ in envelope.signatures]):
            raise RefusedError(
                f"key {envelope.signatures[0][0]!r:.40} is not registered",
                subject=subject,
                rule="R-81",
                remedy="Enrol it: the operator adds it with `hyperfed registry add` (registry "
                f"version {registry.version} was used)",
            )
        signed = verify_envelope(
            envelope,
            expect=PacketType.UPDATE,
            key_of=lambda key_id: signers[key_id][1].keys.signing if key_id in signers else None,
            subject=subject,
        )
        header = signed.header
        owner, record = signers.get(header.key_id, ("", None))
        if record is None or owner != header.sender:
            raise RefusedError(
                f"signed with {owner or 'nobody'}'s key as {header.sender!r:.40}",
                subject=subject,
                rule="R-82",
                remedy="Sign the client's own updates with its own key",
            )
        for round_id in (header.round, *rounds):
            if not record.valid_in(round_id):
                raise RefusedError(
                    f"key {header.key_id:.32} of {owner} is valid in rounds {record.valid_from} "
                    f"to {record.valid_until}, not in round {round_id}",
                    subject=subject,
                    rule="R-81",
                    remedy="It was revoked, has expired or is not valid yet: ask the operator",
                )
        return signed

    def _check_floors(self, context: RoundContext, subject: str) -> None:
        """Raise RefusedError where the round's plan is below the floors of the registry (R-125)."""
        if self._below:
            raise RefusedError(
                f"the round's plan is below the floors of registry version "
                f"{context.registry.version}: {'; '.join(self._below)}",
                subject=subject,
                rule="R-125",
                remedy="Nothing to do: a round with another plan will count you",
            )

    def _check_replay(self, signed: Signed, highest: Mapping[str, int], subject: str) -> None:
        """Check sequence and nonce (R-89), and remember the nonce."""
        header = signed.header
        if len(header.nonce) != 16:
            raise RefusedError(
                f"the nonce has {len(header.nonce)} bytes, not 16",
                subject=subject,
                rule="R-89",
                remedy="Draw 16 random bytes for each update",
            )
        if header.sequence <= highest.get(header.key_id, -1):
            raise RefusedError(
                f"sequence {header.sequence} is not above {highest[header.key_id]}, the one "
                "counted last under this key",
                subject=subject,
                rule="R-89",
                remedy="It is a replay, or the client's memory was lost or restored: the next "
                "`hyperfed submit` goes on above the newest receipt",
            )
        if (header.sender, header.nonce) in self._seen:
            raise RefusedError(
                "this nonce was seen before",
                subject=subject,
                rule="R-89",
                remedy="It is a replay, or one update under two keys: send a new update",
            )
        self._seen.add((header.sender, header.nonce))

    def verify(self, data: bytes, *, key: str) -> Admitted:
        """Return the admitted update in `data`, which was found at inbox key `key`.

        Raises PacketError with the first rule that it breaks.
        """
        context = self._need_context(key)
        return self._content(self._authentic(data, context, key=key), data, context, key=key)

    def authenticate(self, data: bytes, *, key: str) -> Signed:
        """Return the signed update found at inbox key `key`, with its body unopened.

        Raises PacketError with the first rule that its header breaks.
        """
        context = self._need_context(key)
        signed = self._authentic(data, context, key=key)
        self._check_replay(signed, context.highest, key)
        return signed

    def _need_context(self, subject: str) -> RoundContext:
        if self._context is None:
            raise RefusedError(
                "admission needs a round's context",
                subject=subject,
                rule="R-84",
                remedy="PacketValidator(context=RoundContext(...))",
            )
        return self._context

    def _authentic(self, data: bytes, context: RoundContext, *, key: str) -> Signed:
        """Return the signed update after R-80 to R-88 and R-98.

        These rules say whose it is, and that it belongs here. Nothing of its body is looked at.
        """
        made_for, client, slot = parse_inbox_key(key)
        self._check_size(len(data), key)
        signed = self._check_signature(data, (context.plan.round,), key)
        self._check_floors(context, key)
        check_header(
            signed.header,
            context,
            vocabulary=self._vocabulary,
            policy_now=self._policy,
            client=client,
            made_for=made_for,
            key=key,
        )
        if slot and context.plan.policy.aggregation == "secure-sum":
            raise RefusedError(
                f"lies in slot {slot}; a secure sum takes one message a client, in slot 0",
                subject=key,
                rule="R-164",
                remedy="Nothing to do: send the correction in the next round",
            )
        if slot and context.plan.policy.privacy == "local":
            raise RefusedError(
                f"lies in slot {slot}; a round of local noise takes one message a client, in "
                "slot 0",
                subject=key,
                rule="R-98",
                remedy=(
                    "Nothing to do: a second message would reveal more than the budget counts; "
                    "send the correction in the next round"
                ),
            )
        return signed

    def _content(self, signed: Signed, data: bytes, context: RoundContext, *, key: str) -> Admitted:
        """Return the admitted update after R-89, R-11, R-97, R-90, R-91 and R-99.

        In a private round what is raised about its body quotes nothing of it (R-141).
        """
        self._check_replay(signed, context.highest, key)
        body = open_body(signed, context.key_pair, subject=key)
        plan = context.plan
        try:
            return self._read(
                body,
                signed,
                key=key,
                made_for=signed.header.round,
                base_of=context.base_of,
                data=data,
                plan=plan,
            )
        except PacketError as error:
            if plan.policy.privacy == "none":
                raise
            raise without_values(error, key=key) from None  # the cause quotes what it refuses

    def reopen(
        self,
        data: bytes | memoryview,
        *,
        key: str,
        client: str,
        made_for: int,
        key_pair: KeyPair | None,
        base_of: BaseOf | None,
    ) -> Admitted:
        """Return an update that was admitted before, from its bytes, without keeping them.

        Signature, sender, round and content are checked, but neither clock nor replay. Raises
        PacketError.
        """
        signed = self._check_signature(data, (), key)
        if (signed.header.sender, signed.header.round) != (client, made_for):
            raise RefusedError(
                f"is {signed.header.sender}'s for round {signed.header.round}, not {client}'s "
                f"for round {made_for}",
                subject=key,
                rule="R-82",
                remedy=RESTORE_BUCKET,
            )
        body = open_body(signed, key_pair, subject=key)
        return self._read(body, signed, key=key, made_for=made_for, base_of=base_of)

    def _read(
        self,
        body: bytes | memoryview,
        signed: Signed,
        *,
        key: str,
        made_for: int,
        base_of: BaseOf | None,
        data: bytes | None = None,
        plan: Plan | None = None,
    ) -> Admitted:
        """Return the update that an opened body holds, with its changes applied to their base.

        `plan` bounds what is read at all (R-142), and what the update may carry.
        """
        header, limits, check = signed.header, self._limits, None
        if plan is not None:
            limits = decoding_limits(plan, limits)
            check = partial(check_counts, plan=plan, subject=key)
        update = PayloadCodec(limits=limits).decode(body, Update, check=check)
        if update.base is not None:
            update = resolved(
                update, base_of(header.sender, update.base) if base_of else None, subject=key
            )
        if plan is not None:
            check_against_policy(update, plan, subject=key)
        return Admitted(
            key=key,
            client=header.sender,
            made_for=made_for,
            sequence=header.sequence,
            digest=signed.digest,
            claim_sequence=header.ledger_sequence,
            claim_digest=header.ledger_digest,
            header=header,
            update=update,
            data=data,
            key_id=header.key_id,
            key_place=self._places.get(header.key_id, 0),
        )

    def admit(self, arrivals: Iterable[Arrival]) -> Admission:
        """Judge a batch, whose arrivals may come in any order.

        One update for each client and round is admitted, the one with the highest sequence.
        Everything else is refused with its reason. Reasons are collected: nothing raises for one
        packet. What is no fault of a packet (a store that does not answer) is raised, because it
        must not look like a client's fault.
        """
        batch = Batch(self, last_keys={})
        for arrival in sorted(arrivals, key=lambda a: a.key):
            batch.take(arrival)
        return batch.rest()

    def judge(self, arrival: Arrival, folder: FolderContent) -> None:
        """Judge an arrival, and add the outcome to what was judged in its folder.

        Raises what is no fault of a packet.
        """
        context, signed = self._need_context(arrival.key), None
        try:
            data = self._arrived(arrival)
            signed = self._authentic(data, context, key=arrival.key)
            claim = (signed.header.key_id, signed.header.sequence)
            folder.digests.setdefault(claim, set()).add(signed.digest)
            folder.verified.append(self._content(signed, data, context, key=arrival.key))
        except PacketError as error:
            folder.refused.append(refused_as(arrival.key, error, signed))
        except HyperfedError as error:
            if error is not arrival.error:
                raise
            folder.refused.append(refused_as(arrival.key, error, None))

    def _arrived(self, arrival: Arrival) -> bytes:
        """Return the arrival's bytes after R-82 of its key and R-80 of its size."""
        parse_inbox_key(arrival.key)
        self._check_size(arrival.size, arrival.key)
        if arrival.error is not None:
            raise arrival.error
        if arrival.data is None:
            raise RefusedError(
                "was not read",
                subject=arrival.key,
                rule="R-80",
                remedy="Read every object whose size is within the limit before admission",
            )
        return arrival.data
