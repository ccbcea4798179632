"""Draw integer noise from the discrete Gaussian law, exactly.

P(x) is proportional to exp(-x^2 / (2 sigma^2)) on the integers.

1. Every coin is decided by comparing integers, so no float rounding shapes the law: the attacks on
   floating-point noise (Mironov 2012) have nothing to work on. Only the standard library's and
   numpy's integer arithmetic is used.
2. The algorithm is that of Canonne, Kamath and Steinke 2020 (arXiv:2004.00010): coins of
   probability exp(-gamma) (Algorithm 1), discrete Laplace (Algorithm 2), and discrete Gaussian by
   rejection from it (Algorithm 3). Here each works on whole arrays at once. The Laplace scale of
   Algorithm 3 is sigma itself, not sigma + 1: the law is the same for every scale, and a sigma
   that is a power of 2 then wastes no random word.
3. Randomness is an argument. By default it is the operating system's source; a generator that can
   be seeded protects nobody.
4. sigma is an integer up to MAX_SIGMA, so that the comparisons fit 64 bits. Wider noise means a
   coarser grid, not a wider sigma.

What it does not do: choose sigma (`mechanisms`), or hide how long it took. Like that of every
rejection sampler, its time depends on what it draws.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import PrivacyError

__all__ = ["MAX_SIGMA", "SAMPLER", "RandomBytes", "discrete_gaussian"]

SAMPLER = 2
"""Version of the sampler. The same bytes give the same draws within one version."""

MAX_SIGMA = 1 << 15
"""Largest sigma, in grid units. Squares of what any draw is away from it fit 64 bits."""

RandomBytes = Callable[[int], bytes]
"""A function from n to n bytes that nobody can predict."""
Words = npt.NDArray[np.unsignedinteger]
Integers = npt.NDArray[np.int64]
Coins = npt.NDArray[np.bool_]

_KINDS = tuple(map(np.dtype, ("<u1", "<u2", "<u8")))  # of the words that are drawn
_AT_ONCE = 1 << 17  # candidates in one batch: a few megabytes
_FURTHEST = (1 << 32) - 1  # 2^17 times the widest sigma; a candidate's chance is exp(-2^17)


def discrete_gaussian(sigma: int, size: int, *, random_bytes: RandomBytes = os.urandom) -> Integers:
    """Return int64[size]: independent draws with standard deviation `sigma`.

    The standard deviation is within 1e-7 of `sigma` for sigma >= 1. `random_bytes` maps n to n
    bytes that nobody can predict. Raises PrivacyError unless sigma is an integer in [1, MAX_SIGMA].
    Source: Canonne, Kamath, Steinke 2020, Algorithm 3.
    """
    if type(sigma) is not int or not 1 <= sigma <= MAX_SIGMA:
        raise PrivacyError(
            f"sigma is {sigma!r:.40}; an integer in [1, {MAX_SIGMA}] is needed",
            subject="discrete Gaussian",
        )
    coins = _Coins(random_bytes)
    parts, missing = [np.zeros(0, dtype=np.int64)], size
    while missing > 0:
        candidates = _discrete_laplace(coins, sigma, min(_AT_ONCE, missing + missing // 2 + 32))
        accepted = candidates[_accepted(coins, candidates, sigma)][:missing]
        parts.append(accepted)
        missing -= len(accepted)
    return np.concatenate(parts)


def _discrete_laplace(coins: "_Coins", scale: int, tries: int) -> Integers:
    """Return at most `tries` draws with P(x) proportional to exp(-|x| / scale).

    Source: Algorithm 2 with s = 1.
    """
    low = coins.below(scale, tries)
    low = low[coins.exp(low, scale)]
    magnitude = low.astype(np.int64) + scale * coins.successes(len(low))
    negative = coins.below(2, len(magnitude)) == 1
    keep = ~(negative & (magnitude == 0))  # -0 would count 0 twice
    return np.asarray(np.where(negative, -magnitude, magnitude)[keep])


def _accepted(coins: "_Coins", candidates: Integers, sigma: int) -> Coins:
    """Return bool[candidates]: heads with probability exp(-gamma).

    gamma = (|y| - sigma)^2 / (2 sigma^2), for candidates y of the discrete Laplace law of scale
    sigma. What is `_FURTHEST` or more from sigma is judged as if it were there.
    """
    denominator = 2 * sigma * sigma
    distance = np.abs(np.abs(candidates) - sigma)
    square = np.square(np.minimum(distance, _FURTHEST).astype(np.uint64))
    quotient = (square // np.uint64(denominator)).astype(np.int64)
    remainder = square % np.uint64(denominator)
    heads = coins.exp(remainder, denominator)
    active = np.flatnonzero(heads & (quotient > 0))
    flips = 0
    while len(active):  # exp(-(n + r)) = exp(-1)^n exp(-r)
        won = coins.exp(np.ones(len(active), dtype=np.uint64), 1)
        heads[active[~won]] = False
        flips += 1
        active = active[won]
        active = active[quotient[active] > flips]
    return heads


class _Coins:
    """Exact random integers and coins, many at once."""

    def __init__(self, random_bytes: RandomBytes) -> None:
        self._random_bytes = random_bytes

    def below(self, bound: int, size: int) -> Words:
        """Return `size` integers, uniform in [0, bound), in the narrowest type that is drawn.

        Words are masked, and those that are too large are drawn again.
        """
        bits = (bound - 1).bit_length()
        kind = next(kind for kind in _KINDS if bits <= 8 * kind.itemsize)
        if bits == 0:
            return np.zeros(size, dtype=kind)
        mask = kind.type((1 << bits) - 1)
        drawn: Words = self._words(size, kind) & mask
        too_large = np.flatnonzero(drawn >= bound)
        while len(too_large):
            drawn[too_large] = self._words(len(too_large), kind) & mask
            too_large = too_large[drawn[too_large] >= bound]
        return drawn

    def exp(self, numerator: Words, denominator: int) -> Coins:
        """Return bool[numerator]: heads with probability exp(-numerator / denominator).

        The ratio lies in [0, 1]. Source: Algorithm 1.
        """
        heads = np.zeros(len(numerator), dtype=bool)
        active, k = np.arange(len(numerator)), 1
        while len(active):
            won = self.below(denominator, len(active)) < numerator[active]
            if k > 1:
                won &= self.below(k, len(active)) == 0
            heads[active[~won]] = k % 2 == 1
            active = active[won]
            k += 1
        return heads

    def successes(self, size: int) -> Integers:
        """Return int64[size]: how many heads of exp(-1) come before the first tails."""
        count = np.zeros(size, dtype=np.int64)
        active = np.arange(size)
        while len(active):
            active = active[self.exp(np.ones(len(active), dtype=np.uint64), 1)]
            count[active] += 1
        return count

    def _words(self, size: int, kind: np.dtype[Any]) -> npt.NDArray[Any]:
        return np.frombuffer(self._random_bytes(size * kind.itemsize), dtype=kind)
