"""Run a client's side of push-pull gossip, over any transport (`GossipProtocol`).

1. `step` reads what peers have left, adds it, and pushes this epoch's shares: one step an epoch.
2. A message that cannot be read, or that the plan does not allow, is dropped and counted; it never
   stops the exchange.
3. The transport's sender must be the share's: a peer cannot push in another's name where the
   transport tells who it is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.errors import RefusedError, SchemaError
from hyperfed.gossip.messages import NoisedVector, decode_share, encode_share
from hyperfed.gossip.mixing import GossipState
from hyperfed.gossip.plan import GossipPlan
from hyperfed.transport import Transport

__all__ = ["GossipProtocol", "GossipStep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipStep:
    """Says what one step did."""

    added: int
    """How many shares were new and added."""
    dropped: int
    """How many messages were unreadable, not of the plan, or repeated."""
    sent: int
    """How many peers were pushed to; 0 where nothing material had changed."""


class GossipProtocol:
    """Averages one client's noised message with its basket's, epoch by epoch."""

    def __init__(
        self,
        plan: GossipPlan,
        client: str,
        own: NoisedVector,
        transport: Transport,
        *,
        material: float = 0.0,
    ) -> None:
        """Begin an exchange.

        Args:
            plan: Who exchanges what with whom.
            client: This client's id.
            own: Its noised message, the only thing that ever enters.
            transport: How peers are reached.
            material: The smallest move of the average, as a part of the norm bound, that is pushed.

        Raises PrivacyError for numbers without noise, and ConfigError for another plan's.
        """
        self.state = GossipState(plan, client, own, material=material)
        self._transport = transport

    @property
    def average(self) -> npt.NDArray[np.float64]:
        """Return the basket's average as this client has it now, float64[n]."""
        return self.state.average

    @property
    def finished(self) -> bool:
        """Return whether the round's epochs are over."""
        return self.state.epoch >= self.state.plan.epochs

    def receive(self) -> tuple[int, int]:
        """Add what peers have left, and return how many shares were added and dropped."""
        added = dropped = 0
        while (mail := self._transport.receive(0.0)) is not None:
            sender, message = mail
            try:
                share = decode_share(message)
                new = share.sender == sender and self.state.add(share)
            except (SchemaError, RefusedError):
                new = False
            added, dropped = added + new, dropped + (not new)
        return added, dropped

    def step(self) -> GossipStep:
        """Receive, mix and push once. Raises ConfigError after the plan's last epoch."""
        added, dropped = self.receive()
        shares = self.state.push()
        for peer, share in shares.items():
            self._transport.send(peer, encode_share(share))
        return GossipStep(added=added, dropped=dropped, sent=len(shares))
