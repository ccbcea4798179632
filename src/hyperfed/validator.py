"""Who may say what, when: from received bytes to an admitted update or a refusal that names object, rule and remedy.

`PacketValidator().validate(packet)` answers for one packet, `verify()` raises for one signed update, `admit()` collects for a batch.

The rules, in the order they are checked (docs/protocol.md has them in prose):
    R-80 size, before reading      R-81 key known, valid in the round the update is for and in the one that would count it
    R-30 type and form             R-31 signature         R-33 body digest
    R-82 sender, folder and key are the same client      R-83 federation and audience         R-84 round of the folder, not too old
    R-85 clock: not from the future, not expired (10 minutes of skew tolerated)                R-86 vocabulary R-87 policy
    R-88 sealed where the policy says so                 R-89 sequence above what was counted, nonce unseen (replay)
    R-11 schema and bounds         R-90 indices inside the vocabulary, lag limit               R-91 what the policy lets be shared
    R-97 changes against the sender's last counted update, which must be there
    R-92 equivocation: one sequence with two digests, whatever their rounds: both refused      R-93 superseded by a higher sequence

What it does not do: read the store, decide what a round counts (`protocol.choose`). The round number decides before any clock does.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np

from hyperfed.admission import Admission, Admitted, Arrival, BaseOf, RoundContext, few_strays, joined, one_each, parse_inbox_key, refused_as, with_remedy
from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.encryption import NOT_SEALED, open_body
from hyperfed.errors import BoundsError, HyperfedError, PacketError, RefusedError, SchemaError, SignatureError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.keys import KeyPair
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.policy_check import check_against_policy
from hyperfed.protocol.objects import Refused
from hyperfed.registry import Registry
from hyperfed.signing import PacketType, Signed, open_envelope, verify_envelope
from hyperfed.tables import DeltaTable, EdgeTable, HyperedgeTable

__all__ = [
    "Admission",
    "Admitted",
    "Arrival",
    "Desk",
    "PacketValidator",
    "RoundContext",
    "check_against_policy",
    "folder_of",
    "parse_inbox_key",
    "policy_digest",
    "resolved",
]

_PACKETS: tuple[type, ...] = (PathPack, EdgeDelta, PolicyPack, CausalSemanticPack, Claims, Update, EdgeTable, DeltaTable, HyperedgeTable)


def policy_digest(policy: PolicyPack) -> bytes:
    """SHA-256 of the policy's document, 32 bytes: what an update's header names."""
    return hashlib.sha256(PayloadCodec().encode(policy)).digest()


class PacketValidator:
    """The admission state machine for one packet or a batch.

    registry: the list of clients and keys; without it a signed packet is refused, since nothing says whose it is. context: a round's, for `admit`.
    """

    def __init__(self, registry: Registry | None = None, *, context: RoundContext | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._context = context
        self._registry = context.registry if context else registry
        self._limits = context.limits if context else limits
        self._seen: set[tuple[str, bytes]] = set()
        clients = self._registry.clients if self._registry else ()
        self._known = {r.keys.key_id: (c.client_id, r) for c in clients for r in c.keys}
        self._vocabulary = context.plan.vocabulary.digest if context else b""
        self._policy = policy_digest(context.plan.policy) if context else b""

    def validate(self, packet: Any) -> tuple[bool, str | None]:
        """(True, None), or (False, what is wrong and what to do). packet: a packet object or a list of them, a document's bytes, or an envelope's bytes.

        With a registry an envelope's signature, key, federation, audience and nonce are checked: the same signed packet is valid once. With a round's
        context all of `verify`'s rules are, but for the folder. A sealed body is looked into only with the context's keys.
        """
        try:
            if isinstance(packet, bytes | bytearray | memoryview):
                self._validate_bytes(bytes(packet))
            elif isinstance(packet, list | tuple):
                for item in packet:
                    self._validate_object(item)
                PayloadCodec(limits=self._limits).encode(packet)
            else:
                self._validate_object(packet)
        except PacketError as error:
            return False, str(with_remedy(error))
        return True, None

    def _validate_object(self, packet: Any) -> None:
        if not isinstance(packet, _PACKETS):
            raise SchemaError(
                f"a {type(packet).__name__} is no packet",
                rule="R-11",
                remedy=f"Packets are {', '.join(k.__name__ for k in _PACKETS[:4])}, Update, or their bytes",
            )
        try:
            packet.__post_init__()  # type: ignore[attr-defined]  # checks again: a frozen object can still be built around its checks
            PayloadCodec(limits=self._limits).encode(packet)
        except PacketError:
            raise
        except HyperfedError as exc:
            raise BoundsError(exc.problem, subject=exc.subject or type(packet).__name__, rule=exc.rule or "R-11", remedy=exc.remedy) from exc
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as exc:
            raise SchemaError(f"is not a whole one: {exc}"[:200], subject=type(packet).__name__, rule="R-11", remedy="Make it by its constructor") from exc
        if self._context is not None and isinstance(packet, Update) and packet.deltas is None:
            check_against_policy(packet, self._context.plan, subject="packet")

    def _validate_bytes(self, data: bytes) -> None:
        self._check_size(len(data), "packet")
        try:
            envelope = open_envelope(data)
        except SchemaError as error:
            self._validate_document(data, no_envelope=error)
            return
        if self._registry is None:
            raise SignatureError(
                "a signed packet cannot be judged without a registry",
                subject=envelope.type[:60],
                rule="R-32",
                remedy="PacketValidator(registry=...) says whose key it is",
            )
        context = self._context
        if context is not None:
            signed = self._check_signature(data, (context.plan.round,), "packet")
            self._check_header(signed, context, client=signed.header.sender, made_for=signed.header.round, key="packet")
            self._check_replay(signed, context.highest, "packet")
        else:
            signed = self._check_signature(data, (), "packet")
            _check_addressee(signed, self._registry.federation, "packet")
            self._check_replay(signed, {}, "packet")
        keys = context.keys if context else None
        if signed.header.encryption == NOT_SEALED or keys is not None:
            update = PayloadCodec(limits=self._limits).decode(open_body(signed, keys, subject="packet"), Update)
            if context is not None and update.deltas is None:
                check_against_policy(update, context.plan, subject="packet")

    def _validate_document(self, data: bytes, *, no_envelope: SchemaError) -> None:
        codec = PayloadCodec(limits=self._limits)
        try:
            name = codec.kind_of(data)
        except SchemaError:
            if no_envelope.rule == "R-30":  # well formed, and neither of the two: an envelope is what it would have to be
                raise no_envelope from None
            raise
        kinds = {kind.__name__: kind for kind in _PACKETS} | {"": PathPack}  # an empty batch names no kind, and any will read it
        batch = name.startswith("list[")
        kind = kinds.get(name.removeprefix("list[").removesuffix("]") if batch else name or "none")
        if kind is None:
            raise SchemaError(f"a {name!r:.60} is no packet", rule="R-12")
        codec.decode(data, list[kind] if batch else kind)  # type: ignore[valid-type]

    def _check_size(self, size: int, subject: str) -> None:
        if size > self._limits.max_update_bytes:
            raise RefusedError(
                f"{size} bytes; at most {self._limits.max_update_bytes} are read", subject=subject, rule="R-80", remedy="Share fewer edges, or compress"
            )

    def _check_signature(self, data: bytes | memoryview, rounds: Sequence[int], subject: str) -> Signed:
        """R-81, R-30 to R-33, R-82: signed by a client's key that is valid in the round the update is for, and in all `rounds`.

        A key that was revoked from this round on must not speak for an earlier one either: whoever stole it would only have to date back.
        """
        registry = self._registry
        if registry is None:
            raise SignatureError(
                "a signed packet cannot be judged without a registry", subject=subject, rule="R-32", remedy="PacketValidator(registry=...) says whose key it is"
            )
        envelope = open_envelope(data, subject=subject)
        known = self._known
        if known.keys().isdisjoint([key_id for key_id, _ in envelope.signatures]):
            raise RefusedError(
                f"key {envelope.signatures[0][0]!r:.40} is not registered",
                subject=subject,
                rule="R-81",
                remedy=f"Enrol it: the operator adds it with `hyperfed registry add` (registry version {registry.version} was used)",
            )
        signed = verify_envelope(
            envelope, expect=PacketType.UPDATE, key_of=lambda key_id: known[key_id][1].keys.signing if key_id in known else None, subject=subject
        )
        header = signed.header
        owner, record = known.get(header.key_id, ("", None))
        if record is None or owner != header.sender:
            raise RefusedError(
                f"signed with {owner or 'nobody'}'s key as {header.sender!r:.40}",
                subject=subject,
                rule="R-82",
                remedy="A client signs its own updates with its own key",
            )
        for round_id in (header.round, *rounds):
            if not record.valid_in(round_id):
                raise RefusedError(
                    f"key {header.key_id:.32} of {owner} is valid in rounds {record.valid_from} to {record.valid_until}, not in round {round_id}",
                    subject=subject,
                    rule="R-81",
                    remedy="It was revoked, has expired or is not valid yet: ask the operator",
                )
        return signed

    def _check_replay(self, signed: Signed, highest: Mapping[str, int], subject: str) -> None:
        header = signed.header
        if len(header.nonce) != 16:
            raise RefusedError(
                f"the nonce has {len(header.nonce)} bytes, not 16", subject=subject, rule="R-89", remedy="A client draws 16 random bytes for each update"
            )
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
        context = self._need_context(key)
        return self._content(self._authentic(data, context, key=key), data, context, key=key)

    def _need_context(self, subject: str) -> RoundContext:
        if self._context is None:
            raise RefusedError("admission needs a round's context", subject=subject, rule="R-84", remedy="PacketValidator(context=RoundContext(...))")
        return self._context

    def _authentic(self, data: bytes, context: RoundContext, *, key: str) -> Signed:
        """R-80 to R-88 and R-98: whose it is, and that it belongs here. Nothing of its body is looked at."""
        made_for, client, slot = parse_inbox_key(key)
        self._check_size(len(data), key)
        signed = self._check_signature(data, (context.plan.round,), key)
        self._check_header(signed, context, client=client, made_for=made_for, key=key)
        if slot and context.plan.policy.privacy == "local":
            raise RefusedError(
                f"lies in slot {slot}; a round of local noise takes one message a client, in slot 0",
                subject=key,
                rule="R-98",
                remedy="Nothing to do: a second message would tell more than the budget counts; correct in the next round",
            )
        return signed

    def _content(self, signed: Signed, data: bytes, context: RoundContext, *, key: str) -> Admitted:
        """R-89, R-11, R-97, R-90, R-91."""
        self._check_replay(signed, context.highest, key)
        admitted = self._open(signed, key=key, made_for=signed.header.round, keys=context.keys, base_of=context.base_of, data=data)
        if admitted.update is not None:
            check_against_policy(admitted.update, context.plan, subject=key)
        return admitted

    def reopen(
        self,
        data: bytes | memoryview,
        *,
        key: str,
        client: str,
        made_for: int,
        keys: KeyPair | None,
        base_of: BaseOf | None,
    ) -> Admitted:
        """An update that was admitted before, from its bytes, which are not kept: signature, sender, round and content, but no clock and no replay check."""
        signed = self._check_signature(data, (), key)
        if (signed.header.sender, signed.header.round) != (client, made_for):
            raise RefusedError(
                f"is {signed.header.sender}'s for round {signed.header.round}, not {client}'s for round {made_for}",
                subject=key,
                rule="R-82",
                remedy="Restore the bucket from its versions; run `hyperfed audit`",
            )
        return self._open(signed, key=key, made_for=made_for, keys=keys, base_of=base_of)

    def _open(self, signed: Signed, *, key: str, made_for: int, keys: KeyPair | None, base_of: BaseOf | None, data: bytes | None = None) -> Admitted:
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
        _check_addressee(signed, plan.federation, key)
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
        vocabulary = self._vocabulary
        if header.vocabulary != vocabulary:
            raise RefusedError(
                f"vocabulary {header.vocabulary.hex()[:16] or 'none'}, the round's is {vocabulary.hex()[:16]} (version {plan.vocabulary.version})",
                subject=key,
                rule="R-86",
                remedy="Pull the round's plan and submit again",
            )
        policy = context.policies.get(made_for, self._policy)
        if header.policy != policy:
            raise RefusedError(
                f"policy {header.policy.hex()[:16] or 'none'}, the round's is {policy.hex()[:16]}",
                subject=key,
                rule="R-87",
                remedy="Pull the round's plan and submit again",
            )
        if plan.policy.privacy == "local" and header.policy != self._policy:
            raise RefusedError(
                "late, and noised by another policy than the round's",
                subject=key,
                rule="R-87",
                remedy="Nothing to do: the next message is noised by the new one",
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

        Reasons are collected, nothing raises for one packet; the order of arrivals does not matter. What is no fault of a packet (a store
        that does not answer) is raised: it must not look like a client's.
        """
        return self.admit_ascending(sorted(arrivals, key=lambda a: a.key))

    def admit_ascending(self, arrivals: Iterable[Arrival]) -> Admission:
        """`admit` for arrivals that ascend by key: each is judged as it comes."""
        return joined(self.admit_clients(arrivals, last={}))

    def admit_clients(self, arrivals: Iterable[Arrival], *, last: Mapping[str, str]) -> Iterator[Admission]:
        """`admit` for arrivals that ascend by key, in parts: a client's as soon as its last one has been judged, objects of nobody's at the end.

        last: the last key of each client's, as `parse_inbox_key` names it; a client without one waits for the end. What admission compares it compares
        within a client, so `joined` the parts are what one batch comes to.
        """
        desk = Desk(self, last=last)
        for arrival in arrivals:
            admission = desk.take(arrival)
            if admission is not None:
                yield admission
        yield from desk.rest()

    def judge(self, arrival: Arrival, mine: "_Judging | None", strays: list[Refused]) -> None:
        """Add what an arrival comes to to its client's, or to the strays where it is nobody's. Raises what is no fault of a packet."""
        context, signed = self._need_context(arrival.key), None
        try:
            data = self._arrived(arrival)
            signed = self._authentic(data, context, key=arrival.key)
            if mine is not None:
                mine.said.setdefault((signed.header.sender, signed.header.sequence), set()).add(signed.digest)
                mine.good.append(self._content(signed, data, context, key=arrival.key))
        except PacketError as error:
            (strays if mine is None else mine.refused).append(refused_as(arrival.key, error, signed))
        except HyperfedError as error:
            if error is not arrival.error:
                raise
            (strays if mine is None else mine.refused).append(refused_as(arrival.key, error, None))

    def _arrived(self, arrival: Arrival) -> bytes:
        """R-82 of its key, R-80, and the bytes."""
        parse_inbox_key(arrival.key)
        self._check_size(arrival.size, arrival.key)
        if arrival.error is not None:
            raise arrival.error
        if arrival.data is None:
            raise RefusedError("was not read", subject=arrival.key, rule="R-80", remedy="Read every object whose size is within the limit")
        return arrival.data


@dataclass(slots=True)
class _Judging:
    """What has been judged of one client's objects. said: the digests that stand on each (sender, sequence)."""

    good: list[Admitted] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    said: dict[tuple[str, int], set[bytes]] = field(default_factory=dict)

    def admission(self) -> Admission:
        return one_each(self.good, self.refused, {claim for claim, digests in self.said.items() if len(digests) > 1})


class Desk:
    """`PacketValidator.admit_clients`, an arrival at a time. last: as there."""

    def __init__(self, validator: PacketValidator, *, last: Mapping[str, str]) -> None:
        self._validator, self._last = validator, last
        self._waiting: dict[str, _Judging] = {}
        self._strays: list[Refused] = []

    def take(self, arrival: Arrival) -> Admission | None:
        """Judge it; what its client's objects come to, once it is the last of them."""
        client = folder_of(arrival.key)
        self._validator.judge(arrival, self._waiting.setdefault(client, _Judging()) if client else None, self._strays)
        return self._waiting.pop(client).admission() if client and self._last.get(client) == arrival.key else None

    def rest(self) -> Iterator[Admission]:
        """Of clients whose last object did not come, then of nobody's."""
        for judging in self._waiting.values():
            yield judging.admission()
        yield Admission(admitted=(), refused=tuple(few_strays(self._strays)))


def folder_of(key: str) -> str:
    """The client whose folder an object lies in; "" where no client writes."""
    try:
        return parse_inbox_key(key)[1]
    except SchemaError:
        return ""


def _check_addressee(signed: Signed, federation: str, subject: str) -> None:
    """R-83."""
    header = signed.header
    if header.federation != federation or header.audience != "coordinator":
        raise RefusedError(
            f"for {header.audience!r:.40} of federation {header.federation!r:.40}",
            subject=subject,
            rule="R-83",
            remedy=f"This is federation {federation}; updates are for its coordinator",
        )


def resolved(update: Update, base: Update | None, *, subject: str) -> Update:
    """The update with its whole table: its deltas applied to `base`, the sender's last counted update. Raises RefusedError (R-97), BoundsError."""
    if update.deltas is None:
        return update
    if base is None or base.edges is None:
        raise RefusedError(
            "carries changes against an update that is gone, or is not the last counted one", subject=subject, rule="R-97", remedy="Send the whole table"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused as not finite
        whole = HypergraphStore(edges=base.edges, measured=base.measured).apply(update.deltas).edges
    return replace(update, edges=whole, deltas=None, base=None)
