"""The coordinator's objects, made and signed: pure functions from values to (key, bytes).

1. No nonce and no clock of its own: time comes from plan or freeze, so that the same coordinator makes the same bytes again (R-63).

What it does not do: receipts (`protocol.receipts`), write, or decide what comes when (`protocol.machine`).
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hyperfed.aggregation import build_rule
from hyperfed.basket import Basket, BasketRules, next_baskets
from hyperfed.codec import PayloadCodec
from hyperfed.errors import ConfigError
from hyperfed.keys import KeyPair
from hyperfed.packets import PolicyPack
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import REMEMBERED, EntryKind, Plan
from hyperfed.registry import Registry
from hyperfed.rounds import Keys
from hyperfed.signing import Header, PacketType, sign_envelope
from hyperfed.validator import policy_digest
from hyperfed.vocabulary import Vocabulary

__all__ = ["COORDINATOR", "Write", "end_of", "make_plan", "sign_object"]

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


def end_of(entries: Sequence[Chained], round_id: int) -> Chained | None:
    """The round's commit or void."""
    return next((c for c in entries if c.entry.round == round_id and c.entry.kind is not EntryKind.RESERVE), None)
