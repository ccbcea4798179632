"""The VAR engine on hard numbers: near copies, units of any size, exact fits, holes."""

import numpy as np
import pytest

from hyperfed.engines import Discovery, VarEngine
from hyperfed.engines.columns import check_columns, nearly_alike
from hyperfed.engines.least_squares import LeastSquares
from hyperfed.errors import EngineError

pytestmark = pytest.mark.unit


def _driven(rows: int = 300, seed: int = 0) -> np.ndarray:
    """a drives b at lag 1; c is noise of its own."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(rows, 3))
    for t in range(1, rows):
        data[t, 0] += 0.5 * data[t - 1, 0]
        data[t, 1] += 0.4 * data[t - 1, 1] + 0.5 * data[t - 1, 0]
    return data


def _near_copy(eps: float) -> np.ndarray:
    """a, a near copy of it, and b that a drives, as in the report that named the fault."""
    rng = np.random.default_rng(0)
    a, b = np.zeros(300), np.zeros(300)
    for t in range(1, 300):
        a[t] = 0.5 * a[t - 1] + rng.normal()
        b[t] = 0.4 * b[t - 1] + 0.5 * a[t - 1] + rng.normal()
    return np.c_[a, a + eps * rng.normal(size=300), b]


def _at(found: Discovery, source: str, target: str, lag: int = 1) -> int:
    same = (found.source == source) & (found.target == target) & (found.lag == lag)
    return int(np.flatnonzero(same)[0])


@pytest.mark.parametrize("eps", [1e-2, 1e-3, 1e-4, 3e-5, 1e-5, 1e-6, 3e-7])
def test_near_copies_get_the_coefficients_of_ordinary_least_squares(eps: float) -> None:
    """At 3e-5 normal equations gave 107 where the answer is 73,960."""
    data = _near_copy(eps)
    found = VarEngine(data, ("a", "a2", "b"), n_bootstrap=20).discover()
    x = np.c_[np.ones(299), data[:-1]]
    exact = _exact_coefficients(x, data[1:, 2])
    for column, source in enumerate(("a", "a2", "b"), start=1):
        row = _at(found, source, "b")
        assert found.effect[row] == pytest.approx(exact[column], rel=1e-6)
        assert found.ci_low[row] < found.effect[row] < found.ci_high[row]
    if eps < 0.03:
        assert any("'a' and 'a2' are nearly the same" in note for note in found.notes)


def _exact_coefficients(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Solve the normal equations in 60 digits, of which none is lost that matters."""
    import mpmath

    with mpmath.workdps(60):
        a, b = mpmath.matrix(x.tolist()), mpmath.matrix(y.tolist())
        return [float(v) for v in mpmath.lu_solve(a.T * a, a.T * b)]


def test_stability_of_a_near_copy_is_that_of_the_pair_in_other_coordinates() -> None:
    """(a, a2) and (a, (a2 - a) / eps) span the same: what is kept of b's past is the same."""
    data = _near_copy(1e-6)
    apart = np.c_[data[:, 0], (data[:, 1] - data[:, 0]) / 1e-6, data[:, 2]]
    near, far = (VarEngine(d, ("a", "a2", "b")).discover() for d in (data, apart))
    row = _at(near, "b", "b")
    assert near.hits[row] == far.hits[row]
    assert near.hits[_at(near, "a2", "b")] == far.hits[_at(far, "a2", "b")]


@pytest.mark.parametrize("eps", [0.0, 1e-9])
def test_a_copy_is_refused_by_name(eps: float) -> None:
    with pytest.raises(EngineError, match="'a2' is a copy of 'a'"):
        VarEngine(_near_copy(eps), ("a", "a2", "b"))
    other = _near_copy(eps) * np.array([1.0, -1000.0, 1.0])
    with pytest.raises(EngineError, match="'a2' is a copy of 'a', in another unit"):
        VarEngine(other, ("a", "a2", "b"))


def test_a_sum_is_named_with_its_parts() -> None:
    data = _driven()
    data[:, 2] = 2 * data[:, 0] - data[:, 1]
    with pytest.raises(EngineError, match=r"'c' .at lag 1. follows from the other columns: ") as e:
        VarEngine(data, "abc").discover()
    assert "'a' at lag 1" in e.value.problem
    assert "'b' at lag 1" in e.value.problem


@pytest.mark.parametrize(
    ("column", "name", "said"),
    [
        (np.arange(1971.0, 2271.0), "year", "grows by 1 in every row"),
        (np.arange(300.0), "index", "grows by 1 in every row"),
        (-5.0 * np.arange(300.0), "left", "grows by -5 in every row"),
        (np.repeat(np.arange(2000.0, 2025.0), 12), "year", "tells the time"),
    ],
)
def test_a_year_or_an_index_is_no_measurement(column: np.ndarray, name: str, said: str) -> None:
    data = np.c_[column, _driven()[:, 1]]
    with pytest.raises(EngineError, match=f"column '{name}' {said}"):
        VarEngine(data, (name, "b"))
    data[[4, 100], 0] = np.nan
    with pytest.raises(EngineError, match="no measurement"):
        VarEngine(data, (name, "b"))


def test_what_rises_without_counting_is_a_measurement() -> None:
    rising = np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, 300))
    check_columns(np.c_[rising, _driven()[:, 1]], ("stock", "b"), subject="test")
    assert nearly_alike(np.c_[rising, _driven()[:, 1]], ("stock", "b")) == ()


def test_an_exact_fit_is_refused_and_a_nearly_exact_one_said() -> None:
    data = _driven()
    data[1:, 2] = 3 * data[:-1, 0] + 1
    with pytest.raises(EngineError, match="'c' follows from 'a' at lag 1 without a rest"):
        VarEngine(data, "abc").discover()
    data[:, 2] += 1e-4 * np.random.default_rng(1).normal(size=len(data))
    found = VarEngine(data, "abc", n_bootstrap=10).discover()
    assert any("'c' follows from 'a' at lag 1 up to 3e-05" in note for note in found.notes)


@pytest.mark.parametrize("sizes", [(1e-200, 1, 1), (1, 1e200, 1e100), (1e-120, 1e-120, 1e120)])
def test_a_unit_changes_the_effect_and_nothing_else(sizes: tuple[float, float, float]) -> None:
    data = _driven()
    plain = VarEngine(data, "abc", lags=(1, 2)).discover()
    found = VarEngine(data * np.array(sizes), "abc", lags=(1, 2)).discover()
    by_name = dict(zip("abc", sizes, strict=True))
    for row in range(len(found)):
        unit = by_name[str(found.target[row])] / by_name[str(found.source[row])]
        assert found.effect[row] == pytest.approx(plain.effect[row] * unit, rel=1e-9)
        half = found.ci_high[row] - found.effect[row]
        assert half == pytest.approx((plain.ci_high - plain.effect)[row] * unit, rel=1e-6)
    np.testing.assert_allclose(found.confidence, plain.confidence, rtol=1e-9)
    assert (found.hits == plain.hits).all()


def test_units_too_far_apart_are_refused_by_name() -> None:
    with pytest.raises(EngineError, match=r"the effect of '[abc]' on '[abc]' has no number"):
        VarEngine(_driven() * np.array([1e-200, 1e200, 1]), "abc").discover()


def test_a_hole_costs_only_the_lags_that_touch_it() -> None:
    data = _driven()
    holed = data.copy()
    holed[[50, 120], 2] = np.nan
    found = VarEngine(holed, "abc", lags=(1,), n_bootstrap=10).discover()
    n = {target: int(found.n[_at(found, "a", target)]) for target in "abc"}
    # As a regressor the hole costs the row after it, as a target its own.
    assert n == {"a": 297, "b": 297, "c": 295}
    whole = np.ones(299, dtype=bool)
    whole[[50, 120]] = False
    x = np.c_[np.ones(299), data[:-1]][whole]
    expected, *_ = np.linalg.lstsq(x, data[1:, 1][whole], rcond=None)
    for column, source in enumerate("abc", start=1):
        assert found.effect[_at(found, source, "b")] == pytest.approx(expected[column], rel=1e-9)
    (note,) = found.notes
    assert note == "missing values cost 4 of 299 rows (1%) for edges into 'c'"


def test_much_that_is_missing_is_said_and_too_much_refused() -> None:
    data = _driven(100)
    data[::5, 2] = np.nan
    (note,) = VarEngine(data, "abc", n_bootstrap=10).discover().notes
    assert "more than 20%: what is left may differ from what is missing" in note
    data[::2, 2] = np.nan
    data[1:90, 2] = np.nan
    with pytest.raises(EngineError) as caught:
        VarEngine(data, "abc", lags=(1,)).discover()
    assert "too few for lag 1" in str(caught.value) or "lack nothing" in str(caught.value)


def test_holes_in_the_longest_lags_leave_the_short_ones() -> None:
    data = _driven(60)
    data[5::6, 2] = np.nan
    engine = VarEngine(data, "abc", lags=(1, 2, 3, 4), n_bootstrap=5)
    assert engine.looked_at() == (1, 2, 3)
    assert set(engine.discover().lag.tolist()) == {1, 2, 3}


def test_hits_are_those_of_fitting_every_resample_anew() -> None:
    """Sign and t² of each resample, by ordinary least squares on the rows that it drew."""
    rng = np.random.default_rng(0)
    x = np.c_[np.ones(40), rng.normal(size=(40, 3))]
    y = np.c_[x[:, 1] + rng.normal(size=40), -0.3 * x[:, 2] + rng.normal(size=40)]
    fit, least_t2 = LeastSquares.of(x, y), 1.5
    rows = rng.integers(0, 40, (60, 40))
    expected = np.zeros((4, 2), dtype=int)
    for drawn in rows:
        some, values = x[drawn], y[drawn]
        coefficient, *_ = np.linalg.lstsq(some, values, rcond=None)
        left = ((values - some @ coefficient) ** 2).sum(axis=0) / (40 - 4)
        error2 = np.diagonal(np.linalg.inv(some.T @ some))[:, None] * left
        kept = coefficient**2 > least_t2 * error2
        expected += kept & (np.sign(coefficient) == np.sign(fit.coefficient))
    assert (fit.hits(rows, least_t2) == expected).all()
    assert 0 < expected[2, 1] < 60, "some resamples lose it or turn it"
