"""What an observer proves about a mechanism from its outputs alone: the empirical privacy audits of
central and of local noise share it.
"""

import math

import numpy as np

__all__ = ["epsilon_seen"]


def epsilon_seen(with_me: np.ndarray, without: np.ndarray, delta: float) -> float:
    """The largest epsilon that thresholding the outputs proves: each rate at the far end of four
    standard deviations.
    """
    runs = len(with_me)

    def margin(rate: float) -> float:
        return 4 * math.sqrt(rate * (1 - rate) / runs) + 8 / runs

    best = 0.0
    for cut in np.quantile(np.concatenate([with_me, without]), np.linspace(0.02, 0.98, 97)):
        hit, miss = float((with_me >= cut).mean()), float((without >= cut).mean())
        if (proven := hit - margin(hit) - delta) > 0:
            best = max(best, math.log(proven / (miss + margin(miss))))
    return best
