"""Loudness: who is too loud to be heard."""

import numpy as np
import pytest

from hyperfed.aggregation.loudness import attention, share_quantile
from hyperfed.aggregation.trusted_mean import trust_of_gram

pytestmark = pytest.mark.unit


def test_attention_falls_from_one_spread_above_the_median_to_nothing_at_two() -> None:
    sizes = np.array([0.8, 0.9, 1.0, 1.1, 1.2])
    spread = 1.4826 * (1.0 - 0.9) + 0.2
    for size, heard in (
        (1.0 + spread, 1.0),
        (1.0 + 1.5 * spread, 0.5),
        (1.0 + 2 * spread, 0.0),
        (50.0, 0.0),
    ):
        assert attention(np.append(sizes[:-1], size))[-1] == pytest.approx(heard, abs=1e-9)
    assert attention(sizes).tolist() == [1.0] * 5


def test_many_who_shout_do_not_widen_what_is_usual() -> None:
    rng = np.random.default_rng(0)
    honest = rng.uniform(0.8, 1.2, 34)
    assert attention(np.concatenate([honest, np.full(14, 2.5)]))[34:].tolist() == [0.0] * 14
    # nor do the silent make the others loud
    assert attention(np.concatenate([honest, np.full(14, 1e-6)]))[:34].tolist() == [1.0] * 34


def test_nobody_is_loud_among_two_or_where_most_are_silent() -> None:
    assert attention(np.array([1.0, 100.0])).tolist() == [1.0, 1.0]
    assert attention(np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 9.0])).tolist() == [1.0] * 7


def test_shares_count_in_what_is_usual() -> None:
    shares = np.array([1, 1, 1, 0.2, 0.2, 0.2, 0.2, 0.2])
    sizes = np.array([1.0, 1.1, 0.9, 5.0, 5.0, 5.0, 5.0, 5.0])
    assert attention(sizes).tolist()[3:] == [1.0] * 5  # five of eight are the usual
    assert attention(sizes, shares).tolist() == [1.0] * 3 + [0.0] * 5
    assert share_quantile(np.array([1.0, 2.0, 3.0, 4.0]), 0.5, None) == 2.5


def test_dense_vectors_are_not_heard_for_their_length() -> None:
    rng = np.random.default_rng(1)
    vectors = 1.0 + 4.0 * rng.normal(size=(30, 40))
    lie = rng.normal(size=40)
    weights = {}
    for name, length in (("long", 40.0), ("usual", 4.0)):
        vectors[:10] = length * lie
        weights[name] = trust_of_gram(vectors @ vectors.T)[0][:10].mean()
    assert weights == {"long": 0.0, "usual": 1.0}
