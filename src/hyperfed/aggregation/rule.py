"""Define what every aggregation rule is: many clients' vectors become one.

1. `f` is how many of the clients may be arbitrary. Below the rule's breakdown point it refuses
   (BreakdownError). It never falls back to another rule.
2. Weights and losses are taken where the rule defines them and refused where it does not.
3. Non-finite numbers are refused before anything is decided.
4. Rules are values: equal parameters are equal rules. No rule keeps anything from call to call.

What it does not do: it neither decides who takes part nor carries a privacy label (DESIGN section
6).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.rows import Rows
from hyperfed.errors import AggregationError, BreakdownError

__all__ = ["Rule", "checked_weights"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(ABC):
    """Makes one vector of many clients' vectors."""

    name: ClassVar[str] = ""
    """The name of the rule in a policy."""
    takes_weights: ClassVar[bool] = False
    """Whether `aggregate` takes weights."""
    takes_losses: ClassVar[bool] = False
    """Whether `aggregate` takes losses."""

    f: int = 0
    """How many clients may be arbitrary, 0 or more."""

    def __post_init__(self) -> None:
        if type(self.f) is not int or self.f < 0:
            raise AggregationError(
                f"f is {self.f!r}; a whole number of at least 0 is needed", subject=self.name
            )

    @abstractmethod
    def least(self) -> int:
        """Return how many clients the rule needs at this f."""

    def check(self, clients: int) -> None:
        """Raise BreakdownError where `clients` are too few for f."""
        if clients < self.least():
            raise BreakdownError(
                f"{clients} clients; to bear f = {self.f} it needs at least {self.least()}",
                subject=self.name,
                remedy="State a smaller f, or wait for more clients",
            )

    def aggregate(
        self,
        updates: npt.ArrayLike | Rows,
        *,
        weights: Sequence[float] | Floats | None = None,
        losses: Sequence[float] | None = None,
    ) -> Any:
        """Return the aggregate of the clients' vectors, float[d], of the updates' type.

        `updates` is float32 or float64[clients, d], finite. `weights` is float[clients] >= 0, not
        all 0. `losses` is float[clients] >= 0. Raises BreakdownError below the breakdown point and
        AggregationError for any argument that does not fit.
        """
        rows = updates if isinstance(updates, Rows) else Rows.of(updates, subject=self.name)
        self.check(len(rows))
        if weights is not None and not self.takes_weights:
            raise AggregationError(
                "takes no weights",
                subject=self.name,
                remedy="Use mean, geometric-median, centered-clipping or bounded-trust",
            )
        if losses is not None and not self.takes_losses:
            raise AggregationError(
                "takes no losses",
                subject=self.name,
                remedy="Leave them out: only adaptive takes losses",
            )
        return self._apply(
            rows,
            None if weights is None else checked_weights(weights, len(rows), self.name),
            None
            if losses is None
            else checked_weights(losses, len(rows), self.name, what="losses", some=False),
        )

    @abstractmethod
    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        """Apply the rule itself.

        `weights` is float64[rows] and adds up to 1, or is None.
        """


def checked_weights(
    values: Sequence[float] | Floats,
    clients: int,
    subject: str,
    *,
    what: str = "weights",
    some: bool = True,
) -> Floats:
    """Return the values as float64[clients], which must be finite and >= 0.

    With `some`, at least one must be above 0, and they are returned as shares that add up to 1.
    Raises AggregationError where that does not hold.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (clients,):
        raise AggregationError(f"{numbers.size} {what} for {clients} clients", subject=subject)
    if not (np.isfinite(numbers) & (numbers >= 0)).all():
        raise AggregationError(f"{what} must be finite and at least 0", subject=subject)
    if not some:
        return numbers
    total = float(numbers.sum())
    if not 0 < total < np.inf:
        raise AggregationError(f"the {what} add up to {total:g}", subject=subject)
    return numbers / total
