"""The sampler: its law against the exact mass function, its randomness, its refusals."""

import hashlib
import math

import mpmath
import numpy as np
import pytest

from hyperfed.errors import PrivacyError
from hyperfed.privacy.discrete_gaussian import MAX_SIGMA, _accepted, _Coins, discrete_gaussian

pytestmark = pytest.mark.unit


def seeded(seed: int):
    """Bytes that only a test may use: SHA-256 in counter mode, the same every run."""
    counter = iter(range(1 << 62))

    def random_bytes(size: int) -> bytes:
        blocks = [hashlib.sha256(f"{seed}/{next(counter)}".encode()).digest() for _ in range(1)]
        return np.random.Generator(np.random.PCG64(int.from_bytes(blocks[0], "little"))).bytes(size)

    return random_bytes


def exact_pmf(sigma: int, low: int, high: int) -> list[float]:
    """P(x) for low <= x <= high to thirty digits, the normaliser summed over everything that
    matters.
    """
    with mpmath.workdps(30):
        weight = [
            mpmath.exp(-(mpmath.mpf(x) ** 2) / (2 * sigma**2))
            for x in range(-20 * sigma, 20 * sigma + 1)
        ]
        total = mpmath.fsum(weight)
        return [float(weight[x + 20 * sigma] / total) for x in range(low, high + 1)]


def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    """The p-value of Pearson's test."""
    statistic = float(((observed - expected) ** 2 / expected).sum())
    return float(mpmath.gammainc((len(observed) - 1) / 2, statistic / 2, regularized=True))


@pytest.mark.parametrize("sigma", [1, 2, 7])
def test_draws_follow_the_exact_mass_function(sigma: int) -> None:
    size, reach = 200_000, 4 * sigma
    draws = discrete_gaussian(sigma, size, random_bytes=seeded(sigma))
    pmf = np.array(exact_pmf(sigma, -reach, reach))
    observed = np.array(
        [(draws == x).sum() for x in range(-reach, reach + 1)] + [(np.abs(draws) > reach).sum()],
        dtype=float,
    )
    expected = size * np.append(pmf, 1 - pmf.sum())
    large = expected >= 5
    assert chi_square(observed[large], expected[large]) > 1e-4


def test_the_test_would_see_a_wrong_law() -> None:
    """Its own twin: rounded continuous noise of a slightly other width fails where the sampler
    passes.
    """
    size, sigma = 200_000, 2
    pmf = np.array(exact_pmf(sigma, -8, 8))
    wrong = np.rint(np.random.default_rng(1).normal(0, sigma, size))  # variance sigma^2 + 1/12
    observed = np.array([(wrong == x).sum() for x in range(-8, 9)], dtype=float)
    assert chi_square(observed, size * pmf) < 1e-4  # what the sampler has to pass above


@pytest.mark.parametrize("sigma", [100, MAX_SIGMA])
def test_wide_draws_follow_the_law_in_bins(sigma: int) -> None:
    size = 100_000
    draws = discrete_gaussian(sigma, size, random_bytes=seeded(sigma))
    edges = np.linspace(-3.5, 3.5, 36)
    observed = np.histogram(draws / sigma, bins=[-np.inf, *edges, np.inf])[0].astype(float)

    # P(X < z sigma) on the integers: the continuous law with the half-step, exact to 1e-6 at these
    # widths
    def below(z: float) -> float:
        return 0.5 * math.erfc(-(math.ceil(z * sigma) - 0.5) / (sigma * math.sqrt(2)))

    cumulative = np.array([0.0, *(below(z) for z in edges), 1.0])
    assert chi_square(observed, size * np.diff(cumulative)) > 1e-4
    assert abs(draws.std() / sigma - 1) < 0.01


def test_nothing_is_drawn_twice_and_the_operating_system_is_asked_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not np.array_equal(discrete_gaussian(1000, 50), discrete_gaussian(1000, 50))
    from hyperfed.privacy import discrete_gaussian as module

    source = module.discrete_gaussian.__kwdefaults__["random_bytes"]
    assert source.__module__ in ("posix", "os")
    assert source.__name__ == "urandom"


def test_the_same_bytes_give_the_same_noise() -> None:
    first, second = (discrete_gaussian(500, 1000, random_bytes=seeded(9)) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_far_candidate_is_judged_in_whole_numbers() -> None:
    far = np.array([2**40, -(2**40), 0], dtype=np.int64)
    assert not _accepted(_Coins(seeded(1)), far, MAX_SIGMA)[:2].any()


def test_a_share_of_noise_takes_few_random_bytes() -> None:
    """Words are as wide as the coin: wide ones alone would take five times as many."""
    taken = 0

    def counted(size: int) -> bytes:
        nonlocal taken
        taken += size
        return random_bytes(size)

    random_bytes, size = seeded(3), 50_000
    draws = discrete_gaussian(MAX_SIGMA, size, random_bytes=counted)
    assert len(draws) == size
    assert taken < 45 * size
    assert not _Coins(lambda _: pytest.fail("a certain coin needs no word")).below(1, 9).any()


@pytest.mark.parametrize(("bound", "width"), [(2, 1), (256, 1), (257, 2), (1 << 16, 2), (65537, 8)])
def test_integers_below_a_bound_are_uniform_in_the_narrowest_word(bound: int, width: int) -> None:
    drawn = _Coins(seeded(bound)).below(bound, 100_000)
    assert (drawn.itemsize, int(drawn.max()) < bound) == (width, True)
    cells = np.bincount((drawn.astype(np.int64) * 2) // bound, minlength=2).astype(float)
    low = len(drawn) * ((bound + 1) // 2) / bound
    assert chi_square(cells, np.array([low, len(drawn) - low])) > 1e-4


@pytest.mark.parametrize("sigma", [0, -1, MAX_SIGMA + 1, 1.5, True, float("nan")])
def test_a_sigma_that_is_no_integer_in_range_is_refused(sigma) -> None:
    with pytest.raises(PrivacyError, match="sigma"):
        discrete_gaussian(sigma, 1)


def test_no_draws_are_no_draws() -> None:
    assert len(discrete_gaussian(3, 0)) == 0
