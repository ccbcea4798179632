"""Check the inbox's part of rule 3 of an audit: who was left out, and who was refused.

1. An update of a client of the cohort that lay in the inbox by the deadline is counted or refused
   by the freeze, or by that of a committed round before it (R-127). It is in time by the store's
   clock, by its own sender's, and by the ledger entries that the sender had seen. Where the store
   has no clock, only the sender says so.
2. With a key that opens the bodies, what a freeze refused of a client is judged again (R-128), as
   long as it lies in the inbox. In a round of secure sums it may also be refused because the
   freeze's helpers did not confirm it, or its block was not complete (R-171, R-174).

The check cannot tell who left an update out: the coordinator, or a bucket that hid it from the
coordinator and shows it now. What housekeeping has erased is not checked.
"""

from collections.abc import Sequence

from hyperfed.coordinator.choose import choose
from hyperfed.coordinator.helper_choice import rules_of_left_out
from hyperfed.crypto.envelope import Header, PacketType, open_envelope, verify_envelope
from hyperfed.dropbox.inbox import Arrivals, read_arrivals
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.dropbox.reader import Stored
from hyperfed.errors import HyperfedError, PacketError, TransientError, TransportError
from hyperfed.merge.pooling import FORMULA
from hyperfed.operations.audit.context import AuditContext
from hyperfed.operations.audit.judging import SEALING, validator_of
from hyperfed.protocol.object_keys import Keys, client_of
from hyperfed.protocol.objects import Counted, Freeze, Plan, Refused
from hyperfed.storage.store import ObjectInfo
from hyperfed.validator.admission import Admission, Admitted
from hyperfed.validator.batch import Batch

__all__ = ["audit_inbox"]

_WHO = (
    "Compare with the client: the coordinator left it out, or the bucket hid it from the "
    "coordinator. Its signature and its receipt show which client is right"
)


def audit_inbox(context: AuditContext, plan: Plan, frozen: Stored[Freeze]) -> None:
    """Check what a committed round's freeze did with the inboxes that it could count from."""
    freeze = frozen.value
    context.history.named |= {c.key for c in freeze.counted} | {r.key for r in freeze.refused}
    cohort = frozenset(plan.cohort)
    for made_for in range(max(1, plan.round - plan.policy.max_staleness), plan.round + 1):
        for info in context.inbox.get(made_for, ()):
            if client_of(info.key) in cohort and info.key not in context.history.named:
                _left_out(context, plan, freeze, info, made_for)
    if context.key_pair is not None and freeze.formula == FORMULA:
        left_out = _left_out_of_sums(context, plan, freeze)
        for client in sorted({r.client for r in freeze.refused if r.client}):
            _judge_again(context, plan, frozen, client, left_out.get(client, ""))


def _left_out(
    context: AuditContext, plan: Plan, freeze: Freeze, info: ObjectInfo, made_for: int
) -> None:
    """Add a finding where an object that no freeze names is an update that was there in time."""
    late = info.modified is not None and info.modified > plan.deadline
    header = None if late else _header(context, freeze, info, made_for)
    if header is None or header.created > plan.deadline:
        return
    entries_seen = context.ledger[: header.ledger_sequence]
    if any(c.entry.round >= plan.round for c in entries_seen):
        return  # it was made after the freeze: its sender has seen what followed from that
    context.history.named.add(info.key)
    by = (
        f"by the sender's clock since {header.created:%Y-%m-%d %H:%M:%S} UTC"
        if info.modified is None
        else f"by the store's clock since {info.modified:%Y-%m-%d %H:%M:%S} UTC"
    )
    context.broken(
        info.key,
        f"is a signed update of {header.sender}, was there before the deadline of round "
        f"{plan.round} ({by}), and {Keys.freeze(plan.round)} neither counts nor refuses it",
        "R-127",
        _WHO,
    )


def _header(
    context: AuditContext, freeze: Freeze, info: ObjectInfo, made_for: int
) -> Header | None:
    """Return the header of an object that its client signed for its folder; None of any other."""
    registry = context.reader.registry_at(freeze.registry_version)
    now, then = registry.signing_keys(freeze.round), registry.signing_keys(made_for)
    valid = {key_id: key for key_id, (_, key) in now.items() if key_id in then}
    try:
        data = context.store.read(info.key, max_bytes=context.limits.max_update_bytes)
        signed = verify_envelope(
            open_envelope(data, subject=info.key),
            expect=PacketType.UPDATE,
            key_of=valid.get,
            subject=info.key,
        )
    except TransientError:
        raise
    except (PacketError, TransportError):
        return None
    header = signed.header
    owner = now.get(header.key_id, ("", b""))[0]
    header_fields = (header.sender, header.round, header.federation)
    return header if header_fields == (owner, made_for, registry.federation) else None


def _left_out_of_sums(context: AuditContext, plan: Plan, freeze: Freeze) -> dict[str, str]:
    """Return by which rule of secure sums clients are left out whom admission would count."""
    stored = context.reader.plan(plan.round)
    if plan.policy.aggregation != "secure-sum" or stored is None:
        return {}
    admitted: dict[str, Counted | Refused] = {one.client: one for one in freeze.counted}
    admitted |= {one.client: one for one in freeze.refused if one.rule in ("R-171", "R-174")}
    return rules_of_left_out(OpeningReader(context.reader, stored), admitted, freeze.helpers)


def _judge_again(
    context: AuditContext, plan: Plan, frozen: Stored[Freeze], client: str, left_out: str
) -> None:
    """Add a finding for each object of a client that would not be refused by the same rule.

    left_out: the rule of secure sums by which what would count is refused, or "".
    """
    freeze, key_id = frozen.value, context.key_pair.key_id if context.key_pair else ""
    named: list[Counted | Refused] = [r for r in freeze.refused if r.client == client]
    named += [c for c in freeze.counted if c.client == client]
    sizes = {info.key: info.size for made_for in context.inbox.values() for info in made_for}
    if any(item.key not in sizes for item in named):
        return  # housekeeping has erased some of it
    judged = _admission(context, plan, freeze, [(item.key, sizes[item.key]) for item in named])
    if judged is None or _another_object(judged, named):
        return
    base = context.history.states.get(freeze.base_round)
    choice = choose(judged, base=base.value if base else None, plan=plan)
    rules = {r.key: (r.rule, r.reason) for r in choice.refused}
    for refused in named:
        if not isinstance(refused, Refused):
            continue
        rule, reason = rules.get(refused.key, (left_out, "secure sums leave it out"))
        if key_id != frozen.signed.header.key_id and not SEALING.isdisjoint((rule, refused.rule)):
            continue  # a client may seal one thing to one key and another to another
        if rule not in (refused.rule, "R-97"):  # a base that was there then may be gone now
            what = f"breaks {rule} ({reason})" if rule else "counts"
            context.broken(
                refused.key,
                f"was refused by {refused.rule} ({refused.reason}) in round {plan.round}; "
                f"judged again it {what}",
                "R-128",
                _WHO,
            )
        else:
            context.checked["refusals judged again"] += 1


def _admission(
    context: AuditContext, plan: Plan, freeze: Freeze, keys: Sequence[tuple[str, int]]
) -> Admission | None:
    """Return what objects of the inbox come to, judged as the freeze's coordinator judged them.

    None where the base state that it needs is missing, which is a finding already.
    """
    validator = validator_of(context, plan, freeze, key_pair=context.key_pair)
    if validator is None:
        return None
    arrivals = Arrivals(
        round=plan.round,
        quorum=plan.quorum,
        present=(),
        missing=(),
        keys=tuple(sorted(keys)),
        closed=True,
        decided=False,
    )
    batch = Batch(validator, last_keys={})
    try:
        for arrival in read_arrivals(context.store, arrivals, limits=context.limits):
            batch.take(arrival)  # no client has a last key: all of it waits for `rest`
    except TransientError:
        raise
    except HyperfedError:
        return None  # sealed to other keys than the audit's
    return batch.rest()


def _another_object(judged: Admission, named: Sequence[Counted | Refused]) -> bool:
    """Return whether a key holds another object than the one that the freeze names there."""
    items: tuple[Admitted | Refused, ...] = (*judged.refused, *judged.admitted)
    digests = {item.key: item.digest for item in items}
    return any(item.digest and digests.get(item.key) not in (item.digest, b"") for item in named)
