"""Average with peers that are late, missing, or lying.

1. A client has a vector and a weight of 1. In an epoch it keeps 1 / (degree + 1) of both and
   pushes the same part to each peer of the plan. What it holds is always vector / weight: push-sum.
   Source: Kempe, Dobra, Gehrke, Gossip-Based Computation of Aggregate Information, FOCS 2003.
2. No sum of vectors and no sum of weights changes by an exchange. What is late is on its way, and
   is added when it comes; what never comes takes its weight along, so that an average of the rest
   remains.
3. A share is added once: a second one of the same sender and epoch is dropped.
4. A client pushes again only where its average has moved by more than `material` of the norm bound
   since it last pushed; otherwise it keeps its parts, and nothing is lost.
5. A client's state begins with a `NoisedVector` and takes in shares of others', so every number
   that ever leaves is post-processing of noised messages. No amplification is claimed: a neighbour
   learns of a client all that its local noise allows.

6. A state can be saved and restored, so that a client runs one epoch in each process.

What it does not do: find liars. A peer that lies moves the average by at most what its shares weigh
(`hyperfed.simulator.gossip_lab` measures it).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.codec import is_array, pack, unpack
from hyperfed.errors import ConfigError, PrivacyError
from hyperfed.gossip.messages import NoisedVector, Share, believed
from hyperfed.gossip.plan import GossipPlan

__all__ = ["GossipState"]

_VERSION = 1


class GossipState:
    """Holds what one client has during a round's epochs."""

    def __init__(
        self, plan: GossipPlan, client: str, own: NoisedVector, *, material: float = 0.0
    ) -> None:
        if not isinstance(own, NoisedVector):
            raise PrivacyError(
                f"begins with a {type(own).__name__}; only a NoisedVector may enter an exchange",
                subject=f"gossip of {client}",
                remedy="Noise the update first (NoisedVector.of_message)",
            )
        if client not in plan.clients or len(own.values) != plan.length:
            raise ConfigError(
                f"is not of the plan's {len(plan.clients)} clients, or brings {len(own.values)} "
                f"numbers where the plan has {plan.length}",
                subject=f"gossip of {client}",
            )
        self.plan, self.client, self.material = plan, client, material
        self.epoch = 0
        self._values = own.values.copy()
        self._weight = 1.0
        self._pushed: npt.NDArray[np.float64] | None = None
        self._added: set[tuple[str, int]] = set()

    @property
    def average(self) -> npt.NDArray[np.float64]:
        """Return what this client holds for the basket's average, float64[n]."""
        return self._values / self._weight

    @property
    def weight(self) -> float:
        """Return the part of the basket's weight that this client holds now."""
        return self._weight

    @property
    def heard(self) -> int:
        """Return how many shares were added so far."""
        return len(self._added)

    def has_heard(self, sender: str, epoch: int) -> bool:
        """Return whether a peer's share of an epoch was added."""
        return (sender, epoch) in self._added

    @property
    def senders(self) -> tuple[str, ...]:
        """Return the peers of which a share was added, ascending."""
        return tuple(sorted({sender for sender, _ in self._added}))

    def saved(self) -> bytes:
        """Return the state as bytes for a file of the client's own (`restored`)."""
        pushed = b"" if self._pushed is None else self._pushed.astype("<f8").tobytes()
        return pack(
            [
                _VERSION,
                self.client,
                self.epoch,
                self._weight,
                self._values.astype("<f8").tobytes(),
                pushed,
                [[sender, epoch] for sender, epoch in sorted(self._added)],
            ]
        )

    @classmethod
    def restored(cls, plan: GossipPlan, data: bytes, *, material: float = 0.0) -> "GossipState":
        """Return the state that `saved` wrote, which began with a NoisedVector.

        Raises ConfigError for anything else, or for a state of another plan.
        """
        plain: Any = unpack(data)
        good = is_array(plain, int, str, int, float, bytes, bytes, list)
        length = 8 * plan.length
        if (
            not good
            or plain[0] != _VERSION
            or plain[1] not in plan.clients
            or len(plain[4]) != length
            or len(plain[5]) not in (0, length)
            or not all(is_array(pair, str, int) for pair in plain[6])
        ):
            raise ConfigError(
                "is no state of this plan's",
                subject=f"gossip of round {plan.round}",
                remedy=(
                    "Wait for the next round, which begins anew. It was saved under another plan "
                    "or changed, so this round's gossip is over for this client"
                ),
            )
        state = object.__new__(cls)
        state.plan, state.client, state.material = plan, plain[1], material
        state.epoch, state._weight = plain[2], plain[3]
        state._values = np.frombuffer(plain[4], dtype="<f8").astype(np.float64)
        state._pushed = (
            np.frombuffer(plain[5], dtype="<f8").astype(np.float64) if plain[5] else None
        )
        state._added = {(sender, epoch) for sender, epoch in plain[6]}
        return state

    def add(self, share: Share) -> bool:
        """Add a peer's share, and return whether it was new.

        Raises RefusedError where the plan does not allow it; then nothing changes.
        """
        allowed = believed(share, self.plan, self.client)
        if (share.sender, share.epoch) in self._added:
            return False
        self._added.add((share.sender, share.epoch))
        self._values += allowed.values
        self._weight += allowed.weight
        return True

    def push(self) -> Mapping[str, Share]:
        """Return this epoch's shares by peer, and go on to the next epoch.

        The mapping is empty where nothing material has changed since the last push. Raises
        ConfigError after the plan's last epoch.
        """
        if self.epoch >= self.plan.epochs:
            raise ConfigError(
                f"the round's {self.plan.epochs} epochs are over",
                subject=f"gossip of {self.client}",
            )
        epoch, self.epoch = self.epoch, self.epoch + 1
        if not self._moved():
            return {}
        self._pushed = self.average
        peers = self.plan.neighbours(epoch, self.client)
        part = 1.0 / (len(peers) + 1)
        self._values *= part
        self._weight *= part
        return {
            peer: Share(
                round=self.plan.round,
                epoch=epoch,
                sender=self.client,
                weight=self._weight,
                values=self._values.copy(),
            )
            for peer in peers
        }

    def _moved(self) -> bool:
        """Return whether the average has moved enough since the last push (rule 4)."""
        if self._pushed is None or self.material <= 0.0:
            return True
        moved = float(np.linalg.norm(self.average - self._pushed))
        return moved > self.material * self.plan.norm_bound
