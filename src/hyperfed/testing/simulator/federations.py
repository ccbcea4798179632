"""The two federations a simulation can play: in one process, or signed and sealed through a drop-box in memory.

1. `InProcess` is `HierarchicalFederation`: baskets, buffer, layers and trust of real rounds, without signatures; quick.
2. `Signed` is every byte of real rounds: plans, sealed updates, freeze, ledger, result, state; slower by the cryptography.
3. A night that ends without a model says why; the next night goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hyperfed.basket import BasketRules
from hyperfed.errors import AggregationError
from hyperfed.global_model import GlobalModel
from hyperfed.hierarchical import HierarchicalFederation
from hyperfed.hypergraph import HypergraphStore
from hyperfed.layers import LayerRules
from hyperfed.packets import Claims, PolicyPack, Update
from hyperfed.registry import ClientRecord, KeyRecord
from hyperfed.testing.federation import SmallFederation
from hyperfed.vocabulary import Vocabulary

__all__ = ["InProcess", "Played", "Player", "Signed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A night: the model (empty where there is none), why there is none, weight by client, and who was left out by reputation."""

    model: HypergraphStore
    refused: str
    weights: Mapping[str, float]
    excluded: frozenset[str]


class Player(Protocol):
    """Plays nights."""

    def night(self, stores: Mapping[str, HypergraphStore], losses: Mapping[str, float]) -> Played:
        """What the clients send, and the losses that they claim, becomes a model."""
        ...


class InProcess:
    """clients; rule, f: of the merge; baskets: how many."""

    def __init__(self, clients: Sequence[str], *, rule: str, f: int, baskets: int) -> None:
        self.federation = HierarchicalFederation(rule=rule, f=f, basket_rules=BasketRules(minimum=1), layer_rules=LayerRules(minimum=1, influence_cap=1.0))
        for i, client in enumerate(clients):
            self.federation.register(client, basket=f"basket-{i % baskets + 1}")

    def night(self, stores: Mapping[str, HypergraphStore], losses: Mapping[str, float]) -> Played:
        for client, store in stores.items():
            self.federation.submit(client, _update(store, losses[client]))
        try:
            model = self.federation.maybe_aggregate()
        except AggregationError as exc:
            self.federation.round += 1
            return Played(model=HypergraphStore(), refused=str(exc), weights={}, excluded=frozenset())
        if model is None:
            self.federation.round += 1
            return Played(model=HypergraphStore(), refused="below quorum", weights={}, excluded=frozenset())
        return Played(model=model.store, refused="", weights=model.weights, excluded=frozenset(model.excluded))


class Signed:
    """clients; vocabulary: the plans'; rule, f, baskets: of the policy."""

    def __init__(self, clients: Sequence[str], *, vocabulary: Vocabulary, rule: str, f: int, baskets: int) -> None:
        policy = PolicyPack(rule=rule, f=f, basket_minimum=1 if baskets > 1 else 0, influence_cap=1.0)
        self.federation = SmallFederation(clients=clients, policy=policy, vocabulary=vocabulary)
        self.round = 0
        if baskets > 1:
            records = [
                ClientRecord(client_id=c, organisation=f"{c} ltd", basket=f"basket-{i % baskets + 1}", keys=(KeyRecord(keys=self.federation.keys[c].public),))
                for i, c in enumerate(self.federation.clients)
            ]
            self.federation.amend(clients=tuple(records))

    def night(self, stores: Mapping[str, HypergraphStore], losses: Mapping[str, float]) -> Played:
        self.round += 1
        try:
            self.federation.open(self.round, quorum=None)
            for client, store in stores.items():
                self.federation.submit(client, _update(store, losses[client]), round_id=self.round)
            self.federation.run(self.round)
        except AggregationError as exc:
            return Played(model=HypergraphStore(), refused=str(exc), weights={}, excluded=frozenset())
        reader = self.federation.reader()
        result, state, frozen = reader.result(self.round), reader.state(self.round), reader.freeze(self.round)
        if result is None or state is None or frozen is None or not isinstance(result.value, GlobalModel):
            return Played(model=HypergraphStore(), refused="void", weights={}, excluded=frozenset())
        counted = {c.client for c in frozen.value.counted}
        weights = {c.client: c.weight for c in state.value.clients if c.client in counted}
        return Played(model=result.value.store, refused="", weights=weights, excluded=frozenset(frozen.value.excluded))


def _update(store: HypergraphStore, loss: float) -> Update:
    return Update(measured=store.measured, edges=store.edges, claims=Claims(loss=loss))
