"""Check rule 3 of an audit: freezes, and the updates that they count.

A freeze follows from plan, registry and base state. Every update that it counts lies in its packs,
with its client's signature.
"""

from hyperfed.crypto.envelope import PacketType, Signed, open_envelope, verify_envelope
from hyperfed.dropbox.claims import check_seen
from hyperfed.dropbox.reader import Stored
from hyperfed.errors import RESTORE_BUCKET, RoundError
from hyperfed.operations.audit.context import AuditContext, require
from hyperfed.operations.audit.judging import judge_of
from hyperfed.operations.audit.plans import check_exclusions
from hyperfed.protocol import merkle
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import (
    Counted,
    Freeze,
    Plan,
    Tombstone,
)
from hyperfed.protocol.sequences import highest_by_key, signers_of

__all__ = ["audit_freeze", "remark_unnamed_packs"]


def audit_freeze(
    context: AuditContext, plan: Stored[Plan], before: int, end: Chained | None
) -> Stored[Freeze] | None:
    """Check the freeze of a plan, and return it where it decides something.

    `before` is the number of ledger entries before the round's own. `end` is the entry that ends
    the round, or None.
    """
    r = plan.value.round
    key, frozen = Keys.freeze(r), None
    with context.finding(key):
        frozen = context.reader.freeze(r)
    if frozen is None:
        if end is not None and end.entry.freeze:
            context.broken(key, "is missing, and the ledger names it", "R-63")
        return None
    if end is not None and frozen.digest != end.entry.freeze:
        if end.entry.freeze:
            context.broken(
                key,
                "is not the freeze that the ledger names",
                "R-63",
                RESTORE_BUCKET,
            )
            return None
        context.remarks.append(f"{key} was written after its round was void, and decides nothing")
        return None
    with context.finding(key, "freezes"):
        _check_freeze(context, key, frozen.value, plan, before)
        check_exclusions(context, plan.value, frozen.value)
    committed = end is not None and end.entry.kind is EntryKind.COMMIT
    _updates(context, plan.value, frozen, committed=committed)
    for counted in frozen.value.counted if committed else ():
        earlier = context.history.windows.setdefault((counted.client, counted.made_for), r)
        if earlier != r:
            context.broken(
                key,
                f"counts {counted.client} for round {counted.made_for}, as round {earlier} did",
                "R-94",
            )
    return frozen


def _updates(context: AuditContext, plan: Plan, frozen: Stored[Freeze], *, committed: bool) -> None:
    """Check every update that a freeze counts (R-66), and whether it may count (R-154).

    A pack that cannot be read is one finding, however many updates lie in it.
    """
    freeze, lost = frozen.value, set[str]()
    judge = judge_of(context, plan, frozen) if committed else None
    for counted, key, envelope in context.sets.accepted.read(freeze, freeze.counted):
        if isinstance(envelope, RoundError):
            if key not in lost:
                context.broken(key, envelope.problem, envelope.rule, envelope.remedy)
            lost.add(key)
            continue
        with context.finding(key, "updates"):
            signed = _update(context, freeze, counted, key, envelope)
            if judge is not None:
                judge(counted, signed, bytes(envelope), key)


def remark_unnamed_packs(context: AuditContext, freeze: Freeze, keys: list[str]) -> None:
    """Add a remark where a round holds packs that its freeze does not name."""
    there = {key for key in keys if key.startswith(Keys.accepted(freeze.round, b""))}
    if unnamed := len(there - {Keys.accepted(freeze.round, digest) for digest in freeze.packs}):
        context.remarks.append(
            f"round {freeze.round} has {unnamed} packs that its freeze does not need: a stage "
            "that was tried again left them, or nothing in them counts"
        )


def _check_freeze(
    context: AuditContext, key: str, freeze: Freeze, plan: Stored[Plan], before: int
) -> None:
    _, digest = context.reader.registry_version(freeze.registry_version)
    require(
        (freeze.plan, freeze.registry_digest) == (plan.digest, digest),
        key,
        "is of another plan or registry",
        "R-63",
    )
    require(
        freeze.registry_version >= plan.value.registry_version,
        key,
        "goes back to an older registry",
        "R-63",
    )
    require(
        freeze.merkle_head == merkle.head(freeze.leaves),
        key,
        "its Merkle head is not that of what it counts and refuses",
        "R-70",
    )
    commits = [
        c.entry
        for c in context.ledger[:before]
        if c.entry.kind is EntryKind.COMMIT and c.entry.round < freeze.round
    ]
    base = (commits[-1].round, commits[-1].state) if commits else (0, b"")
    # a round without a ledger entry may have become stale
    if any(c.entry.round == freeze.round for c in context.ledger):
        tombstone = context.reader.result(freeze.round)
        stale = tombstone is not None and isinstance(tombstone.value, Tombstone)
        require(
            stale or (freeze.base_round, freeze.base_state) == base,
            key,
            f"builds on round {freeze.base_round}, not on {base[0]}",
            "R-69",
        )
    require(len(freeze.counted) >= plan.value.quorum, key, "is below quorum", "R-62")
    check_seen(
        context.reader,
        context.ledger,
        sequence=freeze.claim_sequence,
        digest=freeze.claim_digest,
        by=key,
    )
    problem = (
        f"names formula {freeze.formula}, and a round before it was committed under "
        f"{context.history.formula}"
    )
    require(freeze.formula >= context.history.formula, key, problem, "R-66")
    _check_counted(context, key, freeze, plan.value)


def _check_counted(context: AuditContext, key: str, freeze: Freeze, plan: Plan) -> None:
    """Check that every client that a freeze counts may count.

    It was invited, is not excluded and not too late, and its sequence rises. Raises RoundError.
    """
    state = context.history.states.get(freeze.base_round)
    registry = context.reader.registry_at(freeze.registry_version)
    highest = highest_by_key(state.value if state else None, registry)
    signers = signers_of(freeze, registry)
    for counted in freeze.counted:
        client_state = state.value.of(counted.client) if state else None
        before = client_state.highest_sequence if client_state else -1
        signer = "" if signers is None else signers.get(counted.client, "")
        require(
            counted.client in plan.cohort,
            key,
            f"counts {counted.client}, who was not invited",
            "R-96",
        )
        require(
            counted.client not in freeze.excluded,
            key,
            f"counts {counted.client} and excludes it",
            "R-95",
        )
        require(
            freeze.round - counted.made_for <= plan.policy.max_staleness,
            key,
            f"counts {counted.client} too late",
            "R-84",
        )
        require(
            counted.sequence > (before if signers is None else highest.get(signer, -1)),
            key,
            f"{counted.client}'s sequence falls",
            "R-89",
        )


def _update(
    context: AuditContext, freeze: Freeze, counted: Counted, key: str, data: bytes | memoryview
) -> Signed:
    """Return the update in `data`: the one that was frozen (R-66), and its client's (R-82).

    Its client must have signed it with a key of the round that it was made for. `key` is that of
    the object it lies in. Raises HyperfedError.
    """
    signing = context.reader.registry_at(freeze.registry_version).signing_keys(counted.made_for)
    envelope = open_envelope(data, subject=key)
    signed = verify_envelope(
        envelope,
        expect=PacketType.UPDATE,
        key_of=lambda k: signing[k][1] if k in signing else None,
        subject=key,
    )
    header, owner = signed.header, signing.get(signed.header.key_id, ("", b""))[0]
    require(
        signed.digest == counted.digest,
        key,
        f"{counted.client}'s update in it is not the one that was frozen",
        "R-66",
    )
    header_fields = (owner, header.sender, header.round, header.sequence, header.federation)
    named = (
        counted.client,
        counted.client,
        counted.made_for,
        counted.sequence,
        freeze.federation,
    )
    require(
        header_fields == named,
        key,
        f"is {header.sender}'s for round {header.round}, signed by {owner or 'nobody'}",
        "R-82",
    )
    registry = context.reader.registry_at(freeze.registry_version)
    signers = signers_of(freeze, registry)
    require(
        signers is None or signers.get(counted.client) == header.key_id,
        key,
        f"{counted.client}'s update in it is signed by another key than the freeze names",
        "R-129",
    )
    check_seen(
        context.reader,
        context.ledger,
        sequence=header.ledger_sequence,
        digest=header.ledger_digest,
        by=key,
    )
    require(
        header.registry_version <= freeze.registry_version,
        key,
        f"{counted.client} has seen registry version {header.registry_version}, and was counted "
        f"under version {freeze.registry_version}",
        "R-121",
    )
    return signed
