"""Let the clients add the noise of a sum in shares, so that nobody is trusted with all of it.

1. Each client adds discrete Gaussian noise of `share_sigma` steps to each of its numbers before it
   masks them. It draws once a message, and sends the same message again rather than a new draw.
2. A share is at least 4 steps wide. The sum of n such shares is then, for every purpose, a discrete
   Gaussian of sqrt(n) times the width; the small difference stands in `tau`.
3. What protects a client is the noise of the *others*, less the shares of those who may disclose
   theirs. `honest` is the number of frozen clients less m that may collude, less the helpers that
   are clients, less the client itself. It is counted at the reserve, from the freeze, so that
   clients who dropped out add nothing.
4. The sum satisfies rho-zCDP, where rho is the smaller of
       D^2 / (2 n s^2) + tau d   and   (D / (sqrt(n) s) + tau sqrt(d))^2 / 2,
       tau = 10 sum over k < n of exp(-2 pi^2 s^2 k / (k + 1)),
   for n honest shares of s steps, d numbers and an L2 distance of D steps. Source: Kairouz, Liu,
   Steinke, The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
   Aggregation, ICML 2021 (arXiv:2102.06387), theorem 1 and proposition 14. The Renyi divergence of
   order a is at most a D^2 / (2 n s^2) + tau d; it must stay below a rho for every a >= 1, so tau d
   enters rho undivided (docs/adr/0069).
5. Two messages of one client are compared: who took part is public, because the manifest names it.
   Rounding one client's d numbers to steps moves them by at most sqrt(d) / 2 in L2, so the distance
   of what is summed is that of the numbers, in steps, plus sqrt(d) / 2 for each message.
"""

import math
import os
from collections.abc import Callable

import numpy as np

from hyperfed.errors import PrivacyError
from hyperfed.privacy.discrete_gaussian import discrete_gaussian
from hyperfed.secure_aggregation.streams import Words

__all__ = [
    "SMALLEST_SHARE",
    "add_noise_share",
    "honest_shares",
    "rho_of_shares",
    "rho_of_sum",
    "sum_standard_deviation",
]

SMALLEST_SHARE = 4
"""Smallest standard deviation of one client's share, in steps."""


def _check_share(share_sigma: int) -> None:
    if share_sigma < SMALLEST_SHARE:
        raise PrivacyError(
            f"a share of noise is {share_sigma} steps wide; at least {SMALLEST_SHARE} are needed",
            subject="noise shares",
            remedy="Plan a finer scale, or more noise",
        )


def add_noise_share(
    values: Words, share_sigma: int, *, random_bytes: Callable[[int], bytes] = os.urandom
) -> Words:
    """Return `values` plus one client's share of the noise, uint64[n] modulo 2^64.

    `share_sigma` is the standard deviation of the share, in steps. Raises PrivacyError below 4.
    """
    _check_share(share_sigma)
    share = discrete_gaussian(share_sigma, len(values), random_bytes=random_bytes)
    return values + share.view(np.uint64)


def honest_shares(frozen: int, *, colluding_clients: int, helpers_among_them: int) -> int:
    """Return how many shares protect each client of a sum (rule 3).

    `frozen` is how many clients the freeze counts. The answer is never below 0.
    """
    return max(0, frozen - 1 - colluding_clients - helpers_among_them)


def rho_of_sum(
    sensitivity: float, *, scale: int, share_sigma: int, honest: int, length: int
) -> float:
    """Return rho of the zero-concentrated differential privacy of one sum (rules 4 and 5).

    `sensitivity` is the L2 distance of two messages that are to be told apart, in the payload's own
    units; `scale` how many steps make one. Raises PrivacyError for a share below 4 steps, or where
    no honest share is left: nothing protects anybody then.
    """
    _check_share(share_sigma)
    if honest < 1:
        raise PrivacyError(
            "no honest client's noise is left to protect the others",
            subject="noise shares",
            remedy="Wait for more clients: the round is void below the registry's floor",
        )
    if not (math.isfinite(sensitivity) and sensitivity > 0 and length > 0):
        raise PrivacyError(
            f"a sensitivity of {sensitivity} over {length} numbers; both must be positive",
            subject="noise shares",
        )
    moved = sensitivity * scale + math.sqrt(length)
    return rho_of_shares(moved, share_sigma=share_sigma, honest=honest, length=length)


def rho_of_shares(moved: float, *, share_sigma: float, honest: int, length: int) -> float:
    """Return rho of a sum of `honest` shares for messages that are `moved` steps apart (rule 4).

    `share_sigma` may be narrower than `SMALLEST_SHARE` here: the bound is the theorem's for every
    width from half a step on.
    """
    powers = -2.0 * math.pi**2 * share_sigma**2 * np.arange(1, honest) / np.arange(2, honest + 1)
    tau = 10.0 * float(np.exp(powers).sum())
    variance = honest * share_sigma**2
    return min(
        moved**2 / (2.0 * variance) + tau * length,
        (moved / math.sqrt(variance) + tau * math.sqrt(length)) ** 2 / 2.0,
    )


def sum_standard_deviation(share_sigma: int, clients: int, scale: int) -> float:
    """Return the standard deviation of a sum's noise in each number, in the payload's units."""
    return share_sigma * math.sqrt(clients) / scale
