"""Merging by hand-made cases: who votes, what stays, how effects pool, what is refused."""

import numpy as np
import pytest

from hyperfed.errors import AggregationError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.merge import pool_effects, split
from hyperfed.packets import CausalSemanticPack
from hyperfed.reconciler import StoreReconciler, build_reconciler
from hyperfed.tables import EdgeTable, HyperedgeTable
from hyperfed.vocabulary import Vocabulary

pytestmark = pytest.mark.unit


def _store(*rows: tuple, measured: list[int] | None = None, **rest: object) -> HypergraphStore:
    """rows: (source, target, lag, effect, confidence, stability[, standard error])."""
    columns = [np.array([row[i] for row in rows]) for i in range(6)]
    error = np.array([row[6] for row in rows if len(row) > 6])
    interval = {} if len(error) == 0 else {"ci_low": columns[3] - 1.959963984540054 * error, "ci_high": columns[3] + 1.959963984540054 * error}
    names = ("source", "target", "lag", "effect", "confidence", "stability")
    edges = EdgeTable.build(**dict(zip(names, columns, strict=True)), n=100, hits=2, **interval) if rows else EdgeTable.empty()
    return HypergraphStore(edges=edges, measured=measured, **rest)


def _keys(store: HypergraphStore) -> list[tuple[int, int, int]]:
    return list(zip(store.edges.source.tolist(), store.edges.target.tolist(), store.edges.lag.tolist(), strict=True))


def test_not_reporting_is_a_vote_against_only_by_who_measured_both_ends() -> None:
    votes = [_store((0, 1, 1, 2.0, 1.0, 1.0), measured=[0, 1])]
    silent, blind = _store(measured=[0, 1]), _store(measured=[0])
    rule = StoreReconciler(bounded=False, vote_min=0.0)
    for others, vote, voters in (([silent], 0.5, 2), ([blind], 1.0, 1), ([silent, silent, blind], 1 / 3, 3)):
        evidence = rule.reconcile(votes + others).evidence
        assert evidence is not None
        assert evidence.edges.vote[0] == pytest.approx(vote)
        assert evidence.edges.measured_by[0] == voters
        assert evidence.edges.reporting[0] == 1


def test_the_cut_is_inclusive_and_signs_cancel() -> None:
    plus, minus = _store((0, 1, 1, 2.0, 0.6, 0.5)), _store((0, 1, 1, -2.0, 0.6, 0.5))
    assert len(StoreReconciler().reconcile([plus])) == 1
    assert len(StoreReconciler(vote_min=0.3000001).reconcile([plus])) == 0
    assert len(StoreReconciler(vote_min=0.01).reconcile([plus, minus])) == 0
    three = StoreReconciler(vote_min=0.05).merge([plus, plus, minus], client_ids=["a", "b", "c"]).store
    assert three.evidence is not None
    assert three.evidence.edges.support.tolist() == [2]


def test_a_merged_store_votes_with_its_weighted_mean_vote() -> None:
    stores = [_store((0, 1, 1, 2.0, c, s)) for c, s in ((0.9, 0.8), (0.7, 0.9), (1.0, 0.6))] + [_store((0, 1, 1, -2.0, 0.2, 0.2))]
    merged = StoreReconciler(bounded=False).reconcile(stores)
    assert merged.evidence is not None
    np.testing.assert_allclose(merged.edges.vote, merged.evidence.edges.vote, rtol=1e-12)
    again = StoreReconciler().reconcile([merged])
    np.testing.assert_allclose(again.edges.confidence, merged.edges.confidence, rtol=1e-12)


def test_base_weights_and_capped_samples_weigh() -> None:
    plus, minus = _store((0, 1, 1, 2.0, 1.0, 1.0)), _store((0, 1, 1, -2.0, 1.0, 1.0))
    merged = StoreReconciler(vote_min=0.0).merge([plus, minus], base_weights=[0.9, 0.3])
    assert merged.store.evidence is not None
    assert merged.store.evidence.edges.vote[0] == pytest.approx(0.5)
    big = HypergraphStore(edges=EdgeTable.build(source=[0], target=[1], lag=[1], effect=[2.0], confidence=1.0, stability=1.0, n=10**6))
    assert StoreReconciler(n_cap=300).merge([big, minus]).weight.tolist() == [300.0, 100.0]
    assert StoreReconciler(n_cap=300).merge([_store(measured=[0, 1]), minus]).weight.tolist() == [1.0, 100.0]


def test_der_simonian_and_laird_by_hand() -> None:
    effects, errors = np.array([0.1, 0.8, 0.5]), np.array([0.1, 0.2, 0.15])
    merged = StoreReconciler(bounded=False).reconcile([_store((0, 1, 1, y, 1.0, 1.0, e)) for y, e in zip(effects, errors, strict=True)])
    a = 1 / errors**2
    mean = (a * effects).sum() / a.sum()
    q = (a * (effects - mean) ** 2).sum()
    tau2 = (q - 2) / (a.sum() - (a**2).sum() / a.sum())
    b = 1 / (errors**2 + tau2)
    evidence = merged.evidence
    assert evidence is not None
    assert evidence.edges.tau2[0] == pytest.approx(tau2)
    assert evidence.edges.i2[0] == pytest.approx((q - 2) / q)
    assert merged.edges.effect[0] == pytest.approx((b * effects).sum() / b.sum())
    assert evidence.edges.std_error[0] == pytest.approx(b.sum() ** -0.5)
    assert merged.edges.ci_high[0] - merged.edges.effect[0] == pytest.approx(1.959963984540054 * b.sum() ** -0.5)


def test_without_intervals_effects_are_weighted_by_votes() -> None:
    stores = [_store((0, 1, 1, 1.0, 0.9, 1.0)), _store((0, 1, 1, 3.0, 0.3, 1.0))]
    merged = StoreReconciler().reconcile(stores)
    assert merged.edges.effect[0] == pytest.approx((0.9 + 0.9) / 1.2)
    assert merged.edges.ci_low is None
    assert not merged.evidence.edges.pooled[0]  # type: ignore[union-attr]


def test_a_minority_without_intervals_does_not_stop_pooling_and_a_majority_does() -> None:
    known, unknown = _store((0, 1, 1, 1.0, 1.0, 1.0, 0.1)), _store((0, 1, 1, 3.0, 1.0, 1.0))
    assert StoreReconciler().reconcile([known, known, unknown]).edges.effect[0] == pytest.approx(1.0)
    mixed = StoreReconciler(bounded=False).reconcile([known, unknown, unknown])
    assert mixed.edges.effect[0] == pytest.approx(7 / 3)
    assert mixed.edges.ci_low is None


def test_a_zero_width_interval_or_a_huge_effect_does_not_take_over() -> None:
    honest = [_store((0, 1, 1, y, 1.0, 1.0, 0.1)) for y in (1.0, 1.1, 0.9)]
    sure = _store((0, 1, 1, 500.0, 1.0, 1.0, 0.0))
    assert StoreReconciler(bounded=False).reconcile([*honest, sure]).edges.effect[0] == pytest.approx(1.0)
    huge = _store((0, 1, 1, 1e308, 1.0, 1.0, 1e-300))
    assert np.isfinite(StoreReconciler(bounded=False).reconcile([*honest, huge]).edges.effect[0])


def test_equal_effects_pool_to_exactly_themselves() -> None:
    effect = 0.1 + 0.2
    merged = StoreReconciler().reconcile([_store((0, 1, 1, effect, 1.0, 1.0, e)) for e in (0.1, 0.3, 0.7)])
    assert merged.edges.effect[0] == effect


def test_union_intersection_and_weighted() -> None:
    stores = [
        _store((0, 1, 1, 1.0, 0.9, 1.0), (1, 2, 1, 1.0, 0.2, 0.0), measured=[0, 1, 2]),
        _store((0, 1, 1, -1.0, 0.9, 1.0), (2, 0, 1, 1.0, 0.9, 0.9), measured=[0, 1, 2]),
    ]
    assert _keys(build_reconciler("union").reconcile(stores)) == [(0, 1, 1), (1, 2, 1), (2, 0, 1)]
    assert _keys(build_reconciler("intersection").reconcile(stores)) == [(0, 1, 1)]
    assert _keys(build_reconciler("weighted").reconcile(stores)) == [(0, 1, 1), (2, 0, 1)]
    assert _keys(build_reconciler("weighted", vote_min=0.5).reconcile(stores)) == [(0, 1, 1)]


def test_hyperedges_merge_by_the_edges_rule() -> None:
    def hyper(*rows: tuple, measured: list[int]) -> HypergraphStore:
        table = HyperedgeTable.build(
            sources=[r[0] for r in rows], target=[r[1] for r in rows], lag=[1] * len(rows), effect=[r[2] for r in rows], confidence=1.0, stability=1.0, n=5
        )
        return HypergraphStore(hyperedges=table, measured=measured)

    stores = [
        hyper(([0, 1], 3, 1.0), ([0, 1, 2], 3, 2.0), measured=[0, 1, 2, 3]),
        hyper(([0, 1], 3, 3.0), ([1, 2], 3, 1.0), measured=[0, 1, 2, 3]),
        hyper(([0, 1], 3, -1.0), measured=[0, 1, 3]),
    ]
    merged = StoreReconciler(bounded=False).reconcile(stores)
    assert merged.evidence is not None
    evidence = merged.evidence.hyperedges
    assert evidence is not None
    assert merged.hyperedges.sources.tolist() == [0, 1, 1, 2, 0, 1, 2]
    assert merged.hyperedges.offsets.tolist() == [0, 2, 4, 7]
    np.testing.assert_allclose(evidence.vote, [1 / 3, 0.5, 0.5])
    assert evidence.measured_by.tolist() == [3, 2, 2]
    assert evidence.support.tolist() == [2, 1, 1]
    assert evidence.samples.tolist() == [15, 5, 5]
    assert len(StoreReconciler(strategy="intersection").reconcile(stores).hyperedges) == 1
    assert len(StoreReconciler(bounded=False, vote_min=0.4).reconcile(stores).hyperedges) == 2


def test_semantics_merge() -> None:
    packs = [
        CausalSemanticPack(dag_edges=[(0, 1, 1e9), (1, 2, 0.2)], confounders=[2, 5], interventions=[{"do": "x"}]),
        CausalSemanticPack(dag_edges=[(0, 1, -0.4)], confounders=[], interventions=[{"do": "y"}, {"do": "z"}]),
        CausalSemanticPack(),
    ]
    stores = [HypergraphStore(semantic=pack, measured=m) for pack, m in zip(packs, ([0, 1, 2], [0, 1, 2], [0, 2]), strict=True)]
    merged = StoreReconciler().reconcile(stores, client_ids=["c", "a", "b"])
    assert merged.semantic.dag_edges == [(0, 1, pytest.approx(0.3))]
    assert merged.semantic.confounders == [2, 5]
    assert merged.evidence is not None
    assert merged.evidence.confounder_scores == (pytest.approx(1 / 3), 1.0)
    assert [act["do"] for act in merged.semantic.interventions] == ["y", "z", "x"]
    assert merged.evidence.intervention_clients == ("a", "a", "c")
    assert merged.evidence.dag_support == (1,)
    everything = StoreReconciler(strategy="union").reconcile(stores)
    assert [edge[:2] for edge in everything.semantic.dag_edges] == [(0, 1), (1, 2)]
    assert StoreReconciler(strategy="intersection").reconcile(stores).semantic.confounders == []


def test_the_reconciliation_names_clients_in_sorted_order() -> None:
    rng = np.random.default_rng(3)
    truth = rng.choice([-1.0, 1.0], 30)
    stores = []
    for i in range(7):
        effect = (truth + 0.1 * rng.normal(size=30)) * (-1 if i == 2 else 1)
        stores.append(_store(*[(j, j + 1, 1, effect[j], 0.9, 0.9) for j in range(30)]))
    result = StoreReconciler().merge(stores, client_ids=list("gfedcba"), base_weights=[0.5] + [1.0] * 6)
    assert result.clients == tuple("abcdefg")
    assert result.trust[result.clients.index("e")] == 0.0
    assert result.agreement[result.clients.index("e")] < -0.9
    assert result.weight[-1] == 0.5 * result.trust[-1]
    assert result.store.evidence is not None
    assert result.store.evidence.edges.reporting.max() == 6
    assert StoreReconciler(strategy="union").merge(stores).trust.tolist() == [1.0] * 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stores": []}, "nothing to merge"),
        ({"client_ids": ["a", "a"]}, "1 different client ids for 2 stores"),
        ({"client_ids": ["a"]}, "1 different client ids"),
        ({"base_weights": [1.0]}, "1 base weights for 2 stores"),
        ({"base_weights": [1.0, 0.0]}, "0000001.*Leave out"),
        ({"base_weights": [float("nan"), 1.0]}, "0000000"),
    ],
)
def test_merges_without_a_sound_answer_are_refused(change: dict, words: str) -> None:
    arguments = {"stores": [_store((0, 1, 1, 1.0, 1.0, 1.0))] * 2} | change
    with pytest.raises(AggregationError, match=words):
        StoreReconciler().reconcile(**arguments)


def test_stores_of_different_vocabularies_are_refused_with_both_digests() -> None:
    stores = [_store((0, 1, 1, 1.0, 1.0, 1.0), vocabulary=v) for v in (Vocabulary.of("a", "b"), Vocabulary.of("a", "c"), None)]
    with pytest.raises(AggregationError) as caught:
        StoreReconciler().reconcile(stores[:2], client_ids=["x", "y"])
    assert Vocabulary.of("a", "b").digest.hex()[:16] in str(caught.value)
    assert Vocabulary.of("a", "c").digest.hex()[:16] in str(caught.value)
    with pytest.raises(AggregationError, match="none"):
        StoreReconciler().reconcile(stores[::2])


@pytest.mark.parametrize("options", [{"strategy": "vibes"}, {"vote_min": 1.5}, {"vote_min": float("nan")}, {"n_cap": -1}])
def test_impossible_rules_are_refused(options: dict) -> None:
    with pytest.raises(AggregationError):
        StoreReconciler(**options)


def test_all_ways_of_numbering_keys_agree() -> None:
    rng = np.random.default_rng(0)
    narrow = [np.sort(rng.choice(500, 200, replace=False)).astype(np.uint64) for _ in range(5)]
    for spread in (np.uint64(1), np.uint64(1 << 30), np.uint64(36028797018963967)):  # dense table, sort, argsort
        keys = [np.sort(k * spread) for k in narrow]
        for rows_a_part in (1 << 18, 100):
            seen = np.concatenate([part.keys for part in split(keys, rows_a_part=rows_a_part)])
            np.testing.assert_array_equal(seen, np.unique(np.concatenate(keys)))
            for part in split(keys, rows_a_part=rows_a_part):
                np.testing.assert_array_equal(part.keys[part.segment], part.gather(keys))
    assert len(list(split(narrow, rows_a_part=100))) > 1


def test_pooling_without_any_interval_or_vote_is_the_weighted_mean() -> None:
    segment = np.array([0, 1, 0], dtype=np.int32)
    pooled = pool_effects(segment, 2, effect=np.array([1.0, 5.0, 4.0]), vote=np.zeros(3), weight=np.array([1.0, 1.0, 2.0]), width=None)
    np.testing.assert_allclose(pooled.effect, [3.0, 5.0])
