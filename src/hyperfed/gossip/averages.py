"""Show what a client has of its basket's average: edges by name, and how much noise is on them.

1. A number is the average of some clients' noised effects. The noise on it is at least what it
   would be with every member in it, and at most that of one message alone.
2. An edge stands out where it is above the level that the least noise stays below in every slot at
   once, with probability 0.95. That is decided on noised numbers, and costs nothing.
3. No coordinator has weighed, counted or signed anything here, and a peer that lies moves it.

What it does not do: read a store or a file (`client.gossip`).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.gossip.terms import GossipTerms
from hyperfed.privacy.release import noise_cut
from hyperfed.privacy.slots import public_slots
from hyperfed.tables.tables import unpack_keys

__all__ = ["LABEL", "BasketAverage"]

LABEL = (
    "the basket's own average, by gossip between its members: noised effects, not a round's "
    "result. No coordinator counted or weighed it, and a member that lies moves it"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BasketAverage:
    """Holds what one client has of its basket's average in a round."""

    terms: GossipTerms
    """The terms of the round's gossip."""
    values: npt.NDArray[np.float64]
    """float64[slots]: the average, one number for each possible edge."""
    epoch: int
    """How many epochs this client has gone through."""
    heard: int
    """How many shares it has added."""
    senders: tuple[str, ...]
    """The peers of which it added any, ascending."""

    @property
    def noise_least(self) -> float:
        """The standard deviation of the noise where every member has the same part in it."""
        return self.terms.release.noise_std / math.sqrt(len(self.terms.plan.clients))

    @property
    def noise_most(self) -> float:
        """The standard deviation of the noise where one message alone is in it."""
        return self.terms.release.noise_std

    @property
    def cut(self) -> float:
        """The level that noise stays below in every slot with probability 0.95.

        All members are taken to be in it.
        """
        return noise_cut(self.noise_least, len(self.values))

    def rows(self) -> list[dict[str, str | int | float | bool]]:
        """Return every possible edge with its average, the strongest first."""
        names = self.terms.announced.vocabulary.names
        source, target, lag = unpack_keys(public_slots(len(names), self.terms.lags))
        order = np.argsort(-np.abs(self.values), kind="stable")
        return [
            {
                "source": names[int(source[at])],
                "target": names[int(target[at])],
                "lag": int(lag[at]),
                "effect": float(self.values[at]),
                "stands_out": bool(abs(self.values[at]) >= self.cut),
            }
            for at in order.tolist()
        ]
