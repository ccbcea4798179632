"""Measure how loudly a client votes, and decide when it is not heard.

A cosine does not depend on size: a few clients that are sure of everything would outvote many that
are careful.

1. A client's size is the norm of its votes, relative to what those who could vote on the same edges
   usually have (the root of the summed mean square votes). A size of 1 is usual, whatever part of
   the vocabulary a client measured. `bounded_trust` computes it.
2. `attention` is 1 up to median + S and falls linearly to 0 at median + 2 S, where S = 1.4826
   (median - lower quartile) + a fifth of the median. The spread is measured below the median, where
   liars who vote too loudly cannot widen it. Bounded trust starts from it, and multiplies agreement
   with it.
   A client with more data may be as much louder as the root of its sample count explains. It is
   then heard, and no louder than one spread above the median: whoever claims more data than it has
   gains what a quieter lie would have gained.
3. With fewer than three clients that have votes, nobody is too loud.

The rule is this project's own (ADR 0077).

What it does not do: it knows nothing about directions, so a liar as quiet as honest clients is not
found here.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["attention", "share_quantile"]

_NOISE = 0.2  # of the median size: so far honest clients differ where they all have equal data

Floats = npt.NDArray[np.float64]


def attention(
    sizes: Floats, shares: Floats | None = None, explained: Floats | None = None
) -> Floats:
    """Return how far each client is heard, float64[clients] in [0, 1] (rule 2).

    `sizes` is float64[clients] >= 0. `shares` is float64[clients] > 0, how much each client counts
    in the quantiles, 1 where it is None. `explained` is float64[clients] >= 0, how many times the
    usual size a client's data explain; what is below 1 counts as 1.
    """
    if (sizes > 0).sum() < 3:
        return np.ones(len(sizes))
    middle, lower = share_quantile(sizes, 0.5, shares), share_quantile(sizes, 0.25, shares)
    if middle <= 0:  # most say nothing: nobody can be compared with them
        return np.ones(len(sizes))
    spread = 1.4826 * (middle - lower) + _NOISE * middle
    more = np.ones(len(sizes)) if explained is None else np.maximum(explained, 1.0)
    fallen = np.clip((middle + 2.0 * spread - sizes / more) / spread, 0.0, 1.0)
    limit = middle + spread
    bounded = np.where(more > 1.0, limit / np.maximum(sizes, limit), 1.0)
    return np.asarray(np.minimum(fallen, bounded))


def share_quantile(values: Floats, q: float, shares: Floats | None) -> float:
    """Return the quantile of values that count by their shares.

    It is the mean of the values on both sides of the cut. Where all count the same, it is numpy's
    own.
    """
    if shares is None or np.ptp(shares) == 0:
        return float(np.median(values)) if q == 0.5 else float(np.quantile(values, q))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(shares[order])
    cut = reached[-1] * q
    low, high = (
        np.searchsorted(reached, cut * (1 - 1e-9)),
        np.searchsorted(reached, cut * (1 + 1e-9)),
    )
    return float((values[order[low]] + values[order[high]]) / 2)
