"""Average noised messages inside a basket, from client to client, without a coordinator.

1. A plan says who sends to whom, from a public seed (`plan`).
2. An exchange begins with a client's noised message and sees nothing else (`messages`).
3. Push-sum keeps an average where peers are late or missing (`mixing`).
4. `GossipProtocol` runs it over a transport (`protocol`).

What it does not do: protect more than local noise does. A neighbour learns of a client what its one
noised message reveals.
"""

from hyperfed.gossip.messages import NoisedVector as NoisedVector
from hyperfed.gossip.messages import Share as Share
from hyperfed.gossip.mixing import GossipState as GossipState
from hyperfed.gossip.plan import GossipPlan as GossipPlan
from hyperfed.gossip.protocol import GossipProtocol as GossipProtocol
from hyperfed.gossip.protocol import GossipStep as GossipStep

__all__ = [
    "GossipPlan",
    "GossipProtocol",
    "GossipState",
    "GossipStep",
    "NoisedVector",
    "Share",
]
