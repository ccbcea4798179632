"""Say on what terms a client's basket gossips in a round, from registry and plans alone.

1. The terms are those of the round's own plan. Where no coordinator has opened the round, they are
   those of the newest plan before it, so that a basket goes on without one (R-146).
2. The basket is the one that the plan's rules made, or else the registry's; a client without a key
   in the round is no member. The digest of the plan is the seed that decides who sends to whom.
3. In a round of local noise that was opened, the message is the round's own, and costs nothing
   more. In every other round the policy's epsilon, delta and clip say how much noise a message has,
   and it is charged to the share of the budget that the roots keep for gossip (R-145).
4. The share never grows: from the first version of the registry with a share on, the least share
   that any version names holds.

What it does not do: charge (`client.gossip`), or see data.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import PrivacyError, RegistryError, RoundError
from hyperfed.gossip.plan import GossipPlan
from hyperfed.privacy.mechanisms import PlannedRelease, plan_release
from hyperfed.privacy.policy import release_of
from hyperfed.privacy.slots import check_slots
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.objects import REMEMBERED, Plan
from hyperfed.registry.registry import Budget, Registry

__all__ = ["EPOCHS", "GossipTerms", "share_in_force", "share_of", "terms_of"]

EPOCHS = 12
"""Epochs of a round: enough for a thousand clients to agree to 0.01 with a tenth of them away."""
_DEGREE = 6
_TAIL = math.sqrt(-2.0 * math.log(1e-6))


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipTerms:
    """Holds what a client's gossip in a round follows from."""

    announced: Plan
    """The plan whose policy and vocabulary hold: the round's own, or the newest before it."""
    round: int
    """The round in which the basket gossips."""
    basket: str
    """The name of the client's basket; empty where all clients are in one."""
    plan: GossipPlan
    """Who sends to whom."""
    release: PlannedRelease
    """The clip and the noise of each client's one message."""
    opens: datetime
    """When the round's window opens."""
    expires: datetime
    """From when on nothing of the round is sent or added: the end of the window after it."""

    @property
    def of_the_round(self) -> bool:
        """Whether the message is that of a round of local noise, which its reserve counts."""
        return self.announced.round == self.round and self.announced.policy.privacy == "local"

    @property
    def lags(self) -> Sequence[int]:
        """The lags of the vector's edges, ascending."""
        return self.announced.policy.allowed_lags

    @property
    def policy(self) -> bytes:
        """The digest of the policy, which every message names."""
        return policy_digest(self.announced.policy)

    @property
    def least_wait(self) -> timedelta:
        """The shortest time that a client waits from one epoch to the next."""
        return (self.expires - self.opens) / (8 * self.plan.epochs)


def terms_of(
    reader: DropBoxReader, client: str, round_id: int, *, announced: int | None = None
) -> GossipTerms:
    """Return the terms of a client's gossip in a round.

    `announced` is the round whose plan holds; None: the newest up to this one. A client that has
    begun stays with the plan that it began with.

    Raises RoundError where no plan gives any, where its policy shares statistics alone, or where
    the client is not of that plan's cohort or has no peers. Raises PrivacyError where the policy's
    noise cannot be had.
    """
    registry = reader.registry
    stored = _announced(reader, round_id if announced is None else announced)
    if stored.value.policy.payload == "statistics":
        raise RoundError(
            "shares statistics, and gossip averages effects of edges",
            subject=f"the policy of round {stored.value.round}",
            rule="R-146",
            remedy='Ask for a plan with payload = "edges" or "both"; nothing was sent or spent',
        )
    basket, members = _basket(stored.value, registry, client, round_id)
    if len(members) < 2:
        raise RoundError(
            f"has no peers in round {round_id}: its basket {basket or 'of all clients'} has no "
            "other member",
            subject=f"client {client}",
            rule="R-146",
            remedy="Join a basket of at least two clients; nothing was sent or spent",
        )
    release = _release(stored.value, registry.budget, own=stored.value.round == round_id)
    policy, vocabulary = stored.value.policy, stored.value.vocabulary
    length = check_slots(len(vocabulary), policy.allowed_lags)
    windows = registry.windows
    return GossipTerms(
        announced=stored.value,
        round=round_id,
        basket=basket,
        plan=GossipPlan(
            clients=members,
            round=round_id,
            seed=stored.digest,
            length=length,
            norm_bound=release.clip_norm + release.noise_std * (math.sqrt(length) + _TAIL),
            degree=_DEGREE,
            epochs=EPOCHS,
        ),
        release=release,
        opens=windows.opens(round_id),
        expires=windows.deadline(round_id + 1),
    )


def _announced(reader: DropBoxReader, round_id: int) -> Stored[Plan]:
    """Return the newest plan up to the round. Raises RoundError where there is none."""
    for number in range(round_id, max(0, round_id - REMEMBERED), -1):
        # a plan that is refused announces nothing
        plan = reader.plan(number, or_none=True)
        if plan is not None:
            return plan
    raise RoundError(
        f"has no plan, and none of the {min(REMEMBERED, round_id) - 1} rounds before it has one",
        subject=f"round {round_id}",
        rule="R-146",
        remedy="Gossip takes vocabulary and policy from a plan: a coordinator has to open a round "
        "first. Nothing was sent or spent",
    )


def _basket(
    plan: Plan, registry: Registry, client: str, round_id: int
) -> tuple[str, tuple[str, ...]]:
    """Return the name and the members of a client's basket (rule 2 of the module)."""
    if client not in plan.cohort:
        raise RoundError(
            f"is not of the cohort of round {plan.round}, by whose plan the basket gossips",
            subject=f"client {client}",
            rule="R-96",
            remedy=(
                "Wait for the next plan: a client that was registered later takes part from then on"
            ),
        )
    holding = set(registry.clients_in(round_id))
    if client not in holding:
        raise RegistryError(
            f"has no key that is valid in round {round_id}",
            subject=f"client {client}",
            rule="R-81",
            remedy="Enrol a new key with the operator. Nothing was sent or spent",
        )
    name, members = "", plan.cohort
    for basket in plan.baskets:
        if client in basket.members:
            name, members = basket.name, tuple(basket.members)
    if not plan.baskets and plan.domains:
        named = dict(plan.domains)
        name = named[client]
        members = tuple(other for other, basket in plan.domains if basket == name)
    return name, tuple(sorted(holding & set(members)))


def _release(plan: Plan, budget: Budget, *, own: bool) -> PlannedRelease:
    """Return the noise of a message (rule 3 of the module)."""
    policy = plan.policy
    if own and policy.privacy == "local":
        planned = release_of(policy, plan.vocabulary, budget)
        if planned is not None:
            return planned
    return plan_release(
        epsilon=policy.privacy_epsilon,
        delta=policy.privacy_delta,
        clip_norm=policy.clip_norm,
        slots=check_slots(len(plan.vocabulary), policy.allowed_lags),
        place="local",
        unit=budget.unit,
        record_bound=policy.record_bound,
    )


def share_of(budgets: Sequence[Budget]) -> tuple[Decimal, Decimal]:
    """Return gossip's share, (epsilon, delta), by the budgets of all versions, oldest first.

    Raises PrivacyError where there is none now.
    """
    named = [(b.gossip_epsilon, b.gossip_delta) for b in budgets]
    first = next((at for at, (epsilon, _) in enumerate(named) if epsilon), len(named))
    granted = named[first:]
    share = (
        min((epsilon for epsilon, _ in granted), default=Decimal(0)),
        min((delta for _, delta in granted), default=Decimal(0)),
    )
    if not all(share):
        raise PrivacyError(
            "the registry keeps no share of the privacy budget for gossip",
            subject="gossip",
            rule="R-145",
            remedy=(
                "Have the roots set one with `hyperfed registry gossip`; a share that was taken "
                "back does not return. Nothing was noised or sent"
            ),
        )
    return share


def share_in_force(reader: DropBoxReader) -> tuple[Decimal, Decimal]:
    """Return gossip's share by all versions of the registry. Raises PrivacyError as `share_of`."""
    newest = reader.registry.version
    return share_of([reader.registry_at(version).budget for version in range(1, newest + 1)])
