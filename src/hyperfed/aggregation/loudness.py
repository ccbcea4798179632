"""How loud a client votes, and when it is not heard. A cosine knows no size: a few who are sure of everything would outvote many who are careful.

1. A client's size: the norm of its votes, relative to what those who could vote on the same edges usually have (the root of the summed mean square
   votes): 1 is usual, whatever part of the vocabulary a client measured. `bounded_trust` computes it.
2. `attention`: 1 up to median + S, falling linearly to 0 at median + 2 S, S = 1.4826 (median - lower quartile) + a fifth of the median. The spread is
   measured below the median, where liars who shout cannot widen it. Bounded trust starts from it, and
   multiplies agreement with it.
3. Fewer than three clients with votes: nobody is too loud.

Source: this project (ADR 0013). It knows nothing about directions: a liar as quiet as honest clients is not found here.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["attention", "share_quantile"]

_NOISE = 0.2  # of the median size: so far honest clients differ where they all have equal data

Floats = npt.NDArray[np.float64]


def attention(sizes: Floats, shares: Floats | None = None) -> Floats:
    """float64[clients] in [0, 1] (rule 2). sizes: float64[clients] >= 0; shares: float64[clients] > 0, how much each counts in the quantiles, 1 where None."""
    if (sizes > 0).sum() < 3:
        return np.ones(len(sizes))
    middle, lower = share_quantile(sizes, 0.5, shares), share_quantile(sizes, 0.25, shares)
    if middle <= 0:  # most say nothing: nobody can be compared with them
        return np.ones(len(sizes))
    spread = 1.4826 * (middle - lower) + _NOISE * middle
    return np.asarray(np.clip((middle + 2.0 * spread - sizes) / spread, 0.0, 1.0))


def share_quantile(values: Floats, q: float, shares: Floats | None) -> float:
    """The quantile of values that count by their shares: the mean of the values on both sides of the cut; numpy's own where all count the same."""
    if shares is None or np.ptp(shares) == 0:
        return float(np.median(values)) if q == 0.5 else float(np.quantile(values, q))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(shares[order])
    cut = reached[-1] * q
    low, high = np.searchsorted(reached, cut * (1 - 1e-9)), np.searchsorted(reached, cut * (1 + 1e-9))
    return float((values[order[low]] + values[order[high]]) / 2)
