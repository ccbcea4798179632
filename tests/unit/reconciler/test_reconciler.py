"""Merging by hand-made cases: who votes, what stays, how effects pool, what is refused."""

import numpy as np
import pytest

from hyperfed.codec import PayloadCodec
from hyperfed.config import MAX_EFFECT
from hyperfed.errors import AggregationError, BoundsError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge import pool_effects
from hyperfed.merge.segments import cuts, number, rows_between
from hyperfed.packets import CausalSemanticPack, Update
from hyperfed.reconciler.reconcile import StoreReconciler, build_reconciler
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.unit


def _graph(*rows: tuple, measured: list[int] | None = None, **rest: object) -> HypergraphStore:
    """rows: (source, target, lag, effect, confidence, stability[, standard error])."""
    columns = [np.array([row[i] for row in rows]) for i in range(6)]
    error = np.array([row[6] for row in rows if len(row) > 6])
    interval = (
        {}
        if len(error) == 0
        else {
            "ci_low": columns[3] - 1.959963984540054 * error,
            "ci_high": columns[3] + 1.959963984540054 * error,
        }
    )
    names = ("source", "target", "lag", "effect", "confidence", "stability")
    edges = (
        EdgeTable.build(**dict(zip(names, columns, strict=True)), n=100, hits=2, **interval)
        if rows
        else EdgeTable.empty()
    )
    return HypergraphStore(edges=edges, measured=measured, **rest)


def _keys(graph: HypergraphStore) -> list[tuple[int, int, int]]:
    return list(
        zip(
            graph.edges.source.tolist(),
            graph.edges.target.tolist(),
            graph.edges.lag.tolist(),
            strict=True,
        )
    )


def test_not_reporting_is_a_vote_against_only_by_who_measured_both_ends() -> None:
    votes = [_graph((0, 1, 1, 2.0, 1.0, 1.0), measured=[0, 1])]
    silent, blind = _graph(measured=[0, 1]), _graph(measured=[0])
    rule = StoreReconciler(bounded=False, vote_min=0.0)
    for others, vote, voters in (
        ([silent], 0.5, 2),
        ([blind], 1.0, 1),
        ([silent, silent, blind], 1 / 3, 3),
    ):
        evidence = rule.reconcile(votes + others).evidence
        assert evidence is not None
        assert evidence.edges.vote[0] == pytest.approx(vote)
        assert evidence.edges.measured_by[0] == voters
        assert evidence.edges.reporting[0] == 1


def test_not_looking_at_a_lag_is_no_vote_against_its_edges() -> None:
    votes = [_graph((0, 1, 1, 1.0, 1.0, 1.0), (0, 1, 2, 2.0, 1.0, 1.0), measured=[0, 1])]
    short = _graph((0, 1, 1, 1.0, 1.0, 1.0), measured=[0, 1], lags=(1,))
    silent = _graph((0, 1, 1, 1.0, 1.0, 1.0), measured=[0, 1], lags=(1, 2))
    rule = StoreReconciler(bounded=False, vote_min=0.0)
    for others, vote, voters in (([short] * 3, 1.0, 1), ([silent, short, short], 0.5, 2)):
        merged = rule.reconcile(votes + others)
        assert merged.evidence is not None
        assert merged.evidence.edges.vote.tolist() == pytest.approx([1.0, vote])
        assert merged.evidence.edges.measured_by.tolist() == [4, voters]
        assert merged.lags is None, "one of them looked at all"
    assert rule.reconcile([short, silent]).lags == (1, 2)
    kept = StoreReconciler(bounded=False).merge([*votes, short, short, short, silent]).graph
    assert _keys(kept) == [(0, 1, 1), (0, 1, 2)], "one of two that looked at lag 2 has it"


def test_a_hyperedge_has_the_voters_of_its_lag_and_a_dag_edge_those_of_its_pair() -> None:
    hyper = HyperedgeTable.build(
        sources=[[0, 1]], target=[2], lag=[2], effect=[1.0], confidence=1.0, stability=1.0
    )
    semantic = CausalSemanticPack(dag_edges=[(0, 1, 1.0)])
    one = HypergraphStore(hyperedges=hyper, semantic=semantic, measured=[0, 1, 2])
    for lags, hyper_vote in (((1,), 1.0), ((1, 2), 0.5)):
        silent = HypergraphStore(measured=[0, 1, 2], lags=lags)
        merged = StoreReconciler(bounded=False, vote_min=0.0).reconcile([one, silent])
        assert merged.evidence is not None
        assert merged.evidence.hyperedges is not None
        assert merged.evidence.hyperedges.vote.tolist() == [hyper_vote]
        assert merged.semantic.dag_edges[0][2] == 0.5


def test_the_cut_is_inclusive_and_signs_cancel() -> None:
    plus, minus = _graph((0, 1, 1, 2.0, 0.6, 0.5)), _graph((0, 1, 1, -2.0, 0.6, 0.5))
    assert len(StoreReconciler().reconcile([plus])) == 1
    assert len(StoreReconciler(vote_min=0.3000001).reconcile([plus])) == 0
    assert len(StoreReconciler(vote_min=0.01).reconcile([plus, minus])) == 0
    three = (
        StoreReconciler(vote_min=0.05).merge([plus, plus, minus], client_ids=["a", "b", "c"]).graph
    )
    assert three.evidence is not None
    assert three.evidence.edges.support.tolist() == [2]


def test_a_merged_store_votes_with_its_weighted_mean_vote() -> None:
    graphs = [_graph((0, 1, 1, 2.0, c, s)) for c, s in ((0.9, 0.8), (0.7, 0.9), (1.0, 0.6))] + [
        _graph((0, 1, 1, -2.0, 0.2, 0.2))
    ]
    merged = StoreReconciler(bounded=False).reconcile(graphs)
    assert merged.evidence is not None
    np.testing.assert_allclose(merged.edges.vote, merged.evidence.edges.vote, rtol=1e-12)
    again = StoreReconciler().reconcile([merged])
    np.testing.assert_allclose(again.edges.confidence, merged.edges.confidence, rtol=1e-12)


def test_base_weights_and_capped_samples_weigh() -> None:
    plus, minus = _graph((0, 1, 1, 2.0, 1.0, 1.0)), _graph((0, 1, 1, -2.0, 1.0, 1.0))
    merged = StoreReconciler(vote_min=0.0).merge([plus, minus], base_weights=[0.9, 0.3])
    assert merged.graph.evidence is not None
    assert merged.graph.evidence.edges.vote[0] == pytest.approx(0.5)
    big = HypergraphStore(
        edges=EdgeTable.build(
            source=[0], target=[1], lag=[1], effect=[2.0], confidence=1.0, stability=1.0, n=10**6
        )
    )
    assert StoreReconciler(n_cap=300).merge([big, minus]).weight.tolist() == [300.0, 100.0]
    assert StoreReconciler(n_cap=300).merge([_graph(measured=[0, 1]), minus]).weight.tolist() == [
        1.0,
        100.0,
    ]


def test_the_spread_between_clients_by_hand() -> None:
    """DerSimonian and Laird's, with Q over the median of its chi-square (rule 1 of pooling)."""
    # none outweighs the others together
    effects, errors = np.array([0.1, 0.8, 0.5]), np.array([0.16, 0.2, 0.15])
    merged = StoreReconciler(bounded=False).reconcile(
        [_graph((0, 1, 1, y, 1.0, 1.0, e)) for y, e in zip(effects, errors, strict=True)]
    )
    a = 1 / errors**2
    mean = (a * effects).sum() / a.sum()
    q = (a * (effects - mean) ** 2).sum() / (1 - 2 / (9 * 2)) ** 3
    tau2 = (q - 2) / (a.sum() - (a**2).sum() / a.sum())
    b = 1 / (errors**2 + tau2)
    evidence = merged.evidence
    assert evidence is not None
    assert evidence.edges.tau2[0] == pytest.approx(tau2)
    assert evidence.edges.i2[0] == pytest.approx((q - 2) / q)
    assert merged.edges.effect[0] == pytest.approx((b * effects).sum() / b.sum())
    # Hartung, Knapp, Sidik and Jonkman, never below the usual error; t with two degrees
    pooled = (b * effects).sum() / b.sum()
    ratio = max(1.0, (b * (effects - pooled) ** 2).sum() / 2)
    error = (ratio / b.sum()) ** 0.5
    assert evidence.edges.std_error[0] == pytest.approx(error)
    assert merged.edges.ci_high[0] - merged.edges.effect[0] == pytest.approx(
        4.302652729911275 * error
    )
    spread = evidence.edges.spread
    assert spread is not None
    # k - 2 degrees: one
    assert spread.predict_high[0] - pooled == pytest.approx(
        12.706204736432095 * (tau2 + error**2) ** 0.5
    )
    without = [
        (np.delete(b, i) * np.delete(effects, i)).sum() / np.delete(b, i).sum() for i in range(3)
    ]
    assert (spread.without_low[0], spread.without_high[0]) == pytest.approx(
        (min(without), max(without))
    )
    assert (spread.positive[0], spread.negative[0]) == (3, 0)


def test_without_intervals_effects_are_weighted_by_votes() -> None:
    graphs = [_graph((0, 1, 1, 1.0, 0.9, 1.0)), _graph((0, 1, 1, 3.0, 0.3, 1.0))]
    merged = StoreReconciler().reconcile(graphs)
    assert merged.edges.effect[0] == pytest.approx((0.9 + 0.9) / 1.2)
    assert merged.edges.ci_low is None
    assert not merged.evidence.edges.pooled[0]  # type: ignore[union-attr]


def test_a_minority_without_intervals_does_not_stop_pooling_and_a_majority_does() -> None:
    known, unknown = _graph((0, 1, 1, 1.0, 1.0, 1.0, 0.1)), _graph((0, 1, 1, 3.0, 1.0, 1.0))
    assert StoreReconciler().reconcile([known, known, unknown]).edges.effect[0] == pytest.approx(
        1.0
    )
    mixed = StoreReconciler(bounded=False).reconcile([known, unknown, unknown])
    assert mixed.edges.effect[0] == pytest.approx(7 / 3)
    assert mixed.edges.ci_low is None


@pytest.mark.parametrize("strategy", ["consensus", "union", "mean"])
def test_an_edge_without_interval_leaves_the_others_theirs(strategy: str) -> None:
    known = _graph((0, 1, 1, 1.0, 1.0, 1.0, 0.1), measured=[0, 1, 2])
    mixed = _graph((0, 1, 1, 1.2, 1.0, 1.0, 0.1), (1, 2, 1, 2.0, 1.0, 1.0, 0.0), measured=[0, 1, 2])
    merged = build_reconciler(strategy).reconcile([known, mixed, mixed])
    first, second = merged.edges.rows()
    half = 4.302652729911275 * merged.evidence.edges.std_error[0]
    assert (first["ci_low"], first["ci_high"]) == pytest.approx(
        (first["effect"] - half, first["effect"] + half)
    )
    assert (second["ci_low"], second["ci_high"]) == (None, None)
    assert merged.edges.ci_low[1] == merged.edges.effect[1] == merged.edges.ci_high[1], (
        "on the wire: no width"
    )
    assert merged.evidence.edges.pooled.tolist() == [True, False]
    again = PayloadCodec().decode(
        PayloadCodec(compression="zstd").encode(Update(measured=[0, 1, 2], edges=merged.edges)),
        Update,
    )
    assert again.edges == merged.edges


def test_a_zero_width_interval_or_a_huge_effect_does_not_take_over() -> None:
    honest = [_graph((0, 1, 1, y, 1.0, 1.0, 0.1)) for y in (1.0, 1.1, 0.9)]
    sure = _graph((0, 1, 1, 500.0, 1.0, 1.0, 0.0))
    assert StoreReconciler(bounded=False).reconcile([*honest, sure]).edges.effect[
        0
    ] == pytest.approx(1.0)
    huge = _graph((0, 1, 1, MAX_EFFECT, 1.0, 1.0, 1e-300))
    assert np.isfinite(StoreReconciler(bounded=False).reconcile([*honest, huge]).edges.effect[0])
    with pytest.raises(BoundsError, match=r"0000003: edges.effect.*R-99"):
        StoreReconciler(bounded=False).reconcile(
            [*honest, _graph((0, 1, 1, 2 * MAX_EFFECT, 1.0, 1.0))]
        )


def test_equal_effects_pool_to_exactly_themselves() -> None:
    effect = 0.1 + 0.2
    merged = StoreReconciler().reconcile(
        [_graph((0, 1, 1, effect, 1.0, 1.0, e)) for e in (0.1, 0.3, 0.7)]
    )
    assert merged.edges.effect[0] == effect


def test_union_intersection_and_weighted() -> None:
    graphs = [
        _graph((0, 1, 1, 1.0, 0.9, 1.0), (1, 2, 1, 1.0, 0.2, 0.5), measured=[0, 1, 2]),
        _graph((0, 1, 1, -1.0, 0.9, 1.0), (2, 0, 1, 1.0, 0.9, 0.9), measured=[0, 1, 2]),
    ]
    assert _keys(build_reconciler("union").reconcile(graphs)) == [(0, 1, 1), (1, 2, 1), (2, 0, 1)]
    assert _keys(build_reconciler("intersection").reconcile(graphs)) == [(0, 1, 1)]
    assert _keys(build_reconciler("weighted").reconcile(graphs)) == [(0, 1, 1), (2, 0, 1)]
    assert _keys(build_reconciler("weighted", vote_min=0.5).reconcile(graphs)) == [(0, 1, 1)]


def test_hyperedges_merge_by_the_edges_rule() -> None:
    def hyper(*rows: tuple, measured: list[int]) -> HypergraphStore:
        table = HyperedgeTable.build(
            sources=[r[0] for r in rows],
            target=[r[1] for r in rows],
            lag=[1] * len(rows),
            effect=[r[2] for r in rows],
            confidence=1.0,
            stability=1.0,
            n=5,
        )
        return HypergraphStore(hyperedges=table, measured=measured)

    graphs = [
        hyper(([0, 1], 3, 1.0), ([0, 1, 2], 3, 2.0), measured=[0, 1, 2, 3]),
        hyper(([0, 1], 3, 3.0), ([1, 2], 3, 1.0), measured=[0, 1, 2, 3]),
        hyper(([0, 1], 3, -1.0), measured=[0, 1, 3]),
    ]
    merged = StoreReconciler(bounded=False).reconcile(graphs)
    assert merged.evidence is not None
    evidence = merged.evidence.hyperedges
    assert evidence is not None
    assert merged.hyperedges.sources.tolist() == [0, 1, 1, 2, 0, 1, 2]
    assert merged.hyperedges.offsets.tolist() == [0, 2, 4, 7]
    np.testing.assert_allclose(evidence.vote, [1 / 3, 0.5, 0.5])
    assert evidence.measured_by.tolist() == [3, 2, 2]
    assert evidence.support.tolist() == [2, 1, 1]
    assert evidence.samples.tolist() == [15, 5, 5]
    assert len(StoreReconciler(strategy="intersection").reconcile(graphs).hyperedges) == 1
    assert len(StoreReconciler(bounded=False, vote_min=0.4).reconcile(graphs).hyperedges) == 2


def test_semantics_merge() -> None:
    packs = [
        CausalSemanticPack(
            dag_edges=[(0, 1, 1e9), (1, 2, 0.2)], confounders=[2, 5], interventions=[{"do": "x"}]
        ),
        CausalSemanticPack(
            dag_edges=[(0, 1, -0.4)], confounders=[], interventions=[{"do": "y"}, {"do": "z"}]
        ),
        CausalSemanticPack(),
    ]
    graphs = [
        HypergraphStore(semantic=pack, measured=m)
        for pack, m in zip(packs, ([0, 1, 2], [0, 1, 2], [0, 2]), strict=True)
    ]
    merged = StoreReconciler().reconcile(graphs, client_ids=["c", "a", "b"])
    assert merged.semantic.dag_edges == [(0, 1, pytest.approx(0.3))]
    assert merged.semantic.confounders == [2, 5]
    assert merged.evidence is not None
    assert merged.evidence.confounder_scores == (pytest.approx(1 / 3), 1.0)
    assert [act["do"] for act in merged.semantic.interventions] == ["y", "z", "x"]
    assert merged.evidence.intervention_clients == ("a", "a", "c")
    assert merged.evidence.dag_support == (1,)
    everything = StoreReconciler(strategy="union").reconcile(graphs)
    assert [edge[:2] for edge in everything.semantic.dag_edges] == [(0, 1), (1, 2)]
    assert StoreReconciler(strategy="intersection").reconcile(graphs).semantic.confounders == []


def test_the_reconciliation_names_clients_in_sorted_order() -> None:
    rng = np.random.default_rng(3)
    truth = rng.choice([-1.0, 1.0], 30)
    graphs = []
    for i in range(7):
        effect = (truth + 0.1 * rng.normal(size=30)) * (-1 if i == 2 else 1)
        graphs.append(_graph(*[(j, j + 1, 1, effect[j], 0.9, 0.9) for j in range(30)]))
    result = StoreReconciler().merge(
        graphs, client_ids=list("gfedcba"), base_weights=[0.5] + [1.0] * 6
    )
    assert result.clients == tuple("abcdefg")
    assert result.trust[result.clients.index("e")] == 0.0
    assert result.agreement[result.clients.index("e")] < -0.9
    assert result.weight[-1] == 0.5 * result.trust[-1]
    assert result.graph.evidence is not None
    assert result.graph.evidence.edges.reporting.max() == 6
    assert StoreReconciler(strategy="union").merge(graphs).trust.tolist() == [1.0] * 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"graphs": []}, "nothing to merge"),
        ({"client_ids": ["a", "a"]}, "1 different client ids for 2 graphs"),
        ({"client_ids": ["a"]}, "1 different client ids"),
        ({"base_weights": [1.0]}, "1 base weights for 2 graphs"),
        ({"base_weights": [1.0, 0.0]}, "0000001.*Leave out"),
        ({"base_weights": [float("nan"), 1.0]}, "0000000"),
    ],
)
def test_merges_without_a_sound_answer_are_refused(change: dict, words: str) -> None:
    arguments = {"graphs": [_graph((0, 1, 1, 1.0, 1.0, 1.0))] * 2} | change
    with pytest.raises(AggregationError, match=words):
        StoreReconciler().reconcile(**arguments)


def test_stores_of_different_vocabularies_are_refused_with_both_digests() -> None:
    graphs = [
        _graph((0, 1, 1, 1.0, 1.0, 1.0), vocabulary=v)
        for v in (Vocabulary.of("a", "b"), Vocabulary.of("a", "c"), None)
    ]
    with pytest.raises(AggregationError) as caught:
        StoreReconciler().reconcile(graphs[:2], client_ids=["x", "y"])
    assert Vocabulary.of("a", "b").digest.hex()[:16] in str(caught.value)
    assert Vocabulary.of("a", "c").digest.hex()[:16] in str(caught.value)
    with pytest.raises(AggregationError, match="none"):
        StoreReconciler().reconcile(graphs[::2])


@pytest.mark.parametrize(
    "options", [{"strategy": "vibes"}, {"vote_min": 1.5}, {"vote_min": float("nan")}, {"n_cap": -1}]
)
def test_impossible_rules_are_refused(options: dict) -> None:
    with pytest.raises(AggregationError):
        StoreReconciler(**options)


def test_all_ways_of_numbering_keys_agree() -> None:
    rng = np.random.default_rng(0)
    narrow = [np.sort(rng.choice(500, 200, replace=False)).astype(np.uint64) for _ in range(5)]
    # dense table, sort, argsort
    for spread in (np.uint64(1), np.uint64(1 << 30), np.uint64(36028797018963967)):
        keys = [np.sort(k * spread) for k in narrow]
        for rows_a_part in (1 << 18, 100):
            seen = []
            for low, high in cuts(keys, rows_a_part=rows_a_part):
                rows = rows_between(keys, low, high)
                own, segment = number(rows)
                np.testing.assert_array_equal(own[segment], rows)
                seen.append(own)
            np.testing.assert_array_equal(np.concatenate(seen), np.unique(np.concatenate(keys)))
    assert len(cuts(narrow, rows_a_part=100)) > 1


def test_pooling_without_any_interval_or_vote_is_the_weighted_mean() -> None:
    segment = np.array([0, 1, 0], dtype=np.int32)
    pooled = pool_effects(
        segment,
        2,
        effect=np.array([1.0, 5.0, 4.0]),
        vote=np.zeros(3),
        weight=np.array([1.0, 1.0, 2.0]),
        width=None,
    )
    np.testing.assert_allclose(pooled.effect, [3.0, 5.0])


def _set(variable: int) -> CausalSemanticPack:
    return CausalSemanticPack(interventions=[{"variable": variable}])


def test_an_edge_into_what_an_experiment_set_carries_no_vote() -> None:
    """Without a vote of its own, and none against what others report."""
    rule = StoreReconciler(bounded=False, vote_min=0.0)
    seen = _graph((0, 1, 1, 2.0, 1.0, 1.0), measured=[0, 1])
    silent = _graph(measured=[0, 1], semantic=_set(1))
    merged = rule.reconcile([seen, silent])
    assert merged.evidence is not None
    assert merged.evidence.edges.vote.tolist() == [1.0]
    assert merged.evidence.edges.measured_by.tolist() == [1]
    loud = _graph((0, 1, 1, -2.0, 1.0, 1.0), measured=[0, 1], semantic=_set(1))
    merged = rule.reconcile([seen, loud])
    assert merged.evidence is not None
    assert merged.evidence.edges.vote.tolist() == [1.0]
    assert merged.edges.effect.tolist() == [2.0]
    assert _keys(rule.reconcile([_graph(measured=[0, 1]), loud])) == []


def test_an_edge_out_of_what_an_experiment_set_weighs_double() -> None:
    rule = StoreReconciler(bounded=False, vote_min=0.0)
    seen = _graph((0, 1, 1, 2.0, 1.0, 1.0), measured=[0, 1])
    silent = _graph(measured=[0, 1])
    for pack, vote in ((CausalSemanticPack(), 1 / 2), (_set(0), 2 / 3)):
        tried = _graph((0, 1, 1, 2.0, 1.0, 1.0), measured=[0, 1], semantic=pack)
        merged = rule.reconcile([tried, silent])
        assert merged.evidence is not None
        assert merged.evidence.edges.vote.tolist() == [pytest.approx(vote)]
    against = rule.reconcile([seen, _graph(measured=[0, 1], semantic=_set(0))])
    assert against.evidence is not None
    assert against.evidence.edges.vote.tolist() == [pytest.approx(1 / 3)]
    plain = rule.reconcile([seen, silent])
    other = rule.reconcile([seen, _graph(measured=[0, 1], semantic=_set(5))])
    assert plain.edges == other.edges, "what was not measured was not set"


def test_what_one_client_set_is_not_set_for_its_whole_group() -> None:
    rule = StoreReconciler(bounded=False, vote_min=0.0)
    watched = _graph((0, 1, 1, 2.0, 1.0, 1.0), measured=[0, 1])
    group = rule.reconcile([watched, _graph(measured=[0, 1], semantic=_set(1))])
    assert group.semantic.intervened == (1,), "it is told"
    assert group.intervened == ()
    merged = rule.reconcile([group, _graph(measured=[0, 1])])
    assert merged.evidence is not None
    assert merged.evidence.edges.vote.tolist() == [pytest.approx(0.5)]


def test_a_hyperedge_into_what_an_experiment_set_carries_no_vote_against_it() -> None:
    rule = StoreReconciler(bounded=False, vote_min=0.0)
    both = HyperedgeTable.build(
        sources=[[0, 1]], target=[2], lag=[0], effect=[0.5], confidence=1.0, stability=1.0
    )
    seen = _graph(measured=[0, 1, 2], hyperedges=both)
    for pack, vote in ((CausalSemanticPack(), 0.5), (_set(2), 1.0)):
        merged = rule.reconcile([seen, _graph(measured=[0, 1, 2], semantic=pack)])
        assert merged.evidence is not None
        assert merged.evidence.hyperedges is not None
        assert merged.evidence.hyperedges.vote.tolist() == [vote]
