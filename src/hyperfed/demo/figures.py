"""Compute what the demonstration claims, from its updates.

The claims are how many edges stand above chance, and what fourteen liars do to them.

1. The null comes from shuffling every state's years, which keeps each variable's distribution and
   destroys time. What still gets a vote is chance.
2. An edge is clear where |vote| reaches that of the null (`null_vote`), and strong where it reaches
   the default cut.
3. An edge is kept under attack where it was clear (strong) in the honest round before, and is so in
   this round with the same sign.

Source: the permutation test for time series (Good 2005, ch. 3).

What it does not do: read a graph. The demonstration hands it what the clients found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hyperfed.client_agent import statistics_update
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.demo.munnell import VARIABLES, series, states
from hyperfed.engines.var import VarEngine
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack, Update
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.statistics import statistics_of
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["Kept", "Votes", "kept", "merged_votes", "null_vote", "summed_votes", "without_noise"]

Votes = dict[tuple[str, str, int], float]
"""(source, target, lag) -> weighted mean vote, in [-1, 1]."""
_SHARED = PolicyPack().stability_min


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Counts the edges that were clear or strong before and are so still, with the same sign."""

    clear: int
    """Edges that are still clear."""
    clear_before: int
    """Edges that were clear before."""
    strong: int
    """Edges that are still strong."""
    strong_before: int
    """Edges that were strong before."""


def merged_votes(
    graphs: Sequence[HypergraphStore], clients: Sequence[str], *, bounded: bool = True
) -> Votes:
    """Return the weighted mean vote of every edge that any client reports.

    `graphs` are the clients' graphs, in the order of `clients`. Without `bounded` it is the plain
    mean.
    """
    merged = StoreReconciler(vote_min=0.0, bounded=bounded).reconcile(graphs, client_ids=clients)
    votes = merged.evidence.edges.vote if merged.evidence else np.zeros(0)
    ends = (
        [VARIABLES[i] for i in column.tolist()]
        for column in (merged.edges.source, merged.edges.target)
    )
    return dict(
        zip(zip(*ends, merged.edges.lag.tolist(), strict=True), votes.tolist(), strict=True)
    )


def summed_votes(
    updates: Mapping[str, Update], policy: PolicyPack, vocabulary: Vocabulary, *, bounded: bool
) -> Votes:
    """Return the vote of every edge that the plan's engine reports in the sum of the updates.

    Without `bounded` it is the plain sum.
    """
    whole = replace(policy, vote_min=0.0, cut="vote", strategy="consensus" if bounded else "mean")
    coordinator = FederationCoordinator(policy=whole, vocabulary=vocabulary)
    for client, update in updates.items():
        coordinator.handle_update(client, update)
    return {
        (row["source"], row["target"], row["lag"]): row["vote"]
        for row in coordinator.aggregate().rows()
    }


def without_noise(policy: PolicyPack) -> PolicyPack:
    """Return a policy under which the states' exact statistics are merged, for comparison alone."""
    if policy.payload == "edges" or policy.privacy == "none":
        return policy
    exact = replace(policy.statistics, row_norm=0.0, centring="client")
    return replace(policy, privacy="none", statistics=exact)


def null_vote(
    rng: np.random.Generator, *, repeats: int = 2, policy: PolicyPack | None = None
) -> float:
    """Return the mean over `repeats` shuffles of the largest |vote| at equal weights.

    policy: the round's, where the states send statistics.
    """
    vocabulary = Vocabulary.of(*VARIABLES)
    largest = []
    for _ in range(repeats):
        if policy is not None and policy.payload != "edges":
            updates = {
                state: statistics_update(
                    statistics_of(
                        rng.permutation(series(state)),
                        names=VARIABLES,
                        vocabulary=vocabulary,
                        lags=policy.lags,
                    )
                )
                for state in states()
            }
            votes = summed_votes(updates, policy, vocabulary, bounded=False)
            largest.append(max(map(abs, votes.values())))
            continue
        graphs = []
        for state in states():
            measured, edges = (
                VarEngine(rng.permutation(series(state)), VARIABLES, rng=rng)
                .discover()
                .to_edges(vocabulary)
            )
            graphs.append(
                HypergraphStore(
                    edges=edges.take(edges.stability >= _SHARED),
                    measured=measured,
                    vocabulary=vocabulary,
                )
            )
        largest.append(max(map(abs, merged_votes(graphs, states(), bounded=False).values())))
    return float(np.mean(largest))


def kept(before: Votes, now: Votes, *, null: float, cut: float) -> Kept:
    """Return what of `before` still stands in `now`.

    `null` is the least |vote| of a clear edge, and `cut` that of a strong one.
    """

    def count(threshold: float) -> tuple[int, int]:
        stood = {key: vote for key, vote in before.items() if abs(vote) >= threshold}
        return sum(
            abs(now.get(key, 0.0)) >= threshold and now.get(key, 0.0) * vote > 0
            for key, vote in stood.items()
        ), len(stood)

    (clear, clear_before), (strong, strong_before) = count(null), count(cut)
    return Kept(clear=clear, clear_before=clear_before, strong=strong, strong_before=strong_before)
