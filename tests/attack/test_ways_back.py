"""Who has the coordinator's key, or whoever runs the bucket, has left something behind that stops
rounds: a round below the floors, a reserve for one, a plan of an abandoned branch. The federation
goes on without it, by the roots' word or by itself, and no charge is lost (R-152, R-153).
"""

import pytest

from hyperfed.dropbox.budgets import accountant_of
from hyperfed.errors import LedgerError, RoundError
from hyperfed.operations.audit import audit
from hyperfed.operations.retention import prunable
from hyperfed.packets import PolicyPack
from hyperfed.privacy.policy import release_of
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.floors import Floors
from hyperfed.testing.federation import SmallFederation
from tests.attack.forged import forge_plan
from tests.attack.test_alien_reserves import ALL_OF_IT, PRIVATE, reserve
from tests.attack.test_annulled_entries import abandon, annul, forked
from tests.attack.test_plans_below_the_floors import LOCAL


@pytest.fixture
def below() -> SmallFederation:
    """A federation whose roots ask for local noise. Round 2's plan asks for central noise only."""
    fed = SmallFederation(clients=4, auditors=1, policy=LOCAL)
    fed.amend(floors=Floors(privacy="local"))
    assert fed.play(1).why is Why.COMMITTED
    forge_plan(fed, 2, policy=PRIVATE)
    return fed


def without_floors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the floors: old clients, and the coordinator of whoever stole the key."""
    monkeypatch.setattr("hyperfed.registry.floors._below", lambda *_: iter(()))


def charges(fed: SmallFederation) -> int:
    return len(accountant_of(fed.reader(), fed.reader().ledger()).mechanisms)


def test_a_committed_round_below_the_floors_stops_until_the_roots_annul_it(
    below: SmallFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as thief:
        without_floors(thief)
        below.submit_all(round_id=2)
        assert below.run(2).why is Why.COMMITTED
    below.open(3)
    below.submit_all(round_id=3)
    before = below.decided()
    with pytest.raises(RoundError, match="entries 3 and 4 of the ledger commit round 2") as caught:
        below.run(3)
    assert (caught.value.rule, caught.value.subject) == ("R-125", Keys.plan(2))
    assert "`hyperfed registry annul 3 4`" in caught.value.remedy
    with pytest.raises(RoundError) as told:
        below.session("site-01").pull(now=below.night(3))
    assert told.value.rule == "R-125", "no client believes what was released"
    assert below.decided() == before
    found = audit(below.store, below.fingerprint, below.coordinator)
    assert [(f.key, f.rule) for f in found.findings] == [(Keys.plan(2), "R-125")]
    assert any("`hyperfed registry annul 3 4`" in remark for remark in found.remarks)
    annul(below, 3, 4)
    assert charges(below) == 2, "what was released stays charged"
    assert below.run(3).why is Why.COMMITTED
    assert charges(below) == 3
    frozen = below.reader().freeze(3)
    assert frozen is not None
    assert frozen.value.base_round == 1
    model = below.session("site-01").pull(now=below.night(3))
    assert model is not None
    assert model.value.round == 3
    found = audit(below.store, below.fingerprint, below.coordinator)
    assert found.ok, found.findings


@pytest.mark.parametrize("alien", [True, False])
def test_a_reserve_for_a_plan_below_the_floors_ends_in_a_void_by_itself(
    below: SmallFederation, alien: bool
) -> None:
    """Nothing was committed by it, so the roots need not be asked. It stays charged where it asks
    for what its plan asks for, since then a value may have been seen."""
    asked = release_of(PRIVATE, below.vocabulary, below.registry.budget)
    assert asked is not None
    if alien:
        reserve(below, 2, ALL_OF_IT)
    else:
        reserve(below, 2, asked.mechanisms, noise=b"\5" * 32)
    with pytest.raises(RoundError):
        below.run(2)
    below.open(3)
    below.submit_all(round_id=3)
    assert below.run(3).why is Why.COMMITTED
    ledger = [(c.entry.kind.value, c.entry.round, c.entry.id) for c in below.reader().ledger()]
    assert [entry[:2] for entry in ledger[2:5]] == [("reserve", 2), ("void", 2), ("reserve", 3)]
    assert ledger[3][2] == b"", "nothing is refunded"
    assert charges(below) == (2 if alien else 3)
    found = audit(below.store, below.fingerprint, below.coordinator)
    assert {f.rule for f in found.findings} >= {"R-125"}


def test_an_entry_that_no_ledger_may_hold_is_annulled_and_the_budget_is_whole() -> None:
    """All of the budget in a reserve that is not even of today's form: nobody reads beyond it."""
    fed = SmallFederation(clients=4, policy=PRIVATE)
    fed.play(1)
    reserve(fed, 2, ALL_OF_IT, final=False)
    before = fed.decided()
    with pytest.raises(LedgerError) as caught:
        fed.open(2)
    assert (caught.value.rule, caught.value.subject) == ("R-74", Keys.ledger(3))
    assert "`hyperfed registry annul 3`" in caught.value.remedy
    assert fed.decided() == before
    annul(fed, 3)
    fed.open(2)
    fed.submit_all(round_id=2)
    assert fed.run(2).why is Why.COMMITTED
    assert charges(fed) == 2
    assert audit(fed.store, fed.fingerprint, fed.coordinator).ok


def test_a_plan_of_an_abandoned_branch_stops_no_later_round() -> None:
    left, right = forked(PolicyPack())
    right.open(3)
    copied = right.objects()[Keys.plan(3)]
    left.store.put_if_absent(Keys.plan(3), copied)
    before = left.decided()
    with pytest.raises(RoundError) as refused:
        left.submit("site-01", round_id=3)
    assert refused.value.rule == "R-50"
    assert not left.objects("inbox/00000003/"), "no client follows it"
    with pytest.raises(LedgerError) as evidence:
        left.run(3)
    assert evidence.value.rule == "R-73", "until the roots have chosen it shows a tail that was cut"
    abandon(left, right)
    with pytest.raises(RoundError, match="is of a branch that the roots have abandoned") as caught:
        left.run(3)
    assert (caught.value.rule, caught.value.subject) == ("R-152", Keys.plan(3))
    assert left.decided() == before
    left.open(4)
    left.submit_all(round_id=4)
    stage = left.run(4)
    assert (stage.why, stage.counted) == (Why.COMMITTED, 4)
    found = audit(left.store, left.fingerprint, left.coordinator)
    assert found.ok, found.findings
    assert any("R-152" in remark for remark in found.remarks)


def test_the_honest_twin_opened_by_a_commit_that_was_annulled_since_goes_on() -> None:
    """The commit is in this ledger: its round is burnt, and the plan behind it is still good."""
    fed = SmallFederation(clients=4, policy=PRIVATE)
    fed.play(1)
    fed.play(2)
    fed.open(3)
    fed.submit_all(round_id=3)
    annul(fed, 4)
    assert fed.run(3).why is Why.COMMITTED
    found = audit(fed.store, fed.fingerprint, fed.coordinator)
    assert found.ok, found.findings


def test_a_refused_plan_of_long_ago_does_not_stop_housekeeping() -> None:
    fed = SmallFederation(clients=3)
    fed.amend(floors=Floors(vote_min=0.2, fdr_max=0.1))
    fed.play(1)
    forge_plan(fed, 2, policy=PolicyPack(sealed=False))
    fed.store.put_if_absent(Keys.inbox(2, "site-01", 0), b"what old software sent")
    fed.play(40)
    keys = [info.key for info in prunable(fed.reader(), keep_rounds=32)]
    assert Keys.inbox(2, "site-01", 0) in keys
    assert Keys.inbox(40, "site-01", 0) not in keys
