"""Shuffle clients into buckets of s before a rule: each bucket's mean is one vector.

There are fewer vectors, and they are more alike. Honest differences shrink by s, and f liars spoil
at most f of the ceil(n / s) buckets. The rule's f stays as it is. The source is Karimireddy, He &
Jaggi 2022, arXiv:2006.09365, Algorithm 1.
"""

from dataclasses import dataclass

import numpy as np

from hyperfed.aggregation.rows import Rows
from hyperfed.errors import AggregationError

__all__ = ["Bucketing"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bucketing:
    """Replaces the clients' vectors by the means of random buckets."""

    size: int = 2
    """How many clients make a bucket, at least 1."""
    rng: np.random.Generator
    """Shuffles the clients. Seed it from what is decided before the updates, such as the plan's
    digest.
    """

    def __post_init__(self) -> None:
        if self.size < 1:
            raise AggregationError(
                f"size is {self.size}; at least 1 is needed", subject="bucketing"
            )

    def before(self, rows: Rows) -> Rows:
        """Return the buckets' means, ceil(n / size) rows."""
        n = len(rows)
        order = self.rng.permutation(n)
        buckets = -(-n // self.size)
        mix = np.zeros((buckets, n))
        for bucket in range(buckets):
            members = order[bucket * self.size : (bucket + 1) * self.size]
            mix[bucket, members] = 1.0 / len(members)
        return rows.mixed(mix)
