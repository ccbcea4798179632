"""Student's t by sums, products, quotients and roots alone, against mpmath."""

import mpmath
import numpy as np
import pytest

from hyperfed.merge.student_t import (
    MOST,
    _area,
    t_central,
    t_quantile,
    t_quantiles,
    t_two_sided,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 10, 47, 200])
def test_probabilities_are_those_of_the_incomplete_beta_function(df: int) -> None:
    t = np.array([0.0, 1e-8, 0.3, 1.0, 2.5, 7.0, 40.0])
    tail = [
        float(mpmath.betainc(df / 2, 0.5, 0, df / (df + x * x), regularized=True))
        for x in t.tolist()
    ]
    np.testing.assert_allclose(1 - t_central(t, df), tail, atol=1e-14)
    np.testing.assert_allclose(t_two_sided(t, np.full(len(t), df)), tail, atol=1e-14)


def test_what_is_beyond_any_number_is_certain_and_without_degrees_nothing_is() -> None:
    far = np.array([1e200, 1e300])
    assert t_central(far, 3).tolist() == [1.0, 1.0]
    assert t_two_sided(far, np.array([0, 5])).tolist() == [1.0, 0.0]


def test_quantiles() -> None:
    assert t_quantile(0.95, 9) == pytest.approx(2.2621571627982, abs=1e-12)
    assert t_quantile(0.95, 10 * MOST) == t_quantile(0.95, MOST)
    assert t_quantiles(0.95, np.array([4, 1, 4])).tolist() == [
        t_quantile(0.95, df) for df in (4, 1, 4)
    ]


def test_a_row_has_the_same_bytes_alone_among_others_and_as_a_single_number() -> None:
    """Which keys share a range must not show: their series are summed together."""
    rng = np.random.default_rng(6)
    df = rng.integers(-1, 2 * MOST, 300)
    t = rng.normal(size=300) * 10.0 ** rng.integers(-3, 4, 300)
    together = t_two_sided(t, df)
    alone = [t_two_sided(t[i : i + 1], df[i : i + 1])[0] for i in range(0, 300, 7)]
    assert together[::7].tolist() == alone
    for i in range(0, 300, 7):
        if df[i] >= 1:
            degrees = min(int(df[i]), MOST)
            x = float(np.abs(t[i]) / np.sqrt(degrees))
            assert min(_area(x, degrees), 1.0) == t_central(t[i : i + 1], degrees)[0]
