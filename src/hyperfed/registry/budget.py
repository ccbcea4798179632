"""Hold what a federation may spend of its members' privacy, as the roots have signed it (`Budget`).

What it does not do: count what was spent (`privacy.accountant`).
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from hyperfed.codec.versions import since
from hyperfed.errors import RegistryError

__all__ = ["Budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Holds the federation's privacy budget."""

    epsilon: Decimal = Decimal("10")
    """Epsilon in all, positive."""
    delta: Decimal = Decimal("0.0001")
    """Delta in all, in [0, 1)."""
    unit: str = "client"
    """The unit that the budget protects: "client" or "record"."""
    minimum_support: int = 1
    """Fewest clients that must stand behind a released value, at least 1."""
    gossip_epsilon: Decimal = field(default=Decimal(0), metadata=since(2))
    """The share of epsilon that is kept for gossip, below epsilon; 0: gossip has none."""
    gossip_delta: Decimal = field(default=Decimal(0), metadata=since(2))
    """The share of delta that is kept for gossip, below delta; above 0 where gossip has a share."""

    def __post_init__(self) -> None:
        if not (self.epsilon.is_finite() and self.delta.is_finite()):  # NaN cannot even be compared
            raise RegistryError("epsilon and delta are finite numbers", subject="budget")
        if not (
            self.epsilon > 0
            and 0 <= self.delta < 1
            and self.unit in ("client", "record")
            and self.minimum_support >= 1
        ):
            raise RegistryError(
                "epsilon is positive, delta in [0, 1), unit 'client' or 'record', minimum "
                "support at least 1",
                subject="budget",
            )
        self._check_gossip()

    def _check_gossip(self) -> None:
        """Raise RegistryError for a share of gossip that is no part of the budget (R-145)."""
        epsilon, delta = self.gossip_epsilon, self.gossip_delta
        if epsilon.is_finite() and delta.is_finite():
            if epsilon == delta == 0:
                return
            if 0 < epsilon < self.epsilon and 0 < delta < self.delta:
                return
        raise RegistryError(
            f"gossip's share is epsilon {epsilon} and delta {delta} of {self.epsilon} and "
            f"{self.delta}",
            subject="budget",
            rule="R-145",
            remedy=(
                "State both above 0 and below the budget's own, or both as 0, which leaves "
                "gossip no share"
            ),
        )

    @property
    def rounds(self) -> "Budget":
        """The budget that rounds may spend: all of it except gossip's share."""
        if not self.gossip_epsilon:
            return self
        return replace(
            self,
            epsilon=self.epsilon - self.gossip_epsilon,
            delta=self.delta - self.gossip_delta,
            gossip_epsilon=Decimal(0),
            gossip_delta=Decimal(0),
        )
