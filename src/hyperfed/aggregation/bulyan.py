"""Choose n - 2f clients by Krum, then average the middle of every coordinate (Bulyan).

Krum chooses the clients one after the other. Of every coordinate the n - 4f values nearest to their
median are averaged.

1. The rule needs n >= 4f + 3. After each choice Krum judges the n' clients that are left by their
   n' - f - 2 nearest (at least one). Distances are computed once.
2. The values nearest to the median are neighbours in the sorted column. The window slides up while
   the value above it is nearer than its lowest.

The source is El Mhamdi, Guerraoui & Rouault 2018, arXiv:1802.07927, section 4.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.krum import krum_order
from hyperfed.aggregation.network import network
from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule

__all__ = ["Bulyan"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulyan(Rule):
    """Averages the values nearest to the median, of clients that Krum chooses.

    Its only parameter is f.
    """

    name: ClassVar[str] = "bulyan"

    def least(self) -> int:
        return 4 * self.f + 3

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        chosen = self.chosen(rows.distances())
        near = len(chosen) - 2 * self.f
        return rows.by_columns(lambda part: _nearest_mean(part, near), chosen)

    def chosen(self, squared: Floats) -> list[int]:
        """Return the n - 2f clients that Krum chooses one after the other, in ascending order."""
        rows_left = np.arange(len(squared))
        chosen = []
        for _ in range(len(squared) - 2 * self.f):
            at = int(
                krum_order(
                    squared[np.ix_(rows_left, rows_left)], max(1, len(rows_left) - self.f - 2)
                )[0]
            )
            chosen.append(int(rows_left[at]))
            rows_left = np.delete(rows_left, at)
        return sorted(chosen)


def _nearest_mean(part: Any, near: int) -> Any:
    """Return float[columns]: the mean of the `near` values nearest to each column's median.

    `part` is float[rows + 1, columns] and is overwritten.
    """
    rows = len(part) - 1
    upper = rows // 2
    low, high = max(0, (rows - 1) // 2 - near + 1), min(rows, upper + near)
    row = network(rows, low, high, summed=False).run(part)
    median = (
        row[(rows - 1) // 2 - low]
        if rows % 2
        else (row[(rows - 1) // 2 - low] + row[upper - low]) / 2
    )
    # whether the window's low end moves beyond k
    up = [(row[k + near] - median) < (median - row[k]) for k in range(len(row) - near)]
    total = np.zeros_like(median)
    for k, values in enumerate(row):
        inside = np.ones(len(median), dtype=bool)
        if k < len(up):
            inside &= ~up[k]
        if k >= near:
            inside &= up[k - near]
        total += np.where(inside, values, 0)
    return total / near
