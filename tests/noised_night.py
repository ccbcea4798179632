"""A small federation whose clients add noise in shares to a secure sum, with its helpers."""

from datetime import timedelta
from decimal import Decimal

from hyperfed.client_agent import statistics_update
from hyperfed.coordinator.runner import Why
from hyperfed.errors import QuorumMissed
from hyperfed.packets import PolicyPack, SumsPolicy, Update
from hyperfed.privacy.moments import plan_moments
from hyperfed.registry.registry import Budget
from hyperfed.registry.secure_sums import HelperRecord, SecureSums
from hyperfed.statistics import Statistics
from hyperfed.statistics.clipped import clipped_statistics
from hyperfed.storage.store import ObjectStore
from tests.secure_night import NAMES, POLICY, VOCABULARY, SecureNight, rows

WARDS = tuple(f"ward-{i}" for i in range(1, 7))
BUDGET = Budget(epsilon=Decimal(200), unit="record")


def policy(shares: int = 4, epsilon: int = 20) -> PolicyPack:
    """Return a policy whose noise counts on so many shares."""
    return PolicyPack(
        **{
            name: getattr(POLICY, name)
            for name in ("payload", "lags", "strategy", "max_staleness", "trust_min")
        },
        organisation_cap=0.0,
        vote_min=0.5,
        aggregation="secure-sum",
        privacy="shares",
        privacy_epsilon=Decimal(epsilon),
        noise_shares=shares,
        statistics=SumsPolicy(row_norm=3.0),
    )


def statistics(seed: int, plan: PolicyPack | None = None, count: int = 800) -> Statistics:
    """Return a ward's clipped statistics."""
    plan = plan or policy()
    return clipped_statistics(
        rows(seed, count),
        names=NAMES,
        vocabulary=VOCABULARY,
        lags=plan.lags,
        row_norm=plan.statistics.row_norm,
        grid=plan_moments(plan, len(NAMES)).bound,
        centring=plan.statistics.centring,
    )


class NoisedNight(SecureNight):
    """A federation of wards, without blocks, of which `colluding` organisations may collude."""

    def __init__(
        self,
        members: tuple[str, ...] = WARDS,
        *,
        shares: int = 4,
        colluding: int = 1,
        together: int = 3,
        epsilon: int = 20,
        store: ObjectStore | None = None,
        budget: Budget = BUDGET,
    ) -> None:
        super().__init__(members=members, blocks=(members,), store=store)
        fed = self.federation
        fed.policy = policy(shares, epsilon)
        fed.amend(
            budget=budget,
            secure_sums=SecureSums(
                helpers=tuple(HelperRecord(client_id=name) for name in self.helpers),
                together=together,
                colluding_clients=colluding,
            ),
        )

    def update_of(self, client: str) -> Update:
        """Return a member's update, as it is made."""
        return statistics_update(statistics(self.members.index(client), self.federation.policy))


def ended(night: NoisedNight, *, but: tuple[str, ...] = ()) -> Why:
    """Play round 1 to its end, without some members."""
    night.opens()
    night.submit_all(but=but)
    fed, now = night.federation, night.federation.night(1) + timedelta(minutes=5)
    night.visits(now=fed.night(1))
    try:
        return fed.run(1).why
    except QuorumMissed as error:
        if error.rule != "R-166":
            raise
        night.visits(now=now)
        return fed.run(1, now=now).why
