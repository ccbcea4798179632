"""What a round writes, drafted from what is there: the freeze that may be created, the ledger's next entry, the state that follows a merge, the tombstone of a
round without a result.

Each is a function of the drop-box's objects and the arguments; nothing is written here. What it does not do: decide when (`protocol.machine`),
write (`runner`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.inbox import Judged
from hyperfed.dropbox import DropBoxReader, Stored
from hyperfed.errors import RoundError
from hyperfed.global_model import GlobalModel
from hyperfed.keys import KeyPair
from hyperfed.protocol import merkle
from hyperfed.protocol.choose import Choice, choose
from hyperfed.protocol.documents import COORDINATOR, Write, sign_object
from hyperfed.protocol.ledger import Chained, reserve_id
from hyperfed.protocol.machine import Line
from hyperfed.protocol.objects import EntryKind, Freeze, LedgerEntry, Mechanism, Plan, RoundState, Tombstone
from hyperfed.protocol.reputation import next_states
from hyperfed.rounds import Keys
from hyperfed.signing import PacketType

__all__ = ["draft_entry", "draft_freeze", "draft_state", "draft_tombstone"]

_TOMBSTONE_REASONS = {
    "R-60": "it was not finished before its close_by",
    "R-62": "too few updates before its close_by",
    "R-65": "the privacy budget does not cover it",
    "R-69": "a round that was opened late was committed after this one was frozen",
}


def draft_freeze(reader: DropBoxReader, plan: Stored[Plan], base: Stored[RoundState] | None, admission: Judged, *, now: datetime) -> Freeze | None:
    """The freeze of what was admitted and lies in `accepted/`; None below quorum or minimum support."""
    choice: Choice = choose(admission, base=base.value if base else None, plan=plan.value)
    registry, registry_digest = reader.registry_version(admission.registry_version)
    if len(choice.counted) < max(plan.value.quorum, registry.budget.minimum_support):
        return None
    lies = {item.digest: item.pack for item in admission.admitted}
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
    )
    return replace(freeze, merkle_head=merkle.head(freeze.leaves))


def draft_entry(reader: DropBoxReader, number: int, line: Line, ledger: Sequence[Chained], *, mechanisms: Callable[[], tuple[Mechanism, ...]]) -> LedgerEntry:
    """Entry `number` of the ledger, saying `line`. mechanisms: what a reserve holds. Raises RoundError where a result or state it must name is gone (R-67)."""
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
        return LedgerEntry(**common, id=reserve_id(common["federation"], line.round, frozen.digest), mechanisms=mechanisms(), time=frozen.value.time)
    result = reader.result(line.round)
    if result is None:
        raise RoundError("is gone", subject=Keys.result(line.round), rule="R-67", remedy="Restore the bucket from its versions")
    if line.kind is EntryKind.VOID:
        return LedgerEntry(**common, id=line.ref if isinstance(line.ref, bytes) else b"", result=result.digest, time=result.value.time)
    state = reader.state(line.round)
    if state is None:
        raise RoundError("is gone", subject=Keys.state(line.round), rule="R-67", remedy="Restore the bucket from its versions")
    return LedgerEntry(**common, id=b"", result=result.digest, state=state.digest, time=result.value.time)


def draft_state(
    plan: Plan,
    frozen: Stored[Freeze],
    result: bytes,
    merged: FederationCoordinator,
    *,
    before: RoundState | None,
    last_models: Sequence[GlobalModel],
    keys: KeyPair,
) -> Write:
    """The signed state of a round whose result has the digest `result`. merged: what its freeze came to, weighed; before: the state that it began with;
    last_models: those committed before it, newest first. Raises RoundError where nothing was merged."""
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
            stores=dict(zip(merged.clients, merged.stores(), strict=True)),
            last_models=last_models,
            accuracy=None if merged.elsewhere is None else merged.elsewhere.accuracy,
        ),
    )
    return sign_object(Keys.state(plan.round), PacketType.STATE, state, keys=keys, time=frozen.value.time, audience=COORDINATOR, compression="zstd")


def draft_tombstone(plan: Plan, frozen: Stored[Freeze] | None, rule: str, *, keys: KeyPair) -> Write:
    """The signed tombstone of a round that ends by `rule`."""
    tombstone = Tombstone(
        federation=plan.federation, round=plan.round, rule=rule, reason=_TOMBSTONE_REASONS[rule], time=frozen.value.time if frozen else plan.close_by
    )
    return sign_object(Keys.result(plan.round), PacketType.TOMBSTONE, tombstone, keys=keys, time=tombstone.time)
