"""Read a whole drop-box again, in the order of the rules of `hyperfed.operations.audit`.

The registry and the ledger come first (1, 2), then each round (3 to 6), and then what lies where
nothing belongs (7).
"""

from collections.abc import Callable
from datetime import datetime

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.budgets import accountant_of
from hyperfed.errors import PrivacyBudgetExhausted
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.links.bundle import verify_links
from hyperfed.operations.audit.annulled import is_annulled, remark_annulled
from hyperfed.operations.audit.context import AuditContext, require
from hyperfed.operations.audit.freezes import audit_freeze, remark_unnamed_packs
from hyperfed.operations.audit.freshness import audit_freshness, remark_expired
from hyperfed.operations.audit.inbox import audit_inbox
from hyperfed.operations.audit.openings import (
    audit_opening,
    remark_rebuttals,
    remark_refusals,
)
from hyperfed.operations.audit.plans import audit_plan, remember_registry
from hyperfed.operations.audit.receipts import audit_receipts
from hyperfed.operations.audit.report import AuditReport
from hyperfed.operations.audit.reserves import audit_reserve
from hyperfed.operations.audit.results import audit_result
from hyperfed.operations.audit.states import audit_state
from hyperfed.operations.retention import read_pruned, scratch_of
from hyperfed.protocol.entries import (
    EntryKind,
    LedgerEntry,
)
from hyperfed.protocol.heads import Head, check_head, head_of
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys, client_of, parse_key
from hyperfed.storage.store import ObjectStore

__all__ = ["audit"]


def audit(
    store: ObjectStore,
    fingerprint: str | None,
    key_pair: KeyPair | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    now: datetime | None = None,
    other: Head | None = None,
) -> AuditReport:
    """Read everything, and report what was found.

    Args:
        store: The drop-box.
        fingerprint: The registry's root fingerprint, compared out of band; None: not compared.
        keys: The keys that open bodies; without them no result and no state is computed again.
        limits: The limits of what is read.
        other: The head of the ledger that another party sees (R-130); None: none was told.
        now: The instant of the audit, by which it finds what is ahead of its time (R-115); None: it
            does not look for that.

    Raises TransportError where the store cannot be read.
    """
    context = AuditContext(store, fingerprint, key_pair, limits, now)
    listed = []
    for info in context.store.list(""):
        listed.append(info.key)
        if client_of(info.key):
            context.inbox.setdefault(parse_key(info.key).round, []).append(info)
    federation = ""
    with context.finding(Keys.registry(1)):
        federation = context.reader.registry.federation
    if federation:
        _numbered(
            context,
            listed,
            "registry",
            context.reader.registry.version,
            Keys.registry,
            "registry versions",
        )
        _ledger(context, listed)
        if other is not None:
            _compare(context, other)
        of_round: dict[int, list[str]] = {}
        for key in listed:
            if key.startswith("rounds/") and (round_id := parse_key(key).round):
                of_round.setdefault(round_id, []).append(key)
        for round_id in sorted(of_round):
            # helpers publish keys before a round is opened
            ahead = Keys.helper_key(round_id, "")
            if all(key.startswith(ahead) for key in of_round[round_id]):
                continue
            _round(context, round_id, of_round[round_id])
        remark_expired(context)
        remark_annulled(context)
        _pruned(context, [key for key in listed if key.startswith("pruned/")])
    for key in listed:
        if not parse_key(key).kind:
            context.broken(key, "no such object belongs into a drop-box", "R-2")
    if federation and not context.key_pair:
        pages = (
            ", and receipts in pages were not opened" if context.checked["receipt pages"] else ""
        )
        sums = context.checked["sums added up without a key"]
        but = f", but for {sums} rounds of open masked messages," if sums else ""
        if context.sealed_sums:
            pages += (
                f"; the masked messages of {context.sealed_sums} rounds are sealed, and policies "
                "with sealed = false let anybody add them up"
            )
        context.remarks.append(
            f"no key was given: results and states{but} were not computed again{pages}"
        )
    return AuditReport(
        federation=federation,
        checked=dict(context.checked),
        findings=tuple(context.findings),
        remarks=tuple(context.remarks),
        head=head_of(context.ledger),
    )


def _compare(context: AuditContext, other: Head) -> None:
    """Compare the ledger with the head that another party sees."""
    with context.finding(Keys.ledger(other.sequence), "compared heads"):
        if not check_head(context.ledger, other):
            context.remarks.append(
                f"the ledger ends before entry {other.sequence}, which another party sees: compare "
                "again when it holds it"
            )


def _pruned(context: AuditContext, listed: list[str]) -> None:
    """Add a remark for each signed record of what housekeeping has erased."""
    for key in listed:
        with context.finding(key, "records of pruning"):
            ((_, record),) = read_pruned(context.reader, [key])
            size = sum(record.sizes)
            context.remarks.append(
                f"{len(record.keys)} old objects ({size:,} bytes) were pruned on "
                f"{record.time:%Y-%m-%d}, after round {record.round}: {key}"
            )


def _numbered(
    context: AuditContext,
    listed: list[str],
    folder: str,
    count: int,
    key_of: Callable[[int], str],
    name: str,
) -> None:
    """Count objects 1 to `count` as verified, and find a hole where the folder holds one beyond."""
    context.checked[name] += count
    expected = {key_of(n + 1) for n in range(count)}
    beyond = [key for key in listed if parse_key(key).kind == folder and key not in expected]
    if beyond:
        context.broken(
            key_of(count + 1),
            f"is missing, though {beyond[0]} exists",
            "R-71" if folder == "ledger" else "R-23",
        )


def _ledger(context: AuditContext, listed: list[str]) -> None:
    failed = len(context.findings)
    with context.finding(Keys.ledger(1)):
        context.ledger = context.reader.ledger()
    if len(context.findings) > failed:
        context.ledger = context.reader.verified_entries()
        context.checked["ledger entries"] += len(context.ledger)
        return
    _numbered(context, listed, "ledger", len(context.ledger), Keys.ledger, "ledger entries")
    for n, chained in enumerate(context.ledger, 1):
        if chained.original is None and chained.entry.kind is EntryKind.RESERVE:
            with context.finding(Keys.ledger(n)):
                audit_reserve(context, chained.entry)
            with context.finding(Keys.ledger(n), "budget checks"):
                _afforded(context, context.ledger[:n], chained.entry)


def _afforded(context: AuditContext, prefix: list[Chained], entry: LedgerEntry) -> None:
    """Check that a reserve fits into the budget in force when its round was frozen (R-72).

    Raises PrivacyBudgetExhausted where it does not fit, PrivacyError where the budget was loosened
    after the first charge.
    """
    if not entry.mechanisms:
        return
    frozen = context.reader.freeze(entry.round)
    version = frozen.value.registry_version if frozen else 1
    why = accountant_of(context.reader, prefix[:-1], version=version).why_not(entry.mechanisms)
    if why is not None:
        raise PrivacyBudgetExhausted(
            f"more than the budget of registry version {version}: {why}",
            subject=Keys.ledger(entry.sequence),
            rule="R-72",
        )


def _round(context: AuditContext, r: int, keys: list[str]) -> None:
    if is_annulled(context, r):
        return
    lines = [c for c in context.ledger if c.entry.round == r]
    end = next((c for c in lines if c.entry.kind is not EntryKind.RESERVE), None)
    before = lines[0].entry.sequence - 1 if lines else len(context.ledger)
    _links(context, r, [key for key in keys if key.startswith(Keys.links(r, ""))])
    if any(key.startswith(Keys.scratch(r)) for key in keys):
        scratch_objects = scratch_of(context.store, r)
        context.remarks.append(
            f"round {r} left {len(scratch_objects)} sealed scratch objects "
            f"({sum(i.size for i in scratch_objects):,} bytes), which housekeeping erases"
        )
    plan = audit_plan(context, r)
    if plan is None:
        if end is not None and end.entry.kind is EntryKind.COMMIT:
            numbers = " ".join(str(c.entry.sequence) for c in lines)
            context.remarks.append(
                f"round {r} was committed by that plan, and no round is built on it: the roots can "
                f"annul its entries, `hyperfed registry annul {numbers}`"
            )
        return
    frozen = audit_freeze(context, plan, before, end)
    if frozen is not None and end is not None and end.entry.kind is EntryKind.COMMIT:
        audit_freshness(context, frozen.value)
    remember_registry(context, plan.value, frozen.value if frozen else None)
    if frozen is not None and frozen.value.packs:
        remark_unnamed_packs(context, frozen.value, keys)
    if Keys.noise(r) in keys:
        _noise(context, r, lines, end)
    if plan.value.policy.aggregation == "secure-sum":
        remark_refusals(context, plan)
        remark_rebuttals(context, plan)
    result = audit_result(context, plan, frozen, lines, end)
    if plan.value.policy.aggregation == "secure-sum":
        ended = result.value if result is not None else None
        model = ended if isinstance(ended, GlobalModel) else None
        if model is not None or Keys.manifest(r) in keys:
            audit_opening(context, plan, frozen, model)
    if frozen is not None and end is not None and end.entry.kind is EntryKind.COMMIT:
        audit_inbox(context, plan.value, frozen)
    audit_state(context, plan.value, frozen, result, end)
    if end is None:
        last = max(
            (c.entry.round for c in context.ledger if c.entry.kind is not EntryKind.RESERVE),
            default=0,
        )
        context.remarks.append(f"round {r} {'was skipped' if last > r else 'has not ended'}")
    else:
        audit_receipts(context, plan.value, frozen if end.entry.freeze else None, result, end, keys)


def _noise(context: AuditContext, r: int, lines: list[Chained], end: Chained | None) -> None:
    """Check that the seed of a round's noise is the one that its reserve names."""
    named = next((c.entry.noise for c in lines if c.entry.kind is EntryKind.RESERVE), None)
    with context.finding(Keys.noise(r), "noise"):
        stored_noise = context.reader.noise(r)
        require(
            named is None or (stored_noise is not None and stored_noise.digest == named),
            Keys.noise(r),
            "is not the one that the reserve names",
            "R-111",
        )
    if end is not None:
        context.remarks.append(
            f"the seed of round {r}'s noise is still there: housekeeping erases it, and until then "
            "a stolen coordinator's key opens it"
        )


def _links(context: AuditContext, r: int, keys: list[str]) -> None:
    """Check whose the links are and who signed them. Only their clients can open them."""
    registry = context.reader.registry
    for key in keys:
        with context.finding(key, "links"):
            data = context.store.read(key, max_bytes=context.limits.max_object_bytes)
            client = parse_key(key).client
            verify_links(
                data,
                federation=registry.federation,
                client=client,
                coordinator_key=registry.coordinator_key,
                round_id=r,
                subject=key,
            )
