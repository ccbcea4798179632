"""A small federation whose coordinator adds central noise to a secure sum, with its helpers."""

from dataclasses import replace
from decimal import Decimal

from hyperfed.packets import PolicyPack
from hyperfed.registry.registry import Budget
from hyperfed.registry.secure_sums import HelperRecord, SecureSums
from hyperfed.storage.store import ObjectStore
from tests import noised_night
from tests.noised_night import WARDS, NoisedNight

BUDGET = Budget(epsilon=Decimal(2000), unit="record")


def policy(epsilon: int = 20) -> PolicyPack:
    """Return a policy of sums that only coordinators and auditors see without noise."""
    return replace(noised_night.policy(epsilon=epsilon), privacy="central", noise_shares=0)


class CentralNight(NoisedNight):
    """A federation of wards in blocks, and of helpers that seal their answers."""

    def __init__(
        self,
        members: tuple[str, ...] = WARDS,
        *,
        blocks: tuple[tuple[str, ...], ...] = (WARDS[:3], WARDS[3:]),
        epsilon: int = 20,
        store: ObjectStore | None = None,
        budget: Budget = BUDGET,
    ) -> None:
        super().__init__(members, epsilon=epsilon, store=store, budget=budget)
        fed = self.federation
        fed.policy = policy(epsilon)
        fed.amend(
            secure_sums=SecureSums(
                helpers=tuple(HelperRecord(client_id=name) for name in self.helpers),
                together=3,
                blocks=blocks,
            )
        )
