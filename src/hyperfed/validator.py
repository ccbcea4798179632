"""Who may say what, when: from received bytes to an admitted update or a refusal that names object, rule and remedy.

`PacketValidator().validate(packet)` answers for one packet, `verify()` raises for one signed update, `admit()` collects for a batch.

The rules, in the order they are checked (docs/protocol.md has them in prose):
    R-80 size, before reading      R-81 key known and valid in the round the update is for    R-31 signature   R-33 body digest
    R-82 sender, folder and key are the same client      R-83 federation and audience         R-84 round of the folder, not too old
    R-85 clock: not from the future, not expired (10 minutes of skew tolerated)                R-86 vocabulary R-87 policy
    R-88 sealed where the policy says so                 R-89 sequence above what was counted, nonce unseen (replay)
    R-11 schema and bounds         R-90 indices inside the vocabulary, lag limit               R-91 what the policy lets be shared
    R-92 equivocation: one sequence with two digests, both refused                             R-93 superseded by a higher sequence

What it does not do: read the store, decide what a round counts (`protocol.choose`). The round number decides before any clock does.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.encryption import NOT_SEALED, open_body
from hyperfed.errors import BoundsError, HyperfedError, PacketError, RefusedError, SchemaError, SignatureError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.keys import KeyPair
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.protocol.objects import Plan, Refused
from hyperfed.registry import Registry
from hyperfed.rounds import SLOTS, Keys
from hyperfed.signing import PacketType, Signed, open_envelope, verify_envelope
from hyperfed.tables import DeltaTable, EdgeTable, HyperedgeTable

__all__ = ["Admission", "Admitted", "Arrival", "PacketValidator", "RoundContext", "check_against_policy", "parse_inbox_key", "policy_digest", "resolved"]

_PACKETS: tuple[type, ...] = (PathPack, EdgeDelta, PolicyPack, CausalSemanticPack, Claims, Update, EdgeTable, DeltaTable, HyperedgeTable)


BaseOf = Callable[[str, bytes], Update | None]  # (client, digest) -> its last counted update, if that is the one


def policy_digest(policy: PolicyPack) -> bytes:
    """SHA-256 of the policy's document, 32 bytes: what an update's header names."""
    return hashlib.sha256(PayloadCodec().encode(policy)).digest()


def parse_inbox_key(key: str) -> tuple[int, str, int]:
    """(round, client, slot) of an inbox key. Raises SchemaError for a key that no honest client writes."""
    parts = key.split("/")
    if len(parts) == 4 and parts[0] == "inbox" and parts[1].isdecimal() and parts[3].isdecimal():
        round_id, client, slot = int(parts[1]), parts[2], int(parts[3])
        if Keys.inbox(round_id, client, slot) == key and slot < SLOTS:
            return round_id, client, slot
    raise SchemaError("not an inbox key", subject=key[:120], rule="R-82", remedy=f"inbox/{{round:08d}}/{{client}}/{{slot}} with slot 0 to {SLOTS - 1}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An object of the inbox as listed and, once read, its bytes; or why it could not be read."""

    key: str
    size: int
    data: bytes | None = None
    error: HyperfedError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundContext:
    """Everything admission depends on besides the bytes. policies: policy digest by round; highest: counted sequence by client; now: one
    instant; keys: open sealed bodies; base_of: a client's last counted update, for those that carry changes against it."""

    registry: Registry
    plan: Plan
    now: datetime
    policies: Mapping[int, bytes] = field(default_factory=dict)
    highest: Mapping[str, int] = field(default_factory=dict)
    keys: KeyPair | None = None
    base_of: BaseOf | None = None
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An update that may count: where it lay, whose, for which round, and what its header says. `update` is its content."""

    key: str
    client: str
    made_for: int
    sequence: int
    digest: bytes
    claim_sequence: int
    claim_digest: bytes
    update: Update | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A batch, judged: admitted ascend by client and round, one for each; refused by key."""

    admitted: tuple[Admitted, ...]
    refused: tuple[Refused, ...]


class PacketValidator:
    """The admission state machine for one packet or a batch.

    registry: the list of clients and keys; without it a signed packet is refused, since nothing says whose it is. context: a round's, for `admit`.
    """

    def __init__(self, registry: Registry | None = None, *, context: RoundContext | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._context = context
        self._registry = context.registry if context else registry
        self._limits = context.limits if context else limits
        self._seen: set[tuple[str, bytes]] = set()

    def validate(self, packet: Any) -> tuple[bool, str | None]:
        """(True, None), or (False, what is wrong and what to do). packet: a packet object, a document's bytes, or an envelope's bytes.

        With a registry, an envelope's signature and nonce are checked too: the same signed packet is valid once.
        """
        try:
            if isinstance(packet, bytes | bytearray | memoryview):
                self._validate_bytes(bytes(packet))
            elif isinstance(packet, _PACKETS):
                packet.__post_init__()  # type: ignore[attr-defined]  # checks again: a frozen object can still be built around its checks
                PayloadCodec(limits=self._limits).encode(packet)
            else:
                raise SchemaError(
                    f"a {type(packet).__name__} is no packet",
                    rule="R-11",
                    remedy=f"Packets are {', '.join(k.__name__ for k in _PACKETS[:4])}, Update, or their bytes",
                )
        except PacketError as error:
            return False, str(error)
        return True, None

    def _validate_bytes(self, data: bytes) -> None:
        try:
            envelope = open_envelope(data)
        except SchemaError:
            codec = PayloadCodec(limits=self._limits)
            name = codec.kind_of(data)
            kinds = {kind.__name__: kind for kind in _PACKETS}
            kind = kinds.get(name.removeprefix("list[").removesuffix("]"))
            if kind is None:
                raise SchemaError(f"a {name!r:.60} is no packet", rule="R-12") from None
            codec.decode(data, list[kind] if name.startswith("list[") else kind)  # type: ignore[valid-type]
            return
        if self._registry is None:
            raise SignatureError(
                "a signed packet cannot be judged without a registry",
                subject=envelope.type,
                rule="R-32",
                remedy="PacketValidator(registry=...) says whose key it is",
            )
        signed = self._check_signature(data, self._round_of(data), "packet")
        self._check_replay(signed, {}, "packet")
        if signed.header.encryption == NOT_SEALED:
            PayloadCodec(limits=self._limits).decode(signed.body, Update)

    def _round_of(self, data: bytes) -> int | None:
        return self._context.plan.round if self._context else None

    def _check_signature(self, data: bytes, round_id: int | None, subject: str) -> Signed:
        """R-81, R-31, R-33, R-82: signed by a client's key that is valid in the round."""
        registry = self._registry
        if registry is None:
            raise SignatureError("a signed packet cannot be judged without a registry", subject=subject, rule="R-32")
        envelope = open_envelope(data, subject=subject)
        if round_id is None:
            known = {r.keys.key_id: (c.client_id, r.keys.signing) for c in registry.clients for r in c.keys}
        else:
            known = registry.signing_keys(round_id)
        self._explain_unknown_keys(envelope.signatures, known, round_id, subject)
        signed = verify_envelope(envelope, expect=PacketType.UPDATE, key_of=lambda key_id: known[key_id][1] if key_id in known else None, subject=subject)
        owner = known.get(signed.header.key_id, ("", b""))[0]
        if owner != signed.header.sender:
            raise RefusedError(
                f"signed with {owner or 'nobody'}'s key as {signed.header.sender!r:.40}",
                subject=subject,
                rule="R-82",
                remedy="A client signs its own updates with its own key",
            )
        return signed

    def _explain_unknown_keys(self, signatures: Sequence[tuple[str, bytes]], known: Mapping[str, Any], round_id: int | None, subject: str) -> None:
        """R-81, with the reason: a key that is not registered, not yet or no longer valid."""
        if any(key_id in known for key_id, _ in signatures) or self._registry is None:
            return
        key_id = signatures[0][0]
        for client in self._registry.clients:
            for record in client.keys:
                if record.keys.key_id == key_id:
                    raise RefusedError(
                        f"key {key_id:.32} of {client.client_id} is valid in rounds {record.valid_from} to {record.valid_until}, not in round {round_id}",
                        subject=subject,
                        rule="R-81",
                        remedy="It was revoked, has expired or is not valid yet: ask the operator",
                    )
        raise RefusedError(
            f"key {key_id!r:.40} is not registered",
            subject=subject,
            rule="R-81",
            remedy=f"Enrol it: the operator adds it with `hyperfed registry add` (registry version {self._registry.version} was used)",
        )

    def _check_replay(self, signed: Signed, highest: Mapping[str, int], subject: str) -> None:
        header = signed.header
        if len(header.nonce) != 16:
            raise RefusedError(f"the nonce has {len(header.nonce)} bytes, not 16", subject=subject, rule="R-89")
        if header.sequence <= highest.get(header.sender, -1):
            raise RefusedError(
                f"sequence {header.sequence} is not above {highest[header.sender]}, the one counted last",
                subject=subject,
                rule="R-89",
                remedy="It is a replay, or the client's state file was lost: `hyperfed submit` goes on from the receipt",
            )
        if (header.sender, header.nonce) in self._seen:
            raise RefusedError("this nonce was seen before", subject=subject, rule="R-89", remedy="A replay, or one update under two keys: send a new one")
        self._seen.add((header.sender, header.nonce))

    def verify(self, data: bytes, *, key: str) -> Admitted:
        """The admitted update in `data`, found at inbox key `key`. Raises PacketError with the first rule it breaks."""
        context = self._context
        if context is None:
            raise RefusedError("admission needs a round's context", subject=key, remedy="PacketValidator(context=RoundContext(...))")
        made_for, client, _slot = parse_inbox_key(key)
        signed = self._check_signature(data, made_for, key)
        self._check_header(signed, context, client=client, made_for=made_for, key=key)
        self._check_replay(signed, context.highest, key)
        admitted = self._open(signed, data, key=key, made_for=made_for, keys=context.keys, base_of=context.base_of)
        if admitted.update is not None:
            check_against_policy(admitted.update, context.plan, subject=key)
        return admitted

    def reopen(self, data: bytes, *, key: str, client: str, made_for: int, keys: KeyPair | None, base_of: BaseOf | None) -> Admitted:
        """An update that was admitted before, from its bytes: signature, sender, round and content, but no clock and no replay check."""
        signed = self._check_signature(data, made_for, key)
        if (signed.header.sender, signed.header.round) != (client, made_for):
            raise RefusedError(f"is {signed.header.sender}'s for round {signed.header.round}, not {client}'s for round {made_for}", subject=key, rule="R-82")
        return self._open(signed, data, key=key, made_for=made_for, keys=keys, base_of=base_of)

    def _open(self, signed: Signed, data: bytes, *, key: str, made_for: int, keys: KeyPair | None, base_of: BaseOf | None) -> Admitted:
        header = signed.header
        update = PayloadCodec(limits=self._limits).decode(open_body(signed, keys, subject=key), Update)
        if update.base is not None:
            update = resolved(update, base_of(header.sender, update.base) if base_of else None, subject=key)
        return Admitted(
            key=key,
            client=header.sender,
            made_for=made_for,
            sequence=header.sequence,
            digest=signed.digest,
            claim_sequence=header.ledger_sequence,
            claim_digest=header.ledger_digest,
            update=update,
            data=data,
        )

    def _check_header(self, signed: Signed, context: RoundContext, *, client: str, made_for: int, key: str) -> None:
        """R-82 to R-88, from the verified header."""
        header, plan = signed.header, context.plan
        skew = timedelta(seconds=context.limits.clock_skew_s)
        if header.sender != client:
            raise RefusedError(
                f"{header.sender} wrote into the folder of {client}", subject=key, rule="R-82", remedy="A client writes into its own folder only"
            )
        if header.federation != plan.federation or header.audience != "coordinator":
            raise RefusedError(
                f"for {header.audience!r:.40} of federation {header.federation!r:.40}",
                subject=key,
                rule="R-83",
                remedy=f"This is federation {plan.federation}; updates are for its coordinator",
            )
        if header.round != made_for:
            raise RefusedError(
                f"made for round {header.round}, found in the folder of round {made_for}",
                subject=key,
                rule="R-84",
                remedy="Submit again: an update belongs to one round",
            )
        if not plan.round - plan.policy.max_staleness <= made_for <= plan.round:
            raise RefusedError(
                f"made for round {made_for}; round {plan.round} takes updates up to {plan.policy.max_staleness} rounds old",
                subject=key,
                rule="R-84",
                remedy="Submit for the open round",
            )
        if header.created > context.now + skew:
            raise RefusedError(f"created at {header.created.isoformat()}, in the future", subject=key, rule="R-85", remedy="Set the client's clock")
        if header.expires <= context.now - skew or header.expires <= header.created:
            raise RefusedError(f"expired at {header.expires.isoformat()}", subject=key, rule="R-85", remedy="Submit again; check the client's clock")
        vocabulary = plan.vocabulary.digest
        if header.vocabulary != vocabulary:
            raise RefusedError(
                f"vocabulary {header.vocabulary.hex()[:16] or 'none'}, the round's is {vocabulary.hex()[:16]} (version {plan.vocabulary.version})",
                subject=key,
                rule="R-86",
                remedy="Pull the round's plan and submit again",
            )
        policy = context.policies.get(made_for, policy_digest(plan.policy))
        if header.policy != policy:
            raise RefusedError(
                f"policy {header.policy.hex()[:16] or 'none'}, the round's is {policy.hex()[:16]}",
                subject=key,
                rule="R-87",
                remedy="Pull the round's plan and submit again",
            )
        if plan.policy.sealed and header.encryption == NOT_SEALED:
            raise RefusedError(
                "the body is not sealed, and the policy wants it to be",
                subject=key,
                rule="R-88",
                remedy="Submit with `hyperfed submit`, which seals to the coordinator",
            )

    def admit(self, arrivals: Iterable[Arrival]) -> Admission:
        """Judge a batch: one update a client and round, the highest sequence; everything else refused with its reason.

        Reasons are collected, nothing raises for one packet; the order of arrivals does not matter.
        """
        good: list[Admitted] = []
        refused: list[Refused] = []
        for arrival in sorted(arrivals, key=lambda a: a.key):
            try:
                good.append(self._verify_arrival(arrival))
            except HyperfedError as error:
                refused.append(_refusal(arrival.key, error))
        return _one_each(good, refused)

    def _verify_arrival(self, arrival: Arrival) -> Admitted:
        if arrival.size > self._limits.max_update_bytes:
            raise RefusedError(
                f"{arrival.size} bytes; at most {self._limits.max_update_bytes} are read",
                subject=arrival.key,
                rule="R-80",
                remedy="Share fewer edges, or compress",
            )
        if arrival.error is not None or arrival.data is None:
            raise arrival.error or RefusedError("was not read", subject=arrival.key, rule="R-80")
        return self.verify(arrival.data, key=arrival.key)


def _one_each(good: list[Admitted], refused: list[Refused]) -> Admission:
    """R-92 and R-93 over the verified updates of a batch."""
    by_client: dict[tuple[str, int], list[Admitted]] = {}
    for item in good:
        by_client.setdefault((item.client, item.made_for), []).append(item)
    admitted: list[Admitted] = []
    for (client, made_for), items in sorted(by_client.items()):
        equivocal = {i.sequence for i in items for j in items if i.sequence == j.sequence and i.digest != j.digest}
        honest = [i for i in items if i.sequence not in equivocal]
        top = max((i.sequence for i in honest), default=-1)
        chosen = next((i for i in honest if i.sequence == top), None)
        for item in items:
            if item.sequence in equivocal:
                error = RefusedError(
                    f"{client} signed two different updates for round {made_for} with sequence {item.sequence}: both are refused",
                    subject=item.key,
                    rule="R-92",
                    remedy="Submit a corrected one with a higher sequence; the operator is told",
                )
                refused.append(_refusal(item.key, error, item))
            elif chosen is not None and item is not chosen:
                error = RefusedError(
                    f"superseded by sequence {chosen.sequence}", subject=item.key, rule="R-93", remedy="Nothing to do: the client corrected itself"
                )
                refused.append(_refusal(item.key, error, item))
        if chosen is not None:
            admitted.append(chosen)
    return Admission(admitted=tuple(admitted), refused=tuple(sorted(refused, key=lambda r: r.key)))


def _refusal(key: str, error: HyperfedError, item: Admitted | None = None) -> Refused:
    try:
        made_for, client, _ = parse_inbox_key(key)
    except SchemaError:
        made_for, client = 0, ""
    reason = error.problem if error.subject in ("", key) else f"{error.subject}: {error.problem}"
    return Refused(
        key=key,
        client=client,
        made_for=made_for,
        sequence=item.sequence if item else -1,
        digest=item.digest if item else b"",
        rule=error.rule or "R-11",
        reason=reason,
        remedy=error.remedy,
    )


def resolved(update: Update, base: Update | None, *, subject: str) -> Update:
    """The update with its whole table: its deltas applied to `base`, the sender's last counted update. Raises RefusedError (R-97), BoundsError."""
    if update.deltas is None:
        return update
    if base is None or base.edges is None:
        raise RefusedError(
            "carries changes against an update that is gone, or is not the last counted one", subject=subject, rule="R-97", remedy="Send the whole table"
        )
    whole = HypergraphStore(edges=base.edges, measured=base.measured).apply(update.deltas).edges
    return replace(update, edges=whole, deltas=None, base=None)


def check_against_policy(update: Update, plan: Plan, *, subject: str) -> None:
    """R-90 and R-91: what is shared stays inside the vocabulary and the policy. Raises BoundsError, RefusedError."""
    policy, variables = plan.policy, len(plan.vocabulary)
    if len(update.measured) and int(update.measured[-1]) >= variables:
        raise BoundsError(
            f"variable {int(update.measured[-1])} in a vocabulary of {variables}", subject=subject, rule="R-90", remedy="Pull the round's plan and submit again"
        )
    if update.semantic is not None and any(c >= variables for c in update.semantic.confounders):
        raise BoundsError(f"a confounder outside the vocabulary of {variables}", subject=subject, rule="R-90")
    for name in ("edges", "deltas", "hyperedges"):
        table = getattr(update, name)
        if table is None or not len(table):
            continue
        longest = int(table.lag.max())
        if longest > policy.max_lag:
            raise BoundsError(f"{name} with lag {longest}; the policy allows {policy.max_lag}", subject=subject, rule="R-90", remedy="Share shorter lags")
    for name in ("edges", "hyperedges"):
        table = getattr(update, name)
        if table is None or not len(table):
            continue
        if len(table) > policy.n_proposals:
            raise RefusedError(f"{len(table)} {name}; the policy allows {policy.n_proposals}", subject=subject, rule="R-91", remedy="Share only the strongest")
        weak = (np.abs(table.effect) < policy.g_min) | (table.stability < policy.stability_min)
        if weak.any():
            row = int(np.argmax(weak))
            raise RefusedError(
                f"{name} row {row} has |effect| {abs(float(table.effect[row])):g} and stability {float(table.stability[row]):g}; "
                f"the policy wants at least {policy.g_min:g} and {policy.stability_min:g}",
                subject=subject,
                rule="R-91",
                remedy="FederationClientAgent leaves such rows out",
            )
