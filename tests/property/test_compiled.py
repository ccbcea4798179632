"""Machine code and numpy give the same bytes: whichever of them ran cannot be seen in a result."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed import kernels
from hyperfed.config import MAX_EFFECT
from hyperfed.kernels.layout import NARROW, WIDE
from hyperfed.merge import PatternVoters
from hyperfed.merge.ballots import agreement
from hyperfed.merge.packed import PackedRows

pytestmark = [pytest.mark.property, pytest.mark.timeout(300)]

unhurried = settings(deadline=None, max_examples=150, report_multiple_bugs=False)
numbers = st.sampled_from(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1e-45,
        -1e-300,
        1e30,
        -1e30,
        1e38,
        1e300,
        MAX_EFFECT,
        0.1,
        1.0000001,
    ]
) | st.floats(min_value=-10, max_value=10)

Both = Callable[[Callable[[], Sequence[np.ndarray]]], None]


@pytest.fixture(scope="module", name="both")
def _both(machine_code: Any) -> Both:
    """Compares the bytes that a piece of work returns by numpy and by machine code."""

    def both(work: Callable[[], Sequence[np.ndarray]]) -> None:
        used: list[Any] = []

        def watched(loop: Any) -> Any:
            def called(*given: Any) -> Any:
                used.append(loop)
                return loop(*given)

            return called

        with kernels.by_numpy():
            by_numpy = [np.asarray(array) for array in work()]
        with pytest.MonkeyPatch.context() as patch:
            loops = SimpleNamespace(agreement=watched(machine_code.agreement))
            patch.setattr(kernels._state, "loops", loops)
            ours = [np.asarray(array) for array in work()]
        assert used
        for one, other in zip(by_numpy, ours, strict=True):
            # `bincount` of nothing counts in integers
            assert one.dtype == other.dtype or not len(one)
            assert one.tobytes() == other.tobytes()

    return both


@st.composite
def ranges(draw: st.DrawFn) -> tuple[PackedRows, np.ndarray, PatternVoters]:
    """(rows, segment, eligible voters): every key has a row, and a client that reports a key could
    vote on it.
    """
    clients, keys = draw(st.integers(1, 14)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    there = rng.random((clients, keys)) < draw(st.sampled_from([0.3, 0.8, 1.0]))
    there[draw(st.integers(0, clients - 1))] = True
    could = there | (rng.random((clients, keys)) < draw(st.sampled_from([0.5, 1.0])))
    segment = np.nonzero(there)[1].astype(np.int32)
    n = len(segment)
    records = np.zeros(n, dtype=draw(st.sampled_from([NARROW, WIDE])))
    effect = rng.normal(draw(st.sampled_from([0.0, 2.0])), 1, n).round(draw(st.integers(0, 12)))
    effect[rng.random(n) < 0.1] = draw(numbers)
    share = st.sampled_from([(0.0, 1.0), (1.0, 1.0), (0.5, 0.6)])
    largest = 3e38 if records.dtype == NARROW else 1e308
    records["effect"] = np.clip(effect, -largest, largest)
    records["confidence"] = rng.uniform(*draw(share), n)
    records["stability"] = rng.uniform(*draw(share), n)
    records["n"] = rng.integers(0, draw(st.sampled_from([3, 2**63])), n, dtype=np.uint64)
    records["hits"] = rng.integers(0, 2**32, n, dtype=np.uint32)
    if draw(st.booleans()):
        none = draw(st.sampled_from([0.0, 0.5]))
        width = np.where(rng.random(n) < none, 0.0, rng.random(n))
        width *= draw(st.sampled_from([1.0, 1e-30, 1e30, largest]))
        records["ci_low"] = -width
        records["ci_high"] = width * rng.random(n)
    return PackedRows(packed=records, rows=there.sum(axis=1)), segment, PatternVoters(could.T)


def weights_of(draw: st.DrawFn, clients: int) -> np.ndarray:
    weight = st.sampled_from([0.0, 1.0, 0.9]) | st.floats(0, 2)
    return np.array(draw(st.lists(weight, min_size=clients, max_size=clients)))


@unhurried
@given(ranges(), st.sampled_from([np.int32, np.uint16]), st.data())
def test_clients_agree_alike(
    both: Both,
    drawn: tuple[PackedRows, np.ndarray, PatternVoters],
    kind: Any,
    data: st.DataObject,
) -> None:
    rows, segment, _ = drawn
    vote = np.clip(rows.packed["effect"].astype(np.float64), -1, 1)
    factor, keys = weights_of(data.draw, len(rows.rows)), int(segment.max()) + 1
    numbered, units = segment.astype(kind), 2.0**40
    both(lambda: agreement(numbered, vote, rows.rows, factor, keys, units, None, len(rows.rows)))
