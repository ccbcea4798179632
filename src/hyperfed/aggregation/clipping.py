"""Scale every vector down to a Euclidean norm before a rule.

The direction stays. The norm is the policy's, or the (f + 1)-th largest norm of this round. The
latter is no more than the largest honest one, whatever f liars send (adaptive clipping; Allouah et
al. 2024, arXiv:2405.14432).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperfed.aggregation.rows import Rows
from hyperfed.errors import AggregationError

__all__ = ["Clipping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipping:
    """Scales vectors down to a norm."""

    norm: float | None = None
    """The largest norm, > 0, or None for the (f + 1)-th largest of the vectors."""
    f: int = 0
    """How many clients may be arbitrary."""

    def __post_init__(self) -> None:
        if (self.norm is not None and not 0 < self.norm < np.inf) or self.f < 0:
            raise AggregationError(
                f"norm is {self.norm!r}, f is {self.f}; a norm above 0 and an f of at least 0 "
                "are needed",
                subject="clipping",
            )

    def before(self, rows: Rows) -> Rows:
        """Return the clipped rows.

        Raises AggregationError where f leaves no client.
        """
        n = len(rows)
        if self.f >= n:
            raise AggregationError(f"f = {self.f} of {n} clients", subject="clipping")
        square = np.zeros(n)
        for _, part in rows.chunks():
            for i, row in enumerate(part):
                square[i] += float(np.dot(row, row))
        if not np.isfinite(square).all():  # float32 squares: once more in float64
            square = (
                np.array(
                    [float(row.astype(np.float64) @ row.astype(np.float64)) for row in rows.matrix]
                )
                if rows.mix is None
                else _squares(rows)
            )
        norms = np.sqrt(square)
        bound = float(np.sort(norms)[n - 1 - self.f]) if self.norm is None else self.norm
        return rows.mixed(np.diag(np.minimum(1.0, bound / np.maximum(norms, 1e-300))))


def _squares(rows: Rows) -> Any:
    """Return the squared norms, float64[rows]."""
    gram, unit = rows.gram()
    return gram.diagonal() * unit * unit
