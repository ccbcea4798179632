"""Each rule against an oracle written from its paper; equivariances; the proven bound; breakdown
points; what is refused.
"""

import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.aggregation import (
    RULES,
    Bucketing,
    CenteredClipping,
    Clipping,
    Mean,
    NearestMixing,
    Preceded,
    TrustedMean,
    bounded_trust_dense,
    build_rule,
    detect_outliers,
)
from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.trusted_mean import trust_of_gram
from hyperfed.errors import AggregationError, BreakdownError

_spec = importlib.util.spec_from_file_location(
    "aggregation_oracles", Path(__file__).parent / "oracles.py"
)
assert _spec
assert _spec.loader
oracles = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracles)

pytestmark = pytest.mark.unit

ROBUST = [name for name in RULES if name not in ("mean", "adaptive")]
ORACLE = {
    "bounded-trust": oracles.trusted_mean,
    "median": oracles.median,
    "trimmed-mean": oracles.trimmed_mean,
    "geometric-median": oracles.geometric_median,
    "krum": oracles.krum,
    "multi-krum": oracles.multi_krum,
    "bulyan": oracles.bulyan,
    "centered-clipping": lambda x, f: oracles.centered_clipping(x, radius=None),
    "mda": oracles.mda,
    "smea": oracles.smea,
}


def _case(n: int, d: int, f: int, seed: int) -> np.ndarray:
    """n vectors around a point, f of them somewhere else, in any order."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=d) * 2 + rng.normal(size=(n, d))
    if f:
        x[:f] = [rng.normal(size=d) * 10 ** rng.uniform(-1, 3) for _ in range(f)]
    return x[rng.permutation(n)]


@pytest.mark.parametrize("name", ROBUST)
@pytest.mark.parametrize(
    ("n", "d", "f", "seed"),
    [(7, 3, 1, 0), (9, 1, 1, 1), (11, 5, 2, 2), (12, 40, 2, 3), (9, 2, 0, 4), (13, 300, 1, 5)],
)
def test_the_rule_is_its_paper(name: str, n: int, d: int, f: int, seed: int) -> None:
    x = _case(n, d, f, seed)
    np.testing.assert_allclose(
        build_rule(name, f=f).aggregate(x), ORACLE[name](x, f), rtol=1e-6, atol=1e-7
    )
    close = build_rule(name, f=f).aggregate(x.astype(np.float32))
    assert close.dtype == np.float32
    np.testing.assert_allclose(close, ORACLE[name](x, f), rtol=2e-3, atol=2e-3)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ROBUST), st.integers(7, 12), st.integers(1, 30), st.integers(0, 10**6))
def test_permutation_and_scale(name: str, n: int, d: int, seed: int) -> None:
    f = (n - 3) // 4 if name == "bulyan" else (n - 3) // 2
    x = _case(n, d, min(f, n // 3), seed)
    rule = build_rule(name, f=f)
    plain, size = rule.aggregate(x), np.abs(x).max()
    order = np.random.default_rng(seed).permutation(n)
    np.testing.assert_allclose(rule.aggregate(x[order]), plain, rtol=1e-6, atol=1e-9 * size)
    np.testing.assert_allclose(rule.aggregate(-8.0 * x), -8.0 * plain, rtol=1e-6, atol=1e-8 * size)
    # these two know an origin: the last result
    if name not in ("bounded-trust", "centered-clipping"):
        shift = np.arange(d) * 1.0
        np.testing.assert_allclose(
            rule.aggregate(x + shift), plain + shift, rtol=1e-5, atol=1e-7 * (size + d)
        )


KAPPA = {
    "trimmed-mean": lambda r: 6 * r * (1 + r),
    "krum": lambda r: 6 * (1 + r),
    "multi-krum": lambda r: 6 * (1 + r),
    "geometric-median": lambda r: 4 * (1 + r) ** 2,
    "median": lambda r: 4 * (1 + r) ** 2,
}


@pytest.mark.parametrize("name", KAPPA)
@pytest.mark.parametrize(("n", "f"), [(5, 1), (7, 2), (9, 3), (11, 4), (12, 3)])
def test_the_bound_holds_for_every_subset_of_honest_size(name: str, n: int, f: int) -> None:
    bound = KAPPA[name](f / (n - 2 * f))
    rng = np.random.default_rng(n * 100 + f)
    for trial in range(25):
        x = _case(n, int(rng.integers(1, 8)), f, trial)
        if trial % 3 == 0:  # colluders at one point, a little outside
            x[:f] = x[f:].mean(axis=0) + rng.uniform(0.5, 3) * x[f:].std(axis=0)
        out = build_rule(name, f=f).aggregate(x)
        for subset in combinations(range(n), n - f):
            honest = x[list(subset)]
            centre = honest.mean(axis=0)
            spread = float(((honest - centre) ** 2).sum(axis=1).mean())
            assert float(((out - centre) ** 2).sum()) <= bound * spread * (1 + 1e-9) + 1e-12


def test_small_known_cases() -> None:
    assert Mean().aggregate([[1.0, 1.0], [3.0, 3.0]], weights=[1, 3]).tolist() == [2.5, 2.5]
    near = np.array([[1.0, 1.1], [0.9, 1.0], [1.1, 0.9], [1.0, 1.0], [100.0, 100.0]])
    assert np.abs(build_rule("trimmed-mean", f=1).aggregate(near) - 1).max() < 0.1
    assert any(
        np.array_equal(build_rule("krum").aggregate(near[[0, 1, 2, 4]]), row) for row in near[:3]
    )
    with pytest.raises(BreakdownError, match="at least 7"):
        build_rule("bulyan", f=1).aggregate(near)
    assert detect_outliers(near[[0, 1, 2, 4]], [1.0, 1.0]).tolist() == [3]
    assert detect_outliers(near[:4]).tolist() == []


LEAST = {
    "krum": (2, 3),
    "multi-krum": (2, 3),
    "bulyan": (4, 3),
    "median": (2, 1),
    "trimmed-mean": (2, 1),
    "geometric-median": (2, 1),
    "mda": (2, 1),
    "smea": (2, 1),
}
LEAST |= {"centered-clipping": (2, 1), "bounded-trust": (2, 1)}


@pytest.mark.parametrize("name", ROBUST)
def test_below_its_breakdown_point_it_refuses(name: str) -> None:
    slope, base = LEAST[name]
    for f in (0, 1, 3):
        rule, n = build_rule(name, f=f), slope * f + base
        assert rule.least() == n
        assert rule.aggregate(np.ones((n, 4))) == pytest.approx(np.ones(4))
        if n > 1:
            with pytest.raises(BreakdownError, match=f"at least {n}"):
                rule.aggregate(np.ones((n - 1, 4)))


@pytest.mark.parametrize("name", ["mean", "adaptive"])
def test_what_bears_no_fault_says_so(name: str) -> None:
    with pytest.raises(BreakdownError, match="bears no fault"):
        build_rule(name, f=1)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_number_is_refused_and_named(name: str, bad: float) -> None:
    x = _case(11, 40, 0, 1)
    x[4, 17] = bad
    more = {"losses": np.ones(11)} if name == "adaptive" else {}
    for kind in (np.float64, np.float32):
        with pytest.raises(AggregationError, match=r"update 4: holds .* at position 17"):
            build_rule(name).aggregate(x.astype(kind), **more)
    with pytest.raises(AggregationError, match="update 4"):
        Mean().aggregate(x, weights=[1.0] * 4 + [0.0] + [1.0] * 6)


def test_numbers_whose_squares_do_not_fit_are_still_judged() -> None:
    x = np.ones((7, 4), np.float32) * np.float32(1e-30) * np.arange(1, 5)
    x[3] = 3e38
    for name in ("krum", "geometric-median", "multi-krum", "mda"):
        np.testing.assert_allclose(build_rule(name, f=2).aggregate(x), x[0], rtol=1e-5)
    y = np.full((5, 3), 1e-28, np.float32)
    y[4] = 5e-28
    np.testing.assert_allclose(build_rule("krum", f=1).aggregate(y), y[0], rtol=1e-5)


def test_honest_rows_far_from_a_liar_are_told_apart() -> None:
    """A liar at 1e6 leaves a Gram matrix centred at the mean without digits for distances of 1;
    Krum still finds the same row.
    """
    x = _case(15, 50, 0, 3).astype(np.float32)
    x[7] = 1e6
    squared = Rows(x).distances()
    exact = ((x[:, None].astype(np.float64) - x[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared, exact, rtol=1e-4)
    x[7:11] = 1e6 + x[7:11]
    np.testing.assert_allclose(
        Rows(x).distances(), ((x[:, None].astype(np.float64) - x[None]) ** 2).sum(axis=2), rtol=1e-4
    )


def test_weights_and_losses_are_taken_where_they_are_defined() -> None:
    x = _case(9, 6, 0, 2)
    weights = np.arange(1.0, 10.0)
    np.testing.assert_allclose(
        build_rule("geometric-median").aggregate(x, weights=weights),
        oracles.geometric_median(x, weights=weights),
        rtol=1e-6,
        atol=1e-8,
    )
    np.testing.assert_allclose(Mean().aggregate(x, weights=weights), oracles.mean(x, weights))
    for name in (
        "median",
        "trimmed-mean",
        "krum",
        "multi-krum",
        "bulyan",
        "mda",
        "smea",
        "adaptive",
    ):
        with pytest.raises(AggregationError, match="takes no weights"):
            build_rule(name).aggregate(x, weights=weights)
    for bad in ([1.0] * 8, [-1.0] + [1.0] * 8, [0.0] * 9, [np.nan] * 9):
        with pytest.raises(AggregationError):
            Mean().aggregate(x, weights=bad)
    with pytest.raises(AggregationError, match="takes no losses"):
        build_rule("median").aggregate(x, losses=weights)


def test_adaptive_needs_losses_and_holds_a_liar_to_ten_times_the_median() -> None:
    x = np.eye(5)
    adaptive = build_rule("adaptive")
    with pytest.raises(AggregationError, match="needs every client's loss"):
        adaptive.aggregate(x)
    shares = adaptive.aggregate(x, losses=[1.0, 2.0, 1.0, 4.0, 0.0])
    np.testing.assert_allclose(shares / shares[0], [1, 0.5, 1, 0.25, 10])
    np.testing.assert_allclose(
        adaptive.aggregate(x, losses=[0.0, 0.0, 0.0, 1.0, 2.0]), [1 / 3, 1 / 3, 1 / 3, 0, 0]
    )


def test_a_mean_may_be_clipped() -> None:
    assert Mean(clip_norm=1.0).aggregate([[10.0, 0.0], [0.0, 0.5]]) == pytest.approx([0.5, 0.25])


def test_centered_clipping_starts_where_it_is_told() -> None:
    x = _case(9, 12, 2, 6)
    start = np.arange(12.0)
    np.testing.assert_allclose(
        CenteredClipping(radius=2.0, steps=3, start=start).aggregate(x),
        oracles.centered_clipping(x, radius=2.0, steps=3, start=start),
        rtol=1e-8,
    )


def test_trust_from_inner_products_is_that_of_the_votes() -> None:
    x = _case(12, 30, 3, 8)
    weight, agreement = trust_of_gram(x @ x.T)
    votes = bounded_trust_dense(x)
    np.testing.assert_allclose(weight, votes.weight, atol=1e-9)
    np.testing.assert_allclose(agreement, votes.agreement, atol=1e-9)


def test_a_scaled_up_honest_direction_is_held_to_the_median_size() -> None:
    x = _case(11, 50, 0, 9) + 3.0
    loud = x.copy()
    loud[4] *= 1000
    assert np.linalg.norm(TrustedMean(f=1).aggregate(loud) - x.mean(axis=0)) < 0.1 * np.linalg.norm(
        x.mean(axis=0)
    )


def test_pre_aggregations() -> None:
    x = _case(9, 20, 2, 10)
    np.testing.assert_allclose(
        Preceded(f=2, rule=build_rule("median", f=2), before=(NearestMixing(f=2),)).aggregate(x),
        oracles.median(oracles.nearest_mixing(x, 2)),
    )
    buckets = Bucketing(size=2, rng=np.random.default_rng(0)).before(Rows(x))
    assert len(buckets) == 5
    order = np.random.default_rng(0).permutation(9)
    np.testing.assert_allclose(next(buckets.chunks())[1][0], x[order[:2], :1].mean(axis=0))
    clipped = Clipping(f=2).before(Rows(x))
    bound = np.sort(np.linalg.norm(x, axis=1))[-3]
    np.testing.assert_allclose(
        np.linalg.norm(clipped.mix @ x, axis=1), np.minimum(np.linalg.norm(x, axis=1), bound)
    )
    for name in ("krum", "geometric-median", "median", "multi-krum"):
        np.testing.assert_allclose(
            build_rule(name, f=2).aggregate(Rows(x).mixed(clipped.mix)),
            build_rule(name, f=2).aggregate(clipped.mix @ x),
            rtol=1e-6,
            atol=1e-8,
        )
    with pytest.raises(BreakdownError):
        NearestMixing(f=5).before(Rows(x))


def test_shapes_and_kinds_that_are_refused() -> None:
    for bad in (
        [[1.0, 2.0], [1.0]],
        [1.0, 2.0],
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        [["a"]],
        np.ones((2, 2), complex),
    ):
        with pytest.raises(AggregationError):
            build_rule("median").aggregate(bad)
    with pytest.raises(AggregationError, match="unknown rule 'magic'"):
        build_rule("magic")
    with pytest.raises(AggregationError, match="at most 20"):
        build_rule("mda", f=1).aggregate(np.ones((21, 2)))
    assert build_rule("median").aggregate([[1, 2], [3, 4]]).tolist() == [2.0, 3.0]


def test_extra_memory_stays_below_a_tenth_of_the_input() -> None:
    import tracemalloc

    x = np.random.default_rng(0).normal(size=(50, 200_000)).astype(np.float32)
    for name in (
        "median",
        "trimmed-mean",
        "krum",
        "bulyan",
        "geometric-median",
        "bounded-trust",
        "mean",
    ):
        rule = build_rule(name, f=0 if name == "mean" else 10)
        rule.aggregate(x[:, :1000])  # networks are made once
        tracemalloc.start()
        rule.aggregate(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < x.nbytes / 10, (name, peak / x.nbytes)
