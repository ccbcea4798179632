"""A night of secure sums with noise in shares: charged by the freeze, opened and audited."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from hyperfed.coordinator.runner import Why
from hyperfed.errors import PrivacyBudgetExhausted, PrivacyError, QuorumMissed, RoundError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.privacy.moments import plan_moments, step_of
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.floors import Floors, below_floors
from hyperfed.registry.registry import Budget
from tests.noised_night import BUDGET, NoisedNight, ended, policy, statistics
from tests.secure_night import SecureNight

pytestmark = pytest.mark.unit

AFTER = timedelta(minutes=5)


def model_of(night: NoisedNight) -> GlobalModel:
    pulled = night.federation.session("ward-1").pull(now=night.federation.night(1) + AFTER)
    assert pulled is not None
    return pulled.value


def test_a_night_with_noise_in_shares_is_charged_opened_and_audited() -> None:
    night = NoisedNight(epsilon=400)
    fed = night.federation
    fed.amend(budget=replace(BUDGET, epsilon=Decimal(2000)))
    assert ended(night) is Why.COMMITTED
    model, planned = model_of(night), plan_moments(fed.policy, 3)
    # six wards, of which one organisation may collude, and the client itself
    (charge,) = fed.reader().ledger()[0].entry.mechanisms
    assert charge == planned.mechanism
    assert (charge.place, charge.shares, charge.numbers, charge.sigma) == ("shares", 4, 21, 1 << 15)
    said = model.privacy
    assert said is not None
    assert (said.shares, said.clients) == (4, 6)
    assert said.noise_std == pytest.approx(planned.noise_std * np.sqrt(6))
    assert "noise of 4 of the 6 clients" in model.statement
    assert "how many rows each client has" not in said.not_covered
    found = {(r["source"], r["target"]) for r in model.rows() if r["source"] != r["target"]}
    assert found >= {("heat", "load"), ("load", "wear")}
    exact = sum(statistics(seed, fed.policy).moments for seed in range(6))
    assert model.moments is not None
    noise = (model.moments.moments - exact) / said.noise_std
    assert 0.4 < noise.std() < 1.8
    assert model.opened_by == night.helpers
    for key in (None, fed.coordinator):
        report = audit(fed.store, fed.fingerprint, key)
        assert report.findings == ()
        assert report.checked["noised sums"] == report.checked["openings"] == 1
        assert report.checked.get("noise compared", 0) == (key is not None)


def test_more_shares_than_counted_on_cost_less_and_dropouts_cost_more() -> None:
    """The freeze says what is charged (R-192)."""
    costs = {}
    for missing in ((), ("ward-6",)):
        night = NoisedNight(shares=3)
        assert ended(night, but=missing) is Why.COMMITTED
        (charge,) = night.federation.reader().ledger()[0].entry.mechanisms
        costs[charge.shares] = charge.epsilon
        said = model_of(night).privacy
        assert said is not None
        assert (said.epsilon, said.shares) == (charge.epsilon, charge.shares)
    asked = plan_moments(policy(3), 3).epsilon
    assert costs[4] < costs[3] == asked


def test_below_the_shares_that_a_plan_counts_on_the_round_is_void_and_nothing_is_opened() -> None:
    night = NoisedNight()
    fed = night.federation
    with pytest.raises(QuorumMissed, match="fewer than 4 shares of noise"):
        ended(night, but=("ward-6",))
    assert fed.reader().freeze(1) is None
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
    assert [c.entry.kind for c in fed.reader().ledger()] == [EntryKind.VOID]
    assert not fed.objects(Keys.manifest(1))
    visits = night.visits(now=fed.night(1) + AFTER)
    assert not any(visit.answered for visit in visits)
    # who has sent a share has charged its guard, whatever became of the round
    for ward, spent in (("ward-1", True), ("ward-6", False)):
        guard = fed.memories[ward].privacy_guard(fed.registry.budget)
        assert bool(guard.accountant.mechanisms) is spent


def test_a_round_whose_helpers_do_not_come_is_void_and_stays_charged() -> None:
    night = NoisedNight()
    fed = night.federation
    night.confirmed()
    closed = fed.plan(1).close_by
    for now in (fed.night(1), fed.night(1) + AFTER):
        with pytest.raises(QuorumMissed, match="0 of 4 helpers have answered"):
            fed.run(1, now=now)
    assert fed.run(1, now=closed).why is Why.VOID
    reserve, void = (c.entry for c in fed.reader().ledger())
    assert reserve.final
    assert (void.kind, void.id) == (EntryKind.VOID, b"")
    assert audit(fed.store, fed.fingerprint, None).findings == ()


def test_a_client_charges_its_own_budget_for_the_fewest_shares() -> None:
    night = NoisedNight(shares=3)
    fed = night.federation
    night.opens()
    fed.submit("ward-1", night.update_of("ward-1"))
    guard = fed.memories["ward-1"].privacy_guard(fed.registry.budget)
    assert guard.accountant.mechanisms == plan_moments(fed.policy, 3).mechanisms
    assert guard.accountant.mechanisms[0].shares == 3


def test_a_client_without_budget_sends_nothing() -> None:
    night = NoisedNight()
    fed = night.federation
    night.opens()
    guard = fed.memories["ward-1"].privacy_guard(fed.registry.budget)
    cost = plan_moments(fed.policy, 3).mechanisms
    for other in range(guard.accountant.nights_left(cost)):
        guard.charge(cost, operation=f"other/{other}")
    before = fed.objects()
    with pytest.raises(PrivacyBudgetExhausted):
        fed.submit("ward-1", night.update_of("ward-1"))
    assert fed.objects() == before


def test_a_federation_whose_budget_is_spent_opens_no_round() -> None:
    night = NoisedNight(budget=Budget(epsilon=Decimal(1), unit="record"))
    before = night.federation.objects()
    with pytest.raises(PrivacyBudgetExhausted, match="tonight does not fit"):
        night.federation.open(1)
    assert night.federation.objects() == before


@pytest.mark.parametrize(
    ("shares", "together", "why"),
    [(2, 3, "the roots' `together` is 3"), (5, 3, "4 shares of noise are left"), (4, 6, "is 6")],
)
def test_a_plan_counts_on_as_many_shares_as_the_roots_ask_for_and_the_cohort_leaves(
    shares: int, together: int, why: str
) -> None:
    night = NoisedNight(shares=shares, together=together)
    before = night.federation.objects()
    with pytest.raises(RoundError, match=why) as refused:
        night.federation.open(1)
    assert refused.value.rule == "R-190"
    assert night.federation.objects() == before


def test_rounds_without_noise_need_blocks_and_rounds_with_it_do_not() -> None:
    night = NoisedNight()
    night.federation.policy = SecureNight().federation.policy
    with pytest.raises(RoundError, match="no blocks"):
        night.federation.open(1)


@pytest.mark.parametrize(("privacy", "shares"), [("shares", 0), ("none", 4), ("local", 4)])
def test_a_policy_counts_on_shares_where_its_noise_is_in_shares(privacy: str, shares: int) -> None:
    with pytest.raises(PrivacyError) as refused:
        replace(policy(), privacy=privacy, noise_shares=shares)
    assert refused.value.rule == "R-190"


def test_a_floor_of_central_noise_lets_shares_through_and_one_of_local_noise_does_not() -> None:
    shared = policy()
    for floor, below in (("none", 0), ("central", 0), ("shares", 0), ("local", 1)):
        assert len(below_floors(shared, Floors(privacy=floor))) == below
    central = replace(shared, privacy="central", aggregation="seen", noise_shares=0)
    assert len(below_floors(central, Floors(privacy="shares"))) == 1


def test_what_has_noise_in_shares_has_a_finer_grid_than_central_noise() -> None:
    """Four shares count for twice the width: a squared clip has twice as many steps."""
    shared = policy()
    central = replace(shared, privacy="central", aggregation="seen", noise_shares=0)
    fine, coarse = (plan_moments(one, 3) for one in (shared, central))
    assert fine.bound == pytest.approx(2 * coarse.bound, rel=1e-3)
    assert fine.epsilon == pytest.approx(coarse.epsilon, rel=Decimal("0.001"))
    assert step_of(fine) * 2 == pytest.approx(step_of(coarse), rel=1e-3)
