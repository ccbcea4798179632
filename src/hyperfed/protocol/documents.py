"""The coordinator's objects, made and signed: pure functions from values to (key, bytes).

1. No nonce and no clock of its own: time comes from plan or freeze, so that the same coordinator makes the same bytes again (R-63).
2. Receipts follow from freeze and ledger alone, and prove what became of an update by the Merkle tree (R-68, R-70).

What it does not do: write, or decide what comes when (`protocol.machine`).
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hyperfed.aggregation import build_rule
from hyperfed.basket import Basket, BasketRules, next_baskets
from hyperfed.codec import PayloadCodec
from hyperfed.errors import ConfigError
from hyperfed.keys import KeyPair
from hyperfed.packets import PolicyPack
from hyperfed.protocol import merkle
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import REMEMBERED, Counted, EntryKind, Fate, Freeze, Plan, Receipt, Refused, Tombstone
from hyperfed.registry import Registry
from hyperfed.rounds import Keys, check_client_id
from hyperfed.signing import Header, PacketType, sign_envelope
from hyperfed.validator import policy_digest
from hyperfed.vocabulary import Vocabulary

__all__ = ["COORDINATOR", "Write", "end_of", "make_plan", "make_receipts", "receipt_holds", "receipts_of", "sign_object"]

COORDINATOR = "coordinator"
_LIFETIME = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Write:
    """An object to create."""

    key: str
    data: bytes


def sign_object(
    key: str,
    type_: PacketType,
    value: Any,
    *,
    keys: KeyPair,
    time: datetime,
    audience: str = "clients",
    sequence: int = 0,
    previous: bytes = b"",
    policy: bytes = b"",
    vocabulary: bytes = b"",
    compression: str | None = None,
) -> Write:
    """The signed object of `value`, which has `federation` and `round`. It expires 30 days after `time`, which no reader but a client of results minds."""
    body = PayloadCodec(compression=compression).encode(value)
    header = Header(
        federation=value.federation,
        round=value.round,
        sender=COORDINATOR,
        key_id=keys.key_id,
        audience=audience,
        sequence=sequence,
        nonce=b"",
        created=time,
        expires=time + _LIFETIME,
        previous=previous,
        policy=policy,
        vocabulary=vocabulary,
        body_length=len(body),
        body_digest=hashlib.sha256(body).digest(),
    )
    return Write(key, sign_envelope(type_, header, body, [keys]))


def make_plan(
    *,
    registry: Registry,
    registry_digest: bytes,
    round_id: int,
    policy: PolicyPack,
    vocabulary: Vocabulary,
    quorum: int | None,
    newest_commit: Chained | None,
    keys: KeyPair,
    close_by: datetime | None = None,
    baskets: Sequence[Basket] = (),
    counted: Collection[str] | None = None,
) -> tuple[Plan, Write]:
    """The plan of a round. quorum None: more than half of the cohort, and what the policy's rule needs. baskets, counted: of the newest commit's round.

    Raises ConfigError where the quorum cannot be met or this key is not the coordinator's."""
    cohort = registry.clients_in(round_id)
    if registry.coordinator_key(keys.key_id, round_id) is None:
        raise ConfigError(
            f"key {keys.key_id} is not the coordinator's in round {round_id}",
            subject=f"plan of round {round_id}",
            rule="R-81",
            remedy=f"Registry version {registry.version} names the coordinator's keys; use one of them",
        )
    if not cohort:
        raise ConfigError("no client is registered for this round", subject=f"plan of round {round_id}", remedy="Add one with `hyperfed registry add`")
    support = registry.budget.minimum_support
    least = build_rule(policy.rule, f=policy.f).least() if policy.strategy == "consensus" and not policy.basket_minimum else 1
    quorum = max(len(cohort) // 2 + 1, support, least) if quorum is None else quorum
    if quorum < least:
        raise ConfigError(
            f"a quorum of {quorum} is below the {least} clients that {policy.rule} needs to bear f = {policy.f}",
            subject=f"plan of round {round_id}",
            rule="R-100",
            remedy="Raise the quorum, or state a smaller f",
        )
    if quorum < support:
        raise ConfigError(
            f"a quorum of {quorum} is below the minimum support of {support}",
            subject=f"plan of round {round_id}",
            remedy="The registry's roots decide how many clients must stand behind a result; raise the quorum",
        )
    if policy.max_staleness >= REMEMBERED:
        raise ConfigError(
            f"max_staleness is {policy.max_staleness}; whom a round has counted is remembered for {REMEMBERED} rounds",
            subject=f"plan of round {round_id}",
            rule="R-94",
            remedy=f"At most {REMEMBERED - 1}",
        )
    if not 1 <= quorum <= len(cohort):
        raise ConfigError(
            f"a quorum of {quorum} cannot be met by {len(cohort)} registered clients",
            subject=f"plan of round {round_id}",
            remedy="Lower the quorum, or register more clients",
        )
    windows = registry.windows
    opens, deadline = windows.opens(round_id), windows.deadline(round_id)
    plan = Plan(
        federation=registry.federation,
        round=round_id,
        registry_version=registry.version,
        registry_digest=registry_digest,
        newest_commit_round=newest_commit.entry.round if newest_commit else 0,
        newest_commit=newest_commit.digest if newest_commit else b"",
        policy=policy,
        vocabulary=vocabulary,
        cohort=cohort,
        quorum=quorum,
        opens=opens,
        deadline=deadline,
        close_by=close_by or windows.deadline(round_id + 1),
        organisations=tuple(sorted((c.client_id, c.organisation) for c in registry.clients)),
        baskets=_baskets(registry, policy, cohort, round_id=round_id, baskets=baskets, counted=counted),
    )
    write = sign_object(Keys.plan(round_id), PacketType.PLAN, plan, keys=keys, time=opens, policy=policy_digest(policy), vocabulary=vocabulary.digest)
    return plan, write


def _baskets(
    registry: Registry, policy: PolicyPack, cohort: Sequence[str], *, round_id: int, baskets: Sequence[Basket], counted: Collection[str] | None
) -> tuple[Basket, ...]:
    if not policy.basket_minimum:
        return ()
    assigned = {client: registry.client(client).basket for client in cohort}
    rules = BasketRules(minimum=policy.basket_minimum, maximum=policy.basket_maximum)
    return next_baskets(baskets, assigned, round_id=round_id, counted=counted, rules=rules)


def make_receipts(
    plan: Plan, freeze: Freeze | None, end: Chained, *, tombstone: Tombstone | None, keys: KeyPair, there: Collection[str] = ()
) -> Iterator[Write]:
    """`receipts_of` a round, each signed as it is asked for. there: keys of those that need not be made again."""
    for receipt in receipts_of(plan, freeze, end, tombstone=tombstone):
        key = Keys.receipt(plan.round, receipt.client)
        if key not in there:
            yield sign_object(key, PacketType.RECEIPT, receipt, keys=keys, time=end.entry.time, audience=receipt.client)


def receipts_of(plan: Plan, freeze: Freeze | None, end: Chained, *, tombstone: Tombstone | None) -> list[Receipt]:
    """A receipt for every client of the cohort and everyone the freeze names, from freeze and ledger alone; ascending by client."""
    counted: Sequence[Counted] = freeze.counted if freeze else ()
    refused: Sequence[Refused] = freeze.refused if freeze else ()
    leaves = freeze.leaves if freeze else []
    paths = merkle.proofs(leaves)
    by_client: dict[str, tuple[int, Any]] = {}
    for i, refusal in enumerate(refused):  # the one of the newest round says most
        known = by_client.get(refusal.client)
        if _is_client_id(refusal.client) and (known is None or refusal.made_for >= known[1].made_for):
            by_client[refusal.client] = (len(counted) + i, refusal)
    for i, item in enumerate(counted):
        by_client[item.client] = (i, item)
    receipts = []
    for client in sorted(set(plan.cohort) | set(by_client)):
        index, what = by_client.get(client, (0, None))
        fate, rule, reason, remedy = _fate(client, what, plan, freeze, tombstone)
        receipts.append(
            Receipt(
                federation=plan.federation,
                round=plan.round,
                client=client,
                fate=fate,
                made_for=what.made_for if what else plan.round,
                sequence=max(what.sequence, 0) if what else 0,
                digest=what.digest if what else b"",
                rule=rule,
                reason=reason,
                remedy=remedy,
                leaf=what.leaf if what else b"",
                index=index,
                size=len(leaves),
                path=paths[index] if what else (),
                merkle_head=end.entry.merkle_head,
                ledger_sequence=end.entry.sequence,
                ledger_digest=end.digest,
                result=end.entry.result,
            )
        )
    return receipts


def receipt_holds(receipt: Receipt, *, voided: bool) -> bool:
    """Whether a receipt's leaf says what the receipt says and lies under its head (R-70). voided: its round's end is a void."""
    if voided != (receipt.fate is Fate.VOID) and receipt.fate not in (Fate.REFUSED, Fate.EXCLUDED):
        return False
    counted = f"counted/{receipt.client}/{receipt.made_for}/{receipt.sequence}/{receipt.digest.hex()}".encode()
    refused = f"refused/{receipt.client}/{receipt.made_for}/".encode()
    fits = {
        Fate.COUNTED: receipt.leaf == counted and receipt.made_for == receipt.round,
        Fate.LATE: receipt.leaf == counted and receipt.made_for < receipt.round,
        Fate.VOID: receipt.leaf in (b"", counted),
        Fate.REFUSED: receipt.leaf.startswith(refused) and receipt.leaf.endswith(f"/{receipt.rule}".encode()),
        Fate.EXCLUDED: not receipt.leaf or (receipt.leaf.startswith(refused) and receipt.leaf.endswith(b"/R-95")),
        Fate.NOT_SEEN: not receipt.leaf,
    }
    proven = not receipt.leaf or merkle.verify_proof(receipt.leaf, receipt.index, receipt.size, receipt.path, receipt.merkle_head)
    return fits[receipt.fate] and proven


def _fate(client: str, what: Counted | Refused | None, plan: Plan, freeze: Freeze | None, tombstone: Tombstone | None) -> tuple[Fate, str, str, str]:
    """(fate, rule, reason, remedy) of one client."""
    if tombstone is not None and not isinstance(what, Refused):
        later = "An update made for this round may still count in the next one" if plan.policy.max_staleness else "Submit for the next round"
        return Fate.VOID, tombstone.rule, f"the round is void: {tombstone.reason}", later
    if isinstance(what, Refused):
        return (Fate.EXCLUDED if what.rule == "R-95" else Fate.REFUSED), what.rule, what.reason, what.remedy
    if what is None:
        if freeze is not None and client in freeze.excluded:
            return (
                Fate.EXCLUDED,
                "R-95",
                f"its trust is below {plan.policy.trust_min:g}",
                "Trust comes back while updates agree or are absent; ask the operator",
            )
        return Fate.NOT_SEEN, "", f"no update for round {plan.round} was there at the freeze", "One that arrives late may still count in the next rounds"
    if what.made_for < plan.round:
        late = plan.round - what.made_for
        return (
            Fate.LATE,
            "",
            f"made for round {what.made_for}, counted {late} round{'s' if late > 1 else ''} late with weight {plan.policy.staleness_decay**late:.3g}",
            "Submit before the deadline",
        )
    return Fate.COUNTED, "", "counted", ""


def _is_client_id(text: str) -> bool:
    """An inbox folder may be called anything; only a client gets a receipt."""
    try:
        check_client_id(text)
    except ConfigError:
        return False
    return True


def end_of(entries: Sequence[Chained], round_id: int) -> Chained | None:
    """The round's commit or void."""
    return next((c for c in entries if c.entry.round == round_id and c.entry.kind is not EntryKind.RESERVE), None)
