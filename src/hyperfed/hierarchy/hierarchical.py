"""Run a whole federation in one process (`HierarchicalFederation`).

It serves notebooks and the simulator, by the same logic as the rounds of the drop-box.

    federation = HierarchicalFederation(rule="multi-krum", f=2)
    federation.register("hospital-1", organisation="General", basket="hospitals")
    federation.submit("hospital-1", update)
    model = federation.maybe_aggregate()        # None below quorum

1. Groups follow `protocol.baskets`, late updates `buffer`, the two layers `layers`, and trust
   `trust_scorer`: nothing is decided here differently from a round.
2. `maybe_aggregate` ends a round: it counts what the buffer has ready, excludes by the trust that
   the last round left, merges, observes, and moves on. Below quorum it does nothing; a round that
   cannot be merged raises and moves nothing.
3. `budgets` says what a client may still submit, and, where a `PrivacyGuard` is given, what is left
   of the privacy budget. The robust layers charge nothing and carry no privacy label.
4. Callers are trusted to say who they are: there are no signatures in one process.

What it does not do: it draws nothing and opens no connection.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hyperfed.errors import ConfigError, RegistryError
from hyperfed.gossip.terms import EPOCHS
from hyperfed.hierarchy.buffer import Buffered, UpdateBuffer
from hyperfed.hierarchy.gossiping import GossipDraws, GossipedAverage
from hyperfed.hierarchy.layers import GroupModel, Layered, LayerRules, merge_layers
from hyperfed.hierarchy.weight_caps import organisation_weights
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import Update
from hyperfed.privacy import PrivacyGuard
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.protocol.baskets import Basket, BasketPhase, BasketRules, groups_of, next_baskets
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.registry.windows import check_client_id
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.trust_scorer import ACCURACY_ROUNDS, TrustScorer, accuracy_of

__all__ = ["HierarchicalFederation", "HierarchicalModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HierarchicalModel:
    """Holds the result of a round."""

    round: int
    """The number of the round."""
    graph: HypergraphStore
    """The global model."""
    groups: tuple[GroupModel, ...]
    """The models of the baskets."""
    left_out: tuple[tuple[str, str], ...]
    """The groups without a model, each with the reason."""
    clients: tuple[str, ...]
    """The clients that were counted, ascending."""
    weights: Mapping[str, float]
    """The weight of each counted client in the merge."""
    excluded: Mapping[str, float]
    """The trust of each client that was excluded because it is below `trust_min`."""


@dataclass(slots=True, kw_only=True)
class HierarchicalFederation:
    """Runs a federation in one process: takes updates and merges them round by round.

    Raises ConfigError for settings out of their bounds, AggregationError for those that the
    reconciler refuses.
    """

    vocabulary: Vocabulary | None = None
    """The variables; None: they have no names."""
    rule: str = "bounded-trust"
    """The rule of `hyperfed.aggregation` by which clients weigh inside their group."""
    f: int = 0
    """How many clients of a group may be arbitrary."""
    strategy: str = "consensus"
    """The strategy of the reconciler."""
    vote_min: float = 0.3
    """The smallest |weighted mean vote| with which an edge stays, in [0, 1]."""
    quorum: int = 1
    """How many clients must be counted in a round."""
    basket_rules: BasketRules = field(default_factory=lambda: BasketRules(minimum=1))
    """The rules by which baskets form and disband."""
    layer_rules: LayerRules = field(default_factory=lambda: LayerRules(minimum=1))
    """The rules of the merge in two layers."""
    organisation_cap: float = 0.0
    """How many clients' weight an organisation's clients may have together; 0: no cap."""
    trust_min: float = 0.15
    """The trust below which a client is excluded."""
    trust_nights: int = 3
    """How many nights a client must have been observed before it can be excluded."""
    weigh_by: str = "rule"
    """By what clients weigh: "rule", or "reputation" (past trust in place of the rule)."""
    max_staleness: int = 3
    """How many windows late an update may be."""
    decay: float = 0.9
    """The factor by which each window of lateness reduces a weight, in (0, 1]."""
    guard: PrivacyGuard | None = None
    """The privacy budget that `budgets` reports and `gossip` charges; None: there is none."""
    gossip_noise: PlannedRelease | None = None
    """The clip and the local noise of each client's message in gossip; None: there is no gossip."""
    gossip_lags: tuple[int, ...] = (1,)
    """The lags of the edges that gossip averages, ascending."""
    round: int = 1
    """The round that runs."""
    model: HierarchicalModel | None = None
    """The result of the last round; None before the first."""
    baskets: tuple[Basket, ...] = ()
    """The baskets of the round that runs."""
    scorer: TrustScorer = field(default_factory=TrustScorer)
    """Holds the trust of each client."""
    _organisation: dict[str, str] = field(default_factory=dict)
    """The organisation of each client."""
    _basket: dict[str, str] = field(default_factory=dict)
    """The name of the basket that each client asks for."""
    _losses: dict[str, float | None] = field(default_factory=dict)
    """The loss that each client's last update claims."""
    _models: list[HypergraphStore] = field(default_factory=list)
    """The last committed models, newest first."""
    _sequence: dict[str, int] = field(default_factory=dict)
    """The highest sequence that each client has submitted."""
    _buffer: UpdateBuffer = field(default_factory=UpdateBuffer)
    """Holds the updates that wait."""
    _drawn: GossipDraws = field(default_factory=GossipDraws)
    """Holds the noised messages of the round that runs."""

    def __post_init__(self) -> None:
        if self.weigh_by not in ("rule", "reputation"):
            raise ConfigError(
                f"weigh_by is {self.weigh_by!r:.40}; rule or reputation is needed",
                subject="federation",
            )
        self._buffer = UpdateBuffer(max_staleness=self.max_staleness, decay=self.decay)
        self._reconciler()

    def _reconciler(self) -> StoreReconciler:
        """Return the reconciler of these settings.

        Raises AggregationError where they do not fit together.
        """
        rule = "mean" if self.weigh_by == "reputation" else self.rule
        return StoreReconciler(strategy=self.strategy, vote_min=self.vote_min, rule=rule, f=self.f)

    # -- who takes part ----------------------------------------------------------------------------

    def register(self, client_id: str, *, organisation: str = "", basket: str = "default") -> None:
        """Add a client, or move it to another basket.

        Baskets change at the end of a round; before the first model they change at once.
        organisation: the organisation that it belongs to; "": it is one of its own. basket: the
        basket that it is merged in. Raises ConfigError for an id that is not well-formed.
        """
        check_client_id(client_id)
        self._organisation[client_id] = organisation or f"client {client_id}"
        self._basket[client_id] = basket
        self._form_first_baskets()

    def unregister(self, client_id: str) -> None:
        """Remove a client, which counts neither in the running round nor in later ones.

        Its updates that wait are dropped. Models that counted it stay as they are. Its trust, its
        sequences and the slots it used are remembered: whoever registers again under the same id
        goes on where it stopped, with the reputation it left with. A basket that it leaves empty is
        disbanded at the round's end. Raises RegistryError for a client that is not registered;
        nothing moves then.
        """
        self._check_registered(client_id)
        del self._organisation[client_id], self._basket[client_id]
        self._buffer.drop_waiting(client_id)
        self._form_first_baskets()

    def _check_registered(self, client_id: str) -> None:
        """Raise RegistryError for a client that is not registered."""
        if client_id not in self._basket:
            raise RegistryError(
                "is not registered", subject=client_id, remedy="Call register() first"
            )

    def _form_first_baskets(self) -> None:
        """Form the baskets anew from all clients, as long as there is no model.

        Later they change only at the end of a round.
        """
        if not self.baskets or self.model is None:
            self.baskets = next_baskets(
                (), self._basket, round_id=self.round, counted=None, rules=self.basket_rules
            )

    @property
    def clients(self) -> tuple[str, ...]:
        """The ids of the registered clients, ascending."""
        return tuple(sorted(self._basket))

    def submit(
        self,
        client_id: str,
        update: Update | HypergraphStore,
        *,
        made_for: int | None = None,
        sequence: int | None = None,
        digest: bytes = b"",
    ) -> None:
        """Submit an update for this round or, late, for an earlier one.

        made_for: the round that it was made for; None: this one. sequence: its sequence number;
        None: one more than the client's last. digest: its digest, for the replay guard; empty: one
        is made of client and sequence. Raises RegistryError for a client that is not registered,
        RefusedError as `UpdateBuffer.add` does.
        """
        self._check_registered(client_id)
        graph = (
            HypergraphStore.from_update(update, vocabulary=self.vocabulary)
            if isinstance(update, Update)
            else update
        )
        number = self._sequence.get(client_id, 0) + 1 if sequence is None else sequence
        self._buffer.add(
            client_id,
            graph,
            made_for=made_for or self.round,
            now=self.round,
            sequence=number,
            digest=digest or _digest(client_id, number),
        )
        self._sequence[client_id] = max(self._sequence.get(client_id, 0), number)
        self._losses[client_id] = update.claims.loss if isinstance(update, Update) else None

    def gossip(self, *, epochs: int = EPOCHS) -> dict[str, GossipedAverage]:
        """Let the clients of each basket average their noised messages, and return what they have.

        Each client's message is noised once a round, charged to the guard once, and the same in
        every call of that round: no client sees an update of another. The result has an entry for
        each basket of which at least two members have an update that would count.

        Raises ConfigError where no vocabulary, noise or guard is given, and PrivacyBudgetExhausted
        where a round's messages do not fit; nothing is noised then.
        """
        if self.vocabulary is None or self.gossip_noise is None or self.guard is None:
            raise ConfigError(
                "holds updates without noise, which no client may see of another",
                subject="federation",
                remedy=(
                    "Give it a vocabulary, a guard (PrivacyGuard) and gossip_noise (plan_release "
                    "with place='local') for gossip; or aggregate with maybe_aggregate()"
                ),
            )
        stores = {update.client: update.content for update in self._candidates()[0]}
        return self._drawn.gossiped(
            stores,
            groups_of(self.baskets, sorted(stores)),
            noise=self.gossip_noise,
            guard=self.guard,
            vocabulary=self.vocabulary,
            lags=self.gossip_lags,
            round_id=self.round,
            epochs=epochs,
        )

    # -- a round -----------------------------------------------------------------------------------

    def should_aggregate(self) -> bool:
        """Return whether there is a quorum without the clients that are excluded."""
        return len(self._candidates()[0]) >= self.quorum

    def maybe_aggregate(self) -> HierarchicalModel | None:
        """End the round and return the new model, or return None below quorum.

        Raises AggregationError where the updates cannot be merged; nothing has changed then.
        """
        counted, excluded = self._candidates()
        if len(counted) < self.quorum or not counted:
            return None
        graphs = {update.client: update.content for update in counted}
        clients = sorted(graphs)
        caps = organisation_weights(clients, self._organisation, cap=self.organisation_cap)
        base = {update.client: update.weight for update in counted}
        if self.weigh_by == "reputation":
            base = {
                client: weight * self.scorer.get_trust(client) for client, weight in base.items()
            }
        layered = merge_layers(
            self._reconciler(),
            graphs,
            groups_of(self.baskets, clients),
            base_weights=base,
            losses={c: self._losses.get(c) for c in clients},
            shares=dict(zip(clients, caps.tolist(), strict=True)),
            rules=self.layer_rules,
        )
        self._observe(layered, graphs)
        merged = layered.merged
        self._models = [merged.graph, *self._models][:ACCURACY_ROUNDS]
        self.model = HierarchicalModel(
            round=self.round,
            graph=merged.graph,
            groups=layered.groups,
            left_out=layered.left_out,
            clients=tuple(clients),
            weights=dict(zip(merged.clients, merged.weight.tolist(), strict=True)),
            excluded=excluded,
        )
        self._buffer.counted(counted, self.round)
        self.round += 1
        self.baskets = next_baskets(
            self.baskets,
            self._basket,
            round_id=self.round,
            counted=clients,
            rules=self.basket_rules,
        )
        return self.model

    def _candidates(self) -> tuple[list[Buffered], dict[str, float]]:
        """Return the updates that would count, and the trust of each client that is excluded."""
        state = self.scorer.state()
        nights = dict(zip(state.client, state.nights.tolist(), strict=True))
        trust = {
            c: self.scorer.get_trust(c) for c in state.client if nights[c] >= self.trust_nights
        }
        excluded = {c: value for c, value in trust.items() if value < self.trust_min}
        return [u for u in self._buffer.ready(self.round) if u.client not in excluded], excluded

    def _observe(self, layered: Layered, graphs: Mapping[str, HypergraphStore]) -> None:
        """Update each client's trust by the merge; one that had no part in it was absent."""
        merged = layered.merged
        consistency_of = dict(zip(merged.clients, merged.consistency.tolist(), strict=True))
        assessed = dict(zip(merged.clients, merged.assessed.tolist(), strict=True))
        groups = groups_of(self.baskets, merged.clients)
        heard = {c for group in layered.groups for c in groups.get(group.name, ())}
        compared = self.strategy == "consensus" and len(heard) > 2
        right = {c: accuracy_of(graphs[c], self._models) for c in sorted(heard)}
        missing = 1.0 - float(np.median(list(right.values()))) if right else 0.0
        for client in self.clients:
            if client not in heard:
                self.scorer.observe(client, available=False)
            elif compared and not assessed[client]:
                self.scorer.pass_over(client)
            else:
                self.scorer.observe(
                    client,
                    outlier=compared and consistency_of[client] <= 0,
                    consistency=consistency_of[client] if compared else 1.0,
                    accuracy=min(1.0, right[client] + missing),
                )

    # -- looking on --------------------------------------------------------------------------------

    def budgets(self) -> dict[str, Any]:
        """Return what is left of the budgets, as a dictionary.

        "slots": how often each client may still submit for this round. "privacy": the epsilon and
        delta that are left; None where no guard was given.
        """
        slots = {client: self._buffer.slots_left(client, self.round) for client in self.clients}
        remaining = None if self.guard is None else self.guard.remaining
        return {"slots": slots, "privacy": remaining}

    def stats(self) -> dict[str, Any]:
        """Return numbers about the federation, as a dictionary.

        They are the round, how many clients and organisations there are, the baskets by phase, how
        many clients have an update that would count, the model's edges, and the clients' trust
        (least, median, most).
        """
        trust = np.array([self.scorer.get_trust(c) for c in self.clients])
        phases = {phase.value: sum(b.phase is phase for b in self.baskets) for phase in BasketPhase}
        return {
            "round": self.round,
            "clients": len(self.clients),
            "organisations": len(set(self._organisation.values())),
            "baskets": phases,
            "waiting": len(self._buffer.ready(self.round)),
            "edges": len(self.model.graph.edges) if self.model else 0,
            "trust": [float(x) for x in np.quantile(trust, [0, 0.5, 1])] if len(trust) else [],
        }


def _digest(client: str, sequence: int) -> bytes:
    """Return 32 bytes that stand for an update without a digest."""
    return hashlib.sha256(f"{client}/{sequence}".encode()).digest()
