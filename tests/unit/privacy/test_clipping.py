"""Clipping and the grid: the bound holds exactly, whatever comes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hyperfed.errors import PrivacyError
from hyperfed.privacy.clipping import MAX_BOUND, MAX_SLOTS, clip_l2, largest_bound, to_grid

pytestmark = pytest.mark.unit

VECTORS = hnp.arrays(
    np.float64, st.integers(0, 40), elements=st.floats(allow_nan=False, allow_infinity=False)
)


@given(vector=VECTORS, clip=st.floats(1e-6, 1e6), bound=st.integers(1, MAX_BOUND))
def test_no_vector_is_longer_than_its_bound_on_the_grid(
    vector: np.ndarray, clip: float, bound: int
) -> None:
    grid = to_grid(clip_l2(vector, clip), clip_norm=clip, bound=bound)
    assert sum(int(x) ** 2 for x in grid) <= bound**2


@given(slots=st.integers(1, MAX_SLOTS), clip=st.floats(1e-6, 1e6), data=st.data())
def test_the_finest_grid_keeps_the_bound_and_one_finer_is_refused(
    slots: int, clip: float, data: st.DataObject
) -> None:
    """The largest vector of its kind, on the finest grid: sums of squares are exact in 62 bits."""
    most = largest_bound(slots)
    assert slots * most**2 <= 1 << 62 < slots * (most + 1) ** 2
    few = min(slots, 40)
    vector = data.draw(hnp.arrays(np.float64, few, elements=st.floats(-1e300, 1e300)))
    grid = to_grid(clip_l2(vector, clip), clip_norm=clip, bound=most)
    assert sum(int(x) ** 2 for x in grid) <= most**2
    with pytest.raises(PrivacyError, match="at most"):
        to_grid(np.zeros(few), clip_norm=clip, bound=largest_bound(few) + 1)


@given(vector=VECTORS, clip=st.floats(1e-6, 1e6))
def test_clipping_keeps_direction_and_short_vectors(vector: np.ndarray, clip: float) -> None:
    clipped = clip_l2(vector, clip)
    assert np.array_equal(np.sign(clipped) * (clipped != 0), np.sign(vector) * (clipped != 0))
    with np.errstate(over="ignore"):
        norm = np.linalg.norm(vector)
    if norm <= clip * (1 - 1e-9) and np.abs(vector).max(initial=0) < 1e150:
        assert np.array_equal(clipped, vector) or norm == 0


def test_truncation_goes_toward_zero() -> None:
    assert to_grid(np.array([0.19, -0.19, 0.2]), clip_norm=1.0, bound=10).tolist() == [1, -1, 2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_before_it_is_compared(bad: float) -> None:
    with pytest.raises(PrivacyError, match="not finite"):
        clip_l2(np.array([0.0, bad]), 1.0)
    with pytest.raises(PrivacyError, match="not finite"):
        to_grid(np.array([bad]), clip_norm=1.0, bound=10)


def test_a_vector_that_was_not_clipped_is_refused() -> None:
    with pytest.raises(PrivacyError, match="longer than its clip"):
        to_grid(np.array([2.0]), clip_norm=1.0, bound=100)
    with pytest.raises(PrivacyError, match="longer than its clip"):
        to_grid(np.array([0.8, 0.8]), clip_norm=1.0, bound=100)


def test_the_largest_floats_do_not_overflow() -> None:
    huge = np.array([1.7e308, -1.7e308])
    assert np.allclose(clip_l2(huge, 1.0), [0.5**0.5, -(0.5**0.5)])


@pytest.mark.parametrize("clip", [0.0, -1.0, np.nan, np.inf])
def test_a_clip_that_is_none_is_refused(clip: float) -> None:
    with pytest.raises(PrivacyError, match="clip_norm"):
        clip_l2(np.ones(2), clip)
