"""Give each edge its q-value: the share of false edges among those that are at least as sure.

1. q of an edge is the smallest false discovery rate at which the procedure of Benjamini & Hochberg
   (1995) keeps it: with m tests, the smallest of m p / rank over the p-values at least as large as
   its own (Yekutieli & Benjamini 1999). An edge that is not tested has q = 1.
2. The family is every key that was tested, kept or not (`merge.pooling`, rule 3): the rate over
   what survived another cut would not be an error rate.

The rate holds for independent tests and for positively dependent ones. Edges of one regression
share data and are neither in general; docs/statistics.md shows what was simulated.

What it does not do: it tests nothing.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["q_values"]

Floats = npt.NDArray[np.float64]


def q_values(p: Floats, tested: Floats) -> Floats:
    """Return float64[edges] in [0, 1]: the q-values of edges with these p-values.

    `p` is float64[edges], each either among `tested` or 1. `tested` is float64[tests], the p-values
    of the whole family.
    """
    if not len(tested) or not len(p):
        return np.ones(len(p))
    ranked = np.sort(tested)
    # of equal p-values, each is as good as the last
    rate = ranked * len(ranked) / np.arange(1, len(ranked) + 1)
    best = np.minimum(np.minimum.accumulate(rate[::-1])[::-1], 1.0)
    at = np.searchsorted(ranked, p, side="right") - 1
    return np.where(p < 1.0, best[np.maximum(at, 0)], 1.0)
