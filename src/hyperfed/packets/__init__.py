"""Define what travels between clients and the coordinator, as values.

1. `PathPack`, `EdgeDelta` (`edges`), `PolicyPack` (`policy`) and `CausalSemanticPack` (`semantic`)
   are the reference's packets, with its field names (docs/protocol.md).
2. `Knowledge` is what a policy says of the graph beforehand (`knowledge`), `SumsPolicy` how a model
   is found in sums of statistics (`summing`).
3. An `Update` carries many packets as columns, with the client's `Claims` (`update`).
4. Every packet checks itself when it is made, and raises BoundsError where a field is wrong.

What it does not do: write bytes (`codec`), sign (`crypto`), or admit updates (`validator`).
"""

from hyperfed.packets.edges import EdgeDelta, PathPack
from hyperfed.packets.knowledge import Knowledge
from hyperfed.packets.policy import PolicyPack
from hyperfed.packets.semantic import CausalSemanticPack
from hyperfed.packets.summing import SumsPolicy
from hyperfed.packets.update import Claims, Update

__all__ = [
    "CausalSemanticPack",
    "Claims",
    "EdgeDelta",
    "Knowledge",
    "PathPack",
    "PolicyPack",
    "SumsPolicy",
    "Update",
]
