"""From one round's evidence to the next state: trust, sequences, windows; a pure function of freeze, base state and the frozen updates.

1. R-103: a counted client is observed (`trust_scorer`): outlier = bounded trust gave it weight 0; consistency = its agreement with the others (the
   leave-one-out cosine of the merge); accuracy = the share of its reported edges, among those of the last three committed models, that have the
   sign of the newest model with that edge.
2. A client of the cohort that is not counted was absent; so was one that is excluded: trust only decays toward the prior.
   Where the policy asks for privacy, being counted is all the evidence there is: nothing is computed from one client's data but the noised sum.
3. The highest sequence and the windows a client was counted for rise only with what was counted (R-89, R-94).

What it does not do: exclude (`choose`), weigh tonight's merge (bounded trust does).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hyperfed.global_model import GlobalModel
from hyperfed.hypergraph import HypergraphStore
from hyperfed.packets import PolicyPack
from hyperfed.protocol.objects import REMEMBERED, ClientState, Counted, Freeze, Plan, RoundState
from hyperfed.reconciler import Reconciliation
from hyperfed.trust_scorer import TrustScorer, TrustState

__all__ = ["ACCURACY_ROUNDS", "accuracy_of", "excluded_of", "next_states", "trust_of"]

ACCURACY_ROUNDS = 3  # committed rounds that a client's accuracy is judged by

Judge = GlobalModel | HypergraphStore


def _scorer(base: RoundState | None) -> TrustScorer:
    clients = base.clients if base else ()
    return TrustScorer.from_state(
        TrustState(
            client=tuple(c.client for c in clients),
            alpha=[c.alpha for c in clients],
            beta=[c.beta for c in clients],
            nights=[c.rounds_seen for c in clients],
            absences=[c.rounds_missed for c in clients],
        )
    )


def trust_of(state: RoundState, client: str) -> float:
    """A client's trust in (0, 1) in a state; the prior for one that is not in it."""
    return _scorer(state).get_trust(client)


def excluded_of(state: RoundState, policy: PolicyPack, *, organisations: Mapping[str, str] | None = None) -> dict[str, float]:
    """R-95: client -> trust, below `trust_min` after at least `trust_nights` observed nights. One odd night is not a pattern: bounded trust has weighed it.

    organisations: client -> organisation, of everyone the registry names, revoked clients too. A client that was not observed that often yet has the
    standing of its organisation: while one of that organisation's clients is excluded, so is it, and registering anew helps nobody.
    """
    scorer = _scorer(state)
    trust = {c.client: scorer.get_trust(c.client) for c in state.clients if c.rounds_seen >= policy.trust_nights}
    excluded = {client: value for client, value in trust.items() if value < policy.trust_min}
    named = organisations or {}
    barred: dict[str, float] = {}
    for client, value in excluded.items():
        if client in named:
            barred[named[client]] = min(value, barred.get(named[client], 1.0))
    return excluded | {client: barred[name] for client, name in named.items() if client not in trust and name in barred}


def accuracy_of(store: HypergraphStore, models: Sequence[Judge]) -> float:
    """Share in [0, 1] of the store's edges, among those of the last committed `models`, newest first, with the sign of the newest vote on each; 1 where there
    is nothing to compare. An edge that last night's model lost is still remembered."""
    right = compared = 0
    seen = np.zeros(0, dtype=np.uint64)
    for model in models[:ACCURACY_ROUNDS]:
        if model.evidence is None:
            continue
        keys, mine, theirs = np.intersect1d(store.edges.keys, model.edges.keys, assume_unique=True, return_indices=True)
        new = ~np.isin(keys, seen)
        agrees = np.sign(store.edges.effect[mine]) == np.sign(model.evidence.edges.vote[theirs])
        right, compared, seen = right + int(agrees[new].sum()), compared + int(new.sum()), np.union1d(seen, keys)
    return right / compared if compared else 1.0


def next_states(
    base: RoundState | None,
    freeze: Freeze,
    *,
    plan: Plan,
    reconciliation: Reconciliation,
    stores: dict[str, HypergraphStore],
    last_models: Sequence[GlobalModel],
    accuracy: Mapping[str, float] | None = None,
) -> tuple[ClientState, ...]:
    """The states after a round, ascending by client. stores: of the counted clients; last_models: committed before this round, newest first, at most
    ACCURACY_ROUNDS of them are looked at. accuracy: of each counted client, where its edges lie elsewhere (`accuracy_of` there)."""
    scorer = _scorer(base)
    counted = {c.client: c for c in freeze.counted}
    trust = dict(zip(reconciliation.clients, reconciliation.trust.tolist(), strict=True))
    outlier = dict(zip(reconciliation.clients, reconciliation.outlier.tolist(), strict=True))
    agreement = dict(zip(reconciliation.clients, reconciliation.agreement.tolist(), strict=True))
    weighed = plan.policy.strategy == "consensus"
    for client in sorted(set(plan.cohort) | set(counted)):
        if client not in counted:
            scorer.observe(client, available=False)
            continue
        consistency = agreement[client] if weighed and len(counted) > 2 else 1.0
        if accuracy is not None:
            right = accuracy[client]
        else:
            right = accuracy_of(stores[client], last_models) if plan.policy.privacy == "none" else 1.0
        scorer.observe(client, outlier=outlier[client], consistency=max(-1.0, min(1.0, consistency)), accuracy=right)
    after = scorer.state()
    rows = zip(after.client, after.alpha.tolist(), after.beta.tolist(), after.nights.tolist(), after.absences.tolist(), strict=True)
    return tuple(
        _state(
            base.of(client) if base else None,
            counted.get(client),
            plan,
            client,
            alpha,
            beta,
            nights,
            absences,
            trust.get(client, 1.0),
            agreement.get(client, 0.0),
        )
        for client, alpha, beta, nights, absences in rows
    )


def _state(
    before: ClientState | None,
    counted: Counted | None,
    plan: Plan,
    client: str,
    alpha: float,
    beta: float,
    nights: int,
    absences: int,
    weight: float,
    agreement: float,
) -> ClientState:
    windows = before.windows if before else ()
    if counted is not None:
        windows = tuple(sorted({*windows, counted.made_for}))
    return ClientState(
        client=client,
        highest_sequence=max(before.highest_sequence if before else 0, counted.sequence if counted else 0),
        windows=tuple(w for w in windows if w > plan.round - REMEMBERED),
        last_round=plan.round if counted else (before.last_round if before else 0),
        last_digest=counted.digest if counted else (before.last_digest if before else b""),
        alpha=alpha,
        beta=beta,
        rounds_seen=nights,
        rounds_missed=absences,
        weight=weight,
        agreement=agreement + 0.0,
    )
