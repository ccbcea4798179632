"""A client's vector with its share of noise, and what a noised sum may be."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperfed.errors import AggregationError, BoundsError, PrivacyError
from hyperfed.privacy.accountant import rho_of
from hyperfed.privacy.moments import plan_moments, step_of
from hyperfed.protocol.entries import Mechanism
from hyperfed.secure_aggregation.fixed_point import largest_value
from hyperfed.secure_aggregation.noise import rho_of_shares
from hyperfed.secure_aggregation.noised_statistics import SPREADS, noised_sum_of, noised_vector
from tests.noised_night import policy, statistics

PLAN = policy()
NIGHT = plan_moments(PLAN, 3)


def vector(**changes: Any) -> np.ndarray:
    given: dict[str, Any] = {"cohort": 6, "subject": "ward-1"} | changes
    return noised_vector(given.pop("of", statistics(0)), given.pop("night", NIGHT), **given)


def sum_of(total: np.ndarray, clients: int = 2, **changes: Any) -> Any:
    given: dict[str, Any] = {"variables": 3, "lags": (1,), "clients": clients} | changes
    return noised_sum_of(total.astype(np.int64).view(np.uint64), NIGHT, **given)


def test_the_same_bytes_give_the_same_share_and_rows_have_none() -> None:
    rng = np.random.default_rng
    once, again = (vector(random_bytes=rng(1).bytes) for _ in range(2))
    assert np.array_equal(once, again)
    assert not np.array_equal(vector(), vector())
    assert int(once[0]) == statistics(0).n == 799


def test_messages_add_up_to_the_exact_sum_and_its_noise() -> None:
    parts = [statistics(seed) for seed in (1, 2)]
    total = np.sum([vector(of=one) for one in parts], axis=0, dtype=np.uint64)
    summed = sum_of(total.view(np.int64))
    assert (summed.form, summed.n) == ("noised", sum(one.n for one in parts))
    noise = (summed.moments - parts[0].moments - parts[1].moments) / step_of(NIGHT)
    assert np.abs(noise - np.rint(noise)).max() < 1e-6
    assert 0 < np.abs(noise).max() < 8 * math.sqrt(2) * NIGHT.mechanism.sigma


def test_a_number_without_room_for_its_noise_is_refused() -> None:
    """A cohort so large that moments would fit, and moments with noise would not."""
    one = statistics(0)
    largest = float(np.abs(one.moments).max() / step_of(NIGHT))
    cohort = int(2**63 / (largest + SPREADS * NIGHT.mechanism.sigma / 2))
    assert largest < largest_value(cohort, 1)
    with pytest.raises(BoundsError, match="bears finite numbers below"):
        vector(cohort=cohort)


@pytest.mark.parametrize(
    "wrong",
    [
        {"night": replace(NIGHT, mechanism=replace(NIGHT.mechanism, numbers=20))},
        {"night": plan_moments(policy(), 4)},
        {"of": replace(statistics(0), form="noised")},
    ],
)
def test_what_is_no_message_of_the_night_is_not_noised(wrong: dict[str, Any]) -> None:
    drawn = list[int]()

    def count(size: int) -> bytes:
        drawn.append(size)
        return bytes(size)

    with pytest.raises(PrivacyError):
        vector(random_bytes=count, **wrong)
    assert not drawn


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (0, 15, "is of 15 rows; 2 clients have at least"),
        (0, -5, "is of -5 rows"),
        (3, 1600 * NIGHT.bound + SPREADS * 2 * (1 << 15) + 1, "rows of the policy's norm"),
        (3, -(2**63), "rows of the policy's norm"),
    ],
)
def test_a_sum_that_no_rows_and_noise_have_is_refused(at: int, value: int, why: str) -> None:
    total = np.concatenate([[1600], np.full(21, 1000)]).astype(np.int64)
    assert sum_of(total).n == 1600
    total[at] = value
    with pytest.raises(AggregationError, match=why) as refused:
        sum_of(total)
    assert refused.value.rule == "R-176"


def mechanism(shares: int, sigma: int = 4, numbers: int = 820) -> Mechanism:
    return replace(NIGHT.mechanism, shares=shares, sigma=sigma, sensitivity=30, numbers=numbers)


@pytest.mark.parametrize("shares", [1, 2, 5, 40, 4000])
@pytest.mark.parametrize("sigma", [4, 5, 1 << 15])
def test_the_ledger_charges_no_less_than_the_theorem_and_hardly_more(
    shares: int, sigma: int
) -> None:
    """tau d is charged as a rational number, 1e-67 for each term, which is no less than it."""
    charged = mechanism(shares, sigma)
    theorem = rho_of_shares(30.0, share_sigma=sigma, honest=shares, length=820)
    assert float(rho_of(charged)) == pytest.approx(theorem, rel=1e-12)
    tau = 10 * sum(math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in range(1, shares))
    plain = rho_of(replace(charged, shares=1)) / shares
    assert tau * 820 <= float(rho_of(charged) - plain)


@pytest.mark.parametrize(
    "wrong", [{"shares": 0}, {"numbers": 0}, {"sigma": 3}, {"place": "local"}, {"place": "central"}]
)
def test_a_mechanism_of_shares_says_how_many_and_how_wide(wrong: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="mechanism"):
        replace(NIGHT.mechanism, **wrong)
