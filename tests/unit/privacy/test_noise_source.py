"""Noise from a round's seed: the same for the same sums, unrelated for others."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from hyperfed.privacy.discrete_gaussian import discrete_gaussian
from hyperfed.privacy.noise_source import SeededNoise, fresh_noise
from hyperfed.protocol.entries import Mechanism

SEED, FREEZE = b"s" * 32, b"f" * 32
SUMS = np.arange(5, dtype=np.int64)
MECHANISM = Mechanism(
    kind="gaussian",
    epsilon=Decimal("0.1"),
    delta=Decimal("1e-6"),
    sigma=9,
    sensitivity=3,
    place="central",
    relation="zero-out",
    unit="client",
)


def test_the_first_bytes_are_pinned() -> None:
    """Two versions of the library that draw other noise for one seed are two releases."""
    stream = SeededNoise(SEED, FREEZE)("means//x", MECHANISM, SUMS)
    assert stream(8).hex() == "84f097e4786a555d"


def test_two_coordinators_draw_the_same_noise_however_it_is_asked_for() -> None:
    one = SeededNoise(SEED, FREEZE)("means/", MECHANISM, SUMS)
    other = SeededNoise(SEED, FREEZE)("means/", MECHANISM, SUMS)
    whole = one(200_000)
    assert whole == b"".join(other(n) for n in (0, 1, 65_535, 65_536, 1, 68_927))
    drawn = [
        discrete_gaussian(9, 50, random_bytes=SeededNoise(SEED, FREEZE)("m", MECHANISM, SUMS))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize(
    ("seed", "freeze", "label", "mechanism", "sums"),
    [
        (b"t" * 32, FREEZE, "means/", MECHANISM, SUMS),
        (SEED, b"g" * 32, "means/", MECHANISM, SUMS),
        (SEED, FREEZE, "means/banks", MECHANISM, SUMS),
        (SEED, FREEZE, "means/", replace(MECHANISM, sigma=10), SUMS),
        (SEED, FREEZE, "means/", MECHANISM, SUMS + 1),
    ],
)
def test_everything_that_matters_changes_the_noise(
    seed: bytes, freeze: bytes, label: str, mechanism: Mechanism, sums: np.ndarray
) -> None:
    """Noise that served two sums would cancel in their difference."""
    plain = SeededNoise(SEED, FREEZE)("means/", MECHANISM, SUMS)(32)
    assert SeededNoise(seed, freeze)(label, mechanism, sums)(32) != plain


def test_its_digest_tells_which_sums_were_hidden() -> None:
    first, again, other = (SeededNoise(SEED, FREEZE) for _ in range(3))
    first("means/", MECHANISM, SUMS)
    again("means/", MECHANISM, SUMS.copy())
    other("means/", MECHANISM, SUMS + 1)
    assert first.digest == again.digest != other.digest


def test_fresh_noise_is_the_systems() -> None:
    source = fresh_noise("means/", MECHANISM, SUMS)
    assert source(32) != source(32)
