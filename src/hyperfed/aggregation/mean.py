"""Average vectors by weight, after clipping them where that is asked for.

One client decides the mean alone, so the rule bears no fault and refuses f > 0.

With `clip_norm` every vector is first scaled down to that Euclidean norm, so that a single client
moves the mean by at most 2 * clip_norm * its share. That limits a lie and does not remove it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.clipping import Clipping
from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule
from hyperfed.errors import AggregationError, BreakdownError

__all__ = ["Mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean(Rule):
    """Averages vectors by weight."""

    name: ClassVar[str] = "mean"
    takes_weights: ClassVar[bool] = True

    clip_norm: float | None = None
    """The Euclidean norm that vectors are scaled down to, or None for no clipping."""

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        if self.f:
            raise BreakdownError(
                f"bears no fault, and f is {self.f}",
                subject=self.name,
                remedy="Use a robust rule, or state f = 0",
            )
        if self.clip_norm is not None and not 0 < self.clip_norm < np.inf:
            raise AggregationError(
                f"clip_norm is {self.clip_norm!r}; a number above 0 is needed", subject=self.name
            )

    def least(self) -> int:
        return 1

    def _apply(
        self,
        rows: Rows,
        weights: npt.NDArray[np.float64] | None,
        losses: npt.NDArray[np.float64] | None,
    ) -> Any:
        if self.clip_norm is not None:
            rows = Clipping(norm=self.clip_norm).before(rows)
        return rows.combine(
            np.full(len(rows), 1 / len(rows)) if weights is None else weights, every=True
        )
