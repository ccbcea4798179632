"""Take updates, merge them, and return what to write (`FederationCoordinator`).

1. With a registry and a plan it takes signed bytes only, and refuses with reasons. Without them it
   is the in-process form for notebooks and tests: it takes `Update`s from a caller that it has to
   trust, and therefore it returns nothing to write.
2. It keeps the newest update of each client; the order of arrival does not matter.
3. Aggregation weighs by staleness and by the strategy's trust; below quorum it refuses. What too
   few clients stand behind is suppressed.
4. Where the policy asks for privacy, aggregation clips, sums and adds noise (`private_round`). A
   round's noise comes from its seed; without one each call draws anew. What the state needs comes
   from `weigh`, which releases nothing.

What it does not do: read, write, wait or order rounds. `coordinator.runner` drives it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.coordinator.basket_models import merged_baskets, origins_of
from hyperfed.coordinator.elsewhere import Elsewhere
from hyperfed.coordinator.opened_model import opened_model
from hyperfed.coordinator.private_round import noised_groups, private_model
from hyperfed.coordinator.shown_clients import shown_estimates
from hyperfed.coordinator.summed_round import summed_round
from hyperfed.crypto.envelope import PacketType
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import AggregationError, PrivacyError, QuorumMissed, RefusedError
from hyperfed.hierarchy.layers import Layered, LayerRules, merge_layers
from hyperfed.hierarchy.weight_caps import organisation_weights
from hyperfed.hypergraph.global_model import BasketModel, GlobalModel
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.hypergraph.suppression import suppress
from hyperfed.packets import PolicyPack, Update
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.noise_source import NoiseSource, fresh_noise
from hyperfed.protocol.baskets import COMMON, groups_of
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.documents import Write, sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Counted, Plan
from hyperfed.reconciler.reconcile import Reconciliation, build_reconciler
from hyperfed.registry.registry import Budget
from hyperfed.registry.windows import check_client_id
from hyperfed.secure_aggregation import OpenedSum
from hyperfed.secure_aggregation.streams import Words
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.trust_scorer import PRIOR
from hyperfed.validator.admission import Admitted
from hyperfed.validator.validator import PacketValidator

__all__ = ["FederationCoordinator"]

Floats = npt.NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class _Held:
    """A client's newest update."""

    update: Update
    """The update, or its small parts where its edges lie elsewhere."""
    made_for: int
    """The round it was made for."""
    sequence: int
    """Its sequence number; 0 for an unsigned one."""


@dataclass(slots=True, kw_only=True)
class FederationCoordinator:
    """Holds the clients' updates of one round and merges them."""

    policy: PolicyPack = field(default_factory=PolicyPack)
    """What clients share and how it is merged; the plan's where there is one."""
    vocabulary: Vocabulary | None = None
    """The variables; the plan's where there is one, and numbers where nobody named them."""
    quorum: int = 1
    """How many clients' updates are needed; the plan's where there is one."""
    plan: Plan | None = None
    """The round's plan; None in-process."""
    validator: PacketValidator | None = None
    """Judges signed bytes; without it signed bytes are refused."""
    key_pair: KeyPair | None = None
    """Signs the broadcast; without it nothing is written."""
    freeze: bytes = b""
    """The digest of the freeze that the result names."""
    time: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    """The freeze's time, which is the result's."""
    reconciliation: Reconciliation | None = None
    """The last merge, with the weights behind it; None before `weigh`."""
    layered: Layered | None = None
    """The last merge in two layers; None where there are no baskets."""
    reputation: dict[str, float] = field(default_factory=dict)
    """The trust of each client in the base state, used where the policy weighs by reputation."""
    budget: Budget = field(default_factory=Budget)
    """The registry's privacy budget, with its unit and the minimum support."""
    reserved: PrivacyAccountant | None = None
    """The ledger's accountant, the round's reserve included; None: the round is charged to an empty
    one (in-process).
    """
    noise: NoiseSource = fresh_noise
    """Gives the random bytes that the noise is drawn from."""
    elsewhere: Elsewhere | None = None
    """Where the edges of what is held lie; None: in the updates themselves."""
    opened: OpenedSum | None = None
    """The opened sum of what is held, in a round of secure sums; None elsewhere."""
    _held: dict[str, _Held] = field(default_factory=dict)
    """The newest update of each client."""
    _graphs: dict[str, tuple[_Held, HypergraphStore]] = field(default_factory=dict, init=False)
    """The graph of each held update, made once."""
    _estimates: dict[str, HypergraphStore] = field(default_factory=dict, init=False)
    """After a merge of statistics: each client's own estimates of the model's edges."""

    def __post_init__(self) -> None:
        if self.plan is not None:
            self.policy, self.vocabulary, self.quorum = (
                self.plan.policy,
                self.plan.vocabulary,
                self.plan.quorum,
            )

    @property
    def round(self) -> int:
        """The plan's round; 1 without a plan."""
        return self.plan.round if self.plan else 1

    @property
    def clients(self) -> tuple[str, ...]:
        """The clients whose updates are held, ascending."""
        return tuple(sorted(self._held))

    @property
    def updates(self) -> dict[str, Update]:
        """The updates that are held, by client, ascending."""
        return {client: self._held[client].update for client in self.clients}

    def handle_update(
        self,
        client_id: str,
        update: Update | bytes | Admitted,
        *,
        key: str | None = None,
        made_for: int | None = None,
    ) -> Admitted | None:
        """Take one client's update, and keep it if it is the client's newest.

        update: a signed envelope as bytes, which the validator judges; an `Admitted`, which was
        judged before; or an `Update`, which is taken in-process only. key: the object key that a
        signed envelope lay under; None: slot 0 of the inbox of the round it was made for. made_for:
        the round that an `Update` or envelope was made for; None: this one. Returns the admitted
        update, or None for an `Update`. Raises RefusedError and other PacketErrors; nothing is kept
        then.
        """
        check_client_id(client_id)
        admitted: Admitted | None = None
        if isinstance(update, bytes):
            if self.validator is None:
                raise RefusedError(
                    "signed bytes cannot be judged without a registry",
                    subject=client_id,
                    rule="R-32",
                    remedy=(
                        "Pass FederationCoordinator(plan=..., "
                        "validator=PacketValidator(context=...))"
                    ),
                )
            admitted = self.validator.verify(
                update, key=key or Keys.inbox(made_for or self.round, client_id, 0)
            )
        elif isinstance(update, Admitted):
            admitted = update
        if admitted is not None:
            if admitted.client != client_id:
                problem, remedy = f"is of {admitted.client}", "A client speaks for itself only"
                raise RefusedError(problem, subject=client_id, rule="R-82", remedy=remedy)
            content, made_for, sequence = admitted.update, admitted.made_for, admitted.sequence
            if content is None:
                raise RefusedError("its content was not read", subject=admitted.key)
        else:
            if not isinstance(update, Update):
                raise RefusedError(
                    f"a {type(update).__name__} is no update",
                    subject=client_id,
                    rule="R-11",
                    remedy="Make one with FederationClientAgent.get_shareable_update()",
                )
            if self.plan is not None:
                raise RefusedError(
                    "unsigned",
                    subject=client_id,
                    rule="R-31",
                    remedy="Sign the update: a planned round takes signed ones only",
                )
            content, made_for, sequence = update, made_for or self.round, 0
        if not 1 <= made_for <= self.round:
            raise RefusedError(
                f"made for round {made_for}; this is round {self.round}",
                subject=client_id,
                rule="R-84",
            )
        self._estimates = {}
        earlier = self._held.get(client_id)
        if earlier is None or (made_for, sequence) >= (earlier.made_for, earlier.sequence):
            self._held[client_id] = _Held(update=content, made_for=made_for, sequence=sequence)
        return admitted

    def masked(self) -> dict[str, Words]:
        """Return the masked numbers of each client whose update is held."""
        masked = {client: one.update.masked for client, one in self._held.items()}
        return {client: one.values for client, one in masked.items() if one is not None}

    def hold(self, counted: Counted, update: Update) -> None:
        """Take an update that a freeze counts, or its small parts.

        The caller has read and verified it (R-66).
        """
        self._held[counted.client] = _Held(
            update=update, made_for=counted.made_for, sequence=counted.sequence
        )

    def should_aggregate(self) -> bool:
        """Return whether the quorum is there."""
        return len(self._held) >= self.quorum

    def aggregate(self) -> GlobalModel:
        """Return the global model of what is held.

        It is a pure function of what is held, except for the noise of a private round. Raises
        QuorumMissed below quorum, AggregationError where the updates cannot be merged, PrivacyError
        where the noise is not what was reserved (R-64) or the budget does not cover it.
        """
        self.weigh()
        merged = self.reconciliation
        if merged is None:
            raise QuorumMissed("nothing was merged", subject=f"round {self.round}")
        if self.policy.privacy != "none":
            return private_model(
                updates=self.updates,
                weights=dict(zip(self.clients, self._staleness().tolist(), strict=True)),
                baskets=self._groups(),
                about=self._about(),
                budget=self.budget,
                reserved=self.reserved,
                noise=self.noise,
            )
        if self.policy.aggregation == "secure-sum":
            return opened_model(self.opened, self._about())
        suppressed = suppress(merged.graph, self.graphs(), self.budget.minimum_support)
        return GlobalModel.of(
            suppressed.graph,
            **self._about(),
            suppressed=suppressed.edges,
            few=suppressed.few,
            baskets=self._baskets(),
            by_client=shown_estimates(self, suppressed.graph.edges.keys),
            **self._origins(suppressed.graph),
        )

    def weigh(self) -> None:
        """Merge what is held, and set `reconciliation` to the merge.

        Where the policy asks for privacy or secure sums nothing is merged: `reconciliation` holds
        an empty graph and equal weights, times staleness. Raises QuorumMissed below quorum,
        AggregationError where the updates cannot be merged.
        """
        self._estimates = {}
        if not self.should_aggregate():
            raise QuorumMissed(
                f"{len(self._held)} of {self.quorum} updates needed",
                subject=f"round {self.round}",
                remedy="Wait for more clients, or lower the quorum in the next plan",
            )
        if self.policy.privacy != "none" or self.policy.aggregation == "secure-sum":
            inside, _ = noised_groups(self.policy, self.clients, self._groups())
            counted = [client for members in inside.values() for client in members]
            counts = np.isin(self.clients, counted).astype(np.float64)
            weight = counts * self._staleness()
            self.reconciliation = Reconciliation(
                graph=HypergraphStore(),
                clients=self.clients,
                trust=counts,
                weight=weight,
                agreement=counts * 0,
            )
            return
        policy, clients = self.policy, self.clients
        by_reputation = policy.weigh_by == "reputation"
        reconciler = build_reconciler(
            policy.strategy,
            vote_min=policy.vote_min,
            n_cap=policy.n_cap,
            rule="mean" if by_reputation else policy.rule,
            f=policy.f,
            cut=policy.cut,
            fdr_max=policy.fdr_max,
        )
        base = self._staleness()
        shares = organisation_weights(
            clients, dict(self.plan.organisations) if self.plan else {}, cap=policy.organisation_cap
        ).tolist()
        if by_reputation:
            base = base * np.array([self.reputation.get(client, PRIOR) for client in clients])
        losses = [self._held[c].update.claims.loss for c in clients]
        self.layered = None
        if self.elsewhere is not None:
            self.reconciliation = self.elsewhere.merge(
                reconciler, self.graphs(), clients=clients, base=base, losses=losses,
                shares=shares, domains=self._domains(),
            )  # fmt: skip
            self._by_reputation()
            return
        if policy.payload != "edges":
            self.reconciliation, self._estimates, self.layered = summed_round(
                self.updates, self.graphs(), policy, staleness=base, shares=shares,
                domains=self._domains(), groups=self._groups(),
            )  # fmt: skip
            return
        if not policy.basket_minimum:
            self.reconciliation = reconciler.merge(
                self.graphs(),
                client_ids=clients,
                base_weights=base.tolist(),
                losses=losses,
                shares=shares,
                domains=self._domains(),
            )
            self._by_reputation()
            return
        self.layered = merge_layers(
            reconciler,
            dict(zip(clients, self.graphs(), strict=True)),
            self._groups(),
            base_weights=dict(zip(clients, base.tolist(), strict=True)),
            losses=dict(zip(clients, losses, strict=True)),
            shares=dict(zip(clients, shares, strict=True)),
            rules=LayerRules(
                minimum=policy.basket_minimum,
                minimum_groups=policy.minimum_groups,
                weights=policy.group_weights,
                influence_cap=policy.influence_cap,
            ),
        )
        self.reconciliation = self.layered.merged
        self._by_reputation()

    def _by_reputation(self) -> None:
        """Set the merge's trust to the clients' reputation, where the policy weighs by it.

        The state then states it as the client's weight.
        """
        if self.policy.weigh_by == "reputation" and self.reconciliation is not None:
            trust = np.array([self.reputation.get(client, PRIOR) for client in self.clients])
            self.reconciliation = replace(self.reconciliation, trust=trust)

    def _domains(self) -> list[str] | None:
        """Return the basket of each client that takes part, or None where all are of one."""
        named = dict(self.plan.domains) if self.plan else {}
        return [named.get(client, COMMON) for client in self.clients] if named else None

    def _origins(self, graph: HypergraphStore) -> dict[str, Any]:
        """Return where the edges of a model come from, as fields of a model.

        graph: the merged graph after suppression.
        """
        merged = self.reconciliation
        if merged is None:
            return {}
        return origins_of(
            graph,
            merged,
            measured={c: s.measured for c, s in zip(self.clients, self.graphs(), strict=True)},
            domains=dict(self.plan.domains) if self.plan else {},
            minimum=self.budget.minimum_support,
        )

    def _groups(self) -> dict[str, tuple[str, ...]]:
        """Return the clients that take part, by the plan's baskets."""
        return groups_of(self.plan.baskets if self.plan else (), self.clients)

    def _baskets(self) -> tuple[BasketModel, ...]:
        """Return the baskets' models; none where the merge has one layer."""
        return (
            ()
            if self.layered is None
            else merged_baskets(
                self.layered,
                self._groups(),
                dict(zip(self.clients, self.graphs(), strict=True)),
                minimum_support=self.budget.minimum_support,
            )
        )

    def rehearse(self, graphs: Mapping[str, HypergraphStore]) -> HypergraphStore:
        """Return what this round would have merged if its clients had sent these graphs.

        graphs: the graph of each client whose update is held. Nothing of the coordinator changes.
        Raises PrivacyError in a private round.
        """
        self.check_rehearsable()
        shadow_updates = {
            c: replace(
                h,
                update=Update(
                    measured=graphs[c].measured,
                    edges=graphs[c].edges,
                    claims=h.update.claims,
                    lags=graphs[c].lags,
                ),
            )
            for c, h in self._held.items()
        }
        shadow = replace(self, _held=shadow_updates, reconciliation=None, layered=None)
        shadow.weigh()
        return HypergraphStore() if shadow.reconciliation is None else shadow.reconciliation.graph

    def check_rehearsable(self) -> None:
        """Raise PrivacyError in a private round, AggregationError in one of statistics."""
        if self.policy.payload != "edges":
            problem = "rehearsed attacks change edges, and this round sums statistics"
            raise AggregationError(problem, subject=f"round {self.round}")
        if self.policy.privacy != "none":
            raise PrivacyError(
                "a rehearsal without noise would reveal single clients",
                subject=f"round {self.round}",
                remedy="Rehearse it with `hyperfed simulate`",
            )

    def _staleness(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return float64[clients]: the factor by which lateness reduces each weight."""
        return np.array(
            [
                self.policy.staleness_decay ** (self.round - self._held[c].made_for)
                for c in self.clients
            ]
        )

    def _about(self) -> dict[str, Any]:
        """Return the model's provenance, as fields of `GlobalModel`."""
        return {
            "federation": self.plan.federation if self.plan else "in-process",
            "round_id": self.round,
            "time": self.time,
            "freeze": self.freeze,
            "clients": len(self._held),
            "policy": self.policy,
            "vocabulary": self._vocabulary(),
        }

    def graphs(self) -> list[HypergraphStore]:
        """Return the graph of each client's update, in the order of `clients`."""
        if self._estimates:
            return [self._estimates[client] for client in self.clients]
        vocabulary = self._vocabulary()
        for client, held_update in self._held.items():
            cached = self._graphs.get(client)
            if (
                cached is None
                or cached[0] is not held_update
                or cached[1].vocabulary is not vocabulary
            ):
                self._graphs[client] = (
                    held_update,
                    HypergraphStore.from_update(held_update.update, vocabulary=vocabulary),
                )
        return [self._graphs[client][1] for client in self.clients]

    def _vocabulary(self) -> Vocabulary:
        """Return the vocabulary; where nobody named the variables they are "0", "1", ..."""
        if self.vocabulary is not None:
            return self.vocabulary
        top = max(
            (int(h.update.measured[-1]) for h in self._held.values() if len(h.update.measured)),
            default=-1,
        )
        return Vocabulary.of(*(str(i) for i in range(top + 1)))

    def broadcast(self, model: GlobalModel) -> list[Write]:
        """Return the writes that publish the model: the signed result.

        Without a key pair (in-process) there is nothing to write.
        """
        if self.key_pair is None:
            return []
        return [
            sign_object(
                Keys.result(model.round),
                PacketType.RESULT,
                model,
                key_pair=self.key_pair,
                time=model.time,
                policy=policy_digest(model.policy),
                vocabulary=model.vocabulary.digest,
                compression="zstd",
            )
        ]
