"""Centered clipping: from a start, move by the mean of the differences to it, each held to the radius; several times.

1. v <- v + sum_i w_i min(1, radius / |x_i - v|) (x_i - v). The start is the last result: for changes against it, which is what travels, that is 0.
2. radius None: the median of the |x_i - v|, taken anew in every step, so that nobody has to know the scale; more than half the clients must be honest.
3. v stays within the span of start and vectors, so that the steps run on n + 1 inner products; two passes over the vectors in all.

Bears f < n / 2. Source: Karimireddy, He & Jaggi 2021, arXiv:2012.10333, Algorithm 1.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule
from hyperfed.errors import AggregationError

__all__ = ["CenteredClipping"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CenteredClipping(Rule):
    """radius: > 0, or None for the median distance; steps: at least 1; start: float[d], or None for 0."""

    name: ClassVar[str] = "centered-clipping"
    takes_weights: ClassVar[bool] = True

    radius: float | None = None
    steps: int = 10
    start: Any = None

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        if self.radius is not None and not 0 < self.radius < np.inf:
            raise AggregationError(f"radius is {self.radius!r}; a number above 0 is needed", subject=self.name)
        if self.steps < 1:
            raise AggregationError(f"steps is {self.steps}; at least 1 is needed", subject=self.name)

    def least(self) -> int:
        return 2 * self.f + 1

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        start = None if self.start is None else np.asarray(self.start, dtype=rows.matrix.dtype)
        if start is not None and (start.shape != (rows.width,) or not np.isfinite(start).all()):
            raise AggregationError(f"start has shape {start.shape}; {rows.width} finite numbers are needed", subject=self.name)
        share = np.full(len(rows), 1 / len(rows)) if weights is None else weights
        a = self.coefficients(rows.gram(start), share)
        moved = rows.combine(a)
        return moved if start is None else moved + start * (1 - a.sum())

    def coefficients(self, inner: Floats, share: Floats) -> Floats:
        """float64[n]: a in start + sum_i a_i (x_i - start). inner: float64[n, n], inner products of the x_i - start; share: float64[n], sum 1."""
        a = np.zeros(len(share))
        for _ in range(self.steps):
            reach = inner @ a
            distance = np.sqrt(np.maximum(inner.diagonal() - 2 * reach + float(a @ reach), 0.0))
            radius = float(np.median(distance)) if self.radius is None else self.radius
            pull = share * np.minimum(1.0, radius / np.maximum(distance, 1e-300))
            a = a * (1 - pull.sum()) + pull
        return a
