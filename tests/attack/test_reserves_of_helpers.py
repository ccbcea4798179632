"""Whoever has the coordinator's key freezes under an old registry, or spends more than the budget:
helpers ask today's registry before they answer (R-210, R-211). Each beside its honest twin.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from hyperfed.coordinator import budget
from hyperfed.coordinator.runner import Why
from hyperfed.dropbox.budgets import accountant_of
from hyperfed.errors import PrivacyBudgetExhausted
from hyperfed.operations.audit import audit
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Budget
from hyperfed.registry.secure_sums import SecureSums
from tests.noised_night import NoisedNight, policy
from tests.secure_night import SecureNight, named, replaced, signed_plan

pytestmark = pytest.mark.attack

AFTER = timedelta(minutes=5)


def belongs_to(night: SecureNight, organisation: str, *clients: str) -> None:
    """Let the roots sign that some clients belong to an organisation."""
    fed = night.federation
    fed.amend(
        clients=tuple(
            replace(one, organisation=organisation) if one.client_id in clients else one
            for one in fed.registry.clients
        )
    )


@pytest.mark.parametrize(
    ("shares", "organisation", "why"),
    [
        (3, "help-1 ltd", "it is charged for 4 shares of noise, and 3 are left"),
        (4, "help-1 ltd", "it is charged for 4 shares of noise, and 3 are left"),
        (3, "elsewhere ltd", ""),
    ],
)
def test_a_thief_that_freezes_under_an_old_registry_opens_nothing(
    shares: int, organisation: str, why: str
) -> None:
    """The newest version says that a ward is a helper's. What it says else changes no share."""
    night = NoisedNight(shares=shares)
    night.confirmed()
    named(night)  # frozen and charged by the version that the thief prefers
    old = night.federation.registry.version
    belongs_to(night, organisation, "ward-6")
    fed, now = night.federation, night.federation.night(1) + AFTER
    visits = night.visits(now=now)
    assert [visit.answered for visit in visits] == [[] if why else [1]] * 4
    if why:
        for visit in visits:
            assert why in visit.refused[1]
            assert (
                f"frozen under registry version {old}, and by version {old + 1}"
                in (visit.refused[1])
            )
        assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
        assert fed.reader().ledger()[0].entry.mechanisms, "what was reserved stays charged"
    else:
        assert fed.run(1, now=now).why is Why.COMMITTED


def test_fewer_organisations_than_must_be_there_open_nothing() -> None:
    """As many shares are left as were charged, and they are those of two organisations."""
    members = tuple(f"ward-{n}" for n in range(1, 9))
    night = NoisedNight(members=members, shares=3, colluding=0)
    night.confirmed()
    named(night)
    belongs_to(night, "one ltd", *members[1:])
    visit = night.visit("help-1", now=night.federation.night(1) + AFTER)
    assert not visit.answered
    assert "2 organisations beside helpers', and 3 are needed" in visit.refused[1]


@pytest.mark.parametrize(
    ("organisation", "opened"), [("help-1 ltd", False), ("ward-4 old ltd", True)]
)
def test_without_noise_todays_registry_says_who_hides_a_client(
    organisation: str, opened: bool
) -> None:
    """Three wards must hide each other, and by the newest version two of four are a helper's."""
    night = SecureNight()
    night.confirmed()
    named(night)
    fed = night.federation
    rules = fed.registry.secure_sums
    assert isinstance(rules, SecureSums)
    wards = ("ward-3", "ward-4")
    if opened:
        belongs_to(night, organisation, wards[1])
    else:  # their block would be too small for this version, so it goes
        fed.amend(
            secure_sums=replace(rules, blocks=()),
            clients=tuple(
                replace(one, organisation=organisation) if one.client_id in wards else one
                for one in fed.registry.clients
            ),
        )
    visit = night.visit("help-2", now=fed.night(1) + AFTER)
    assert visit.answered == ([1] if opened else [])
    assert ("could be told apart" in visit.refused.get(1, "")) is not opened


@pytest.mark.parametrize(("epsilon", "opened"), [(25, False), (200, True)])
def test_a_thief_that_reserves_more_than_the_budget_opens_nothing(
    epsilon: int, opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nights of epsilon 20 each, of other wards, whose own records bear one each (R-72).

    The twin's budget bears both.
    """
    members = tuple(f"ward-{n:02d}" for n in range(12))
    night = NoisedNight(members, budget=Budget(epsilon=Decimal(epsilon), unit="record"))
    fed = night.federation
    for round_id, away in ((1, members[6:]), (2, members[:6])):
        with monkeypatch.context() as patch:
            if round_id == 2 and not opened:
                patch.setattr(budget, "affords", lambda *_, **__: True)
                patch.setattr(PrivacyAccountant, "why_not", lambda *_: None)
            night.opens(round_id)
            night.submit_all(round_id, but=away)
            night.visits(now=fed.night(round_id))
            named(night, round_id)
        now = fed.night(round_id) + AFTER
        visits = night.visits(now=now)
        if round_id == 1:
            assert fed.run(1, now=now).why is Why.COMMITTED
    assert [2 in visit.answered for visit in visits] == [opened] * 4
    if opened:
        assert fed.run(2, now=now).why is Why.COMMITTED
        return
    for visit in visits:
        assert "more than the budget of registry version" in visit.refused[2]
    found = audit(fed.store, fed.fingerprint, fed.coordinator, now=now).findings
    assert {finding.rule for finding in found} == {"R-72"}, "the audit says the same"


@pytest.mark.parametrize("swapped", [True, False])
def test_a_void_rounds_charge_that_is_made_to_look_alien_stays_in_the_clients_own_record(
    swapped: bool,
) -> None:
    """Helpers have opened a round, and the thief of key and bucket lets it end void and puts
    another plan in its place: no ledger counts its charge any more (R-119), but its clients do.
    """
    night = NoisedNight(budget=Budget(epsilon=Decimal(25), unit="record"))
    fed = night.federation
    night.confirmed()
    named(night)
    assert all(visit.answered for visit in night.visits(now=fed.night(1) + AFTER))
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
    if swapped:
        replaced(night, Keys.plan(1), signed_plan(night, policy=policy(epsilon=10)))
    ledger = fed.reader().ledger()
    assert bool(accountant_of(fed.reader(), ledger).mechanisms) is not swapped
    if not swapped:
        with pytest.raises(PrivacyBudgetExhausted):
            night.opens(2)
        return
    night.opens(2)
    before = fed.objects()
    for ward in night.members:
        with pytest.raises(PrivacyBudgetExhausted):
            fed.submit(ward, night.update_of(ward), round_id=2)
    assert fed.objects() == before
