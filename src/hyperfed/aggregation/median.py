"""Take the middle of every coordinate, or the mean of the two middle values.

The rule bears f < n / 2. |F(x) - mean_S|² <= 4 (1 + r)² mean_S |x_i - mean_S|², r = f / (n - 2f),
for every S of n - f clients. The source is Yin et al. 2018, arXiv:1803.01498, Def. 1. The bound is
from Allouah et al. 2023, arXiv:2302.01772, Prop. 4.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.network import network
from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule

__all__ = ["Median"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Median(Rule):
    """Takes the coordinate-wise median.

    Its only parameter is f.
    """

    name: ClassVar[str] = "median"

    def least(self) -> int:
        return 2 * self.f + 1

    def _apply(
        self,
        rows: Rows,
        weights: npt.NDArray[np.float64] | None,
        losses: npt.NDArray[np.float64] | None,
    ) -> Any:
        n = len(rows)
        return rows.by_columns(network(n, (n - 1) // 2, n // 2 + 1, summed=True).mean)
