"""Coordinate-wise trimmed mean: of every coordinate the f smallest and the f largest go, the rest is averaged.

Bears f < n / 2. |F(x) - mean_S|² <= 6 r (1 + r) mean_S |x_i - mean_S|², r = f / (n - 2f), for every S of n - f clients.
Source: Yin et al. 2018, arXiv:1803.01498, Def. 2; the bound: Allouah et al. 2023, arXiv:2302.01772, Prop. 2.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.network import network
from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule

__all__ = ["TrimmedMean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimmedMean(Rule):
    """No parameters but f."""

    name: ClassVar[str] = "trimmed-mean"

    def least(self) -> int:
        return 2 * self.f + 1

    def _apply(self, rows: Rows, weights: npt.NDArray[np.float64] | None, losses: npt.NDArray[np.float64] | None) -> Any:
        n = len(rows)
        return rows.by_columns(network(n, self.f, n - self.f, summed=True).mean)
