"""Define one edge as a packet: what was discovered, or how it changed.

The field names are the reference's.
"""

from dataclasses import dataclass

from hyperfed.errors import BoundsError
from hyperfed.packets.fields import index, integer, keep_checked, number
from hyperfed.tables.tables import MAX_LAG

__all__ = ["EdgeDelta", "PathPack"]


@dataclass(frozen=True, slots=True)
class PathPack:
    """Holds one discovered edge: `source_idx` acts on `target_idx` after `lag` steps.

    Raises BoundsError where a field is out of range, or where source and target are the same
    variable at lag 0.
    """

    source_idx: int
    """Index in the vocabulary of the variable that acts."""
    target_idx: int
    """Index in the vocabulary of the variable that is acted on."""
    lag: int
    """Steps between cause and effect, 0 or more."""
    effect: float
    """Strength and sign of the effect; any finite number."""
    confidence: float
    """How sure the sign is, in [0, 1]. By convention it is 1 - p of a two-sided test, so that pure
    noise has 0.5 on average, not 0.
    """
    stability: float
    """How often the edge is found again in resamples, in [0, 1]."""

    def __post_init__(self) -> None:
        keep_checked(
            self,
            source_idx=index("PathPack", "source_idx", self.source_idx),
            target_idx=index("PathPack", "target_idx", self.target_idx),
            lag=index("PathPack", "lag", self.lag, MAX_LAG + 1),
            effect=number("PathPack", "effect", self.effect),
            confidence=number("PathPack", "confidence", self.confidence, 0, 1),
            stability=number("PathPack", "stability", self.stability, 0, 1),
        )
        if self.lag == 0 and self.source_idx == self.target_idx:
            raise BoundsError("source and target differ where lag is 0", subject="PathPack")


@dataclass(frozen=True, slots=True)
class EdgeDelta:
    """Holds the change of one edge against an earlier table.

    The key of an edge is (source, target, lag). Raises BoundsError where a field is out of range,
    or where source and target are the same variable at lag 0.
    """

    source_id: int
    """Index in the vocabulary of the variable that acts."""
    target_id: int
    """Index in the vocabulary of the variable that is acted on."""
    weight_delta: float
    """Change of the edge's weight, which is its effect."""
    ci_delta: tuple[float, float]
    """Changes of the lower and the upper end of the effect's interval."""
    hits_delta: int
    """Change of the edge's hits."""
    lag: int = 0
    """The edge's lag in steps. It belongs to the key and is no change."""

    def __post_init__(self) -> None:
        if not isinstance(self.ci_delta, tuple | list) or len(self.ci_delta) != 2:
            raise BoundsError(
                f"ci_delta is {self.ci_delta!r:.80}; a pair of numbers is needed",
                subject="EdgeDelta",
            )
        keep_checked(
            self,
            source_id=index("EdgeDelta", "source_id", self.source_id),
            target_id=index("EdgeDelta", "target_id", self.target_id),
            lag=index("EdgeDelta", "lag", self.lag, MAX_LAG + 1),
            weight_delta=number("EdgeDelta", "weight_delta", self.weight_delta),
            ci_delta=tuple(number("EdgeDelta", "ci_delta", end) for end in self.ci_delta),
            hits_delta=integer("EdgeDelta", "hits_delta", self.hits_delta, -(2**31), 2**31),
        )
        if self.lag == 0 and self.source_id == self.target_id:
            raise BoundsError("source and target differ where lag is 0", subject="EdgeDelta")
