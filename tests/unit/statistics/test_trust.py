"""Bounded trust on statistics: liars lose their weight, honest clients keep it."""

import numpy as np
import pytest

from hyperfed.statistics import Statistics, statistics_of
from hyperfed.statistics.trust import statistics_trust
from hyperfed.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.unit

NAMES = tuple(f"v{i}" for i in range(8))
VOCABULARY = Vocabulary.of(*NAMES)
EDGES = ((0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 6), (3, 7))


def client(seed: int, sign: float = 1.0, n: int = 150, scale: float = 1.0) -> Statistics:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, 8))
    for source, target in EDGES:
        data[:, target] += sign * 0.7 * data[:, source]
    return statistics_of(scale * data, names=NAMES, vocabulary=VOCABULARY)


def test_three_liars_of_ten_have_no_weight_and_honest_ones_keep_theirs() -> None:
    night = [client(i, -1.0 if i < 3 else 1.0) for i in range(10)]
    weight = statistics_trust(night, variables=8).weight
    assert (weight[:3] == 0).all()
    assert (weight[3:] > 0.8).all()
    assert statistics_trust(night[3:], variables=8).weight.min() > 0.8


def test_trust_does_not_look_at_units_or_order() -> None:
    night = [client(i, -1.0 if i < 3 else 1.0) for i in range(10)]
    weight = statistics_trust(night, variables=8).weight
    large = [client(i, -1.0 if i < 3 else 1.0, scale=1e6) for i in range(10)]
    np.testing.assert_allclose(statistics_trust(large, variables=8).weight, weight, atol=1e-9)
    turned = statistics_trust(night[::-1], variables=8).weight[::-1]
    np.testing.assert_allclose(turned, weight, atol=1e-9)
