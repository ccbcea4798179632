"""Baskets in a private round: one noised sum a group, and the global mean computed from those.

1. A client is in exactly one group (the signed plan says which). Its contribution to all the groups' sums together is one vector of norm <= clip, so
   that noise on every sum is one mechanism, charged once: the same sensitivity, a longer vector (the RDP of discrete Gaussian noise does not depend on
   its length; `rdp`, rule 2).
2. The global mean is the groups' noised means, weighed by public shares: post-processing, which costs nothing. No un-noised global sum exists.
3. The price is noise: the global mean of G equal groups carries sqrt(G) times the noise of one sum over the same clients.
4. Which groups have a model depends on who takes part, which is public: a group below the minimum has none, and its clients do not count tonight.
5. Discovery "selected" chooses edges once, over the clients of all groups that count; each group's mean is then of the same edges.

What it does not do: assign clients (`basket`), compute shares (`influence`), draw noise (`release`).
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hyperfed.errors import BreakdownError, PrivacyError
from hyperfed.privacy.discrete_gaussian import RandomBytes
from hyperfed.privacy.mechanisms import Night
from hyperfed.privacy.release import Released, central_means, local_means, slots_of
from hyperfed.tables import EdgeTable
from hyperfed.vocabulary import Vocabulary

__all__ = ["GroupMeans", "Grouped", "counted_groups", "grouped_means"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMeans:
    """name: the basket ("": the common group); share: of the global mean, public; released: its own noised means."""

    name: str
    share: float
    released: Released


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """whole: the global mean, from the groups' noised ones; groups: ascending by name, at least one."""

    whole: Released
    groups: tuple[GroupMeans, ...]


def counted_groups(groups: Mapping[str, Sequence[str]], *, minimum: int, minimum_groups: int) -> tuple[dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    """(groups that have a model, ascending; (group, why it has none)). Who took part decides, never what was sent.

    Raises BreakdownError where fewer than `minimum_groups` have one.
    """
    kept = {name: tuple(groups[name]) for name in sorted(groups) if len(groups[name]) >= minimum}
    left_out = tuple((name, f"{len(groups[name])} counted clients, {minimum} are needed") for name in sorted(groups) if name not in kept)
    if not kept or len(kept) < minimum_groups:
        said = "; ".join(f"{name or 'the common group'}: {why}" for name, why in left_out)
        raise BreakdownError(f"{len(kept)} of {len(groups)} groups have a model, {minimum_groups} are needed", subject="layers", remedy=said)
    return kept, left_out


def grouped_means(
    tables: Mapping[str, EdgeTable],
    weights: Mapping[str, float],
    groups: Mapping[str, Sequence[str]],
    shares: Mapping[str, float],
    night: Night,
    *,
    vocabulary: Vocabulary,
    max_lag: int,
    random_bytes: RandomBytes = os.urandom,
) -> Grouped:
    """Each group's noised means, and the global ones made of them.

    tables, weights: by client (those outside `groups` are not looked at); groups: name -> clients, disjoint; shares: by group, sum 1, from public numbers only.
    Raises PrivacyError.
    """
    members = [client for name in sorted(groups) for client in groups[name]]
    if not members or len(members) != len(set(members)):
        raise PrivacyError("a client is in exactly one of at least one group, or one mechanism does not cover them", subject="private release")
    if not math.isclose(math.fsum(shares[name] for name in groups), 1.0, rel_tol=1e-9):
        raise PrivacyError("shares of the groups sum to 1", subject="private release")
    local = night.mechanism.place == "local"
    slots = None if local else slots_of([tables[client] for client in members], night, vocabulary=vocabulary, max_lag=max_lag, random_bytes=random_bytes)
    made = []
    for name in sorted(groups):
        mine, weigh = [tables[client] for client in groups[name]], [weights[client] for client in groups[name]]
        if local:
            released = local_means(mine, weigh, night, vocabulary=vocabulary, max_lag=max_lag)
        else:
            released = central_means(mine, weigh, night, vocabulary=vocabulary, max_lag=max_lag, slots=slots, random_bytes=random_bytes)
        made.append(GroupMeans(name=name, share=shares[name], released=released))
    return Grouped(whole=_whole(made), groups=tuple(made))


def _whole(groups: Sequence[GroupMeans]) -> Released:
    """Of noised means alone."""
    mean = groups[0].share * groups[0].released.mean
    for group in groups[1:]:
        mean = mean + group.share * group.released.mean
    return Released(
        keys=groups[0].released.keys,
        mean=mean,
        std=math.sqrt(math.fsum((group.share * group.released.std) ** 2 for group in groups)),
        clients=sum(group.released.clients for group in groups),
    )
