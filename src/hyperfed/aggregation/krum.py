"""Krum: the client whose n - f - 2 nearest neighbours are nearest; Multi-Krum: the mean of the n - f clients with the best such scores.

1. score_i = sum of the n - f - 2 smallest squared distances from x_i to others. Needs n >= 2f + 3.
2. Multi-Krum keeps `keep` clients, n - f unless given (at most that many: the bound below holds for no more).

|F(x) - mean_S|² <= 6 (1 + r) mean_S |x_i - mean_S|², r = f / (n - 2f). Source: Blanchard et al. 2017, NeurIPS, section 3;
the bound: Allouah et al. 2023, arXiv:2302.01772, Prop. 1.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule
from hyperfed.errors import AggregationError

__all__ = ["Krum", "MultiKrum", "krum_order"]

Floats = npt.NDArray[np.float64]


def krum_order(squared: Floats, neighbours: int) -> npt.NDArray[np.int64]:
    """int64[n]: the clients by their score, the sum of their `neighbours` smallest squared distances to others; best first.

    squared: float64[n, n], 0 on the diagonal. Equal scores (two that are each other's only neighbours have them) go by the distances to all.
    """
    others = np.sort(squared + np.diag(np.full(len(squared), np.inf)), axis=1)[:, :-1]
    return np.lexsort((others.sum(axis=1), others[:, :neighbours].sum(axis=1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Krum(Rule):
    """No parameters but f."""

    name: ClassVar[str] = "krum"

    def least(self) -> int:
        return 2 * self.f + 3

    def chosen(self, rows: Rows) -> int:
        """Whose vector it is."""
        return int(krum_order(rows.distances(), len(rows) - self.f - 2)[0])

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        at = np.zeros(len(rows))
        at[self.chosen(rows)] = 1.0
        return rows.combine(at)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiKrum(Rule):
    """keep: how many clients are averaged; None: n - f."""

    name: ClassVar[str] = "multi-krum"

    keep: int | None = None

    def least(self) -> int:
        return max(2 * self.f + 3, self.f + (self.keep or 0))

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        if self.keep is not None and self.keep < 1:
            raise AggregationError(f"keep is {self.keep}; at least 1 is needed", subject=self.name)

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        n = len(rows)
        keep = n - self.f if self.keep is None else self.keep
        best = krum_order(rows.distances(), n - self.f - 2)[:keep]
        share = np.zeros(n)
        share[best] = 1.0 / keep
        return rows.combine(share)
