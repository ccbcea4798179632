"""Say in words how a round weighed a client, and what would help it; both follow from numbers.

1. The reason holds the numbers: the weight, and the agreement where it may be disclosed. The remedy
   says what a client with such numbers can do, and is empty where there is nothing to do.
2. A weight of 0 is no accusation. It may come from votes that contradict the others', but also from
   few rows, few shared variables, or a difference that is real.
3. Nothing is said about any other client.

What it does not do: it does not compute the numbers (`coordinator.weighings`).
"""

from hyperfed.packets import PolicyPack
from hyperfed.protocol.receipt_objects import Weighing

__all__ = ["words_of"]

_FULL = 0.995  # a weight that two decimals show as 1.00
_CONTRADICTS = -0.05
_NONE = 0.005  # a weight that two decimals show as 0.00


def words_of(weighing: Weighing, policy: PolicyPack) -> tuple[str, str]:
    """Return (reason, remedy) of a client that was counted."""
    by_trust = policy.weigh_by == "reputation"
    weight, agreement = weighing.weight, weighing.agreement
    reason = f"counted with weight {weight:.2f}"
    if agreement is not None:
        reason += f"; its agreement with the others is {agreement:.2f}"
    return reason, " ".join(
        part
        for part in (_help(weight, agreement, by_trust=by_trust), _warning(weighing, policy))
        if part
    )


def _help(weight: float, agreement: float | None, *, by_trust: bool) -> str:
    """Return what a client of this weight can do; nothing where its weight is full."""
    if weight >= _FULL:
        return ""
    if by_trust:
        return (
            "The weight is your trust so far: it grows with each round in which your votes agree."
        )
    if agreement is not None and agreement < _CONTRADICTS:
        return (
            "Most of your votes have the other sign: check units and codes of the variables, their "
            "names, and that rows run from old to new. A difference that is real needs no remedy."
        )
    if weight < _NONE:
        return (
            "Your votes did not count this time: check that columns are the variables they are "
            "named for. More rows, or more of the round's variables, make votes that agree."
        )
    return "More rows make your estimates steadier, and more of the round's variables comparable."


def _warning(weighing: Weighing, policy: PolicyPack) -> str:
    """Return what low trust leads to; nothing where it is not low."""
    if weighing.trust >= policy.trust_min:
        return ""
    return (
        f"Your trust is {weighing.trust:.2f}: below {policy.trust_min:g}, after "
        f"{policy.trust_nights} rounds, a client is left out until it has recovered."
    )
