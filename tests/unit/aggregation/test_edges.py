"""The rules on sparse edge tables: order statistics against brute force, weights as on dense
vectors, what f promises about existence and value.
"""

import numpy as np
import pytest

from hyperfed.aggregation import RULES, bounded_trust_dense, build_rule
from hyperfed.aggregation.edge_weights import edge_weights, vote_inner_products
from hyperfed.errors import AggregationError, BreakdownError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge import PairVoters, PatternVoters
from hyperfed.merge.order import (
    held,
    median_effects,
    median_votes,
    trimmed_effects,
    trimmed_votes,
)
from hyperfed.merge.tables import vote_ranges
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.unit


def _ragged(
    seed: int, keys: int = 40, clients: int = 9
) -> tuple[np.ndarray, np.ndarray, list[list[float]], np.ndarray]:
    """(segment, value, the values of each key, how many could have voted), every key with a row."""
    rng = np.random.default_rng(seed)
    values = [list(rng.uniform(-1, 1, int(rng.integers(1, clients + 1)))) for _ in range(keys)]
    segment = np.concatenate([np.full(len(v), k) for k, v in enumerate(values)]).astype(np.int32)
    order = rng.permutation(len(segment))
    voters = np.array([int(rng.integers(len(v), clients + 3)) for v in values])
    return segment[order], np.concatenate(values)[order], values, voters


@pytest.mark.parametrize("seed", range(5))
def test_order_statistics_count_the_silent(seed: int) -> None:
    segment, value, values, voters = _ragged(seed)
    for f in (0, 1, 3):
        whole = [sorted(v + [0.0] * (n - len(v))) for v, n in zip(values, voters, strict=True)]
        trimmed = [np.mean(v[f : len(v) - f]) if len(v) > 2 * f else 0.0 for v in whole]
        np.testing.assert_allclose(
            trimmed_votes(segment, 40, value, voters, f), trimmed, atol=1e-12
        )
        own = [
            np.mean(sorted(v)[f : len(v) - f]) if len(v) > 2 * f else np.median(v) for v in values
        ]
        np.testing.assert_allclose(trimmed_effects(segment, 40, value, f), own, atol=1e-12)
    np.testing.assert_allclose(
        median_votes(segment, 40, value, voters), [np.median(v) for v in whole], atol=1e-12
    )
    np.testing.assert_allclose(
        median_effects(segment, 40, value), [np.median(v) for v in values], atol=1e-12
    )


def test_a_held_effect_lies_within_what_honest_clients_report() -> None:
    effect = np.array([0.5, 0.6, 0.7, 9.0, -9.0, 0.4, 0.1, 0.2])
    segment = np.array([0, 0, 0, 0, 0, 1, 1, 1], np.int32)
    supports = effect > 0
    pooled = held(np.array([3.0, 5.0]), segment, effect, supports, np.ones(2), 1)
    assert pooled.tolist() == [0.7, 0.2]
    # the size is not known, the sign is
    assert held(np.array([3.0, 5.0]), segment, effect, supports, np.ones(2), 2).tolist() == [
        0.5,
        0.1,
    ]
    down = held(
        np.array([-5.0]),
        np.zeros(3, np.int32),
        np.array([-0.3, -0.2, 4.0]),
        np.array([True, True, False]),
        -np.ones(1),
        1,
    )
    assert down.tolist() == [-0.2]


def _dense(clients: int, edges: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    votes = np.clip(rng.uniform(-1, 1, edges) + 0.4 * rng.normal(size=(clients, edges)), -1, 1)
    votes[:2] *= -1
    return votes


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in RULES
        if n not in ("mean", "adaptive", "median", "trimmed-mean", "bulyan", "bounded-trust")
    ],
)
def test_where_all_measured_all_the_weighted_votes_are_the_dense_rule(name: str) -> None:
    votes = _dense(11, 60, 1)
    keys = [np.arange(60, dtype=np.uint64)] * 11
    eligible_voters = PatternVoters(np.ones((60, 11), dtype=bool))
    weight = edge_weights(
        name, 2, vote_ranges(keys, list(votes), eligible_voters), losses=[]
    ).weight
    combined = weight @ votes / weight.sum()
    direct = build_rule(name, f=2).aggregate(votes)
    # a weighted mean keeps the direction, not the shrinking toward 0
    if name == "centered-clipping":
        combined, direct = combined / np.linalg.norm(combined), direct / np.linalg.norm(direct)
    np.testing.assert_allclose(combined, direct, atol=1e-9)


def test_clients_are_compared_on_what_both_could_measure() -> None:
    rng = np.random.default_rng(2)
    could = rng.uniform(size=(80, 6)) < 0.6
    votes = np.where(could.T, rng.uniform(-1, 1, (6, 80)), 0.0)
    keys = [
        np.flatnonzero(c & (v != 0)).astype(np.uint64) for c, v in zip(could.T, votes, strict=True)
    ]
    cast = [v[k.astype(int)] for v, k in zip(votes, keys, strict=True)]
    present = np.unique(np.concatenate(keys)).astype(int)
    eligible_voters = PatternVoters(could)
    inner, squared = vote_inner_products(vote_ranges(keys, cast, eligible_voters))
    for i in range(6):
        for j in range(6):
            both = could[present, i] & could[present, j]
            gap = (votes[i] - votes[j])[present][both]
            assert squared[i, j] == pytest.approx(
                0 if i == j else gap @ gap * len(present) / both.sum()
            )
            assert inner[i, j] == pytest.approx(
                votes[i, present][both] @ votes[j, present][both] * len(present) / both.sum()
            )


def _graphs(effects: list[list[float | None]], *, loss_free: bool = True) -> list[HypergraphStore]:
    """One graph a row; column k is the edge (0, k + 1, 1); None is not reported."""
    graphs = []
    for row in effects:
        there = [k for k, e in enumerate(row) if e is not None]
        edges = EdgeTable.build(
            source=[0] * len(there),
            target=[k + 1 for k in there],
            lag=[1] * len(there),
            effect=[row[k] for k in there],
            confidence=1.0,
            stability=0.9,
        )
        graphs.append(HypergraphStore(edges=edges, measured=range(len(row) + 1)))
    return graphs


def test_an_edge_needs_more_supporters_than_there_may_be_liars() -> None:
    """R-101."""
    rows: list[list[float | None]] = [[0.5, None]] * 4 + [[0.5, 8.0]] * 2
    merged = StoreReconciler(vote_min=0.1, f=2).reconcile(_graphs(rows))
    assert merged.edges.target.tolist() == [1]
    # of nine who agree on a dozen other edges, so that nobody loses weight for the odd one
    for supporters in (1, 2):
        common: list[list[float | None]] = [
            [0.5] * 12 + [0.4 if i < supporters else None] for i in range(9)
        ]
        merged = StoreReconciler(vote_min=0.001, f=1).reconcile(_graphs(common))
        assert (13 in merged.edges.target.tolist()) == (supporters > 1)
    assert StoreReconciler(vote_min=0.1, f=1, rule="median").reconcile(
        _graphs(rows)
    ).edges.target.tolist() == [1]
    assert StoreReconciler(vote_min=0.1, rule="mean").reconcile(
        _graphs(rows)
    ).edges.target.tolist() == [1, 2]


@pytest.mark.parametrize("rule", [r for r in RULES if r not in ("mean", "adaptive")])
def test_two_liars_of_eleven_move_no_effect_beyond_the_honest_ones(rule: str) -> None:
    honest: list[list[float | None]] = [
        [0.5 + 0.01 * i, -0.4 - 0.01 * i, None if i % 3 else 0.3] for i in range(9)
    ]
    graphs = _graphs([*honest, [900.0, -900.0, 900.0], [900.0, -900.0, 900.0]])
    merged = StoreReconciler(vote_min=0.2, rule=rule, f=2).reconcile(graphs)
    effect = dict(zip(merged.edges.target.tolist(), merged.edges.effect.tolist(), strict=True))
    assert 0.5 <= effect[1] <= 0.5801
    assert -0.4801 <= effect[2] <= -0.4
    assert abs(effect.get(3, 0.0)) <= 0.3
    assert set(effect) <= {1, 2, 3}


def test_without_f_bounded_trust_still_drops_far_effects() -> None:
    honest: list[list[float | None]] = [[0.5 + 0.01 * i, -0.4, 0.3] for i in range(8)]
    merged = StoreReconciler().reconcile(_graphs([*honest, [900.0, -0.4, 0.3], [900.0, -0.4, 0.3]]))
    assert merged.edges.effect[0] < 0.6
    assert (
        StoreReconciler(bounded=False)
        .reconcile(_graphs([*honest, [900.0, -0.4, 0.3], [900.0, -0.4, 0.3]]))
        .edges.effect[0]
        > 100
    )


def test_adaptive_takes_the_claims_and_refuses_without() -> None:
    graphs = _graphs([[0.5], [0.7], [0.9]])
    merged = StoreReconciler(rule="adaptive").merge(graphs, losses=[1.0, 2.0, 4.0])
    assert merged.weight.tolist() == [1.0, 0.5, 0.25]
    assert merged.graph.edges.effect[0] == pytest.approx((0.5 + 0.35 + 0.225) / 1.75)
    for losses in (None, [1.0, None, 2.0]):
        with pytest.raises(AggregationError, match="claim no loss"):
            StoreReconciler(rule="adaptive").merge(graphs, losses=losses)


def test_too_few_clients_and_wrong_strategies_are_refused() -> None:
    with pytest.raises(BreakdownError, match="at least 7"):
        StoreReconciler(rule="krum", f=2).reconcile(_graphs([[0.5]] * 6))
    with pytest.raises(AggregationError, match="needs the strategy consensus"):
        StoreReconciler(strategy="union", rule="krum")
    with pytest.raises(AggregationError, match="unknown rule"):
        StoreReconciler(rule="magic")
    with pytest.raises(BreakdownError):
        StoreReconciler(rule="mean", f=1)


def test_bounded_trust_is_the_one_of_the_dense_form() -> None:
    votes = _dense(8, 30, 3)
    keys = [np.arange(30, dtype=np.uint64)] * 8
    eligible_voters = PairVoters([np.array([0], np.uint32)] * 8)
    weights = edge_weights(
        "bounded-trust", 0, vote_ranges(keys, list(votes), eligible_voters), losses=[]
    )
    np.testing.assert_allclose(weights.weight, bounded_trust_dense(votes).weight)
