"""A fire drill: tonight's attacks on a shadow copy of tonight's frozen set. How many liars would tonight's round have survived?

1. Clients become liars one after the other in an order drawn from `rng`; for each attack the merge is repeated with one more of them, up to fewer
   than half. It survives while the merged edges keep an F1 of `least_f1` against the honest night's, sign for sign, and every one before did.
2. A merge that refuses has not survived.
3. Nothing but counts leaves it: no client's values, no name.

Its answer is computed from every client's update without noise: a round with differential privacy refuses it (`RoundRunner.fire_drill`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hyperfed.errors import AggregationError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.testing.attackers import ATTACKS, build_attack

__all__ = ["Drill", "fire_drill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """attack; clients: how many were counted; survived: the most liars of this kind that the round would have stood; most: how many were tried."""

    attack: str
    clients: int
    survived: int
    most: int


def fire_drill(
    stores: Mapping[str, HypergraphStore],
    merge: Callable[[Mapping[str, HypergraphStore]], HypergraphStore],
    *,
    rng: np.random.Generator,
    attacks: Sequence[str] = tuple(ATTACKS),
    least_f1: float = 0.8,
) -> tuple[Drill, ...]:
    """A row an attack. stores: what each client sent; merge: tonight's merge, of any such set. Raises AggregationError for an unknown attack."""
    clients = sorted(stores)
    order = [clients[i] for i in rng.permutation(len(clients))]
    most = (len(clients) - 1) // 2
    honest = merge(stores)
    rows = []
    for name in attacks:
        attack, survived = build_attack(name), 0
        for count in range(1, most + 1):
            liars = sorted(order[:count])
            lies = attack.stores([stores[c] for c in clients if c not in liars], [stores[c] for c in liars], np.random.default_rng(count))
            try:
                merged = merge({**stores, **dict(zip(liars, lies, strict=True))})
            except AggregationError:
                break
            if _f1(merged, honest) < least_f1:
                break
            survived = count
        rows.append(Drill(attack=name, clients=len(clients), survived=survived, most=most))
    return tuple(rows)


def _f1(merged: HypergraphStore, honest: HypergraphStore) -> float:
    """F1 of signed edges; 1 where neither has any."""
    total = len(merged.edges) + len(honest.edges)
    _, mine, theirs = np.intersect1d(merged.edges.keys, honest.edges.keys, assume_unique=True, return_indices=True)
    same = np.sign(merged.edges.effect[mine]) == np.sign(honest.edges.effect[theirs])
    return 2 * int(same.sum()) / total if total else 1.0
