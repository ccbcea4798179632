"""Say who sends to whom in an epoch of gossip, so that anyone can check it.

1. A basket's clients stand in a ring, in an order that BLAKE2b gives from a public seed, the round
   and the epoch. Each sends to the `degree` clients nearest to it in the ring, half on each side.
2. So every client sends to `degree` others and hears from the same ones; the graph is connected,
   and the next epoch draws another.
3. A basket of at most `degree` + 1 clients is a complete graph.
4. One epoch multiplies the disagreement, as a standard deviation, by about sqrt(1 / (degree + 1)):
   the mean of the squared eigenvalues of the averaging matrix, because the next order is
   independent of the last. Source: Boyd, Ghosh, Prabhakar, Shah, Randomized Gossip Algorithms, IEEE
   Transactions on Information Theory 52 (2006), section III.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache

from hyperfed.codec import pack
from hyperfed.errors import ConfigError

__all__ = ["GossipPlan"]

_PERSON = b"hyperfed/gossip1"


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipPlan:
    """Holds what an exchange between the clients of one basket follows from."""

    clients: tuple[str, ...]
    """The ids of the basket's clients, in ascending order."""
    round: int
    """The federation round, at least 1."""
    seed: bytes
    """A public seed of 32 bytes, such as the digest of the round's plan."""
    length: int
    """How many numbers each client's message has."""
    norm_bound: float
    """The largest L2 norm of a vector that is believed. What is longer is shortened to it."""
    degree: int = 6
    """How many others a client sends to in an epoch: an even number, at least 2."""
    epochs: int = 10
    """How many epochs the round has."""

    def __post_init__(self) -> None:
        if list(self.clients) != sorted(set(self.clients)) or len(self.clients) < 2:
            raise ConfigError(
                f"{len(self.clients)} clients; at least two are needed, in ascending order, each "
                "once",
                subject="gossip plan",
            )
        if self.degree < 2 or self.degree % 2:
            raise ConfigError(
                f"degree {self.degree}; it is an even number, at least 2", subject="gossip plan"
            )
        positive = self.round >= 1 and self.epochs >= 1 and self.length >= 1
        if not positive or len(self.seed) != 32 or not 0 < self.norm_bound < math.inf:
            raise ConfigError(
                f"round {self.round}, {self.epochs} epochs, {self.length} numbers, a seed of "
                f"{len(self.seed)} bytes and a norm bound of {self.norm_bound}; the first three "
                "are at least 1, a seed has 32 bytes and the bound is positive",
                subject="gossip plan",
            )

    @property
    def peers(self) -> int:
        """Return how many others each client sends to in an epoch."""
        return min(self.degree, len(self.clients) - 1)

    def order(self, epoch: int) -> tuple[str, ...]:
        """Return the ring of one epoch."""
        return _ring(self.clients, self.seed, self.round, epoch)

    def neighbours(self, epoch: int, client: str) -> tuple[str, ...]:
        """Return the clients that `client` sends to, and hears from, in an epoch; ascending.

        Raises ConfigError for a client that is not of the basket, and for an epoch outside the
        round's.
        """
        if not 0 <= epoch < self.epochs or client not in self.clients:
            raise ConfigError(
                f"epoch {epoch} of {client!r}; the plan has epochs 0 to {self.epochs - 1} and "
                f"{len(self.clients)} clients",
                subject="gossip plan",
            )
        if len(self.clients) <= self.degree + 1:
            return tuple(other for other in self.clients if other != client)
        ring = self.order(epoch)
        at, half = _places(self.clients, self.seed, self.round, epoch)[client], self.degree // 2
        steps = [step for step in range(-half, half + 1) if step]
        return tuple(sorted(ring[(at + step) % len(ring)] for step in steps))

    def contraction(self) -> float:
        """Return by how much an epoch multiplies the disagreement of honest clients (rule 4)."""
        n, share = len(self.clients), 1.0 / (self.peers + 1)
        return math.sqrt(max(0.0, (n * share - 1.0) / (n - 1.0)))

    def epochs_for(self, tolerance: float) -> int:
        """Return how many epochs bring the disagreement below `tolerance` of what it was."""
        contraction = self.contraction()
        if contraction == 0.0:
            return 1
        return math.ceil(math.log(tolerance) / math.log(contraction))


@lru_cache(maxsize=64)
def _ring(clients: tuple[str, ...], seed: bytes, round_number: int, epoch: int) -> tuple[str, ...]:
    """Return the clients in the order of one epoch (rule 1 of the module)."""

    def place(client: str) -> bytes:
        text = pack([round_number, epoch, client])
        return hashlib.blake2b(text, key=seed, person=_PERSON).digest()

    return tuple(sorted(clients, key=place))


@lru_cache(maxsize=64)
def _places(clients: tuple[str, ...], seed: bytes, round_number: int, epoch: int) -> dict[str, int]:
    """Return where each client stands in the ring of one epoch."""
    return {client: at for at, client in enumerate(_ring(clients, seed, round_number, epoch))}
