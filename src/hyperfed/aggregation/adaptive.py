"""Average vectors, weighted by inverse loss.

A client that explains its own data better counts for more.

1. weight_i = 1 / max(loss_i, median loss / 10), as shares: a claimed loss of 0 buys at most ten
   times the weight of the median client.
2. Losses are claims. A liar may claim a small one, so the rule bears no fault and refuses f > 0.
3. The rule refuses to run without every client's loss.

The rule is inverse-loss weighting, the reference's `adaptive`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule
from hyperfed.errors import AggregationError, BreakdownError

__all__ = ["Adaptive"]

_FLOOR = 0.1  # of the median loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive(Rule):
    """Averages vectors, weighted by inverse loss.

    The rule needs `losses`.
    """

    name: ClassVar[str] = "adaptive"
    takes_losses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        if self.f:
            raise BreakdownError(
                f"bears no fault, and f is {self.f}: losses are claims",
                subject=self.name,
                remedy="Use a robust rule, or state f = 0",
            )

    def least(self) -> int:
        return 1

    def _apply(
        self,
        rows: Rows,
        weights: npt.NDArray[np.float64] | None,
        losses: npt.NDArray[np.float64] | None,
    ) -> Any:
        return rows.combine(self.shares(losses), every=True)

    def shares(self, losses: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
        """Return the clients' weights, float64[clients], which add up to 1.

        Raises AggregationError where `losses` is None.
        """
        if losses is None:
            raise AggregationError(
                "needs every client's loss",
                subject=self.name,
                remedy="Have each client claim it with Claims(loss=...)",
            )
        floor = _FLOOR * float(np.median(losses))
        # half of the clients claim 0, so there is no scale, and those who do share alike
        if floor <= 0:
            share = (losses <= 0).astype(np.float64)
        else:
            share = 1.0 / np.maximum(losses, floor)
        return np.asarray(share / share.sum())
