"""Play a simulation's federation in one process, or signed and sealed through a drop-box in memory.

1. `InProcess` runs `HierarchicalFederation`: it has the baskets, buffer, layers and trust of real
   rounds, but no signatures. It is the quick one.
2. `Signed` runs real rounds to the last byte, with plans, sealed updates, freeze, ledger, result
   and state. It is slower by the cryptography.
3. A night that ends without a model says why, and the next night goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hyperfed.errors import AggregationError
from hyperfed.hierarchy.hierarchical import HierarchicalFederation
from hyperfed.hierarchy.layers import LayerRules
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import Claims, PolicyPack, Update
from hyperfed.protocol.baskets import BasketRules
from hyperfed.registry.registry import ClientRecord, KeyRecord
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

__all__ = ["InProcess", "Played", "Player", "Signed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Holds the outcome of a night."""

    model: HypergraphStore
    """The merged model; empty where there is none."""
    refused: str
    """Why there is no model; empty where there is one."""
    weights: Mapping[str, float]
    """The weight of each client, in [0, 1]; empty where there is no model."""
    excluded: frozenset[str]
    """The clients that were left out for their trust."""


class Player(Protocol):
    """Plays one night of a federation after the other."""

    def night(self, graphs: Mapping[str, HypergraphStore], losses: Mapping[str, float]) -> Played:
        """Merge what the clients send in a night. `losses` are the losses that they claim."""
        ...


class InProcess:
    """Plays a federation in one process, without signatures.

    Args:
        clients: The ids of the clients.
        rule: The name of the merge's rule.
        f: The number of liars that the rule is told.
        baskets: The number of baskets that the clients are dealt into.
    """

    def __init__(self, clients: Sequence[str], *, rule: str, f: int, baskets: int) -> None:
        self.federation = HierarchicalFederation(
            rule=rule,
            f=f,
            basket_rules=BasketRules(minimum=1),
            layer_rules=LayerRules(minimum=1, influence_cap=1.0),
        )
        for i, client in enumerate(clients):
            self.federation.register(client, basket=f"basket-{i % baskets + 1}")

    def night(self, graphs: Mapping[str, HypergraphStore], losses: Mapping[str, float]) -> Played:
        for client, graph in graphs.items():
            self.federation.submit(client, _update(graph, losses[client]))
        try:
            model = self.federation.maybe_aggregate()
        except AggregationError as exc:
            self.federation.round += 1
            return Played(
                model=HypergraphStore(), refused=str(exc), weights={}, excluded=frozenset()
            )
        if model is None:
            self.federation.round += 1
            return Played(
                model=HypergraphStore(), refused="below quorum", weights={}, excluded=frozenset()
            )
        return Played(
            model=model.graph, refused="", weights=model.weights, excluded=frozenset(model.excluded)
        )


class Signed:
    """Plays a federation that signs and seals, through a drop-box in memory.

    Args:
        clients: The ids of the clients.
        vocabulary: The vocabulary of the plans.
        rule: The name of the merge's rule.
        f: The number of liars that the rule is told.
        baskets: The number of baskets that the clients are dealt into; 1: none.
    """

    def __init__(
        self, clients: Sequence[str], *, vocabulary: Vocabulary, rule: str, f: int, baskets: int
    ) -> None:
        policy = PolicyPack(
            rule=rule, f=f, basket_minimum=1 if baskets > 1 else 0, influence_cap=1.0
        )
        self.federation = SmallFederation(clients=clients, policy=policy, vocabulary=vocabulary)
        self.round = 0
        if baskets > 1:
            records = [
                ClientRecord(
                    client_id=c,
                    organisation=f"{c} ltd",
                    basket=f"basket-{i % baskets + 1}",
                    keys=(KeyRecord(keys=self.federation.keys[c].public),),
                )
                for i, c in enumerate(self.federation.clients)
            ]
            self.federation.amend(clients=tuple(records))

    def night(self, graphs: Mapping[str, HypergraphStore], losses: Mapping[str, float]) -> Played:
        self.round += 1
        try:
            self.federation.open(self.round, quorum=None)
            for client, graph in graphs.items():
                self.federation.submit(client, _update(graph, losses[client]), round_id=self.round)
            self.federation.run(self.round)
        except AggregationError as exc:
            return Played(
                model=HypergraphStore(), refused=str(exc), weights={}, excluded=frozenset()
            )
        reader = self.federation.reader()
        result, state, frozen = (
            reader.result(self.round),
            reader.state(self.round),
            reader.freeze(self.round),
        )
        if (
            result is None
            or state is None
            or frozen is None
            or not isinstance(result.value, GlobalModel)
        ):
            return Played(model=HypergraphStore(), refused="void", weights={}, excluded=frozenset())
        counted = {c.client for c in frozen.value.counted}
        weights = {c.client: c.weight for c in state.value.clients if c.client in counted}
        return Played(
            model=result.value.graph,
            refused="",
            weights=weights,
            excluded=frozenset(frozen.value.excluded),
        )


def _update(graph: HypergraphStore, loss: float) -> Update:
    return Update(
        measured=graph.measured, edges=graph.edges, claims=Claims(loss=loss), lags=graph.lags
    )
