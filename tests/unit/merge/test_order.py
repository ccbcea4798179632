"""Order statistics of the rows of keys, against numpy on each key alone."""

import numpy as np
import pytest

from hyperfed.merge.order import Ordered

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("short", [True, False])
def test_rows_ordered_as_integers_are_ordered_as_numbers(short: bool) -> None:
    """Whether the values are float32 or not: both signs, both zeros, ties, the very small and the
    very large.
    """
    rng = np.random.default_rng(1)
    segment = np.concatenate([np.arange(50), rng.integers(0, 50, 2000)])
    value = rng.normal(0, 1, len(segment)) * 10.0 ** rng.integers(-30, 30, len(segment))
    value[::7], value[1::7], value[2::7] = 0.0, -0.0, 1.5
    value = value.astype(np.float32).astype(np.float64) if short else np.nextafter(value, np.inf)
    rows = Ordered(segment, 50, value)
    assert np.array_equal(
        rows.value, np.concatenate([np.sort(value[segment == key]) for key in range(50)])
    )
    assert np.array_equal(rows.segment, np.sort(segment))
    assert np.array_equal(rows.median(), [np.median(value[segment == key]) for key in range(50)])
    kept = [np.sort(value[segment == key])[3:-3] for key in range(50)]
    np.testing.assert_allclose(rows.trimmed(3), [v.mean() for v in kept], rtol=1e-12)


def test_keys_with_too_few_reporters_are_not_trimmed() -> None:
    rows = Ordered(
        np.array([0, 0, 0, 1, 1, 1, 1, 1]), 2, np.array([1.0, 2.0, 9.0, -5.0, 1.0, 2.0, 3.0, 50.0])
    )
    assert rows.trimmed(2).tolist() == [2.0, 2.0]
    assert rows.trimmed(1).tolist() == [2.0, 2.0]


def test_values_beyond_a_float32_are_ordered_like_any_other() -> None:
    rows = Ordered(np.zeros(3, np.int64), 1, np.array([1e300, -1e300, 2e300]))
    assert rows.value.tolist() == [-1e300, 1e300, 2e300]
    assert rows.median().tolist() == [1e300]
