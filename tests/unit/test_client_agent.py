"""What a client shares: every estimate, and a vote on the strong ones alone."""

from dataclasses import replace

import numpy as np
import pytest

from hyperfed.client_agent import shareable
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.unit

POLICY = PolicyPack(g_min=0.1, stability_min=0.5)
STRONG, SMALL, UNSTABLE, UNSURE = range(4)


def _found() -> EdgeTable:
    """Return four edges: a strong one, one below each threshold, and one without an interval."""
    effect = np.array([0.5, 0.05, 0.4, 0.02])
    half = np.array([0.1, 0.1, 0.1, 0.0])
    return EdgeTable.build(
        source=np.arange(4),
        target=np.arange(1, 5),
        lag=1,
        effect=effect,
        ci_low=effect - half,
        ci_high=effect + half,
        confidence=0.9,
        stability=[0.9, 0.9, 0.2, 0.9],
        hits=9,
        n=50,
    )


def test_weak_edges_travel_as_estimates_without_a_vote() -> None:
    sent = shareable(_found(), POLICY)
    assert sent.source.tolist() == [STRONG, SMALL, UNSTABLE], "without an interval it says nothing"
    assert sent.effect.tolist() == pytest.approx([0.5, 0.05, 0.4])
    assert sent.ci_low is not None
    assert sent.ci_low.tolist() == pytest.approx([0.4, -0.05, 0.3])
    assert sent.n.tolist() == [50, 50, 50]
    for column in (sent.confidence, sent.stability, sent.hits):
        assert (column > 0).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("most", "sources"), [(1, [STRONG]), (2, [STRONG, SMALL]), (100, [STRONG, SMALL, UNSTABLE])]
)
def test_the_plan_bounds_the_rows_and_what_does_not_fit_is_left_out_by_key(
    most: int, sources: list[int]
) -> None:
    """Not by strength: which estimates travel would depend on what they are."""
    sent = shareable(_found(), replace(POLICY, n_proposals=most))
    assert sent.source.tolist() == sources
    assert sent.confidence[0] == pytest.approx(0.9), "an edge that votes has precedence"


def test_what_is_pooled_over_all_estimates_is_not_larger_than_what_is_there() -> None:
    """Of 40 clients that find 0.1 +- 0.1, a third lies above 0.15 and would vote."""
    rng = np.random.default_rng(3)
    policy = PolicyPack(g_min=0.15)
    effects = 0.1 + 0.1 * rng.normal(size=40)
    graphs = []
    for effect in effects.tolist():
        table = EdgeTable.build(
            source=0,
            target=1,
            lag=1,
            effect=[effect],
            ci_low=effect - 0.196,
            ci_high=effect + 0.196,
            confidence=0.9,
            stability=0.9,
        )
        graphs.append(HypergraphStore(edges=shareable(table, policy), measured=[0, 1]))
    pooled = StoreReconciler(vote_min=0.0).reconcile(graphs).edges.effect[0]
    assert pooled == pytest.approx(effects.mean(), abs=0.02)
    assert effects[np.abs(effects) > 0.15].mean() > pooled + 0.05, "what selection would have said"


def test_private_rounds_take_no_row_without_a_vote() -> None:
    policy = replace(POLICY, strategy="mean", trust_min=0.0, privacy="central")
    assert shareable(_found(), policy).source.tolist() == [STRONG]
