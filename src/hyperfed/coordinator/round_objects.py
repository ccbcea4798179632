"""Draft what a round writes: the freeze, the ledger's next entry, the state and the tombstone.

Each draft is a function of the drop-box's objects and the arguments.

What it does not do: it does not decide when something is written (`protocol.machine`), nor write it
(`handlers`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from hyperfed.coordinator.choose import Choice, choose
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.helper_choice import confirmed_choice
from hyperfed.coordinator.reputation import next_states
from hyperfed.crypto.envelope import PacketType
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.inbox import Judged
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import RESTORE_BUCKET, RoundError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.merge.pooling import FORMULA
from hyperfed.protocol import merkle
from hyperfed.protocol.documents import COORDINATOR, Write, sign_object
from hyperfed.protocol.entries import (
    EntryKind,
    LedgerEntry,
    Mechanism,
)
from hyperfed.protocol.ledger import Chained, reserve_id
from hyperfed.protocol.machine import Line
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    RoundState,
    Tombstone,
)
from hyperfed.protocol.sequences import signers_of
from hyperfed.registry.registry import Registry

__all__ = ["draft_entry", "draft_freeze", "draft_state", "draft_tombstone"]

_TOMBSTONE_REASONS = {
    "R-60": "it was not finished before its close_by",
    "R-62": "too few updates before its close_by",
    "R-65": "the privacy budget does not cover it",
    "R-166": "its helpers did not open its sum before its close_by",
    "R-118": "no result can be computed from what it froze",
    "R-119": "a reserve that follows from no freeze and plan stands in the ledger",
    "R-69": "a round that was opened late was committed after this one was frozen",
    "R-110": "the seed of its noise does not open with this coordinator's key",
    "R-111": "the seed of its noise, which its reserve names, is gone or does not open",
}


def draft_freeze(
    reader: DropBoxReader,
    plan: Stored[Plan],
    base: Stored[RoundState] | None,
    admission: Judged,
    *,
    now: datetime,
) -> Freeze | None:
    """Return the freeze of what was admitted and lies in `accepted/`.

    base: the state that the round begins with; None: there is none yet. now: the freeze's time.
    Returns None where fewer updates count than the quorum or the minimum support asks for.
    """
    choice: Choice = choose(admission, base=base.value if base else None, plan=plan.value)
    helpers: tuple[str, ...] = ()
    if plan.value.policy.aggregation == "secure-sum":
        choice, helpers = confirmed_choice(choice, OpeningReader(reader, plan))
    registry, registry_digest = reader.registry_version(admission.registry_version)
    if len(choice.counted) < max(plan.value.quorum, registry.budget.minimum_support):
        return None
    lies = {item.digest: item.pack for item in admission.admitted}
    places = {item.digest: item.key_place for item in admission.admitted}
    signed_by = tuple(places[c.digest] for c in choice.counted)
    packs = tuple(dict.fromkeys(lies[c.digest] for c in choice.counted))
    place = {digest: i for i, digest in enumerate(packs)}
    freeze = Freeze(
        federation=plan.value.federation,
        round=plan.value.round,
        plan=plan.digest,
        registry_version=registry.version,
        registry_digest=registry_digest,
        base_round=base.value.round if base else 0,
        base_state=base.digest if base else b"",
        counted=choice.counted,
        refused=choice.refused,
        excluded=choice.excluded,
        claim_sequence=choice.claim_sequence,
        claim_digest=choice.claim_digest,
        merkle_head=b"",
        time=now,
        packs=packs,
        in_pack=tuple(place[lies[c.digest]] for c in choice.counted),
        formula=FORMULA,
        signed_by=signed_by if any(signed_by) else (),
        helpers=helpers,
    )
    return replace(freeze, merkle_head=merkle.head(freeze.leaves))


def draft_entry(
    reader: DropBoxReader,
    number: int,
    line: Line,
    ledger: Sequence[Chained],
    *,
    mechanisms: Callable[[], tuple[Mechanism, ...]],
) -> LedgerEntry:
    """Return entry `number` of the ledger, which says what `line` says.

    ledger: the entries before it. mechanisms: returns what the round will spend, for a reserve.
    Raises RoundError where a result or state that the entry must name is gone (R-67).
    """
    frozen = reader.freeze(line.round)
    common: dict[str, Any] = {
        "federation": reader.registry.federation,
        "sequence": number,
        "previous": ledger[-1].digest if ledger else b"",
        "kind": line.kind,
        "round": line.round,
        "freeze": frozen.digest if frozen else b"",
        "merkle_head": frozen.value.merkle_head if frozen else merkle.head([]),
    }
    if line.kind is EntryKind.RESERVE and frozen is not None:
        charged = mechanisms()
        return LedgerEntry(
            **common,
            id=reserve_id(common["federation"], line.round, frozen.digest),
            mechanisms=charged,
            time=frozen.value.time,
            noise=line.noise if isinstance(line.noise, bytes) else b"",
            final=bool(charged),
        )
    result = reader.result(line.round)
    if result is None:
        raise RoundError(
            "is gone",
            subject=Keys.result(line.round),
            rule="R-67",
            remedy=RESTORE_BUCKET,
        )
    if line.kind is EntryKind.VOID:
        return LedgerEntry(
            **common,
            id=line.ref if isinstance(line.ref, bytes) else b"",
            result=result.digest,
            time=result.value.time,
        )
    state = reader.state(line.round)
    if state is None:
        raise RoundError(
            "is gone",
            subject=Keys.state(line.round),
            rule="R-67",
            remedy=RESTORE_BUCKET,
        )
    return LedgerEntry(
        **common, id=b"", result=result.digest, state=state.digest, time=result.value.time
    )


def draft_state(
    plan: Plan,
    frozen: Stored[Freeze],
    result: bytes,
    merged: FederationCoordinator,
    *,
    before: RoundState | None,
    last_models: Sequence[GlobalModel],
    registry: Registry,
    key_pair: KeyPair,
) -> Write:
    """Return the signed state of a round whose result has the digest `result`.

    merged: the coordinator that holds the round's frozen set, after `weigh`. before: the state that
    the round began with. last_models: the models committed before it, newest first. registry: the
    version that the freeze names. Raises RoundError where nothing was merged.
    """
    if merged.reconciliation is None:
        raise RoundError("was not merged", subject=f"round {plan.round}")
    state = RoundState(
        federation=frozen.value.federation,
        round=plan.round,
        freeze=frozen.digest,
        result=result,
        base_state=frozen.value.base_state,
        clients=next_states(
            before,
            frozen.value,
            plan=plan,
            reconciliation=merged.reconciliation,
            graphs=dict(zip(merged.clients, merged.graphs(), strict=True)),
            last_models=last_models,
            accuracy=None if merged.elsewhere is None else merged.elsewhere.accuracies(),
            signers=signers_of(frozen.value, registry),
        ),
    )
    return sign_object(
        Keys.state(plan.round),
        PacketType.STATE,
        state,
        key_pair=key_pair,
        time=frozen.value.time,
        audience=COORDINATOR,
        compression="zstd",
    )


def draft_tombstone(reader: DropBoxReader, round_id: int, rule: str, *, key_pair: KeyPair) -> Write:
    """Return the signed tombstone of a round that ends by `rule`.

    A round that nobody opened ends at its deadline.
    """
    frozen, plan = reader.freeze(round_id), reader.plan(round_id, or_none=True)
    closes = plan.value.close_by if plan else reader.registry.windows.deadline(round_id)
    tombstone = Tombstone(
        federation=reader.registry.federation,
        round=round_id,
        rule=rule,
        reason=_TOMBSTONE_REASONS[rule],
        time=frozen.value.time if frozen else closes,
    )
    return sign_object(
        Keys.result(round_id),
        PacketType.TOMBSTONE,
        tombstone,
        key_pair=key_pair,
        time=tombstone.time,
    )
