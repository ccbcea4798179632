"""Move from a start by the mean of the vectors' differences to it, several times.

Each difference is shortened to at most the radius.

1. v <- v + sum_i w_i min(1, radius / |x_i - v|) (x_i - v). The start is the last result. What
   travels is changes against it, for which the start is 0.
2. A radius of None means the median of the |x_i - v|, taken anew in every step, so that nobody has
   to know the scale. More than half the clients must then be honest.
3. v stays within the span of start and vectors, so that the steps run on n + 1 inner products.
   There are two passes over the vectors in all.

The rule bears f < n / 2. The source is Karimireddy, He & Jaggi 2021, arXiv:2012.10333, Algorithm 1.
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
    """Averages clipped differences to a start."""

    name: ClassVar[str] = "centered-clipping"
    takes_weights: ClassVar[bool] = True

    radius: float | None = None
    """The largest length of a difference, > 0, or None for the median distance."""
    steps: int = 10
    """How many steps are made, at least 1."""
    start: Any = None
    """Where the steps begin, float[d], or None for 0."""

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        if self.radius is not None and not 0 < self.radius < np.inf:
            raise AggregationError(
                f"radius is {self.radius!r}; a number above 0 is needed", subject=self.name
            )
        if self.steps < 1:
            raise AggregationError(
                f"steps is {self.steps}; at least 1 is needed", subject=self.name
            )

    def least(self) -> int:
        return 2 * self.f + 1

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        start = None if self.start is None else np.asarray(self.start, dtype=rows.matrix.dtype)
        if start is not None and (start.shape != (rows.width,) or not np.isfinite(start).all()):
            raise AggregationError(
                f"start has shape {start.shape}; {rows.width} finite numbers are needed",
                subject=self.name,
            )
        share = np.full(len(rows), 1 / len(rows)) if weights is None else weights
        inner, unit = rows.gram(start)
        a = self.coefficients(inner, share, unit)
        moved = rows.combine(a)
        return moved if start is None else moved + start * (1 - a.sum())

    def coefficients(self, inner: Floats, share: Floats, unit: float = 1.0) -> Floats:
        """Return float64[n]: the coefficients a of the result, start + sum_i a_i (x_i - start).

        `inner` is float64[n, n], the inner products of the x_i - start over the square of `unit`.
        `share` is float64[n] and adds up to 1.
        """
        a = np.zeros(len(share))
        for _ in range(self.steps):
            reach = inner @ a
            distance = np.sqrt(np.maximum(inner.diagonal() - 2 * reach + float(a @ reach), 0.0))
            radius = float(np.median(distance)) if self.radius is None else self.radius / unit
            pull = share * np.minimum(1.0, radius / np.maximum(distance, 1e-300))
            a = a * (1 - pull.sum()) + pull
        return a
