"""Each attack does what its source says, as vectors and as edge tables, and its honest twin is what
the liars' own data say.
"""

import numpy as np
import pytest

from hyperfed.config import MAX_EFFECT
from hyperfed.errors import AggregationError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.simulator.attackers import ATTACKS, build_attack
from hyperfed.simulator.attackers.attack import effect_matrix
from hyperfed.tables.columns import check_size
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.attack


@pytest.fixture
def night() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=30)
    return truth + 0.3 * rng.normal(size=(14, 30)), truth + 0.3 * rng.normal(size=(6, 30))


def _sent(name: str, night: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return build_attack(name).vectors(*night, np.random.default_rng(1))


def test_every_attack_is_known_by_name_and_repeats(night: tuple[np.ndarray, np.ndarray]) -> None:
    assert len(ATTACKS) == 15
    for name in ATTACKS:
        sent = _sent(name, night)
        assert sent.shape == (6, 30)
        np.testing.assert_array_equal(sent, _sent(name, night))
        assert not np.array_equal(sent, night[1])
    with pytest.raises(AggregationError, match="unknown attack"):
        build_attack("kindness")


def test_what_each_sends(night: tuple[np.ndarray, np.ndarray]) -> None:
    honest, own = night
    mean = honest.mean(axis=0)
    np.testing.assert_array_equal(_sent("sign-flip", night), -own)
    np.testing.assert_array_equal(_sent("scaling", night), 10 * own)
    assert abs(_sent("gaussian", night).std() / (3 * honest.std()) - 1) < 0.2
    alie = (mean - _sent("alie", night)[0]) / honest.std(axis=0)
    assert np.ptp(alie) < 1e-9
    # n = 20, 6 liars: 5 supporters of 14 needed, quantile of 9/14
    assert alie[0] == pytest.approx(0.3661, abs=1e-3)
    np.testing.assert_allclose(_sent("ipm", night)[3], -0.6 * mean)
    mimic = _sent("mimic", night)[0]
    assert any(np.array_equal(mimic, row) for row in honest)
    assert ((mimic - mean) ** 2).sum() == ((honest - mean) ** 2).sum(axis=1).max()
    assert np.isnan(_sent("nan", night)).all()
    assert np.ptp(_sent("collusion", night), axis=0).max() == 0
    assert (_sent("omission", night) == 0).sum() == 6 * 15
    np.testing.assert_allclose(_sent("tiny-interval", night)[2], 1.5 * mean)
    huge = _sent("huge-effect", night)
    at = np.abs(mean).argmax()
    np.testing.assert_array_equal(huge[:, at], np.full(6, np.copysign(1e16, mean[at])))
    np.testing.assert_array_equal(np.delete(huge, at, axis=1), np.delete(own, at, axis=1))


def test_min_max_and_min_sum_go_exactly_as_far_as_they_may(
    night: tuple[np.ndarray, np.ndarray],
) -> None:
    honest, _ = night
    gaps = ((honest[:, None] - honest[None]) ** 2).sum(axis=2)
    lie = _sent("min-max", night)[0]
    assert ((honest - lie) ** 2).sum(axis=1).max() == pytest.approx(gaps.max(), rel=1e-4)
    lie = _sent("min-sum", night)[0]
    assert ((honest - lie) ** 2).sum() == pytest.approx(gaps.sum(axis=1).max(), rel=1e-4)
    assert (lie - honest.mean(axis=0)) @ honest.mean(axis=0) < 0


def _graphs(rows: np.ndarray) -> list[HypergraphStore]:
    n = rows.shape[1]
    return [
        HypergraphStore(
            edges=EdgeTable.build(
                source=np.arange(n),
                target=np.arange(1, n + 1),
                lag=[1] * n,
                effect=row,
                confidence=0.8,
                stability=0.7,
                n=50,
            ),
            measured=range(n + 1),
        )
        for row in rows
    ]


@pytest.mark.parametrize("name", [n for n in ATTACKS if n not in ("nan", "reversal")])
def test_on_tables_an_attack_is_the_one_on_vectors(
    name: str, night: tuple[np.ndarray, np.ndarray]
) -> None:
    honest, own = _graphs(night[0]), _graphs(night[1])
    sent = build_attack(name).graphs(honest, own, np.random.default_rng(1))
    _, effects = effect_matrix(sent)
    expected = _sent(name, night)
    # what nobody sends has no row
    np.testing.assert_allclose(effects, expected[:, (expected != 0).any(axis=0)])
    assert all(graph.edges.confidence.min() == 1.0 for graph in sent)


def test_reversed_edges_and_numbers_too_large(night: tuple[np.ndarray, np.ndarray]) -> None:
    own = _graphs(night[1])
    sent = build_attack("reversal").graphs([], own, np.random.default_rng(0))
    assert (sent[0].edges.source == own[0].edges.target[np.argsort(own[0].edges.target)]).all()
    assert (sent[0].edges.target == sent[0].edges.source - 1).all()
    assert (
        build_attack("nan").graphs([], own, np.random.default_rng(0))[0].edges.effect.max()
        == MAX_EFFECT
    )


def test_tiny_intervals_are_those_of_edges_that_most_honest_clients_report() -> None:
    honest = _graphs(np.ones((5, 10)))
    honest = [
        graph
        if i < 2
        else HypergraphStore(edges=graph.edges.take(slice(0, 8)), measured=graph.measured)
        for i, graph in enumerate(honest)
    ]
    (sent,) = build_attack("tiny-interval").graphs(
        honest, _graphs(np.full((1, 10), 0.5)), np.random.default_rng(0)
    )
    assert sent.edges.effect.tolist() == [1.5] * 8
    assert sent.edges.ci_low is not None
    assert sent.edges.ci_high is not None
    np.testing.assert_allclose(sent.edges.ci_high - sent.edges.ci_low, 2e-9, rtol=1e-6)


def test_rare_edges_are_those_that_few_report() -> None:
    honest = np.ones((5, 10))
    honest[:, 8:] = 0
    sent = build_attack("rare-edges").vectors(
        honest, np.full((2, 10), 0.5), np.random.default_rng(0)
    )
    assert sent[0].tolist() == [0.5] * 8 + [1.0] * 2


def test_no_lie_is_so_large_that_it_would_be_refused(night: tuple[np.ndarray, np.ndarray]) -> None:
    own = _graphs(night[1] * 1e30 / np.abs(night[1]).max())
    for graph in build_attack("scaling").graphs(_graphs(night[0]), own, np.random.default_rng(0)):
        assert graph.edges.ci_low is not None
        assert max(np.abs(graph.edges.effect).max(), np.abs(graph.edges.ci_low).max()) == MAX_EFFECT
        check_size(graph.edges, "edges")
