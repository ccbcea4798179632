"""Build the rules by name, and put pre-aggregations in front of one.

build_rule("multi-krum", f=3)
Preceded(f=3, rule=build_rule("median", f=3), before=(NearestMixing(f=3),))
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.adaptive import Adaptive
from hyperfed.aggregation.bulyan import Bulyan
from hyperfed.aggregation.centered_clipping import CenteredClipping
from hyperfed.aggregation.geometric_median import GeometricMedian
from hyperfed.aggregation.krum import Krum, MultiKrum
from hyperfed.aggregation.mean import Mean
from hyperfed.aggregation.median import Median
from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule
from hyperfed.aggregation.smallest_subset import MinimumDiameter, SmallestEigenvalue
from hyperfed.aggregation.trimmed_mean import TrimmedMean
from hyperfed.aggregation.trusted_mean import TrustedMean
from hyperfed.errors import AggregationError

__all__ = ["RULES", "PreAggregation", "Preceded", "build_rule"]

_KINDS: tuple[type[Rule], ...] = (
    TrustedMean,
    Mean,
    Adaptive,
    Median,
    TrimmedMean,
    GeometricMedian,
    Krum,
    MultiKrum,
    Bulyan,
    CenteredClipping,
    MinimumDiameter,
    SmallestEigenvalue,
)
RULES: dict[str, type[Rule]] = {kind.name: kind for kind in _KINDS}


def build_rule(name: str, *, f: int = 0, **parameters: Any) -> Rule:
    """Return the rule of that name.

    Raises AggregationError for an unknown name and for parameters that the rule does not take.
    Raises BreakdownError where f > 0 and the rule bears no fault.
    """
    kind = RULES.get(name)
    if kind is None:
        raise AggregationError(
            f"unknown rule {name!r:.80}",
            subject="aggregation",
            remedy=f"Choose one of {', '.join(RULES)}",
        )
    try:
        return kind(f=f, **parameters)
    except TypeError as exc:
        raise AggregationError(f"does not take these parameters: {exc}", subject=name) from exc


class PreAggregation(Protocol):
    """Changes the rows before a rule sees them: `Clipping`, `NearestMixing` or `Bucketing`."""

    def before(self, rows: Rows) -> Rows:
        """Return the rows that the rule sees."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Preceded(Rule):
    """Applies `rule` after pre-aggregations.

    It takes no weights, because no client owns a mixed row.
    """

    name: ClassVar[str] = "preceded"

    rule: Rule
    """The rule, which f is for."""
    before: tuple[PreAggregation, ...]
    """The pre-aggregations, in the order in which they are applied."""

    def least(self) -> int:
        return self.rule.least()

    def _apply(
        self,
        rows: Rows,
        weights: npt.NDArray[np.float64] | None,
        losses: npt.NDArray[np.float64] | None,
    ) -> Any:
        for step in self.before:
            rows = step.before(rows)
        return self.rule.aggregate(rows)
