"""Noise in shares: how wide, and what the sum of it is charged."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from hyperfed.errors import PrivacyError
from hyperfed.secure_aggregation import add_noise_share, honest_shares, rho_of_sum
from hyperfed.secure_aggregation.noise import rho_of_shares, sum_standard_deviation
from tests.unit.secure_aggregation.sums import SecureRound, group_of


def test_shares_add_up_to_the_width_that_is_stated() -> None:
    rng = np.random.default_rng(3)
    clients, sigma, length = 10, 40, 4000
    total = np.zeros(length, dtype=np.uint64)
    for _ in range(clients):
        total += add_noise_share(np.zeros(length, dtype=np.uint64), sigma, random_bytes=rng.bytes)
    spread = float(np.std(total.view(np.int64)))
    stated = sum_standard_deviation(sigma, clients, scale=1)
    assert abs(spread / stated - 1) < 4 / math.sqrt(2 * length)


def test_each_message_draws_its_own_share() -> None:
    zeros = np.zeros(50, dtype=np.uint64)
    assert not np.array_equal(add_noise_share(zeros, 40), add_noise_share(zeros, 40))


def test_rho_is_that_of_one_gaussian_where_shares_are_wide() -> None:
    """tau vanishes; what is left is D^2 / (2 n s^2), with rounding added to D."""
    rho = rho_of_sum(1.0, scale=1000, share_sigma=500, honest=9, length=100)
    assert rho == pytest.approx((1000 + 10) ** 2 / (2 * 9 * 500**2), rel=1e-12)


def _sum_of_shares(sigma: float, shares: int) -> npt.NDArray[np.float64]:
    """The exact distribution of a sum of discrete Gaussians, as far as floats tell it from 0."""
    reach = int(40 * sigma) + 2
    steps = np.arange(-reach, reach + 1)
    one = np.exp(-(steps**2) / (2 * sigma**2))
    one /= one.sum()
    total = one
    for _ in range(shares - 1):
        total = np.convolve(total, one)
    return total


def _divergence(noise: npt.NDArray[np.float64], moved: int, order: float) -> float:
    """The Renyi divergence between sums that are `moved` steps apart; it is the same both ways."""
    p, q = noise[moved:], noise[:-moved]
    seen = (p > 1e-250) & (q > 1e-250)
    terms = order * np.log(p[seen]) + (1 - order) * np.log(q[seen])
    return float(np.logaddexp.reduce(terms)) / (order - 1)


@pytest.mark.parametrize("sigma", [0.5, 0.6, 0.8, 1.0, 4.0])
@pytest.mark.parametrize("shares", [1, 2, 5, 20])
def test_rho_is_no_less_than_the_exact_divergence(sigma: float, shares: int) -> None:
    """The theorem beside the true distribution of the sum, at widths that no plan may have too."""
    noise = _sum_of_shares(sigma, shares)
    for moved in (1, 2, 5):
        rho = rho_of_shares(moved, share_sigma=sigma, honest=shares, length=1)
        exact = max(_divergence(noise, moved, a) / a for a in (1.0001, 1.5, 2, 4, 8, 32))
        assert exact <= rho * (1 + 1e-6)
        if sigma >= 4:
            assert exact >= rho * (1 - 1e-3)  # and hardly less: nobody is charged too much


def test_tau_is_needed_where_shares_are_narrow() -> None:
    """At half a step twenty shares are not one wide Gaussian; charging D^2 / 2 n s^2 is a sixth
    short. At 4 steps tau is far below what anybody could see.
    """
    exact = max(_divergence(_sum_of_shares(0.5, 20), 1, order) / order for order in (1.5, 2, 4))
    assert exact > 1.15 / (2 * 20 * 0.25)
    tau = 10 * sum(math.exp(-2 * math.pi**2 * 16 * k / (k + 1)) for k in range(1, 20))
    assert 0 < tau < 1e-60


def test_the_theorems_constants_stand_in_rho() -> None:
    """Both branches by hand: tau d is charged undivided, and the root of it beside the distance."""
    tau = 10 * math.exp(-2 * math.pi**2 / 2)  # two shares of one step
    first = rho_of_shares(30.0, share_sigma=1.0, honest=2, length=3)
    assert first == pytest.approx(30**2 / 4 + 3 * tau, rel=1e-12)
    second = rho_of_shares(0.01, share_sigma=1.0, honest=2, length=400)
    assert second == pytest.approx((0.01 / math.sqrt(2) + 20 * tau) ** 2 / 2, rel=1e-12)
    rounded = rho_of_sum(1.0, scale=4, share_sigma=4, honest=5, length=1)
    assert rounded == pytest.approx((4 + 1) ** 2 / (2 * 5 * 16), rel=1e-12)


def test_more_honest_shares_cost_less_and_none_cost_everything() -> None:
    rhos = [
        rho_of_sum(1.0, scale=100, share_sigma=50, honest=honest, length=10)
        for honest in (1, 2, 5, 50)
    ]
    assert rhos == sorted(rhos, reverse=True)
    with pytest.raises(PrivacyError, match="no honest client's noise is left"):
        rho_of_sum(1.0, scale=100, share_sigma=50, honest=0, length=10)


def test_dropouts_colluders_and_helpers_do_not_protect() -> None:
    assert honest_shares(20, colluding_clients=2, helpers_among_them=4) == 13
    assert honest_shares(5, colluding_clients=2, helpers_among_them=4) == 0


@pytest.mark.parametrize("sigma", [0, 3])
def test_a_share_below_four_steps_is_refused(sigma: int) -> None:
    with pytest.raises(PrivacyError, match=f"{sigma} steps wide; at least 4"):
        add_noise_share(np.zeros(3, dtype=np.uint64), sigma)
    with pytest.raises(PrivacyError, match="steps wide; at least 4"):
        rho_of_sum(1.0, scale=100, share_sigma=sigma, honest=5, length=10)


@pytest.mark.parametrize("sensitivity", [0.0, -1.0, math.inf, math.nan])
def test_a_sensitivity_is_a_positive_number(sensitivity: float) -> None:
    with pytest.raises(PrivacyError, match="both must be positive"):
        rho_of_sum(sensitivity, scale=100, share_sigma=9, honest=5, length=10)


def test_a_noised_message_is_masked_like_any_other() -> None:
    night = SecureRound(group_of(), ("ward-1", "ward-2"))
    values = night.messages["ward-1"].values
    noised = add_noise_share(values, 4)
    assert 0 < np.abs((noised - values).view(np.int64)).max() < 60


def _opened_sums(victim: int, rng: np.random.Generator, nights: int) -> npt.NDArray[np.float64]:
    """Sums of `nights` nights of four clients. Two of them, a colluder and a helper that is a
    client, add no noise; the sums are those of the other two, as the colluders know their own.
    """
    total = np.zeros(nights, dtype=np.uint64)
    for steps in (victim, -1000):
        message = np.full(nights, steps, dtype=np.int64).view(np.uint64)
        total += add_noise_share(message, 4, random_bytes=rng.bytes)
    return (total.view(np.int64) + 1000).astype(np.float64)


def test_an_audit_of_sums_finds_no_more_than_is_charged() -> None:
    """The sums of two nights that differ in one client's number are told apart by no more than rho.

    rho-zCDP bounds the Kullback-Leibler divergence by rho. Donsker and Varadhan's bound with a
    linear function estimates it from below, and for Gaussian noise without loss. Counting the
    colluders' shares, or those of clients who dropped out, would charge less than is found here.
    """
    rng, nights, moved = np.random.default_rng(6), 20_000, 8
    with_it, without = _opened_sums(moved, rng, nights), _opened_sums(0, rng, nights)
    slope = moved / (2 * 16)
    weights = np.exp(slope * without)
    found = slope * float(with_it.mean()) - math.log(float(weights.mean()))
    error = math.hypot(slope * float(with_it.std()), float(weights.std() / weights.mean()))
    found -= 5 * error / math.sqrt(nights)

    def charged(frozen: int, colluding: int, helpers: int) -> float:
        honest = honest_shares(frozen, colluding_clients=colluding, helpers_among_them=helpers)
        return rho_of_sum(moved / 64, scale=64, share_sigma=4, honest=honest, length=1)

    assert found <= charged(4, 1, 1)
    assert found > charged(4, 0, 0)  # as if nobody colluded
    assert found > charged(20, 1, 1)  # as if all 20 clients of the plan had come
