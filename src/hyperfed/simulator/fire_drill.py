"""Hold a fire drill: attack a copy of a frozen round, and count the liars that it survives.

1. Clients become liars one after the other, in an order drawn from `rng`. For each attack the merge
   is repeated with one more liar, as long as they are fewer than half. The round survives a number
   of liars where the F1 of the merged signed edges against the honest merge stays at `least_f1` or
   above, for that number and for every smaller one.
2. A round whose merge refuses has not survived.
3. The drill returns counts, and neither values nor names of clients.

The answer is computed from every client's update without noise. Therefore a round with differential
privacy refuses the drill (`RoundRunner.shadow`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hyperfed.coordinator.runner import RoundRunner
from hyperfed.errors import AggregationError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.simulator.attackers import ATTACKS, build_attack

__all__ = ["Drill", "drill_round", "fire_drill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """Says how well a round withstands one attack."""

    attack: str
    """The attack's name."""
    clients: int
    """The number of clients that were counted."""
    survived: int
    """The largest number of such liars that the round survives."""
    most: int
    """The largest number of liars that would be tried."""


def fire_drill(
    graphs: Mapping[str, HypergraphStore],
    merge: Callable[[Mapping[str, HypergraphStore]], HypergraphStore],
    *,
    rng: np.random.Generator,
    attacks: Sequence[str] = tuple(ATTACKS),
    least_f1: float = 0.8,
) -> tuple[Drill, ...]:
    """Attack a set of updates, and return one result for each attack.

    Args:
        graphs: What each client sent.
        merge: The round's merge, as a function of any such set.
        rng: The generator that draws the order in which clients become liars.
        attacks: The names of the attacks.
        least_f1: The F1 of signed edges, in [0, 1], at which the round still survives.

    Raises AggregationError for an unknown attack.
    """
    clients = sorted(graphs)
    order = [clients[i] for i in rng.permutation(len(clients))]
    most = (len(clients) - 1) // 2
    honest = merge(graphs)
    rows = []
    for name in attacks:
        attack, survived = build_attack(name), 0
        for count in range(1, most + 1):
            liars = sorted(order[:count])
            lies = attack.graphs(
                [graphs[c] for c in clients if c not in liars],
                [graphs[c] for c in liars],
                np.random.default_rng(count),
            )
            try:
                merged = merge({**graphs, **dict(zip(liars, lies, strict=True))})
            except AggregationError:
                break
            if _f1(merged, honest) < least_f1:
                break
            survived = count
        rows.append(Drill(attack=name, clients=len(clients), survived=survived, most=most))
    return tuple(rows)


def drill_round(runner: RoundRunner, round_id: int) -> tuple[Drill, ...]:
    """Attack a shadow copy of what a round has frozen, and return one result for each attack.

    Nothing is written. Raises RoundError where nothing is frozen, PrivacyError in a private round.
    """
    coordinator = runner.shadow(round_id)
    graphs = dict(zip(coordinator.clients, coordinator.graphs(), strict=True))
    frozen = runner.reader.freeze(round_id)
    assert frozen is not None  # noqa: S101 - `shadow` has read it
    return fire_drill(
        graphs,
        coordinator.rehearse,
        rng=np.random.default_rng(int.from_bytes(frozen.digest[:8], "big")),
    )


def _f1(merged: HypergraphStore, honest: HypergraphStore) -> float:
    """Return the F1 of the signed edges of two models, in [0, 1]; 1 where neither has an edge."""
    total = len(merged.edges) + len(honest.edges)
    _, mine, theirs = np.intersect1d(
        merged.edges.keys, honest.edges.keys, assume_unique=True, return_indices=True
    )
    same = np.sign(merged.edges.effect[mine]) == np.sign(honest.edges.effect[theirs])
    return 2 * int(same.sum()) / total if total else 1.0
