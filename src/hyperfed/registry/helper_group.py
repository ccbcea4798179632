"""Decide who holds which seed, and how many helpers open a sum.

1. A federation has h helpers (4 to 7), of different organisations. Of them t may collude with the
   coordinator and the bucket.
2. For each set T of s = floor((h + t) / 2) helpers a client draws one seed. Every helper outside T
   holds it; the helpers of T do not.
3. Any q = s + 1 helpers hold all seeds together, because a set of s cannot contain them. Any t
   helpers lack at least one seed, because s >= t.
4. Two groups of q helpers share at least 2q - h >= t + 1 helpers, so at least one who is honest.
   An honest helper answers one manifest a round, therefore no two cohorts of a round can be opened.
   With q = t + 1 a coordinator could ask different helpers for different cohorts, and subtract.
5. q may not exceed h - 1: one helper that is away must not stop a round.
6. A seed has h - s holders. Where they are t + 1 or more, one of them is honest and a false answer
   is seen; 4 to 7 helpers with t = 1 and 7 with t = 2 are such groups (`checkable`). In others t
   helpers may hold a seed among themselves: they learn nothing, but could shift a sum unseen.

Source of the sharing by sets: Cramer, Damgård, Ishai, Share Conversion, Pseudorandom Secret-Sharing
and Applications to Secure Computation, TCC 2005.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

from hyperfed.errors import ConfigError

__all__ = ["HelperGroup", "HelperSet"]

HelperSet = tuple[str, ...]
"""The helpers that do not hold a seed, in ascending order."""

_FEWEST, _MOST = 4, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperGroup:
    """Names the helpers of a federation, and says what is assumed of them."""

    helpers: tuple[str, ...]
    """Client ids of the 4 to 7 helpers, in ascending order."""
    colluding_helpers: int = 1
    """t: how many helpers may collude with coordinator and bucket, at least 1. The coordinator's
    own organisation counts as one where it is a helper.
    """

    def __post_init__(self) -> None:
        h, t = len(self.helpers), self.colluding_helpers
        if list(self.helpers) != sorted(set(self.helpers)):
            raise ConfigError(
                "the helpers' ids are not in ascending order, or one stands twice",
                subject="helpers",
                remedy="Name each helper once",
            )
        if not _FEWEST <= h <= _MOST:
            raise ConfigError(
                f"{h} helpers; {_FEWEST} to {_MOST} are needed",
                subject="helpers",
                remedy="Name as many members, of different organisations",
            )
        if t < 1 or self.quorum > h - 1:
            raise ConfigError(
                f"of {h} helpers {t} may collude, and {self.quorum} would have to answer; at most "
                f"{h - 1} may have to",
                subject="helpers",
                remedy=f"Let at most {h - 3} of {h} collude, or name more helpers",
            )

    @property
    def set_size(self) -> int:
        """Return s: how many helpers do not hold a given seed."""
        return (len(self.helpers) + self.colluding_helpers) // 2

    @property
    def quorum(self) -> int:
        """Return q = s + 1: how many helpers have to answer before a sum can be opened."""
        return self.set_size + 1

    @property
    def seeds(self) -> int:
        """Return how many seeds a client draws."""
        return comb(len(self.helpers), self.set_size)

    @property
    def checkable(self) -> bool:
        """Return whether every seed has an honest holder, so that no t helpers can shift a sum."""
        return len(self.helpers) - self.set_size > self.colluding_helpers

    def sets(self) -> tuple[HelperSet, ...]:
        """Return the sets T in lexicographic order, one for each seed."""
        return tuple(combinations(self.helpers, self.set_size))

    def held_by(self, helper: str) -> tuple[HelperSet, ...]:
        """Return the sets whose seed `helper` holds: those that it is not in.

        Raises ConfigError for one who is no helper.
        """
        self.check(helper)
        return tuple(names for names in self.sets() if helper not in names)

    def holders(self, names: HelperSet) -> tuple[str, ...]:
        """Return the helpers that hold the seed of the set `names`, in ascending order."""
        return tuple(helper for helper in self.helpers if helper not in names)

    def check(self, helper: str) -> None:
        """Raise ConfigError unless `helper` is one of the group."""
        if helper not in self.helpers:
            raise ConfigError(
                f"is not one of the helpers {', '.join(self.helpers)}", subject=str(helper)
            )

    def can_open(self, answering: Sequence[str]) -> bool:
        """Return whether these helpers are enough to open a sum."""
        return len(set(answering) & set(self.helpers)) >= self.quorum
