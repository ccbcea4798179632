"""Noise one sum for each basket of a private round, and compute the global mean of those sums.

1. A client is in exactly one group (the signed plan says which). Its contribution to all the
   groups' sums together is one vector of norm <= clip, so that noise on every sum is one mechanism,
   charged once: the sensitivity is the same, and the vector is longer. The RDP of discrete Gaussian
   noise does not depend on the vector's length (`rdp`, rule 2).
2. The global mean is the mean of the groups' noised means, weighed by public shares. That is
   post-processing, which costs nothing. No un-noised global sum exists.
3. The price is noise: the global mean of G equal groups carries sqrt(G) times the noise of one sum
   over the same clients.
4. Which groups have a model depends on who takes part, which is public: a group below the minimum
   has none, and its clients do not count in this round.
5. Discovery "selected" chooses edges once, over the clients of all groups that count; each group's
   mean is then of the same edges.

What it does not do: assign clients (`baskets`), compute shares (`weight_caps`), or draw noise
(`release`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hyperfed.errors import BreakdownError, PrivacyError
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.noise_source import NoiseSource, fresh_noise
from hyperfed.privacy.release import Released, central_means, local_means, slots_of
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["GroupMeans", "Grouped", "counted_groups", "grouped_means"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMeans:
    """Holds one group's noised means."""

    name: str
    """The basket's name; "" is the common group."""
    share: float
    """The group's public share of the global mean."""
    released: Released
    """The group's own noised means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """Holds the noised means of all groups, and the global ones."""

    whole: Released
    """The global means, computed from the groups' noised ones."""
    groups: tuple[GroupMeans, ...]
    """The groups' means, ascending by name, at least one."""


def counted_groups(
    groups: Mapping[str, Sequence[str]], *, minimum: int, minimum_groups: int
) -> tuple[dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    """Return (groups that have a model, (group, why it has none) for each other), both ascending.

    Participation decides, never what was sent. Raises BreakdownError where no group or fewer than
    `minimum_groups` have a model.
    """
    with_model = {
        name: tuple(groups[name]) for name in sorted(groups) if len(groups[name]) >= minimum
    }
    left_out = tuple(
        (name, f"{len(groups[name])} counted clients, {minimum} are needed")
        for name in sorted(groups)
        if name not in with_model
    )
    if not with_model or len(with_model) < minimum_groups:
        reasons = "; ".join(f"{name or 'the common group'}: {why}" for name, why in left_out)
        raise BreakdownError(
            f"{len(with_model)} of {len(groups)} groups have a model, {minimum_groups} are needed",
            subject="layers",
            remedy=reasons,
        )
    return with_model, left_out


def grouped_means(
    tables: Mapping[str, EdgeTable],
    weights: Mapping[str, float],
    groups: Mapping[str, Sequence[str]],
    shares: Mapping[str, float],
    planned: PlannedRelease,
    *,
    vocabulary: Vocabulary,
    lags: Sequence[int],
    noise: NoiseSource = fresh_noise,
) -> Grouped:
    """Return each group's noised means, and the global ones made of them.

    `tables` and `weights` are by client; clients outside `groups` are ignored. `groups` maps a name
    to its clients, and no client is in two. `shares` are by group, sum to 1, and come from public
    numbers only. Raises PrivacyError where groups or shares break these rules.
    """
    members = [client for name in sorted(groups) for client in groups[name]]
    if not members or len(members) != len(set(members)):
        raise PrivacyError(
            "a client is in exactly one of at least one group, or one mechanism does not cover "
            "them",
            subject="private release",
        )
    if not math.isclose(math.fsum(shares[name] for name in groups), 1.0, rel_tol=1e-9):
        raise PrivacyError("shares of the groups sum to 1", subject="private release")
    local = planned.mechanism.place == "local"
    slots = (
        None
        if local
        else slots_of(
            [tables[client] for client in members],
            planned,
            vocabulary=vocabulary,
            lags=lags,
            noise=noise,
        )
    )
    group_means = []
    for name in sorted(groups):
        group_tables, group_weights = (
            [tables[client] for client in groups[name]],
            [weights[client] for client in groups[name]],
        )
        if local:
            released = local_means(
                group_tables, group_weights, planned, vocabulary=vocabulary, lags=lags
            )
        else:
            released = central_means(
                group_tables,
                group_weights,
                planned,
                vocabulary=vocabulary,
                lags=lags,
                slots=slots,
                label=name,
                noise=noise,
            )
        group_means.append(GroupMeans(name=name, share=shares[name], released=released))
    return Grouped(whole=_whole(group_means), groups=tuple(group_means))


def _whole(groups: Sequence[GroupMeans]) -> Released:
    """Return the global means, computed from noised means alone."""
    mean = groups[0].share * groups[0].released.mean
    for group in groups[1:]:
        mean = mean + group.share * group.released.mean
    return Released(
        keys=groups[0].released.keys,
        mean=mean,
        std=math.sqrt(math.fsum((group.share * group.released.std) ** 2 for group in groups)),
        clients=sum(group.released.clients for group in groups),
    )
