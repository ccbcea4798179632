"""Bounded trust: its curve, its limits, and what it does to liars, colluders, the silent and the
lonely.
"""

import sys

import numpy as np
import pytest

from hyperfed.aggregation.bounded_trust import bounded_trust, bounded_trust_dense, trust_weights
from hyperfed.errors import AggregationError
from hyperfed.merge import PatternVoters

pytestmark = pytest.mark.unit


def _crowd(clients: int = 20, edges: int = 200, noise: float = 0.5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(rng.uniform(-1, 1, edges) + noise * rng.normal(size=(clients, edges)), -1, 1)


def test_the_curve_is_full_at_the_median_and_falls_to_nothing() -> None:
    agreement = np.array([0.9, 0.8, 0.7, 0.6, 0.5, -0.5])
    median, mad = 0.65, 1.4826 * 0.15 + 0.02
    floor = max(0.0, median - 3 * mad)
    np.testing.assert_allclose(
        trust_weights(agreement), np.clip((agreement - floor) / (median - floor), 0, 1)
    )
    tight = trust_weights(np.array([0.8, 0.8, 0.8, 0.8, 0.77, 0.73]))
    np.testing.assert_allclose(tight, [1, 1, 1, 1, 0.5, 0], atol=1e-12)


def test_a_median_of_zero_or_less_still_leaves_half() -> None:
    assert trust_weights(np.array([-0.5, -0.2, 0.0, 0.3, -0.1])).tolist() == [0, 0, 1, 1, 1]


def test_fewer_than_three_all_count() -> None:
    assert trust_weights(np.array([1.0, -1.0])).tolist() == [1, 1]
    assert bounded_trust_dense(np.array([[1.0, 1.0], [-1.0, -1.0]])).weight.tolist() == [1, 1]
    assert len(bounded_trust_dense(np.zeros((0, 3))).weight) == 0


def test_liars_lose_their_weight_and_half_always_keeps_it() -> None:
    votes = _crowd()
    votes[:6] *= -1
    trust = bounded_trust_dense(votes)
    assert trust.weight[:6].tolist() == [0.0] * 6
    assert (trust.agreement[:6] < -0.5).all()
    assert (trust.weight == 1).sum() >= 10


def test_a_client_somewhat_louder_than_the_others_is_weighed_as_before() -> None:
    votes = _crowd() * 0.1
    loud = votes.copy()
    loud[3] *= 1.2
    np.testing.assert_allclose(
        bounded_trust_dense(loud).weight, bounded_trust_dense(votes).weight, atol=1e-12
    )
    # all louder: nobody is
    np.testing.assert_allclose(
        bounded_trust_dense(votes * 7).weight, bounded_trust_dense(votes).weight, atol=1e-12
    )


def test_who_shouts_is_not_heard_even_where_it_agrees() -> None:
    votes = _crowd() * 0.1
    votes[3] *= 10
    trust = bounded_trust_dense(votes)
    assert trust.weight[3] == 0.0
    assert trust.agreement[3] > 0.7  # what is reported is the cosine
    assert (trust.weight == 1).sum() >= 10


def test_a_third_that_shout_the_same_is_not_heard() -> None:
    """Without attention they agree with each other and win over clients who differ much; quiet ones
    still do.
    """
    rng = np.random.default_rng(5)
    votes = np.clip(0.3 * rng.uniform(-1, 1, 25) + 0.35 * rng.normal(size=(48, 25)), -1, 1)
    lie = np.sign(rng.normal(size=25))
    loud, quiet = votes.copy(), votes.copy()
    loud[:14], quiet[:14] = lie, 0.35 * lie
    assert bounded_trust_dense(loud).weight[:14].tolist() == [0.0] * 14
    assert bounded_trust_dense(quiet).weight[:14].mean() > 0.5  # the limit, said in ADR 0077


def test_loudness_is_relative_to_what_others_say_on_the_same_edges() -> None:
    """A client that measured only where the strong edges are is not loud for it."""
    rng = np.random.default_rng(3)
    strength = np.where(np.arange(200) < 10, 0.8, 0.02)
    votes = strength * (1 + 0.2 * rng.normal(size=(12, 200)))
    could = np.ones((12, 200), dtype=bool)
    could[0, 10:], votes[0, 10:] = False, 0.0
    trust = bounded_trust_dense(votes, could)
    assert 0.9 < trust.size[0] < 1.1
    assert trust.weight[0] > 0.5


def test_a_client_is_judged_on_what_it_could_measure_only() -> None:
    votes, could = _crowd(), np.ones((20, 200), dtype=bool)
    could[4, 20:] = False
    votes[4, 20:] = 0.0
    assert bounded_trust_dense(votes, could).agreement[4] > 0.6
    # the same votes by one that measured everything and is silent
    assert bounded_trust_dense(votes).agreement[4] < 0.4


def test_edges_that_nobody_else_could_measure_say_nothing() -> None:
    votes = np.concatenate([_crowd(), np.zeros((20, 300))], axis=1)
    could = np.ones(votes.shape, dtype=bool)
    could[1:, 200:] = False
    plain = bounded_trust_dense(votes[:, :200])
    votes[0, 200:] = 1.0
    np.testing.assert_allclose(
        bounded_trust_dense(votes, could).agreement, plain.agreement, atol=1e-12
    )


def test_a_client_without_company_keeps_its_weight_and_does_not_move_the_median() -> None:
    votes = np.concatenate([_crowd(), np.zeros((20, 5))], axis=1)
    votes = np.concatenate([votes, np.zeros((1, 205))])
    votes[20, 200:] = 1.0
    could = np.zeros(votes.shape, dtype=bool)
    could[:20, :200], could[20, 200:] = True, True
    trust = bounded_trust_dense(votes, could)
    assert trust.weight[20] == 1.0
    assert not trust.comparable[20]
    np.testing.assert_allclose(
        trust.weight[:20], bounded_trust_dense(votes[:20, :200]).weight, rtol=1e-12
    )


def test_a_silent_client_agrees_with_nobody_and_contradicts_nobody() -> None:
    votes = _crowd()
    votes[0] = 0.0
    trust = bounded_trust_dense(votes)
    assert trust.agreement[0] == 0.0
    assert trust.weight[0] == 1.0
    assert not trust.assessed[0]
    assert trust.assessed[1:].all()


def test_bad_shapes_and_values_are_refused() -> None:
    with pytest.raises(AggregationError):
        bounded_trust_dense(np.array([[np.nan, 1.0]] * 3))
    with pytest.raises(AggregationError):
        bounded_trust_dense(np.ones((3, 2)), np.zeros((3, 2), dtype=bool))
    with pytest.raises(AggregationError, match="2 clients' keys"):
        bounded_trust(
            [np.zeros(0, np.uint64)] * 2,
            [np.zeros(0)] * 2,
            PatternVoters(np.ones((1, 3), dtype=bool)),
        )


def test_a_difference_in_the_last_digit_does_not_decide_about_a_weight() -> None:
    assert trust_weights(
        np.array([-1.0, np.nextafter(-1.0, 0.0), np.nextafter(-1.0, 0.0)])
    ).tolist() == [1, 1, 1]


def test_shares_count_in_the_medians() -> None:
    """Five copies of one opinion with a fifth of a share each are assessed as one such is."""
    agreement = np.array([0.9, 0.8, 0.7, 0.1])
    many = np.array([0.9, 0.8, 0.7, 0.1, 0.1, 0.1, 0.1, 0.1])
    shares = np.array([1, 1, 1, 0.2, 0.2, 0.2, 0.2, 0.2])
    np.testing.assert_allclose(
        trust_weights(many, shares=shares)[:4], trust_weights(agreement), atol=1e-12
    )
    assert trust_weights(many)[3] == 1.0


def test_few_classes_of_keys_are_added_at_once_to_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Terms of all clients at once, or client by client: also where some could not vote on a class,
    or not with others.
    """
    rng = np.random.default_rng(4)
    measured = np.repeat(rng.random((15, 6)) < 0.6, 40, axis=1)
    measured[:, :40], measured[3:, 200:] = True, False
    votes = np.where(measured, _crowd(15, 240, seed=3), 0.0)
    at_once = bounded_trust_dense(votes, measured)
    monkeypatch.setattr(sys.modules["hyperfed.aggregation.bounded_trust"], "_FEW", 0)
    one_by_one = bounded_trust_dense(votes, measured)
    assert len(np.unique(measured, axis=1).T) == 6
    assert len(set(one_by_one.weight)) > 3
    for name in ("weight", "agreement", "size"):
        assert getattr(at_once, name).tobytes() == getattr(one_by_one, name).tobytes()
