"""Make and sign the coordinator's objects, by pure functions from values to (key, bytes).

1. Nothing here draws a nonce or reads a clock. Time comes from plan or freeze, so that the same
   coordinator makes the same bytes again (R-63).

What it does not do: make receipts (`protocol.receipts`), write, or decide what comes when
(`protocol.machine`).
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import Header, PacketType, sign_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import ConfigError
from hyperfed.packets import PolicyPack
from hyperfed.protocol.baskets import Basket
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import (
    REMEMBERED,
    Plan,
)
from hyperfed.protocol.plan_checks import (
    baskets_of,
    check_help_ends,
    check_helpers,
    domains_of,
    least_quorum,
    organisations_of,
)
from hyperfed.registry.floors import below_floors
from hyperfed.registry.registry import Registry
from hyperfed.registry.windows import check_instant
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["COORDINATOR", "Write", "end_of", "make_plan", "sign_object"]

COORDINATOR = "coordinator"
_LIFETIME = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Write:
    """Holds an object to create in the store."""

    key: str
    """The object's key."""
    data: bytes
    """The object's bytes."""


def sign_object(
    key: str,
    type_: PacketType,
    value: Any,
    *,
    key_pair: KeyPair,
    time: datetime,
    audience: str = "clients",
    sequence: int = 0,
    previous: bytes = b"",
    policy: bytes = b"",
    vocabulary: bytes = b"",
    compression: str | None = None,
) -> Write:
    """Return the signed object of `value`, which has the fields `federation` and `round`.

    Its header says that it expires 30 days after `time`. Of its readers, only clients that read
    results check that.
    """
    body = PayloadCodec(compression=compression).encode(value)
    header = Header(
        federation=value.federation,
        round=value.round,
        sender=COORDINATOR,
        key_id=key_pair.key_id,
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
    return Write(key, sign_envelope(type_, header, body, [key_pair]))


def make_plan(
    *,
    registry: Registry,
    registry_digest: bytes,
    round_id: int,
    policy: PolicyPack,
    vocabulary: Vocabulary,
    quorum: int | None,
    newest_commit: Chained | None,
    key_pair: KeyPair,
    close_by: datetime | None = None,
    baskets: Sequence[Basket] = (),
    counted: Collection[str] | None = None,
) -> tuple[Plan, Write]:
    """Return the plan of a round, and the signed object that announces it.

    Where `quorum` is None, the quorum is more than half of the cohort, and at least the minimum
    support and what the policy's rule needs. `baskets` and `counted` are those of the newest
    commit's round. Raises ConfigError where the quorum cannot be met, where the key is not the
    coordinator's in this round, where the policy is below the registry's floors (R-125), or where
    its `max_staleness` is too large. Raises RoundError where `close_by` is beyond what the registry
    allows (R-116), or than helpers keep its keys (R-198), and where nobody could open its secure
    sums (R-168).
    """
    cohort = registry.clients_in(round_id)
    if registry.coordinator_key(key_pair.key_id, round_id) is None:
        raise ConfigError(
            f"key {key_pair.key_id} is not the coordinator's in round {round_id}",
            subject=f"plan of round {round_id}",
            rule="R-81",
            remedy=f"Registry version {registry.version} names the coordinator's keys; use one "
            "of them",
        )
    if not cohort:
        raise ConfigError(
            "no client is registered for this round",
            subject=f"plan of round {round_id}",
            remedy="Add one with `hyperfed registry add`",
        )
    below = below_floors(policy, registry.floors, minimum_support=registry.budget.minimum_support)
    if below:
        raise ConfigError(
            f"is below the floors of registry version {registry.version}: {'; '.join(below)}",
            subject=f"plan of round {round_id}",
            rule="R-125",
            remedy="Ask for what the registry asks for, or let its roots sign other floors: "
            "`hyperfed registry set`",
        )
    check_helpers(policy, registry, round_id, subject=f"plan of round {round_id}")
    support = registry.budget.minimum_support
    least = least_quorum(policy)
    quorum = max(len(cohort) // 2 + 1, support, least) if quorum is None else quorum
    if quorum < least:
        raise ConfigError(
            f"a quorum of {quorum} is below the {least} clients that {policy.rule} needs to "
            f"bear f = {policy.f}",
            subject=f"plan of round {round_id}",
            rule="R-100",
            remedy="Raise the quorum, or state a smaller f",
        )
    if quorum < support:
        raise ConfigError(
            f"a quorum of {quorum} is below the minimum support of {support}",
            subject=f"plan of round {round_id}",
            remedy=(
                "Raise the quorum: the registry's roots decide how many clients must stand "
                "behind a result"
            ),
        )
    if policy.max_staleness >= REMEMBERED:
        raise ConfigError(
            f"max_staleness is {policy.max_staleness}; whom a round has counted is remembered "
            f"for {REMEMBERED} rounds",
            subject=f"plan of round {round_id}",
            rule="R-94",
            remedy=f"State at most {REMEMBERED - 1}",
        )
    if not 1 <= quorum <= len(cohort):
        raise ConfigError(
            f"a quorum of {quorum} cannot be met by {len(cohort)} registered clients",
            subject=f"plan of round {round_id}",
            remedy="Lower the quorum, or register more clients",
        )
    windows = registry.windows
    close_by = windows.deadline(round_id + 1) if close_by is None else check_instant(close_by)
    registry.check_close_by(round_id, close_by)
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
        close_by=close_by,
        organisations=organisations_of(registry),
        baskets=baskets_of(
            registry, policy, cohort, round_id=round_id, baskets=baskets, counted=counted
        ),
        domains=domains_of(registry, cohort),
    )
    check_help_ends(plan, registry)
    write = sign_object(
        Keys.plan(round_id),
        PacketType.PLAN,
        plan,
        key_pair=key_pair,
        time=opens,
        policy=policy_digest(policy),
        vocabulary=vocabulary.digest,
    )
    return plan, write


def end_of(entries: Sequence[Chained], round_id: int) -> Chained | None:
    """Return the round's commit or void, or None where the ledger has neither."""
    return next(
        (c for c in entries if c.entry.round == round_id and c.entry.kind is not EntryKind.RESERVE),
        None,
    )
