"""Bulyan: Krum chooses n - 2f clients one after the other; of every coordinate the n - 4f values nearest to their median are averaged.

1. Needs n >= 4f + 3. After each choice Krum judges those who are left, by their n' - f - 2 nearest (at least one). Distances are computed once.
2. The values nearest to the median are neighbours in the sorted column: the window slides up while the value above it is nearer than its lowest.

Source: El Mhamdi, Guerraoui & Rouault 2018, arXiv:1802.07927, section 4.
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
    """No parameters but f."""

    name: ClassVar[str] = "bulyan"

    def least(self) -> int:
        return 4 * self.f + 3

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        chosen = self.chosen(rows.distances())
        near = len(chosen) - 2 * self.f
        return rows.by_columns(lambda part: _nearest_mean(part, near), chosen)

    def chosen(self, squared: Floats) -> list[int]:
        """The n - 2f clients that Krum chooses one after the other, ascending."""
        left = np.arange(len(squared))
        chosen = []
        for _ in range(len(squared) - 2 * self.f):
            at = int(krum_order(squared[np.ix_(left, left)], max(1, len(left) - self.f - 2))[0])
            chosen.append(int(left[at]))
            left = np.delete(left, at)
        return sorted(chosen)


def _nearest_mean(part: Any, near: int) -> Any:
    """float[columns]: the mean of the `near` values nearest to each column's median. part: float[rows + 1, columns], overwritten."""
    rows = len(part) - 1
    upper = rows // 2
    low, high = max(0, (rows - 1) // 2 - near + 1), min(rows, upper + near)
    row = network(rows, low, high, summed=False).run(part)
    median = row[(rows - 1) // 2 - low] if rows % 2 else (row[(rows - 1) // 2 - low] + row[upper - low]) / 2
    up = [(row[k + near] - median) < (median - row[k]) for k in range(len(row) - near)]  # whether the window's low end moves beyond k
    total = np.zeros_like(median)
    for k, values in enumerate(row):
        inside = np.ones(len(median), dtype=bool)
        if k < len(up):
            inside &= ~up[k]
        if k >= near:
            inside &= up[k - near]
        total += np.where(inside, values, 0)
    return total / near
