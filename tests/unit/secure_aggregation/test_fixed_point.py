"""Numbers that are summed modulo 2^64."""

import numpy as np
import pytest

from hyperfed.errors import BoundsError
from hyperfed.secure_aggregation import from_fixed_point, to_fixed_point
from hyperfed.secure_aggregation.fixed_point import largest_value


def test_numbers_come_back_rounded_to_a_step() -> None:
    values = np.array([0.0, 1.0, -1.0, 0.3, -(2.0**-25), 12345.678])
    back = from_fixed_point(to_fixed_point(values, cohort=100))
    np.testing.assert_allclose(back, values, atol=2.0**-25)


def test_the_largest_cohort_cannot_wrap() -> None:
    for cohort in (1, 7, 1000):
        largest = np.nextafter(largest_value(cohort), 0)
        words = to_fixed_point(np.array([largest, -largest]), cohort=cohort)
        total = words * np.uint64(cohort)
        assert total.view(np.int64)[0] > 0 > total.view(np.int64)[1]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 5.5e9, -1e300])
def test_what_could_wrap_is_refused_with_the_bound(value: float) -> None:
    with pytest.raises(BoundsError, match=r"position 1 is .*a sum of 100 clients .*below 5.49756e"):
        to_fixed_point(np.array([1.0, value]), cohort=100)


def test_a_coarser_scale_bears_larger_numbers() -> None:
    words = to_fixed_point(np.array([1e12]), cohort=10, scale=256)
    assert from_fixed_point(words, scale=256)[0] == 1e12
    with pytest.raises(BoundsError, match="both are at least 1"):
        largest_value(0)
