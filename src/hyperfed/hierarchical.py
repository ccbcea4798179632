"""`HierarchicalFederation`: a whole federation in one process, by the same logic as the rounds of the drop-box: for notebooks and the simulator.

    federation = HierarchicalFederation(rule="multi-krum", f=2)
    federation.register("hospital-1", organisation="General", basket="hospitals")
    federation.submit("hospital-1", update)
    model = federation.maybe_aggregate()        # None below quorum

1. Groups by `basket`, late updates by `buffer`, two layers by `layers`, trust by `trust_scorer`: nothing is decided here that a round decides otherwise.
2. `maybe_aggregate` ends a round: it counts what the buffer has ready, excludes by the trust that the last round left, merges, observes, and moves on.
   Below quorum it does nothing; a round that cannot be merged raises and moves nothing.
3. Budgets: what a client may still submit, and, where a `PrivacyGuard` is given, what is left of the privacy budget. The robust layers charge
   nothing and carry no privacy label.
4. Callers are trusted to say who they are: there are no signatures in one process.

What it does not do: store anything, speak to anyone.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hyperfed.basket import Basket, BasketPhase, BasketRules, groups_of, next_baskets
from hyperfed.buffer import Buffered, UpdateBuffer
from hyperfed.errors import ConfigError, RegistryError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.influence import organisation_weights
from hyperfed.layers import GroupModel, Layered, LayerRules, merge_layers
from hyperfed.packets import Update
from hyperfed.privacy import PrivacyGuard
from hyperfed.protocol.reputation import ACCURACY_ROUNDS, accuracy_of
from hyperfed.reconciler import StoreReconciler
from hyperfed.rounds import check_client_id
from hyperfed.trust_scorer import TrustScorer
from hyperfed.vocabulary import Vocabulary

__all__ = ["HierarchicalFederation", "HierarchicalModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HierarchicalModel:
    """The result of a round. store: the global model; groups: the baskets' models; left_out: (group, why); clients: who was counted;
    weights: client -> weight in the merge; excluded: client -> trust, below the threshold."""

    round: int
    store: HypergraphStore
    groups: tuple[GroupModel, ...]
    left_out: tuple[tuple[str, str], ...]
    clients: tuple[str, ...]
    weights: Mapping[str, float]
    excluded: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class HierarchicalFederation:
    """rule, f, vote_min, strategy: of the reconciler; quorum: counted clients a round; basket_rules, layer_rules; organisation_cap: how many clients'
    weight an organisation's clients have together, 0: no cap; trust_min, trust_nights: who is excluded; weigh_by: "rule" or "reputation" (past trust in
    place of the rule, never both); max_staleness, decay: of late updates; guard: a privacy budget to report."""

    vocabulary: Vocabulary | None = None
    rule: str = "bounded-trust"
    f: int = 0
    strategy: str = "consensus"
    vote_min: float = 0.3
    quorum: int = 1
    basket_rules: BasketRules = field(default_factory=lambda: BasketRules(minimum=1))
    layer_rules: LayerRules = field(default_factory=lambda: LayerRules(minimum=1))
    organisation_cap: float = 0.0
    trust_min: float = 0.15
    trust_nights: int = 3
    weigh_by: str = "rule"
    max_staleness: int = 3
    decay: float = 0.9
    guard: PrivacyGuard | None = None
    round: int = 1
    model: HierarchicalModel | None = None
    baskets: tuple[Basket, ...] = ()
    scorer: TrustScorer = field(default_factory=TrustScorer)
    _organisation: dict[str, str] = field(default_factory=dict)
    _basket: dict[str, str] = field(default_factory=dict)
    _losses: dict[str, float | None] = field(default_factory=dict)
    _models: list[HypergraphStore] = field(default_factory=list)  # committed, newest first
    _sequence: dict[str, int] = field(default_factory=dict)
    _buffer: UpdateBuffer = field(default_factory=UpdateBuffer)

    def __post_init__(self) -> None:
        if self.weigh_by not in ("rule", "reputation"):
            raise ConfigError(f"weigh_by is {self.weigh_by!r:.40}; rule or reputation is needed", subject="federation")
        self._buffer = UpdateBuffer(max_staleness=self.max_staleness, decay=self.decay)
        self._reconciler()

    def _reconciler(self) -> StoreReconciler:
        rule = "mean" if self.weigh_by == "reputation" else self.rule
        return StoreReconciler(strategy=self.strategy, vote_min=self.vote_min, rule=rule, f=self.f)

    # -- who takes part ------------------------------------------------------------------------------------------------------------------

    def register(self, client_id: str, *, organisation: str = "", basket: str = "default") -> None:
        """Add a client, or move it: from the next round's groups on. organisation "": the client's own."""
        check_client_id(client_id.replace("_", "-"))
        self._organisation[client_id] = organisation or f"client {client_id}"
        self._basket[client_id] = basket
        if not self.baskets or self.model is None:
            self.baskets = next_baskets((), self._basket, round_id=self.round, counted=None, rules=self.basket_rules)

    @property
    def clients(self) -> tuple[str, ...]:
        return tuple(sorted(self._basket))

    def submit(
        self, client_id: str, update: Update | HypergraphStore, *, made_for: int | None = None, sequence: int | None = None, digest: bytes = b""
    ) -> None:
        """Hand in an update for this round or, late, for an earlier one. Raises RegistryError for a client that is not
        registered, RefusedError as the buffer does."""
        if client_id not in self._basket:
            raise RegistryError("is not registered", subject=client_id, remedy="Call register() first")
        store = HypergraphStore.from_update(update, vocabulary=self.vocabulary) if isinstance(update, Update) else update
        number = self._sequence.get(client_id, 0) + 1 if sequence is None else sequence
        self._buffer.add(client_id, store, made_for=made_for or self.round, now=self.round, sequence=number, digest=digest or _digest(client_id, number))
        self._sequence[client_id] = max(self._sequence.get(client_id, 0), number)
        self._losses[client_id] = update.claims.loss if isinstance(update, Update) else None

    def gossip(self) -> None:
        """Peer exchange. Raises ConfigError: this version has none."""
        raise ConfigError("gossip is not part of this version", subject="federation", remedy="Aggregate with maybe_aggregate()")

    # -- a round -------------------------------------------------------------------------------------------------------------------------

    def should_aggregate(self) -> bool:
        """Whether the quorum is there, without those that are excluded."""
        return len(self._candidates()[0]) >= self.quorum

    def maybe_aggregate(self) -> HierarchicalModel | None:
        """End the round: the new model, or None below quorum. Raises AggregationError where what is there cannot be merged; nothing has changed then."""
        counted, excluded = self._candidates()
        if len(counted) < self.quorum or not counted:
            return None
        stores = {update.client: update.content for update in counted}
        clients = sorted(stores)
        caps = organisation_weights(clients, self._organisation, cap=self.organisation_cap)
        base = {update.client: update.weight for update in counted}
        if self.weigh_by == "reputation":
            base = {client: weight * self.scorer.get_trust(client) for client, weight in base.items()}
        layered = merge_layers(
            self._reconciler(),
            stores,
            groups_of(self.baskets, clients),
            base_weights=base,
            losses={c: self._losses.get(c) for c in clients},
            shares=dict(zip(clients, caps.tolist(), strict=True)),
            rules=self.layer_rules,
        )
        self._observe(layered, stores)
        merged = layered.merged
        self._models = [merged.store, *self._models][:ACCURACY_ROUNDS]
        self.model = HierarchicalModel(
            round=self.round,
            store=merged.store,
            groups=layered.groups,
            left_out=layered.left_out,
            clients=tuple(clients),
            weights=dict(zip(merged.clients, merged.weight.tolist(), strict=True)),
            excluded=excluded,
        )
        self._buffer.counted(counted, self.round)
        self.round += 1
        self.baskets = next_baskets(self.baskets, self._basket, round_id=self.round, counted=clients, rules=self.basket_rules)
        return self.model

    def _candidates(self) -> tuple[list[Buffered], dict[str, float]]:
        state = self.scorer.state()
        nights = dict(zip(state.client, state.nights.tolist(), strict=True))
        trust = {c: self.scorer.get_trust(c) for c in state.client if nights[c] >= self.trust_nights}
        excluded = {c: value for c, value in trust.items() if value < self.trust_min}
        return [u for u in self._buffer.ready(self.round) if u.client not in excluded], excluded

    def _observe(self, layered: Layered, stores: Mapping[str, HypergraphStore]) -> None:
        merged = layered.merged
        rows = {c: (o, a) for c, o, a in zip(merged.clients, merged.outlier.tolist(), merged.agreement.tolist(), strict=True)}
        heard = {c for group in layered.groups for c in groups_of(self.baskets, merged.clients).get(group.name, ())}
        for client in self.clients:
            if client not in rows or client not in heard:
                self.scorer.observe(client, available=False)
                continue
            outlier, agreement = rows[client]
            consistency = min(1.0, max(-1.0, agreement)) if self.strategy == "consensus" and len(heard) > 2 else 1.0
            self.scorer.observe(client, outlier=outlier, consistency=consistency, accuracy=accuracy_of(stores[client], self._models))

    # -- looking on ----------------------------------------------------------------------------------------------------------------------

    def budgets(self) -> dict[str, Any]:
        """slots: what each client may still submit in this round; privacy: epsilon and delta left, where a guard was given."""
        slots = {client: self._buffer.slots_left(client, self.round) for client in self.clients}
        left = None if self.guard is None else self.guard.remaining
        return {"slots": slots, "privacy": left}

    def stats(self) -> dict[str, Any]:
        """Numbers about the federation: round, clients, baskets by phase, how many updates wait, edges, trust (least, median, most)."""
        trust = np.array([self.scorer.get_trust(c) for c in self.clients])
        phases = {phase.value: sum(b.phase is phase for b in self.baskets) for phase in BasketPhase}
        return {
            "round": self.round,
            "clients": len(self.clients),
            "organisations": len(set(self._organisation.values())),
            "baskets": phases,
            "waiting": len(self._buffer.ready(self.round)),
            "edges": len(self.model.store.edges) if self.model else 0,
            "trust": [float(x) for x in np.quantile(trust, [0, 0.5, 1])] if len(trust) else [],
        }


def _digest(client: str, sequence: int) -> bytes:
    return hashlib.sha256(f"{client}/{sequence}".encode()).digest()
