"""Take the client with the nearest neighbours (Krum), or the mean of several such (Multi-Krum).

Krum compares clients by their n - f - 2 nearest neighbours. Multi-Krum averages the n - f clients
with the best scores.

1. score_i is the sum of the n - f - 2 smallest squared distances from x_i to others. Both rules
   need n >= 2f + 3.
2. Multi-Krum keeps `keep` clients, n - f unless it is given. At most that many may be kept, because
   the bound below holds for no more.

|F(x) - mean_S|² <= 6 (1 + r) mean_S |x_i - mean_S|², r = f / (n - 2f). The source is Blanchard et
al. 2017, NeurIPS, section 3. The bound is from Allouah et al. 2023, arXiv:2302.01772, Prop. 1.
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
    """Return int64[n]: the clients by their score, best first.

    The score is the sum of a client's `neighbours` smallest squared distances to others. `squared`
    is float64[n, n], 0 on the diagonal. Equal scores (two clients that are each other's only
    neighbours have them) are ordered by the distances to all.
    """
    others = np.sort(squared + np.diag(np.full(len(squared), np.inf)), axis=1)[:, :-1]
    return np.lexsort((others.sum(axis=1), others[:, :neighbours].sum(axis=1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Krum(Rule):
    """Takes the vector of the client with the best score.

    Its only parameter is f.
    """

    name: ClassVar[str] = "krum"

    def least(self) -> int:
        return 2 * self.f + 3

    def chosen(self, rows: Rows) -> int:
        """Return the row number of the client whose vector is taken."""
        return int(krum_order(rows.distances(), len(rows) - self.f - 2)[0])

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        at = np.zeros(len(rows))
        at[self.chosen(rows)] = 1.0
        return rows.combine(at)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiKrum(Rule):
    """Averages the clients with the best scores."""

    name: ClassVar[str] = "multi-krum"

    keep: int | None = None
    """How many clients are averaged, or None for n - f."""

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
