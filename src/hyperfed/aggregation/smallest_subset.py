"""Average the n - f clients that lie closest together, found by exhaustive search (MDA, SMEA).

1. MDA (minimum diameter) takes the subset whose largest distance is smallest. SMEA (smallest
   maximum eigenvalue) takes the one whose covariance has the smallest largest eigenvalue, which is
   that of its centred Gram matrix. Equal diameters are ordered by the sum of distances.
2. The number of subsets is binomial, so more than 20 clients are refused. Both rules need n >= 2f +
   1.
3. A subset's trace / (rank) <= its largest eigenvalue. Subsets whose bound is no better than the
   best eigenvalue so far are not decomposed.

The source of MDA is Rousseeuw 1985 and El Mhamdi et al. 2018, section 3. The source of SMEA is
Allouah et al. 2023, ICML, PMLR 202 (privacy-robustness-utility trilemma).
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule
from hyperfed.errors import AggregationError

__all__ = ["MOST_CLIENTS", "MinimumDiameter", "SmallestEigenvalue"]

MOST_CLIENTS = 20
_AT_ONCE = 1 << 13  # subsets

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _SmallestSubset(Rule):
    """Averages the subset of n - f clients that `search` finds best."""

    def least(self) -> int:
        return 2 * self.f + 1

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        best = self.subset(rows.distances())
        share = np.zeros(len(rows))
        share[best] = 1.0 / len(best)
        return rows.combine(share)

    def check(self, clients: int) -> None:
        Rule.check(self, clients)
        if clients > MOST_CLIENTS:
            raise AggregationError(
                f"{clients} clients; it tries every subset and takes at most {MOST_CLIENTS}",
                subject=self.name,
                remedy="Use multi-krum",
            )

    def subset(self, squared: Floats) -> Ints:
        """Return the clients that lie closest together, int64[n - f].

        `squared` is float64[n, n], squared distances.
        """
        return self.search(squared, len(squared) - self.f)

    @abstractmethod
    def search(self, squared: Floats, size: int) -> Ints:
        """Return the best subset, int64[size], ascending.

        `squared` is float64[n, n], squared distances.
        """


class MinimumDiameter(_SmallestSubset):
    """Averages the subset of the smallest diameter (MDA).

    Its only parameter is f.
    """

    name: ClassVar[str] = "mda"
    __slots__ = ()

    def search(self, squared: Floats, size: int) -> Ints:
        best, least = np.arange(size), (np.inf, np.inf)
        for subsets in _subsets(len(squared), size):
            diameter, total = np.zeros(len(subsets)), np.zeros(len(subsets))
            for i in range(size):
                reach = squared[subsets[:, i, None], subsets]
                np.maximum(diameter, reach.max(axis=1), out=diameter)
                total += reach.sum(axis=1)
            at = int(np.lexsort((total, diameter))[0])
            if (diameter[at], total[at]) < least:
                best, least = subsets[at], (float(diameter[at]), float(total[at]))
        return best


class SmallestEigenvalue(_SmallestSubset):
    """Averages the subset of the smallest largest eigenvalue (SMEA).

    Its only parameter is f.
    """

    name: ClassVar[str] = "smea"
    __slots__ = ()

    def search(self, squared: Floats, size: int) -> Ints:
        best, least = np.arange(size), np.inf
        for subsets in _subsets(len(squared), size):
            total = np.zeros(len(subsets))
            for i in range(size):
                total += squared[subsets[:, i, None], subsets].sum(axis=1)
            # the centred Gram's trace is the mean squared distance times size / 2
            bound = total / (2 * size) / max(1, size - 1)
            order = np.argsort(bound, kind="stable")
            for first in range(0, len(order), 256):
                some = order[first : first + 256]
                if bound[some[0]] > least:
                    break
                some = np.sort(some)
                block = squared[subsets[some][:, :, None], subsets[some][:, None, :]]
                mean = block.mean(axis=1)
                gram = -0.5 * (
                    block - mean[:, :, None] - mean[:, None, :] + mean.mean(axis=1)[:, None, None]
                )
                largest = np.linalg.eigvalsh(gram)[:, -1]
                at = int(np.argmin(largest))
                if largest[at] < least:
                    best, least = subsets[some[at]], float(largest[at])
        return best


def _subsets(n: int, size: int) -> Iterator[Ints]:
    """Yield all subsets in lexicographic order, int64[some, size], a bounded number at a time."""
    every = combinations(range(n), size)
    while some := list(islice(every, _AT_ONCE)):
        yield np.array(some, dtype=np.int64)
