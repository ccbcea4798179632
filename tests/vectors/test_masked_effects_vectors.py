"""The golden night of masked effects: made again, and read by arithmetic of its own, which uses
nothing of `hyperfed`.

A failure of the first test means that grids, charges or messages of effects changed.
"""

import json
import math
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import pytest

from tests.vectors.make_masked_effects import GOLDEN, text

pytestmark = pytest.mark.vectors

FILE: dict[str, Any] = json.loads(GOLDEN.read_text())
UNITS = sorted(FILE["nights"])


def slots() -> list[tuple[str, str, int]]:
    """Return every possible edge: ascending by source, target and lag, without loops at lag 0."""
    names = FILE["variables"]
    return [
        (source, target, lag)
        for source in names
        for target in names
        for lag in FILE["lags"]
        if source != target or lag
    ]


def test_it_is_made_again() -> None:
    assert GOLDEN.read_text() == text()


@pytest.mark.parametrize("unit", UNITS)
def test_messages_are_clipped_truncated_effects_and_noise(unit: str) -> None:
    night = FILE["nights"][unit]
    for message in night["messages"].values():
        found = {(s, t, lag): effect for s, t, lag, effect in message["effects"]}
        dense = [found.get(edge, 0.0) for edge in slots()]
        norm = math.hypot(*dense)
        scale = min(1.0, night["clip_norm"] / norm)
        for step, effect in zip(message["steps"], dense, strict=True):
            exact = effect * scale * night["grid"] / night["clip_norm"]
            # single precision carries effects; truncation is toward zero
            assert abs(step - math.trunc(exact)) <= 1 + abs(exact) * 2.0**-23
        assert sum(step * step for step in message["steps"]) <= night["grid"] ** 2
        numbers = zip(message["steps"], message["noise"], message["numbers"], strict=True)
        assert all((step + noise) % 2**64 == number for step, noise, number in numbers)


@pytest.mark.parametrize("unit", UNITS)
def test_the_charge_is_that_of_the_shares_that_are_left(unit: str) -> None:
    night = FILE["nights"][unit]
    charge, grid = night["charge"], night["grid"]
    assert (charge["sigma"], charge["shares"], charge["numbers"]) == (1 << 15, 14, len(slots()))
    moved = grid
    if unit == "record":
        moved = math.ceil(grid * night["record_bound"]) + math.isqrt(len(slots()) - 1) + 1
    assert charge["sensitivity"] == moved
    # zCDP's epsilon is above that of the best order, and not by much
    rho = float(Fraction(moved**2, 2 * charge["shares"] * charge["sigma"] ** 2))
    most = rho + 2 * math.sqrt(rho * math.log(1 / float(charge["delta"])))
    assert 0.7 * most < float(charge["epsilon"]) < most


@pytest.mark.parametrize("unit", UNITS)
def test_means_noise_and_cut_follow_from_the_sum(unit: str) -> None:
    night = FILE["nights"][unit]
    step, count = night["clip_norm"] / night["grid"], len(slots())
    messages = [message["numbers"] for message in night["messages"].values()]
    total = [sum(numbers) % 2**64 for numbers in zip(*messages, strict=True)]
    signed = [number - 2**64 if number >= 2**63 else number for number in total]
    assert signed == night["sum"]
    assert night["means"] == pytest.approx([number * step / 2 for number in signed], rel=1e-12)
    assert night["std"] == pytest.approx((1 << 15) * step / math.sqrt(2))
    assert night["cut"] == pytest.approx(-night["std"] * NormalDist().inv_cdf(0.025 / count))
    squared = count + 2 * math.sqrt(count * 64) + 128
    assert night["longest"] == pytest.approx(
        2 * night["grid"] + (1 << 15) * math.sqrt(2) * math.sqrt(squared)
    )
