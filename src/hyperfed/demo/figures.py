"""What the demonstration claims, computed: how many edges stand above chance, and what fourteen liars do to them.

1. The null: every state's years are shuffled, which keeps each variable's distribution and destroys time. What still gets a vote is chance.
2. An edge is clear where |vote| exceeds the largest vote of the null, strong where it reaches the default cut.
3. Kept under attack: clear (strong) the honest night before, and still so tonight, with the same sign.

Source: the permutation test for time series (Good 2005, ch. 3). It reads no store: the demonstration hands it what the clients found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hyperfed.demo.munnell import VARIABLES, series, states
from hyperfed.engines.var import VarEngine
from hyperfed.hypergraph import HypergraphStore
from hyperfed.packets import PolicyPack
from hyperfed.reconciler import StoreReconciler
from hyperfed.vocabulary import Vocabulary

__all__ = ["Kept", "Votes", "kept", "merged_votes", "null_vote"]

Votes = dict[int, float]
_SHARED = PolicyPack().stability_min


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Of the clear and strong edges before, how many are so still, with the same sign."""

    clear: int
    clear_before: int
    strong: int
    strong_before: int


def merged_votes(stores: Sequence[HypergraphStore], clients: Sequence[str], *, bounded: bool = True) -> Votes:
    """Packed key -> weighted mean vote of every edge anyone reports; bounded False: the plain mean."""
    merged = StoreReconciler(vote_min=0.0, bounded=bounded).reconcile(stores, client_ids=clients)
    votes = merged.evidence.edges.vote if merged.evidence else np.zeros(0)
    return dict(zip(merged.edges.keys.tolist(), votes.tolist(), strict=True))


def null_vote(rng: np.random.Generator, *, repeats: int = 2) -> float:
    """The mean over `repeats` shuffles of the largest |vote| at equal weights."""
    vocabulary = Vocabulary.of(*VARIABLES)
    largest = []
    for _ in range(repeats):
        stores = []
        for state in states():
            measured, edges = VarEngine(rng.permutation(series(state)), VARIABLES, rng=rng).discover().to_edges(vocabulary)
            stores.append(HypergraphStore(edges=edges.take(edges.stability >= _SHARED), measured=measured, vocabulary=vocabulary))
        largest.append(max(map(abs, merged_votes(stores, states(), bounded=False).values())))
    return float(np.mean(largest))


def kept(before: Votes, now: Votes, *, null: float, cut: float) -> Kept:
    """What of `before` stands `now`."""

    def count(threshold: float) -> tuple[int, int]:
        stood = {key: vote for key, vote in before.items() if abs(vote) >= threshold}
        return sum(abs(now.get(key, 0.0)) >= threshold and now.get(key, 0.0) * vote > 0 for key, vote in stood.items()), len(stood)

    (clear, clear_before), (strong, strong_before) = count(null), count(cut)
    return Kept(clear=clear, clear_before=clear_before, strong=strong, strong_before=strong_before)
