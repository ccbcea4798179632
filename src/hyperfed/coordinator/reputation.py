"""Compute the next state from a round's evidence: trust, sequences and windows.

It is a pure function of the freeze, the base state and the frozen updates.

1. R-103: a counted client is observed (`trust_scorer`) by three measures:
   - outlier: whether bounded trust gave it weight 0;
   - consistency: the weight of bounded trust, which is whole down to the agreement that can be
     expected of the client's data;
   - accuracy: the share of its votes, among those on edges of the last three committed models, that
     have the sign of the newest model with that edge. It is relative to the median client's: what
     many clients newly report in one round is a change in the world.
   A client that cast no vote, or could not be compared, is not observed, nor is anyone in a round
   in which clients agree no more than by chance: that costs nothing and earns nothing. Liars who
   contradict the others and are left without a weight do not make a round one of chance.
2. A client of the cohort that is not counted is observed as absent, also where it was excluded: its
   trust only decays toward the prior. Where the policy asks for privacy, being counted is the only
   evidence: nothing but the noised sum is computed from any client's data.
3. The highest sequence of each of a client's keys and the windows it was counted for change only by
   what was counted (R-89, R-94, R-129).

What it does not do: it does not exclude clients (`choose`), nor weigh the round's merge (bounded
trust does).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack
from hyperfed.protocol.objects import REMEMBERED, ClientState, Counted, Freeze, Plan, RoundState
from hyperfed.protocol.sequences import next_sequences
from hyperfed.reconciler.reconcile import Reconciliation
from hyperfed.trust_scorer import TrustScorer, TrustState, accuracy_of

__all__ = ["excluded_of", "next_states", "trust_of", "trusts_of"]


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
    """Return a client's trust in (0, 1); the prior where the state does not have the client."""
    return _scorer(state).get_trust(client)


def trusts_of(state: RoundState) -> dict[str, float]:
    """Return the trust of each client of a state, in (0, 1)."""
    scorer = _scorer(state)
    return {c.client: scorer.get_trust(c.client) for c in state.clients}


def excluded_of(
    state: RoundState, policy: PolicyPack, *, organisations: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Return the trust of each client that is excluded (R-95).

    A client is excluded while its trust is below `trust_min` after at least `trust_nights` observed
    nights. One odd night is not a pattern: bounded trust has weighed it already.

    organisations: the organisation of each client that the registry names, revoked clients too. A
    client that was observed less often has the standing of its organisation: it is excluded while
    another client of that organisation is, so that registering anew helps nobody.
    """
    scorer = _scorer(state)
    trust = {
        c.client: scorer.get_trust(c.client)
        for c in state.clients
        if c.rounds_seen >= policy.trust_nights
    }
    excluded = {client: value for client, value in trust.items() if value < policy.trust_min}
    named = organisations or {}
    barred: dict[str, float] = {}
    for client, value in excluded.items():
        if client in named:
            barred[named[client]] = min(value, barred.get(named[client], 1.0))
    return excluded | {
        client: barred[name]
        for client, name in named.items()
        if client not in trust and name in barred
    }


def next_states(
    base: RoundState | None,
    freeze: Freeze,
    *,
    plan: Plan,
    reconciliation: Reconciliation,
    graphs: dict[str, HypergraphStore],
    last_models: Sequence[GlobalModel],
    accuracy: Mapping[str, float] | None = None,
    signers: Mapping[str, str] | None = None,
) -> tuple[ClientState, ...]:
    """Return the clients' states after a round, ascending by client.

    graphs: the graph of each counted client. last_models: the models committed before this round,
    newest first; at most ACCURACY_ROUNDS of them are used. accuracy: the accuracy of each counted
    client, where its edges lie elsewhere and `accuracy_of` was computed there; None: it is computed
    here. signers: the id of the key that signed each counted update (R-129); None: a state of
    schema version 1 is computed again, which names no keys.
    """
    scorer = _scorer(base)
    counted = {c.client: c for c in freeze.counted}
    trust = dict(zip(reconciliation.clients, reconciliation.trust.tolist(), strict=True))
    consistency = dict(
        zip(reconciliation.clients, reconciliation.consistency.tolist(), strict=True)
    )
    assessed = dict(zip(reconciliation.clients, reconciliation.assessed.tolist(), strict=True))
    agreement = dict(zip(reconciliation.clients, reconciliation.agreement.tolist(), strict=True))
    weighed = plan.policy.strategy == "consensus"
    compared = weighed and len(counted) > 2
    right = accuracy
    if right is None:
        unseen = plan.policy.privacy != "none" or plan.policy.aggregation == "secure-sum"
        right = {c: 1.0 if unseen else accuracy_of(graphs[c], last_models) for c in counted}
    missing = 1.0 - float(np.median([right[c] for c in sorted(counted)])) if counted else 0.0
    for client in sorted(set(plan.cohort) | set(counted)):
        if client not in counted:
            scorer.observe(client, available=False)
        elif compared and not assessed[client]:
            scorer.pass_over(client)
        else:
            scorer.observe(
                client,
                outlier=compared and consistency[client] <= 0,
                consistency=consistency[client] if compared else 1.0,
                accuracy=min(1.0, right[client] + missing),
            )
    after = scorer.state()
    rows = zip(
        after.client,
        after.alpha.tolist(),
        after.beta.tolist(),
        after.nights.tolist(),
        after.absences.tolist(),
        strict=True,
    )
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
            signers,
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
    signers: Mapping[str, str] | None,
) -> ClientState:
    """Return a client's state after a round, from the one before and the update that counted."""
    windows = before.windows if before else ()
    if counted is not None:
        windows = tuple(sorted({*windows, counted.made_for}))
    return ClientState(
        client=client,
        highest_sequence=max(
            before.highest_sequence if before else 0, counted.sequence if counted else 0
        ),
        windows=tuple(w for w in windows if w > plan.round - REMEMBERED),
        last_round=plan.round if counted else (before.last_round if before else 0),
        last_digest=counted.digest if counted else (before.last_digest if before else b""),
        alpha=alpha,
        beta=beta,
        rounds_seen=nights,
        rounds_missed=absences,
        weight=weight,
        agreement=agreement + 0.0,
        sequences=() if signers is None else next_sequences(before, counted, signers),
    )
