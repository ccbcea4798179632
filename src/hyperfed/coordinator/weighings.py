"""Give the numbers by which a round weighed each client, for the client's own receipt alone.

1. They follow from plan, freeze and state: whoever computes them gets the same (R-68).
2. A round that was frozen under an earlier formula tells nobody its weight (`protocol.receipts`).
3. Numbers are rounded to two decimals. Where the registry asks for a minimum support above 1, they
   are rounded to one, and the agreement is not disclosed. From it a client that sends one invented
   edge a round could read whether somebody has that edge.

What it does not do: it computes no agreement and no trust (the merge and `reputation` do).
"""

from collections.abc import Mapping

from hyperfed.coordinator.reputation import trusts_of
from hyperfed.protocol.objects import Freeze, Plan, RoundState
from hyperfed.protocol.receipt_objects import Weighing
from hyperfed.protocol.receipts import tells_weighings

__all__ = ["weighings_of"]

_FEWEST = 3  # with fewer clients, agreement is not computed


def weighings_of(
    plan: Plan, freeze: Freeze | None, state: RoundState | None, *, minimum_support: int
) -> Mapping[str, Weighing]:
    """Return how each counted or excluded client was weighed; empty where nothing is disclosed.

    minimum_support: that of the registry that the freeze names.
    """
    if freeze is None or state is None or not tells_weighings(freeze):
        return {}
    policy, counted = plan.policy, {c.client: c for c in freeze.counted}
    secret = minimum_support > 1
    compared = (
        policy.strategy == "consensus"
        and policy.privacy == "none"
        and len(counted) >= _FEWEST
        and not secret
    )
    digits = 1 if secret else 2
    weighings, trust = {}, trusts_of(state)
    for client in sorted({*counted, *freeze.excluded}):
        client_state, item = state.of(client), counted.get(client)
        if client_state is None:
            continue
        late = policy.staleness_decay ** (plan.round - item.made_for) if item else 0.0
        weighings[client] = Weighing(
            agreement=round(client_state.agreement, digits) + 0.0 if compared and item else None,
            weight=round(client_state.weight * late, digits) + 0.0,
            trust=round(trust[client], digits) + 0.0,
        )
    return weighings
