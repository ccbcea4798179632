"""Geometric median: the point with the least (weighted) sum of Euclidean distances, iterated to convergence.

1. It is a convex combination of the vectors, so Weiszfeld's iteration runs on n weights: with squared distances D and sum a = 1,
   |x_i - sum_j a_j x_j|² = (D a)_i - a' D a / 2. One pass over the vectors for D, one for the answer, whatever the number of steps.
2. A vector x_k is itself the answer where |sum_{i != k} w_i (x_i - x_k) / |x_i - x_k|| <= w_k (sum of w of the vectors at x_k); that is tested
   first, so that the iteration never has to stop at one (Vardi & Zhang 2000). Of several answers (an even number on a line) it is their mean.
3. Converged: the weights move by less than 1e-12 in sum. Where that takes more than 100,000 steps it refuses.

Bears f < n / 2, with 4 (1 + r)², r = f / (n - 2f). Source: Weiszfeld 1937; Vardi & Zhang 2000, PNAS 97(4); the bound: Allouah et al. 2023, Prop. 3.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule
from hyperfed.errors import AggregationError

__all__ = ["GeometricMedian"]

_TOLERANCE = 1e-12
_STEPS = 100_000
_SAME = 1e-24  # of the largest squared distance: two vectors this close are one

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometricMedian(Rule):
    """No parameters but f."""

    name: ClassVar[str] = "geometric-median"
    takes_weights: ClassVar[bool] = True

    def least(self) -> int:
        return 2 * self.f + 1

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        share = np.full(len(rows), 1 / len(rows)) if weights is None else weights
        return rows.combine(barycentric_median(rows.distances(), share))


def barycentric_median(squared: Floats, share: Floats) -> Floats:
    """float64[n], sum 1: the geometric median's coefficients. squared: float64[n, n] squared distances; share: float64[n], sum 1."""
    size = float(squared.max(initial=0.0))
    if size == 0.0:
        return share
    squared = squared / size
    same = squared <= _SAME
    with np.errstate(divide="ignore"):
        pull = np.where(same, 0.0, share[None, :] / np.sqrt(squared))  # row k: w_i / |x_i - x_k|
    coefficient = pull - np.diag(pull.sum(axis=1))  # row k: sum_i c_i x_i = sum_i w_i (x_i - x_k) / |x_i - x_k|, with sum c = 0
    force = np.sqrt(np.maximum(-0.5 * ((coefficient @ squared) * coefficient).sum(axis=1), 0.0))
    here = same @ share
    ends = force <= here * (1 + 1e-9)
    if ends.any():
        cost = np.where(ends, np.sqrt(squared) @ share, np.inf)
        best = cost <= float(cost.min()) * (1 + 1e-9)
        return np.asarray(best / best.sum())
    a = share
    for _ in range(_STEPS):
        reach = squared @ a
        distance = np.sqrt(np.maximum(reach - 0.5 * float(a @ reach), 1e-30))
        following = share / distance
        following /= following.sum()
        moved = float(np.abs(following - a).sum())
        a = following
        if moved < _TOLERANCE:
            return a
    raise AggregationError(f"has not converged after {_STEPS} steps", subject="geometric-median", remedy="Use another rule: these vectors nearly coincide")
