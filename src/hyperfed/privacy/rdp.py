"""Ask dp-accounting for orders, filters and epsilons.

No other module imports it, and this one does so only when it is first needed, since that takes over
a second.

1. The filter: before the first night the budget alone fixes one order alpha and the largest rho =
   sum of sensitivity^2 / (2 sigma^2) that may ever be spent. Because order and threshold are
   constants, the filter holds even when one round's noise depends on the result of the round before
   (Feldman and Zrnic 2021, arXiv:2008.11193, the Rényi filter; Lécuyer 2021, arXiv:2103.01379).
2. RDP becomes (epsilon, delta) by Canonne, Kamath and Steinke 2020, Proposition 12, as
   dp-accounting has it. Discrete Gaussian noise on an integer vector has the RDP of the continuous
   one, alpha * rho (ibid., multivariate case), whatever the number of coordinates. The analytic
   formula for *continuous* noise (Balle and Wang 2018) gives no statement about it, only the noise
   we start from.
3. The exact curve of continuous noise ("PLD") is a report: it holds for rounds fixed in advance and
   for continuous noise.
4. What is published is rounded so that it stays true: epsilons up, thresholds down.

What it does not do: know ledgers, policies or mechanisms (`accountant`).
"""

import importlib
import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

from hyperfed.errors import PrivacyError

__all__ = [
    "Filter",
    "analytic_epsilon",
    "analytic_sigma",
    "pld_epsilon",
    "rdp_epsilon",
    "rdp_filter",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Holds an order, and the most that may be spent at it: epsilon = alpha * rho + overhead."""

    order: Decimal
    """The order alpha, fixed before the first night."""
    rho: Fraction
    """The most rho that may be spent."""
    overhead: Decimal
    """Epsilon that the conversion from RDP adds."""


def _library() -> Any:
    try:
        return importlib.import_module("dp_accounting")
    except ImportError as exc:
        raise PrivacyError(
            "dp-accounting is not installed, and budgets with noise are accounted by it",
            subject="privacy",
            remedy="pip install dp-accounting",
        ) from exc


@lru_cache(maxsize=1)
def _orders() -> tuple[float, ...]:
    return tuple(float(a) for a in _library().rdp.RdpAccountant().orders)


def _rounded(value: float, *, up: bool, digits: int = 12) -> Decimal:
    return Context(
        prec=digits, rounding=ROUND_CEILING if up else ROUND_FLOOR
    ).create_decimal_from_float(value)


def _check(epsilon: Decimal, delta: Decimal) -> None:
    if not (epsilon > 0 and 0 < delta < 1):
        raise PrivacyError(
            f"epsilon {epsilon} and delta {delta}; noise needs an epsilon above 0 and a delta "
            "between 0 and 1",
            subject="privacy",
            remedy=(
                "Choose a delta well below one over the number of units: Gaussian noise gives no "
                "pure epsilon"
            ),
        )


@lru_cache(maxsize=64)
def rdp_filter(epsilon: Decimal, delta: Decimal) -> Filter:
    """Return the filter of a budget.

    Raises PrivacyError where no order can meet the budget, and where dp-accounting is missing.
    """
    _check(epsilon, delta)
    compute = _library().rdp.compute_epsilon
    best = Filter(order=Decimal(2), rho=Fraction(0), overhead=epsilon)
    for order in _orders():
        far = 1000.0  # the conversion is linear there; near 0 it is clamped
        overhead = _rounded(
            float(compute([order], [far], float(delta))[0]) - far, up=True, digits=9
        )
        exact = Decimal(repr(order))
        rho = (Fraction(epsilon) - Fraction(overhead)) / Fraction(exact)
        if order > 1.01 and rho > best.rho:
            best = Filter(order=exact, rho=rho, overhead=overhead)
    if best.rho <= 0:
        raise PrivacyError(
            f"no amount of noise keeps a night within epsilon {epsilon} and delta {delta}",
            subject="privacy",
            remedy="State a larger epsilon or delta",
        )
    return best


@lru_cache(maxsize=1024)
def rdp_epsilon(rho: Fraction, delta: Decimal) -> Decimal:
    """Return the epsilon, at `delta`, of Gaussian noise with this rho in all; 0 for rho 0.

    It is taken at the best order, and so holds for noise that was fixed in advance.
    """
    if rho == 0:
        return Decimal(0)
    _check(Decimal(1), delta)
    orders = _orders()
    epsilon, _ = _library().rdp.compute_epsilon(
        orders, [order * float(rho) for order in orders], float(delta)
    )
    return _rounded(float(epsilon), up=True, digits=5)


def pld_epsilon(rho: Fraction, delta: Decimal) -> Decimal:
    """Return the exact epsilon if the noise were continuous: composed Gaussians are one Gaussian.

    It is a report, never a permission.
    """
    return analytic_epsilon(1 / math.sqrt(2 * float(rho)), delta) if rho else Decimal(0)


def analytic_epsilon(multiplier: float, delta: Decimal) -> Decimal:
    """Return the epsilon of continuous Gaussian noise of `multiplier` sensitivities.

    Source: Balle and Wang 2018, arXiv:1805.06530, Theorem 8.
    """
    _check(Decimal(1), delta)
    return _rounded(
        float(_library().get_epsilon_gaussian(multiplier, float(delta))) * (1 + 1e-9),
        up=True,
        digits=5,
    )


@lru_cache(maxsize=64)
def analytic_sigma(epsilon: Decimal, delta: Decimal) -> float:
    """Return the noise, in sensitivities, that gives (epsilon, delta).

    It is that of the analytic Gaussian mechanism. Source: Balle and Wang 2018, Algorithm 1.
    """
    _check(epsilon, delta)
    return float(_library().get_sigma_gaussian(float(epsilon), float(delta))) * (1 + 1e-9)
