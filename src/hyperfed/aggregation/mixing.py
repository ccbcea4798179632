"""Mix nearest neighbours before a rule: a vector becomes the mean of its n - f nearest.

A vector is among its own nearest. What is left of an attack among honest neighbours is averaged
away, and honest differences shrink, so any rule that follows gains. The source is Allouah et al.
2023, arXiv:2302.01772, Algorithm 2 (NNM).
"""

from dataclasses import dataclass

import numpy as np

from hyperfed.aggregation.rows import Rows
from hyperfed.errors import AggregationError, BreakdownError

__all__ = ["NearestMixing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestMixing:
    """Replaces every vector by the mean of its nearest."""

    f: int
    """How many clients may be arbitrary."""

    def __post_init__(self) -> None:
        if self.f < 0:
            raise AggregationError(
                f"f is {self.f}; at least 0 is needed", subject="nearest-neighbour mixing"
            )

    def before(self, rows: Rows) -> Rows:
        """Return the mixed rows, as many as before.

        Raises BreakdownError where there are fewer than 2f + 1 clients.
        """
        n = len(rows)
        if n < 2 * self.f + 1:
            raise BreakdownError(
                f"{n} clients; to bear f = {self.f} it needs {2 * self.f + 1}",
                subject="nearest-neighbour mixing",
            )
        squared = rows.distances()
        np.fill_diagonal(squared, -1.0)  # itself first, also where others lie at the same place
        nearest = np.argsort(squared, axis=1, kind="stable")[:, : n - self.f]
        mix = np.zeros((n, n))
        np.put_along_axis(mix, nearest, 1.0 / (n - self.f), axis=1)
        return rows.mixed(mix)
