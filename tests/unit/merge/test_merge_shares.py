"""Weighted order statistics: a share of a half counts half, copies count like one of their weight,
equal shares are the plain rules.
"""

from fractions import Fraction

import numpy as np
import pytest

from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge.order import median_votes, trimmed_votes
from hyperfed.merge.shares import equal, share_median, share_trimmed
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.unit


def _rows(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(key, vote, share in twelfths, all voters' twelfths) of 30 keys."""
    rng = np.random.default_rng(seed)
    segment = np.sort(rng.integers(0, 30, 200))
    segment[:30] = np.arange(30)
    segment.sort()
    twelfths = rng.integers(1, 13, len(segment))
    return (
        segment,
        rng.integers(-4, 5, len(segment)) / 4,
        twelfths,
        np.bincount(segment, twelfths, 30).astype(int) + rng.integers(0, 40, 30),
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_share_is_so_many_copies(seed: int) -> None:
    """In twelfths every share is a number of copies, and the plain rule on the copies is the
    oracle.
    """
    segment, vote, twelfths, length = _rows(seed)
    for f in (0, 1, 2):
        medians, means = [], []
        for key in range(30):
            mine = segment == key
            line = np.sort(
                np.concatenate(
                    [
                        np.repeat(vote[mine], twelfths[mine]),
                        np.zeros(length[key] - twelfths[mine].sum()),
                    ]
                )
            )
            medians.append(float(np.median(line)))
            inside = line[12 * f : len(line) - 12 * f]
            means.append(float(inside.mean()) if len(inside) else 0.0)
        share = twelfths / 12
        np.testing.assert_allclose(
            share_median(segment, 30, vote, share, length / 12), medians, atol=1e-12
        )
        np.testing.assert_allclose(
            share_trimmed(segment, 30, vote, share, length / 12, f), means, atol=1e-9
        )


def test_equal_shares_are_the_plain_rules() -> None:
    segment, vote, _, _ = _rows(9)
    voters = np.bincount(segment, minlength=30) + 3
    ones = np.ones(len(vote))
    np.testing.assert_allclose(
        share_median(segment, 30, vote, ones, voters.astype(float)),
        median_votes(segment, 30, vote, voters),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        share_trimmed(segment, 30, vote, ones, voters.astype(float), 1),
        trimmed_votes(segment, 30, vote, voters, 1),
        atol=1e-9,
    )
    assert equal(np.array([0.9, 0.0, 0.9]))
    assert not equal(np.array([0.9, 1.0]))


def _graph(effect: float) -> HypergraphStore:
    edges = EdgeTable.build(
        source=[0], target=[1], lag=[1], effect=[effect], confidence=1.0, stability=1.0
    )
    return HypergraphStore(edges=edges, measured=range(2))


@pytest.mark.parametrize(("rule", "f"), [("median", 0), ("trimmed-mean", 1), ("bulyan", 0)])
def test_many_clients_of_one_organisation_are_one_under_coordinate_rules_too(
    rule: str, f: int
) -> None:
    """R-104: three honest clients say +, five of one organisation say -: with a share of a fifth
    each the five are one.
    """
    graphs = [_graph(0.5)] * 3 + [_graph(-0.5)] * 5
    merge = StoreReconciler(rule=rule, f=f).merge
    alone = merge(graphs).graph
    capped = merge(graphs, shares=[1.0] * 3 + [0.2] * 5).graph
    assert (alone.edges.effect < 0).all()
    assert len(capped.edges) == 1
    assert capped.edges.effect[0] > 0
    assert capped.evidence is not None
    assert capped.evidence.edges.vote[0] > 0


def test_late_updates_weigh_less_in_a_median() -> None:
    late = [Fraction(9, 10) ** 3] * 2
    graphs = [_graph(0.5), _graph(0.5), _graph(-0.5), _graph(-0.5)]
    even = StoreReconciler(rule="median").merge(graphs).graph
    assert len(even.edges) == 0  # two against two
    decayed = (
        StoreReconciler(rule="median")
        .merge(graphs, base_weights=[1.0, 1.0, *map(float, late)])
        .graph
    )
    assert decayed.edges.effect.tolist() == [0.5]
