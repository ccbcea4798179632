"""`FederationCoordinator`: the heart of a round without I/O. It takes updates, says when there are enough, merges, and returns what to write.

1. With a registry and a plan it takes signed bytes only, and refuses with reasons. Without them it is the in-process form for notebooks and
   tests: it takes `Update`s from a caller that it has to trust, and says so by writing nothing.
2. Of one client it keeps the newest update; the order of arrival does not matter.
3. Aggregation weighs by staleness and by the strategy's trust; below quorum it refuses. What too few clients stand behind is suppressed.
4. Where the policy asks for privacy, aggregation clips, sums and noises (`privacy.release`); each call draws new noise, so that a round calls it once
   and creates the result, or throws it away. What the state needs comes from `weigh`, which releases nothing.

What it does not do: read, write, wait, order rounds. The flow drives it through `coordinator.runner`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hyperfed.basket import COMMON, groups_of
from hyperfed.errors import PrivacyError, QuorumMissed, RefusedError
from hyperfed.global_model import BasketModel, GlobalModel
from hyperfed.hypergraph import Evidence, HypergraphStore
from hyperfed.influence import capped_shares, organisation_weights
from hyperfed.keys import KeyPair
from hyperfed.layers import Layered, LayerRules, merge_layers
from hyperfed.packets import PolicyPack, Update
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.discrete_gaussian import RandomBytes
from hyperfed.privacy.groups import Grouped, counted_groups, grouped_means
from hyperfed.privacy.policy import night_of, statement_of
from hyperfed.privacy.release import released_store
from hyperfed.protocol.documents import Write, sign_object
from hyperfed.protocol.objects import Counted, Plan
from hyperfed.reconciler import Reconciliation, StoreReconciler, build_reconciler
from hyperfed.registry import Budget
from hyperfed.rounds import Keys, check_client_id
from hyperfed.signing import PacketType
from hyperfed.suppression import suppress
from hyperfed.tables import EdgeTable
from hyperfed.trust_scorer import PRIOR
from hyperfed.validator import Admitted, PacketValidator, policy_digest
from hyperfed.vocabulary import Vocabulary

__all__ = ["Elsewhere", "FederationCoordinator"]

Floats = npt.NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class _Held:
    update: Update
    made_for: int
    sequence: int


class Elsewhere(Protocol):
    """Edges that lie where other processes work on them; `accuracy`: of each client, as `protocol.reputation.accuracy_of` says."""

    @property
    def accuracy(self) -> Mapping[str, float]: ...

    def merge(
        self,
        reconciler: StoreReconciler,
        stores: Sequence[HypergraphStore],
        *,
        clients: tuple[str, ...],
        base: Floats,
        losses: Sequence[float | None],
        shares: Sequence[float],
    ) -> Reconciliation:
        """What `reconciler.merge` gives, to the last bit, of stores that have no edges here."""
        ...


@dataclass(slots=True, kw_only=True)
class FederationCoordinator:
    """One round's coordinator.

    policy, vocabulary, quorum: taken from `plan` where there is one. validator: judges signed bytes. keys: signs the broadcast. freeze: the digest
    the result names. time: the freeze's. `reconciliation` is the last merge, with the weights behind it. budget: the registry's, with unit and minimum support.
    reserved: the ledger's accountant with tonight's reserve in it; without one (in-process) tonight is charged to an empty one. random_bytes: of the noise.
    elsewhere: where the edges of what is held lie, if not in it.
    """

    policy: PolicyPack = field(default_factory=PolicyPack)
    vocabulary: Vocabulary | None = None
    quorum: int = 1
    plan: Plan | None = None
    validator: PacketValidator | None = None
    keys: KeyPair | None = None
    freeze: bytes = b""
    time: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    reconciliation: Reconciliation | None = None
    layered: Layered | None = None
    reputation: dict[str, float] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    reserved: PrivacyAccountant | None = None
    random_bytes: RandomBytes = os.urandom
    elsewhere: Elsewhere | None = None
    _held: dict[str, _Held] = field(default_factory=dict)
    _stores: dict[str, tuple[_Held, HypergraphStore]] = field(default_factory=dict, init=False)  # made once of what is held

    def __post_init__(self) -> None:
        if self.plan is not None:
            self.policy, self.vocabulary, self.quorum = self.plan.policy, self.plan.vocabulary, self.plan.quorum

    @property
    def round(self) -> int:
        return self.plan.round if self.plan else 1

    @property
    def clients(self) -> tuple[str, ...]:
        """Whose updates are held, ascending."""
        return tuple(sorted(self._held))

    def handle_update(self, client_id: str, update: Update | bytes | Admitted, *, key: str | None = None, made_for: int | None = None) -> Admitted | None:
        """Take one client's update; the newest of each client is kept.

        bytes: a signed envelope, judged by the validator (key: where it lay, by default slot 0 of the round's inbox). Update: in-process only.
        Admitted: judged before. Raises RefusedError and other PacketErrors; nothing is kept then.
        """
        check_client_id(client_id.replace("_", "-"))
        admitted: Admitted | None = None
        if isinstance(update, bytes):
            if self.validator is None:
                raise RefusedError(
                    "signed bytes cannot be judged without a registry",
                    subject=client_id,
                    rule="R-32",
                    remedy="FederationCoordinator(plan=..., validator=PacketValidator(context=...))",
                )
            admitted = self.validator.verify(update, key=key or Keys.inbox(made_for or self.round, client_id, 0))
        elif isinstance(update, Admitted):
            admitted = update
        if admitted is not None:
            if admitted.client != client_id:
                raise RefusedError(f"is an update of {admitted.client}", subject=client_id, rule="R-82", remedy="A client speaks for itself only")
            content, made_for, sequence = admitted.update, admitted.made_for, admitted.sequence
            if content is None:
                raise RefusedError("its content was not read", subject=admitted.key)
        else:
            if not isinstance(update, Update):
                raise RefusedError(
                    f"a {type(update).__name__} is no update", subject=client_id, rule="R-11", remedy="FederationClientAgent.get_shareable_update() makes one"
                )
            if self.plan is not None:
                raise RefusedError("unsigned", subject=client_id, rule="R-31", remedy="A planned round takes signed updates only")
            content, made_for, sequence = update, made_for or self.round, 0
        if not 1 <= made_for <= self.round:
            raise RefusedError(f"made for round {made_for}; this is round {self.round}", subject=client_id, rule="R-84")
        known = self._held.get(client_id)
        if known is None or (made_for, sequence) >= (known.made_for, known.sequence):
            self._held[client_id] = _Held(update=content, made_for=made_for, sequence=sequence)
        return admitted

    def hold(self, counted: Counted, update: Update) -> None:
        """Take an update that a freeze counts and that this coordinator has read and verified (R-66), or what is small of it."""
        self._held[counted.client] = _Held(update=update, made_for=counted.made_for, sequence=counted.sequence)

    def should_aggregate(self) -> bool:
        """Whether the quorum is there."""
        return len(self._held) >= self.quorum

    def aggregate(self) -> GlobalModel:
        """The global model of what is held: a pure function of it, but for noise. Raises QuorumMissed, AggregationError, PrivacyError."""
        self.weigh()
        merged = self.reconciliation
        if merged is None:
            raise QuorumMissed("nothing was merged", subject=f"round {self.round}")
        if self.policy.privacy != "none":
            return self._private()
        kept = suppress(merged.store, self.stores(), self.budget.minimum_support)
        return GlobalModel.of(kept.store, **self._about(), suppressed=kept.edges, few=kept.few, baskets=self._basket_models())

    def weigh(self) -> None:
        """Set `reconciliation`: the merge, or, where the policy asks for privacy, equal weights and no merge at all. Raises QuorumMissed."""
        if not self.should_aggregate():
            raise QuorumMissed(
                f"{len(self._held)} of {self.quorum} updates needed",
                subject=f"round {self.round}",
                remedy="Wait for more clients, or lower the quorum in the next plan",
            )
        if self.policy.privacy != "none":
            inside, _ = self._private_groups()
            counts = np.isin(self.clients, [client for members in inside.values() for client in members]).astype(np.float64)
            weight = counts * self._staleness()
            self.reconciliation = Reconciliation(store=HypergraphStore(), clients=self.clients, trust=counts, weight=weight, agreement=counts * 0)
            return
        policy, clients = self.policy, self.clients
        by_reputation = policy.weigh_by == "reputation"
        rule = "mean" if by_reputation else policy.rule
        reconciler = build_reconciler(policy.strategy, vote_min=policy.vote_min, n_cap=policy.n_cap, rule=rule, f=policy.f)
        base = self._staleness()
        shares = organisation_weights(clients, dict(self.plan.organisations) if self.plan else {}, cap=policy.organisation_cap).tolist()
        if by_reputation:
            base = base * np.array([self.reputation.get(client, PRIOR) for client in clients])
        losses = [self._held[c].update.claims.loss for c in clients]
        self.layered = None
        if self.elsewhere is not None:
            self.reconciliation = self.elsewhere.merge(reconciler, self.stores(), clients=clients, base=base, losses=losses, shares=shares)
            self._by_reputation()
            return
        if not policy.basket_minimum:
            self.reconciliation = reconciler.merge(self.stores(), client_ids=clients, base_weights=base.tolist(), losses=losses, shares=shares)
            self._by_reputation()
            return
        self.layered = merge_layers(
            reconciler,
            dict(zip(clients, self.stores(), strict=True)),
            groups_of(self.plan.baskets if self.plan else (), clients),
            base_weights=dict(zip(clients, base.tolist(), strict=True)),
            losses=dict(zip(clients, losses, strict=True)),
            shares=dict(zip(clients, shares, strict=True)),
            rules=LayerRules(
                minimum=policy.basket_minimum, minimum_groups=policy.minimum_groups, weights=policy.group_weights, influence_cap=policy.influence_cap
            ),
        )
        self.reconciliation = self.layered.merged
        self._by_reputation()

    def _by_reputation(self) -> None:
        """Where reputation weighs, it is what the state tells as a client's weight."""
        if self.policy.weigh_by == "reputation" and self.reconciliation is not None:
            trust = np.array([self.reputation.get(client, PRIOR) for client in self.clients])
            self.reconciliation = replace(self.reconciliation, trust=trust)

    def _basket_models(self) -> tuple[BasketModel, ...]:
        """What each group found, cut by the minimum support like the global model; who has no model, and why."""
        if self.layered is None:
            return ()
        groups = groups_of(self.plan.baskets if self.plan else (), self.clients)
        stores = dict(zip(self.clients, self.stores(), strict=True))
        models = []
        for group in self.layered.groups:
            kept = suppress(group.store, [stores[c] for c in groups[group.name]], self.budget.minimum_support).store
            if kept.evidence is not None:
                models.append(
                    BasketModel(
                        name=group.name,
                        clients=group.clients,
                        share=group.share,
                        left_out="",
                        edges=kept.edges,
                        evidence=kept.evidence.edges,
                        hyperedges=kept.hyperedges,
                        hyper_evidence=kept.evidence.hyperedges or Evidence.empty(),
                    )
                )
        nothing = EdgeTable.empty()
        for name, why in self.layered.left_out:
            models.append(BasketModel(name=name, clients=len(groups[name]), share=0.0, left_out=why, edges=nothing, evidence=Evidence.empty()))
        return tuple(sorted(models, key=lambda model: model.name))

    def rehearse(self, stores: Mapping[str, HypergraphStore]) -> HypergraphStore:
        """What this round would have merged had its clients sent these; nothing of the coordinator changes. Raises PrivacyError in a private round."""
        if self.policy.privacy != "none":
            raise PrivacyError(
                "a rehearsal without noise would tell about single clients", subject=f"round {self.round}", remedy="Rehearse in `hyperfed simulate`"
            )
        held = {c: replace(h, update=Update(measured=stores[c].measured, edges=stores[c].edges, claims=h.update.claims)) for c, h in self._held.items()}
        shadow = replace(self, _held=held, reconciliation=None, layered=None)
        shadow.weigh()
        return HypergraphStore() if shadow.reconciliation is None else shadow.reconciliation.store

    def _staleness(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """float64[clients]: what lateness leaves of a weight."""
        return np.array([self.policy.staleness_decay ** (self.round - self._held[c].made_for) for c in self.clients])

    def _about(self) -> dict[str, Any]:
        """The model's provenance."""
        return {
            "federation": self.plan.federation if self.plan else "in-process",
            "round_id": self.round,
            "time": self.time,
            "freeze": self.freeze,
            "clients": len(self._held),
            "policy": self.policy,
            "vocabulary": self._vocabulary(),
        }

    def _private(self) -> GlobalModel:
        """Clipped, summed, noised: the only place of a round that has the sum, which goes nowhere else."""
        vocabulary, policy = self._vocabulary(), self.policy
        night = night_of(policy, vocabulary, self.budget)
        if night is None:
            raise PrivacyError("the policy asks for none", subject=f"round {self.round}")
        after = self.reserved or PrivacyAccountant(epsilon=self.budget.epsilon, delta=self.budget.delta).charged(night.mechanisms)
        if after.mechanisms[-len(night.mechanisms) :] != night.mechanisms:
            raise PrivacyError("is not what was reserved", subject=f"noise of round {self.round}", rule="R-64", remedy="Nothing was released")
        inside, left_out = self._private_groups()
        shares = dict(zip(inside, self._shares([len(members) for members in inside.values()]), strict=True))
        released = grouped_means(
            dict(zip(self.clients, (store.edges for store in self.stores()), strict=True)),
            dict(zip(self.clients, self._staleness().tolist(), strict=True)),
            inside,
            shares,
            night,
            vocabulary=vocabulary,
            max_lag=policy.max_lag,
            random_bytes=self.random_bytes,
        )
        statement = statement_of(policy, night, vocabulary=vocabulary, released=released, after=after)
        baskets = self._private_baskets(released, left_out) if policy.basket_minimum else ()
        return GlobalModel.of(released_store(released.whole, vocabulary=vocabulary, least=policy.g_min), **self._about(), privacy=statement, baskets=baskets)

    def _private_groups(self) -> tuple[dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
        """Whose sums are noised together, and which groups are too small: by the plan and by who takes part. Raises BreakdownError."""
        policy = self.policy
        if not policy.basket_minimum:
            return {COMMON: self.clients}, ()
        groups = groups_of(self.plan.baskets if self.plan else (), self.clients)
        return counted_groups(groups, minimum=policy.basket_minimum, minimum_groups=policy.minimum_groups)

    def _shares(self, sizes: list[int]) -> list[float]:
        """float[groups]: of the global mean, by public sizes or equal, none above the policy's cap."""
        by = [1.0] * len(sizes) if self.policy.group_weights == "equal" else [float(size) for size in sizes]
        return [float(share) for share in capped_shares(by, cap=self.policy.influence_cap)]

    def _private_baskets(self, released: Grouped, left_out: tuple[tuple[str, str], ...]) -> tuple[BasketModel, ...]:
        """Each group's own noised means, cut by its own noise; who has none, and why."""
        models = []
        for group in released.groups:
            store = released_store(group.released, vocabulary=self._vocabulary(), least=self.policy.g_min)
            evidence = store.evidence.edges if store.evidence is not None else Evidence.empty()
            models.append(BasketModel(name=group.name, clients=group.released.clients, share=group.share, left_out="", edges=store.edges, evidence=evidence))
        sizes = {name: len(members) for name, members in groups_of(self.plan.baskets if self.plan else (), self.clients).items()}
        for name, why in left_out:
            models.append(BasketModel(name=name, clients=sizes[name], share=0.0, left_out=why, edges=EdgeTable.empty(), evidence=Evidence.empty()))
        return tuple(sorted(models, key=lambda model: model.name))

    def stores(self) -> list[HypergraphStore]:
        """What each client holds to be true, in the order of `clients`."""
        vocabulary = self._vocabulary()
        for client, held in self._held.items():
            known = self._stores.get(client)
            if known is None or known[0] is not held or known[1].vocabulary is not vocabulary:
                self._stores[client] = (held, HypergraphStore.from_update(held.update, vocabulary=vocabulary))
        return [self._stores[client][1] for client in self.clients]

    def _vocabulary(self) -> Vocabulary:
        """The plan's; where nobody named the variables: "0", "1", ..."""
        if self.vocabulary is not None:
            return self.vocabulary
        top = max((int(h.update.measured[-1]) for h in self._held.values() if len(h.update.measured)), default=-1)
        return Vocabulary.of(*(str(i) for i in range(top + 1)))

    def broadcast(self, model: GlobalModel) -> list[Write]:
        """What to write so that everyone has the model: the signed result. In-process (no keys): nothing."""
        if self.keys is None:
            return []
        return [
            sign_object(
                Keys.result(model.round),
                PacketType.RESULT,
                model,
                keys=self.keys,
                time=model.time,
                policy=policy_digest(model.policy),
                vocabulary=model.vocabulary.digest,
                compression="zstd",
            )
        ]
