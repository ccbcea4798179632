"""List the ways of merging that the evidence compares in one table, where a new one is one line.

1. Merges are the library's, with the default policy: what `hyperfed round` would publish.
2. A client's own graph has the edges on which its own vote reaches the policy's `vote_min`: the
   rule by which the merged model is cut, applied to one client. Union, intersection and majority
   count these graphs; the sign of an edge is what most of its clients say.
3. `pooled` is what the same engine finds in all clients' rows at once, if data could be shared: the
   edges of more than half of its resamples. `pooled, vote` cuts it as a client's own graph, which
   is a cut for many voters and lax for one. Liars' rows are among them.
4. `averaged network` is what practice does with bootstrapped graphs, as bnlearn documents it
   (`mean` of `boot.strength`, then `averaged.network`). The strength of an edge is the share of all
   clients' resamples that have it. It stays where that is above the threshold whose step comes
   closest to the strengths' distribution in the L1 norm (Scutari & Nagarajan 2013).

What it does not do: it knows no truth, and scores nothing (`study`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable, unpack_keys

__all__ = ["STRATEGIES", "Sent", "own_graph", "significance_threshold"]

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sent:
    """Holds what clients sent, liars too, and what only those who hold all data could have."""

    shared: Sequence[HypergraphStore]
    """What the policy lets each client share."""
    whole: Sequence[HypergraphStore]
    """All that each client found; of a liar, what it sent."""
    pooled: HypergraphStore
    """What the engine finds in all clients' rows together."""
    possible: int
    """How many edges could be."""


def _merged(sent: Sent, **options: Any) -> HypergraphStore:
    return StoreReconciler(vote_min=PolicyPack().vote_min, **options).reconcile(sent.shared)


def own_graph(graph: HypergraphStore) -> HypergraphStore:
    """Return the edges on which a client's own vote reaches the policy's `vote_min`."""
    return _graph(graph, np.abs(graph.edges.vote) >= PolicyPack().vote_min)


def _counted(sent: Sent, *, share: float) -> HypergraphStore:
    """Return the edges that more than a share of the clients' own graphs have."""
    keys, signs = _together([own_graph(graph) for graph in sent.shared])
    distinct, at, count = np.unique(keys, return_inverse=True, return_counts=True)
    balance = np.bincount(at, signs, len(distinct)).astype(np.float64)
    return _of(sent.shared[0], distinct, balance, count > share * len(sent.shared))


def _averaged(sent: Sent) -> HypergraphStore:
    """Return bnlearn's averaged network of the clients' bootstraps."""
    keys, signs = _together(sent.whole)
    stability = np.concatenate([graph.edges.stability for graph in sent.whole]).astype(np.float64)
    distinct, at = np.unique(keys, return_inverse=True)
    up, down = (
        np.bincount(at, stability * (signs == sign), len(distinct)) / len(sent.whole)
        for sign in (1.0, -1.0)
    )
    strength = np.maximum(up, down)
    silent = np.zeros(max(0, sent.possible - len(distinct)))
    least = significance_threshold(np.concatenate([strength, silent]))
    return _of(sent.shared[0], distinct, up - down, (strength > least) | (strength == 1.0))


def significance_threshold(strength: Floats) -> float:
    """Return the strength above which arcs are significant, by the L1 norm.

    `strength` is float64[arcs] in [0, 1], one for each arc that could be. An ideal strength is 0 or
    1, so an ideal distribution function is a step p on [0, 1). The p that minimises the integral of
    |F(x) - p| over [0, 1] is the median of F over x, and the threshold is the p-quantile.
    """
    values = np.sort(strength)
    edges = np.unique(np.concatenate([[0.0], values, [1.0]]))
    height = np.searchsorted(values, edges[:-1], side="right") / len(values)  # F on each interval
    order = np.argsort(height, kind="stable")
    covered = np.cumsum(np.diff(edges)[order])
    p = float(height[order][np.searchsorted(covered, covered[-1] / 2)])
    return float(values[max(0, int(np.ceil(p * len(values) - 1e-9)) - 1)])


def _together(graphs: Sequence[HypergraphStore]) -> tuple[Keys, Floats]:
    """Return the keys and the signs of all graphs' edges, one graph after the other."""
    keys = np.concatenate([graph.edges.keys for graph in graphs])
    signs = np.concatenate([np.sign(graph.edges.effect) for graph in graphs])
    return keys, signs.astype(np.float64)


def _of(
    like: HypergraphStore, keys: Keys, sign: Floats, stays: npt.NDArray[np.bool_]
) -> HypergraphStore:
    """Return the graph of the edges that stay, each with its sign as its effect."""
    stays = stays & (sign != 0)
    source, target, lag = unpack_keys(keys[stays])
    edges = EdgeTable.build(
        source=source,
        target=target,
        lag=lag,
        effect=np.sign(sign[stays]),
        confidence=1.0,
        stability=1.0,
    )
    return HypergraphStore(edges=edges, measured=like.measured, vocabulary=like.vocabulary)


def _graph(graph: HypergraphStore, stays: npt.NDArray[np.bool_]) -> HypergraphStore:
    """Return the graph of the edges that stay."""
    return HypergraphStore(
        edges=graph.edges.take(stays), measured=graph.measured, vocabulary=graph.vocabulary
    )


STRATEGIES: dict[str, Callable[[Sent], HypergraphStore]] = {
    "union": partial(_counted, share=0.0),
    "intersection": partial(_counted, share=1.0 - 1e-9),
    "majority": partial(_counted, share=0.5),
    "mean": partial(_merged, strategy="mean"),
    "median": partial(_merged, rule="median"),
    "consensus": _merged,
    "fdr cut": partial(_merged, cut="fdr", fdr_max=PolicyPack().fdr_max),
    "averaged network": _averaged,
    "pooled": lambda sent: _graph(sent.pooled, sent.pooled.edges.stability > 0.5),
    "pooled, vote": lambda sent: own_graph(sent.pooled),
}
"""Each way of merging by its name, in the order of the page."""
