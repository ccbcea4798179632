"""How many discrete Gaussian draws a second: at least 100,000 are wanted on one core. Run: python
benchmarks/noise.py

Prints one line a width, the slowest of five runs; exits with 1 where one of them is below the
target.
"""

import sys
from time import perf_counter

from hyperfed.privacy.discrete_gaussian import MAX_SIGMA, discrete_gaussian

TARGET = 100_000
SIZE = 300_000


def draws_per_second(sigma: int) -> float:
    """The slowest of five runs of SIZE draws from the operating system's source."""
    slowest = 0.0
    for _ in range(5):
        began = perf_counter()
        discrete_gaussian(sigma, SIZE)
        slowest = max(slowest, perf_counter() - began)
    return SIZE / slowest


if __name__ == "__main__":
    rates = {sigma: draws_per_second(sigma) for sigma in (1, 10, 1000, MAX_SIGMA)}
    for sigma, rate in rates.items():
        print(f"sigma {sigma:>6}: {rate:>10,.0f} draws a second")
    sys.exit(0 if min(rates.values()) >= TARGET else 1)
