"""Release a private round: clip, sum, add noise, and state what it cost.

1. Which groups are noised depends on nothing but the plan and who takes part.
2. The exact sums exist nowhere else in a round, and leave `private_model` only with their noise.
3. What is released must be what was reserved (R-64).

What it does not do: choose the noise (`privacy.policy`), draw its seed (`protocol.round_noise`), or
write.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hyperfed.coordinator.basket_models import noised_baskets
from hyperfed.coordinator.opened_model import not_opened
from hyperfed.coordinator.private_sums import opened_private_model, private_sums_model
from hyperfed.errors import BreakdownError, PrivacyError
from hyperfed.hierarchy.weight_caps import capped_shares
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import PolicyPack, Update
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.groups import Grouped, counted_groups, grouped_means
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.noise_source import NoiseSource
from hyperfed.privacy.policy import release_of, statement_of
from hyperfed.privacy.release import opened_means, released_graph
from hyperfed.protocol.baskets import COMMON, groups_of
from hyperfed.protocol.objects import Plan
from hyperfed.registry.registry import Budget
from hyperfed.secure_aggregation import OpenedSum
from hyperfed.secure_aggregation.noised_effects import effects_sum_of
from hyperfed.tables.tables import EdgeTable

__all__ = ["enough_groups", "noised_groups", "private_model"]

Groups = Mapping[str, tuple[str, ...]]


def noised_groups(
    policy: PolicyPack, clients: tuple[str, ...], baskets: Groups
) -> tuple[dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    """Return the groups whose sums are noised, and those that are left out, with reasons.

    clients: who takes part, ascending. baskets: their baskets. Raises BreakdownError where too few
    groups are left.
    """
    if not policy.basket_minimum:
        return {COMMON: clients}, ()
    return counted_groups(
        baskets, minimum=policy.basket_minimum, minimum_groups=policy.minimum_groups
    )


def enough_groups(plan: Plan, clients: tuple[str, ...]) -> bool:
    """Return whether a round has a result, as far as the plan and who takes part decide (R-118).

    clients: who is counted, ascending. Only a private round can be short of groups.
    """
    if plan.policy.privacy == "none":
        return True
    try:
        noised_groups(plan.policy, clients, groups_of(plan.baskets, clients))
    except BreakdownError:
        return False
    return True


def private_model(
    *,
    updates: Mapping[str, Update],
    weights: Mapping[str, float],
    baskets: Groups,
    about: Mapping[str, Any],
    budget: Budget,
    reserved: PrivacyAccountant | None,
    noise: NoiseSource,
    opened: OpenedSum | None = None,
    shares: int = 0,
) -> GlobalModel:
    """Return the global model of a private round.

    updates, weights: the update, with whole edges, and the weight of each client, which are in
    ascending order. about: what the model says of its round, with `policy`, `vocabulary` and
    `round_id`. reserved: the ledger's accountant after the round's reserve; None: the round stands
    alone. opened: in a round of secure sums, the opened sum. shares: with noise in shares, how many
    of them the reserve counts. Raises PrivacyError where the noise is not what was reserved (R-64),
    and BreakdownError where too few groups are left.
    """
    policy, vocabulary = about["policy"], about["vocabulary"]
    subject = f"round {about['round_id']}"
    night = release_of(policy, vocabulary, budget, shares=shares)
    if night is None:
        raise PrivacyError("the policy asks for none", subject=subject)
    spendable = budget.rounds
    after = reserved or PrivacyAccountant(epsilon=spendable.epsilon, delta=spendable.delta).charged(
        night.mechanisms
    )
    if after.mechanisms[-len(night.mechanisms) :] != night.mechanisms:
        raise PrivacyError(
            "is not what was reserved",
            subject=f"noise of {subject}",
            rule="R-64",
            remedy="Nothing was released",
        )
    if policy.aggregation == "secure-sum" and policy.payload == "edges":
        return _opened_effects(opened, night, about=about, after=after)
    if policy.aggregation == "secure-sum":
        return opened_private_model(opened, night, about=about, after=after, noise=noise)
    if policy.payload == "statistics":
        return private_sums_model(
            {client: one.statistics for client, one in updates.items() if one.statistics},
            night,
            about=about,
            after=after,
            noise=noise,
        )
    tables = {client: one.edges or EdgeTable.empty() for client, one in updates.items()}
    inside, left_out = noised_groups(policy, tuple(tables), baskets)
    weighing = _shares(policy, [len(members) for members in inside.values()])
    released = grouped_means(
        tables,
        weights,
        inside,
        dict(zip(inside, weighing, strict=True)),
        night,
        vocabulary=vocabulary,
        lags=policy.allowed_lags,
        noise=noise,
    )
    statement = statement_of(policy, night, vocabulary=vocabulary, released=released, after=after)
    models = (
        noised_baskets(released, left_out, baskets, vocabulary=vocabulary, least=policy.g_min)
        if policy.basket_minimum
        else ()
    )
    return GlobalModel.of(
        released_graph(released.whole, vocabulary=vocabulary, least=policy.g_min),
        **about,
        privacy=statement,
        baskets=models,
    )


def _opened_effects(
    opened: OpenedSum | None,
    night: PlannedRelease,
    *,
    about: Mapping[str, Any],
    after: PrivacyAccountant,
) -> GlobalModel:
    """Return the model of the effects that clients have added up under masks, with noise (R-202).

    Every client's share is part of the noise that the cut counts, also those of clients who may
    collude. Raises AggregationError where nobody has opened the sum, or no effects have it.
    """
    policy, vocabulary, clients = about["policy"], about["vocabulary"], about["clients"]
    if opened is None:
        raise not_opened(about["round_id"])
    means = opened_means(
        effects_sum_of(opened.total, night, clients=clients),
        night,
        clients=clients,
        vocabulary=vocabulary,
        lags=policy.allowed_lags,
    )
    released = Grouped(whole=means, groups=())
    return GlobalModel.of(
        released_graph(means, vocabulary=vocabulary, least=policy.g_min),
        **about,
        privacy=statement_of(policy, night, vocabulary=vocabulary, released=released, after=after),
        opened_by=opened.helpers,
        unchecked=opened.unchecked,
    )


def _shares(policy: PolicyPack, sizes: Sequence[int]) -> list[float]:
    """Return the share of each group in the global mean, none above the policy's cap.

    sizes: how many clients each group has, which is public. Shares are in proportion to them, or
    equal where the policy says so.
    """
    equal = policy.group_weights == "equal"
    by = [1.0] * len(sizes) if equal else [float(size) for size in sizes]
    return [float(share) for share in capped_shares(by, cap=policy.influence_cap)]
