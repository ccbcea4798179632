"""No rule on dense vectors knows a scale: not the vectors' own, and not one that a single client
sets.
"""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.aggregation import build_rule, detect_outliers
from hyperfed.aggregation.bounded_trust import bounded_trust_dense
from hyperfed.aggregation.catalogue import Preceded
from hyperfed.aggregation.geometric_median import barycentric_median
from hyperfed.aggregation.mixing import NearestMixing
from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.trusted_mean import trust_of_gram

pytestmark = [pytest.mark.unit, pytest.mark.filterwarnings("error")]

ROBUST = (
    "bounded-trust",
    "median",
    "trimmed-mean",
    "geometric-median",
    "krum",
    "multi-krum",
    "bulyan",
    "centered-clipping",
    "mda",
    "smea",
)
SCALES = [2.0**k for k in (-700, -400, -60, 60, 400)]


def crowd(seed: int, n: int = 11, d: int = 4, f: int = 2) -> np.ndarray:
    """n vectors around a point, the first f of them far away, each on a scale of its own."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=d) + 0.3 * rng.normal(size=(n, d))
    x[:f] = rng.normal(size=(f, d)) * 10.0 ** rng.uniform(-2, 12, size=(f, 1))
    return x


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ROBUST)
def test_in_another_unit_the_answer_is_the_same(name: str, scale: float) -> None:
    """Also where the squares of all numbers are 0, or infinite."""
    x = crowd(1)
    rule = build_rule(name, f=2)
    want = rule.aggregate(x)
    np.testing.assert_allclose(rule.aggregate(x * scale) / scale, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
def test_nearest_neighbours_are_found_in_any_unit(scale: float) -> None:
    x = crowd(2)
    rule = Preceded(f=2, rule=build_rule("median", f=2), before=(NearestMixing(f=2),))
    np.testing.assert_allclose(rule.aggregate(x * scale) / scale, rule.aggregate(x), rtol=1e-12)
    assert np.abs(rule.aggregate(x) - np.median(x[2:], axis=0)).max() < 1


@pytest.mark.parametrize("name", ["krum", "multi-krum", "geometric-median", "mda"])
def test_float32_that_underflows_when_squared_is_told_apart(name: str) -> None:
    """One liar of ordinary size does not hide what the others differ in."""
    x = (crowd(3, f=0) * 1e-30).astype(np.float32)
    x[0] = 1.0
    x[1] += np.float32(9e-30)
    rule = build_rule(name, f=2)
    want = rule.aggregate(x.astype(np.float64) * 1e30) / 1e30
    np.testing.assert_allclose(rule.aggregate(x), want, rtol=1e-3, atol=1e-34)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(5, 1), (7, 2), (9, 3), (11, 4)]), st.integers(1, 6))
def test_the_geometric_medians_bound_holds_whatever_the_liars_scales(
    seed: int, case: tuple[int, int], d: int
) -> None:
    n, f = case
    x = crowd(seed, n, d, f)
    bound = 4 * (1 + f / (n - 2 * f)) ** 2
    out = build_rule("geometric-median", f=f).aggregate(x)
    for subset in combinations(range(n), n - f):
        honest = x[list(subset)]
        centre = honest.mean(axis=0)
        spread = float(((honest - centre) ** 2).sum(axis=1).mean())
        assert float(((out - centre) ** 2).sum()) <= bound * spread * (1 + 1e-6) + 1e-12


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e3, 1e6, 1e9, 1e16, 1e60, 1e150]))
def test_how_far_away_a_liar_is_decides_nothing(seed: int, norm: float) -> None:
    """Its direction alone does, and the answer is one: the unit vectors to the clients add up to
    nothing.
    """
    x = crowd(seed, f=0)
    direction = np.random.default_rng(seed + 1).normal(size=x.shape[1])
    x[0] = direction / np.linalg.norm(direction) * norm
    out = build_rule("geometric-median", f=1).aggregate(x)
    gaps = x - out
    gaps /= np.abs(gaps).max(axis=1, keepdims=True) + (gaps == 0).all(axis=1, keepdims=True)
    length = np.linalg.norm(gaps, axis=1)
    at_one = np.flatnonzero(np.linalg.norm(x[1:] - out, axis=1) < 1e-6)
    pull = (gaps[length > 0] / length[length > 0, None]).sum(axis=0)
    assert np.linalg.norm(pull) <= (1 + 1e-6 if len(at_one) else 1e-5)
    assert np.abs(out - np.median(x[1:], axis=0)).max() < 2


def test_the_geometric_median_ends_where_vectors_all_but_coincide() -> None:
    x = np.array([[0.0, 0], [1e-9, 0], [0, 1e-9], [1, 1], [1 + 1e-9, 1], [1e8, -3e7]])
    out = build_rule("geometric-median", f=1).aggregate(x)
    assert np.isfinite(out).all()
    assert np.abs(out).max() < 1.1


def test_who_has_no_weight_takes_no_part_in_the_geometric_median() -> None:
    x = crowd(5, f=0)
    more = np.vstack([x[:4], [1e140] * 4, x[4:]])
    weights = np.ones(12)
    weights[4] = 0
    rule = build_rule("geometric-median")
    np.testing.assert_allclose(rule.aggregate(more, weights=weights), rule.aggregate(x), rtol=1e-12)
    squared = Rows(x).distances()
    assert barycentric_median(squared, np.eye(11)[3]).tolist() == np.eye(11)[3].tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_median_of_large_numbers_is_one_of_them(dtype: type) -> None:
    most = np.finfo(dtype).max if dtype == np.float32 else 1e150
    x = np.array([[most, 1.0], [most, 2.0], [-most, 3.0], [most, 4.0]], dtype=dtype)
    assert build_rule("median").aggregate(x).tolist() == [most, 2.5]
    trimmed = build_rule("trimmed-mean", f=1).aggregate(x)
    assert trimmed[0] == pytest.approx(most, rel=1e-6)
    mean = build_rule("mean").aggregate(x)
    assert float(mean[0]) == pytest.approx(
        float(sum(Fraction(float(v)) for v in x[:, 0]) / 4), rel=1e-6
    )


def test_who_is_not_heard_has_no_weight_where_nobody_agrees() -> None:
    """Vectors that contradict each other, and two loud ones: an agreement of 0 would be as good as
    the median's.
    """
    x = np.array(
        [
            [1.0, 0, 0],
            [-1, 0, 0],
            [0, 1, 0],
            [0, -1, 0],
            [0, 0, 1],
            [0, 0, -1],
            [0, 50, 50],
            [60, 0, 60],
        ]
    )
    weight, agreement = trust_of_gram(x @ x.T)
    assert np.median(agreement) <= 0
    assert weight[6:].tolist() == [0, 0]
    assert weight.max() == 1
    sparse = bounded_trust_dense(
        np.clip(x, -1, 1) * np.where(np.abs(x).max(axis=1) > 1, 1.0, 0.02)[:, None]
    ).weight
    assert sparse[6:].tolist() == [0, 0]


@settings(max_examples=200, deadline=None)
@given(st.integers(3, 9), st.integers(1, 5), st.integers(0, 10**6))
def test_somebody_is_always_heard(n: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (
        rng.normal(size=(n, d))
        * 10.0 ** rng.integers(-2, 3, size=(n, 1))
        * rng.choice([-1, 0, 1], size=(n, 1))
    )
    weight, _ = trust_of_gram(x @ x.T)
    assert weight.max() > 0
    assert np.isfinite(build_rule("bounded-trust", f=(n - 1) // 2).aggregate(x)).all()


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1.0, 1e30, 1e120])
def test_one_ulp_makes_no_outlier(scale: float) -> None:
    x = np.full((6, 3), 0.3) * scale
    x[2] = np.nextafter(x[2], np.inf)
    assert detect_outliers(x).tolist() == []
    assert detect_outliers(x, x[0]).tolist() == []
    x[4] *= 1.001
    assert detect_outliers(x).tolist() == [4]
