"""Votes out of what an experiment set weigh double in weighted means, and once everywhere else."""

import numpy as np
import pytest

from hyperfed.aggregation.catalogue import RULES
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge.rows import COORDINATE_RULES
from hyperfed.packets import CausalSemanticPack
from hyperfed.reconciler.reconcile import Reconciliation, StoreReconciler
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.unit

EDGES = 6
"""0 -> 1 ... 0 -> 6, at lag 0."""
NOTHING = CausalSemanticPack()


def _set(variable: int) -> CausalSemanticPack:
    return CausalSemanticPack(interventions=[{"variable": variable}])


def _client(seed: int, sign: float = 1.0, **beside: object) -> HypergraphStore:
    rng = np.random.default_rng(seed)
    size = np.array([1.0, -0.5, 0.8, -1.2, 0.6, 0.9]) + 0.1 * rng.normal(size=EDGES)
    edges = EdgeTable.build(
        source=np.zeros(EDGES, np.int64),
        target=np.arange(1, EDGES + 1),
        lag=0,
        effect=sign * size,
        confidence=rng.uniform(0.6, 1.0, EDGES),
        stability=rng.uniform(0.6, 1.0, EDGES),
        ci_low=sign * size - 0.2,
        ci_high=sign * size + 0.2,
        n=100,
        hits=10,
    )
    return HypergraphStore(edges=edges, measured=range(EDGES + 1), **beside)


def _merged(rule: StoreReconciler, tried: tuple[int, ...], **options: object) -> Reconciliation:
    """Nine clients, of which those in `tried` set variable 0."""
    stores = [_client(i, semantic=_set(0) if i in tried else NOTHING) for i in range(9)]
    return rule.merge(stores, losses=[0.1 * i for i in range(9)], **options)


def _vote(merged: Reconciliation) -> np.ndarray:
    assert merged.graph.evidence is not None
    assert len(merged.graph.edges) == EDGES
    return np.asarray(merged.graph.evidence.edges.vote)


@pytest.mark.parametrize("name", sorted(set(RULES) - set(COORDINATE_RULES)))
def test_by_every_rule_that_gives_weights_an_experiments_votes_weigh_double(name: str) -> None:
    rule = StoreReconciler(rule=name, vote_min=0.0)
    watched, tried = _merged(rule, ()), _merged(rule, (2, 5))
    np.testing.assert_allclose(tried.weight, watched.weight, atol=1e-9)
    votes = np.array([_client(i).edges.vote for i in range(9)])
    for merged, times in (
        (watched, np.ones(9)),
        (tried, np.where(np.isin(range(9), (2, 5)), 2, 1)),
    ):
        weight = merged.weight * times
        np.testing.assert_allclose(_vote(merged), weight @ votes / weight.sum(), atol=1e-6)
    if name != "krum":  # which takes one client, whose votes count whole whatever they weigh
        assert np.abs(_vote(tried) - _vote(watched)).max() > 1e-4


@pytest.mark.parametrize("strategy", ["mean", "weighted", "union", "intersection"])
def test_in_every_strategy_an_experiments_estimates_weigh_double(strategy: str) -> None:
    rule = StoreReconciler(strategy=strategy, vote_min=0.0)
    watched, tried = _merged(rule, ()), _merged(rule, (2,))
    twice = rule.merge([*(_client(i) for i in range(9)), _client(2)])  # the same client again
    for name in ("effect", "confidence", "stability"):
        own, double, plain = (getattr(one.graph.edges, name) for one in (tried, twice, watched))
        if name != "effect":  # of an effect the spread counts clients, too
            np.testing.assert_allclose(own, double, rtol=1e-6)
        assert np.abs(own - plain).max() > 1e-4, name


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("name", COORDINATE_RULES)
def test_an_order_statistic_counts_an_experiment_once(name: str, *, unequal: bool) -> None:
    """Otherwise f liars who say that they experimented would be as long as 2f."""
    rule = StoreReconciler(rule=name, f=0 if name == "median" else 1, vote_min=0.0)
    base = [1.0, 0.9, 1.0, 0.81, 1.0, 1.0, 0.9, 1.0, 1.0] if unequal else None
    watched = _merged(rule, (), base_weights=base)
    tried = _merged(rule, (0, 1, 2, 5), base_weights=base)
    np.testing.assert_allclose(_vote(tried), _vote(watched), atol=1e-12)
    np.testing.assert_allclose(tried.graph.edges.effect, watched.graph.edges.effect, rtol=1e-9)


@pytest.mark.parametrize("name", ["median", "trimmed-mean"])
def test_an_order_statistic_still_leaves_out_votes_into_what_was_set(name: str) -> None:
    rule = StoreReconciler(rule=name, f=0 if name == "median" else 1, vote_min=0.0)
    silent = [HypergraphStore(measured=range(EDGES + 1), semantic=_set(1)) for _ in range(8)]
    merged = rule.merge([*(_client(i) for i in range(7)), *silent])
    assert merged.graph.evidence is not None
    alone = rule.merge([_client(i) for i in range(7)])
    at = merged.graph.edges.target.tolist().index(1)
    assert merged.graph.evidence.edges.vote[at] == pytest.approx(_vote(alone)[0])


@pytest.mark.parametrize("tried", [False, True])
def test_liars_gain_no_trust_by_saying_that_they_experimented(*, tried: bool) -> None:
    """Four of ten: as judges of double weight they would outnumber the others."""
    pack = _set(0) if tried else NOTHING
    liars = [_client(i, -1.0, semantic=pack) for i in range(4)]
    merged = StoreReconciler().merge([*liars, *(_client(i) for i in range(4, 10))])
    assert merged.trust[:4].max() < 0.05
    assert merged.trust[4:].min() > 0.9
    assert np.sign(merged.graph.edges.effect).tolist() == [1, -1, 1, -1, 1, 1]


def test_honest_experimenters_keep_their_trust_and_are_heard_double() -> None:
    tried = [_client(i, semantic=_set(0)) for i in range(4)]
    merged = StoreReconciler().merge([*tried, *(_client(i) for i in range(4, 10))])
    watched = StoreReconciler().merge([_client(i) for i in range(10)])
    np.testing.assert_allclose(merged.trust, watched.trust, atol=1e-9)
    assert merged.trust.min() > 0.7
    votes = np.array([_client(i).edges.vote for i in range(10)])
    weight = merged.weight * np.where(np.arange(10) < 4, 2, 1)
    np.testing.assert_allclose(_vote(merged), weight @ votes / weight.sum(), atol=1e-6)


def test_a_hyperedge_out_of_what_an_experiment_set_weighs_double() -> None:
    rule = StoreReconciler(bounded=False, vote_min=0.0)
    both = HyperedgeTable.build(
        sources=[[0, 1]], target=[2], lag=[0], effect=[0.5], confidence=1.0, stability=1.0
    )
    silent = HypergraphStore(measured=range(4))
    for pack, vote in ((NOTHING, 1 / 2), (_set(0), 2 / 3), (_set(1), 2 / 3), (_set(3), 1 / 2)):
        seen = HypergraphStore(measured=range(4), hyperedges=both, semantic=pack)
        merged = rule.reconcile([seen, silent])
        assert merged.evidence is not None
        assert merged.evidence.hyperedges is not None
        assert merged.evidence.hyperedges.vote.tolist() == [pytest.approx(vote)]
