"""MDA and SMEA: the mean of the n - f clients that lie closest together, by exhaustive search.

1. MDA (minimum diameter): the subset whose largest distance is smallest. SMEA (smallest maximum eigenvalue): the one whose covariance has the
   smallest largest eigenvalue, which is that of its centred Gram matrix. Equal diameters go by the sum of distances.
2. The number of subsets is binomial: refused above 20 clients. Both need n >= 2f + 1.
3. A subset's trace / (rank) <= its largest eigenvalue: subsets whose bound is no better than the best eigenvalue so far are not decomposed.

Source: MDA: Rousseeuw 1985; El Mhamdi et al. 2018, section 3. SMEA: Allouah et al. 2023, ICML, PMLR 202 (privacy-robustness-utility trilemma).
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
            raise AggregationError(f"{clients} clients; it tries every subset and takes at most {MOST_CLIENTS}", subject=self.name, remedy="Use multi-krum")

    def subset(self, squared: Floats) -> Ints:
        """int64[n - f]: the clients that lie closest together. squared: float64[n, n] squared distances."""
        return self.search(squared, len(squared) - self.f)

    @abstractmethod
    def search(self, squared: Floats, size: int) -> Ints:
        """int64[size]: the best subset, ascending. squared: float64[n, n] squared distances."""


class MinimumDiameter(_SmallestSubset):
    """MDA. No parameters but f."""

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
    """SMEA. No parameters but f."""

    name: ClassVar[str] = "smea"
    __slots__ = ()

    def search(self, squared: Floats, size: int) -> Ints:
        best, least = np.arange(size), np.inf
        for subsets in _subsets(len(squared), size):
            total = np.zeros(len(subsets))
            for i in range(size):
                total += squared[subsets[:, i, None], subsets].sum(axis=1)
            bound = total / (2 * size) / max(1, size - 1)  # the centred Gram's trace is the mean squared distance times size / 2
            order = np.argsort(bound, kind="stable")
            for first in range(0, len(order), 256):
                some = order[first : first + 256]
                if bound[some[0]] > least:
                    break
                some = np.sort(some)
                block = squared[subsets[some][:, :, None], subsets[some][:, None, :]]
                mean = block.mean(axis=1)
                gram = -0.5 * (block - mean[:, :, None] - mean[:, None, :] + mean.mean(axis=1)[:, None, None])
                largest = np.linalg.eigvalsh(gram)[:, -1]
                at = int(np.argmin(largest))
                if largest[at] < least:
                    best, least = subsets[some[at]], float(largest[at])
        return best


def _subsets(n: int, size: int) -> Iterator[Ints]:
    """int64[some, size]: all subsets in lexicographic order, some at a time."""
    every = combinations(range(n), size)
    while some := list(islice(every, _AT_ONCE)):
        yield np.array(some, dtype=np.int64)
