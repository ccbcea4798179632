"""Noise in shares: how wide, and what the sum of it is charged."""

import math

import numpy as np
import pytest

from hyperfed.errors import PrivacyError
from hyperfed.secure_aggregation import add_noise_share, honest_shares, rho_of_sum
from hyperfed.secure_aggregation.noise import sum_standard_deviation
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


def test_tau_is_charged_where_shares_are_narrow() -> None:
    """The theorem's sum, written out: at 4 steps it is far below what anybody could see."""
    tau = 10 * sum(math.exp(-2 * math.pi**2 * 16 * k / (k + 1)) for k in range(1, 5))
    assert 0 < tau < 1e-60
    narrow = rho_of_sum(1.0, scale=4, share_sigma=4, honest=5, length=1)
    epsilon = min(math.sqrt(25 / 80 + tau / 2), 5 / math.sqrt(80) + tau)
    assert narrow == pytest.approx(epsilon**2 / 2, rel=1e-12)


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
