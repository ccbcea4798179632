"""Machine code and numpy give the same bytes: whichever of them ran cannot be seen in a result.

Slow where nothing is in numba's cache yet: each kernel is compiled once.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.merge import compiled, segments
from hyperfed.merge.order import Ordered, effect_trust
from hyperfed.merge.pooling import pool_effects

pytest.importorskip("numba", reason="the extra `compiled` is not installed")
pytestmark = [pytest.mark.property, pytest.mark.slow, pytest.mark.timeout(300)]

unhurried = settings(deadline=None, max_examples=150)
numbers = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 5e-324, -1e-300, 1e-30, 1e300, -1e300, 1e38, 2e38, 0.1, 0.30000000000000004, 1.0000001]) | st.floats(
    min_value=-10, max_value=10
)


@st.composite
def rows(draw: st.DrawFn, value: st.SearchStrategy[float] = numbers) -> tuple[np.ndarray, int, np.ndarray]:
    """(segment, keys, value): every key has a row; sometimes all are float32, sometimes many are the same."""
    keys = draw(st.integers(1, 6))
    further = draw(st.lists(st.integers(0, keys - 1), max_size=draw(st.sampled_from([4, 30, 120]))))
    segment = np.array(draw(st.permutations(list(range(keys)))) + further, dtype=np.int32)
    values = np.array(draw(st.lists(value, min_size=len(segment), max_size=len(segment))))
    if draw(st.booleans()):
        values = np.clip(values, -3e38, 3e38).astype(np.float32).astype(np.float64)
    return segment, keys, values


def both(work):  # type: ignore[no-untyped-def]
    """The bytes that `work` returns from numpy and from machine code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYPERFED_COMPILED", "0")
        by_numpy = [np.asarray(a) for a in work()]
        patch.delenv("HYPERFED_COMPILED")
        patch.setattr(compiled, "ROWS", 1)
        assert compiled.machine_code(1) is not None
        ours = [np.asarray(a) for a in work()]
    for one, other in zip(by_numpy, ours, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


@unhurried
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 2)), min_size=1, max_size=80), st.integers(0, 2**24 - 1))
def test_keys_are_numbered_alike(parts: list[tuple[int, int, int]], base: int) -> None:
    keys = np.array([(a << 61) | (b << 20) | (c << 3) | (base << 36) for a, b, c in parts], dtype=np.uint64)
    both(lambda: segments.number(keys))


@unhurried
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40))
def test_keys_too_far_apart_for_a_table_are_left_to_numpy(keys: list[int]) -> None:
    both(lambda: segments.number(np.array(keys, dtype=np.uint64)))


@unhurried
@given(rows(), st.integers(0, 4))
def test_order_statistics_are_alike(drawn: tuple[np.ndarray, int, np.ndarray], f: int) -> None:
    def statistics() -> list[np.ndarray]:
        ordered = Ordered(*drawn)
        return [ordered.start, ordered.count, ordered.value, ordered.rank, ordered.segment, ordered.median(), ordered.trimmed(f), ordered.at(ordered.count - 1)]

    both(statistics)


@unhurried
@given(rows())
def test_effects_are_judged_alike(drawn: tuple[np.ndarray, int, np.ndarray]) -> None:
    both(lambda: [effect_trust(*drawn)])


@unhurried
@given(rows(), st.data())
def test_effects_are_pooled_alike(drawn: tuple[np.ndarray, int, np.ndarray], data: st.DataObject) -> None:
    segment, keys, effect = drawn
    many = {"min_size": len(segment), "max_size": len(segment)}
    vote = np.array(data.draw(st.lists(st.sampled_from([0.0, -0.0]) | st.floats(-1, 1), **many)))
    weight = np.array(data.draw(st.lists(st.just(1.0) | st.floats(1e-9, 1e9), **many)))
    width = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.0, 0.1, 1e-40, 1e300]) | st.floats(0, 100), **many))) if data.draw(st.booleans()) else None

    def columns() -> list[np.ndarray]:
        pooled = pool_effects(segment, keys, effect=effect, vote=vote, weight=weight, width=width)
        return [pooled.effect, pooled.std_error, pooled.tau2, pooled.i2, pooled.pooled]

    both(columns)


def test_long_runs_are_sorted_alike() -> None:
    """Longer than what is sorted by insertion: already ascending, descending, all the same, and any order."""
    rng = np.random.default_rng(0)
    runs = [np.arange(5000.0), -np.arange(5000.0), np.ones(5000), rng.normal(size=5000), np.repeat([1.0, -1.0], 2500), rng.integers(0, 9, 5000).astype(float)]
    segment = np.repeat(np.arange(len(runs), dtype=np.int32), 5000)
    both(lambda: [Ordered(segment, len(runs), np.concatenate(runs)).value, effect_trust(segment, len(runs), np.concatenate(runs))])
