"""Numbers of a merge in two layers: what is tested, counted and cut, and what its error rate is."""

from dataclasses import replace

import numpy as np
import pytest

from hyperfed.demo import flip_signs
from hyperfed.hierarchy.layers import Layered, LayerRules, merge_layers
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.unit

KEYS = 40
SIZES = (4, 4, 4, 4, 4)


def _store(effect: np.ndarray, error: float, *, votes: bool = True) -> HypergraphStore:
    at = np.arange(len(effect))
    return HypergraphStore(
        edges=EdgeTable.build(
            source=at,
            target=at + 1,
            lag=np.ones(len(at), int),
            effect=effect,
            ci_low=effect - 1.96 * error,
            ci_high=effect + 1.96 * error,
            confidence=np.full(len(at), 0.9 * votes),
            stability=np.full(len(at), 0.9 * votes),
            n=100,
        ),
        measured=range(len(at) + 1),
    )


def _layered(
    mean: np.ndarray, rng: np.random.Generator, *, cut: str = "fdr", votes: bool = True
) -> Layered:
    """Merge five groups of four clients; groups differ by .05, clients of one by .05 more."""
    stores, groups = {}, {}
    for group, size in enumerate(SIZES):
        of_group = mean + 0.05 * rng.normal(size=len(mean))
        groups[f"g{group}"] = [f"g{group}-{i}" for i in range(size)]
        for client in groups[f"g{group}"]:
            own = of_group + 0.05 * rng.normal(size=len(mean))
            stores[client] = _store(own + 0.1 * rng.normal(size=len(mean)), 0.1, votes=votes)
    return merge_layers(
        StoreReconciler(cut=cut),
        stores,
        groups,
        base_weights=dict.fromkeys(stores, 1.0),
        rules=LayerRules(influence_cap=1.0),
    )


def test_the_global_model_and_each_group_are_cut_by_q_values_where_the_policy_says_so() -> None:
    mean = np.where(np.arange(KEYS) < 5, 1.0, 0.0)
    layered = _layered(mean, np.random.default_rng(1))
    evidence = layered.merged.graph.evidence
    assert evidence is not None
    assert evidence.edges.spread is not None
    assert layered.merged.graph.edges.source.tolist() == [0, 1, 2, 3, 4]
    assert (evidence.edges.spread.q <= 0.05).all()
    for group in layered.groups:
        assert group.graph.evidence is not None
        assert group.graph.evidence.edges.spread is not None
        assert (group.graph.evidence.edges.spread.q <= 0.05).all()
        assert set(range(5)) <= set(group.graph.edges.source.tolist())
    # by votes the same clients, who are sure of everything, leave many more
    assert len(_layered(mean, np.random.default_rng(1), cut="vote").merged.graph.edges) > 5


def test_estimates_without_a_vote_are_tested_among_groups_and_never_stay_by_vote() -> None:
    mean = np.full(KEYS, 1.0)
    assert len(_layered(mean, np.random.default_rng(2), votes=False).merged.graph.edges) == KEYS
    by_vote = _layered(mean, np.random.default_rng(2), cut="vote", votes=False)
    assert len(by_vote.merged.graph.edges) == 0
    assert all(not len(group.graph.edges) for group in by_vote.groups)


def test_counts_by_direction_are_of_clients_and_not_of_groups() -> None:
    layered = _layered(np.full(KEYS, 1.0), np.random.default_rng(3))
    evidence = layered.merged.graph.evidence
    assert evidence is not None
    assert evidence.edges.spread is not None
    assert (evidence.edges.spread.positive == sum(SIZES)).all()
    assert (evidence.edges.spread.negative == 0).all()


def test_noise_among_groups_stays_at_the_nominal_rate() -> None:
    """What the clients of a group share is no finding: hardly a night has a false edge."""
    rng = np.random.default_rng(4)
    wrong = [len(_layered(np.zeros(KEYS), rng).merged.graph.edges) > 0 for _ in range(30)]
    assert np.mean(wrong) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 30)


@pytest.mark.parametrize("fdr_max", [0.05, 1.0])
def test_what_only_clients_without_weight_estimated_is_no_edge(fdr_max: float) -> None:
    """One of five turns every sign, weighs 0, and is the only one that estimated the last edges."""
    rng = np.random.default_rng(5)
    mean = np.where(np.arange(KEYS) < 20, 1.0, 0.0)
    clients = [_store(mean + 0.05 * rng.normal(size=KEYS), 0.1) for _ in range(5)]
    others = [replace(store, edges=store.edges.take(np.arange(20))) for store in clients[:4]]
    liar = replace(clients[4], edges=flip_signs(clients[4].edges))
    reconciler = StoreReconciler(cut="fdr", fdr_max=fdr_max)
    merged = reconciler.merge([*others, liar])
    assert merged.weight[4] == 0.0
    assert merged.graph.edges.source.tolist() == list(range(20))
    assert np.isfinite(merged.graph.edges.effect).all()
