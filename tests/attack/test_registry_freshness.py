"""Who holds a registry version back, and with it a revocation, and how long that works (R-121,
R-122); and the honest twins.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest

from hyperfed.errors import RegistryError
from hyperfed.operations.audit import audit
from hyperfed.protocol.machine import Why
from hyperfed.registry.registry import Registry
from hyperfed.testing.federation import SmallFederation

VICTIM = "site-03"


@pytest.fixture
def expiring() -> SmallFederation:
    """A federation whose second registry version expires when round 3 opens."""
    fed = SmallFederation()
    fed.amend(expires=fed.opens(3))
    fed.play(1)
    return fed


def test_nobody_goes_on_by_a_version_that_has_expired(expiring: SmallFederation) -> None:
    """A bucket that shows the same world for ever is found out when the roots' word runs out."""
    expiring.play(2)
    expiring.runner(3, now=expiring.opens(3)).open_round(
        3, policy=expiring.policy, vocabulary=expiring.vocabulary
    )
    late = expiring.opens(3) + timedelta(hours=1)
    before, update = expiring.objects(), expiring.update(VICTIM)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: expiring.session(VICTIM).submit(update, now=late),
        lambda: expiring.session(VICTIM).plan_at(late),
        lambda: expiring.session(VICTIM).pull(now=late),
        lambda: expiring.run(3),
        lambda: expiring.open(4),
    )
    for attempt in attempts:
        with pytest.raises(RegistryError, match="renew") as caught:
            attempt()
        assert caught.value.rule == "R-122"
    assert expiring.objects() == before
    assert any(
        "expired" in remark
        for remark in audit(expiring.store, expiring.fingerprint, now=late).remarks
    )


def test_the_honest_twin_is_renewed_and_goes_on(expiring: SmallFederation) -> None:
    expiring.play(2)
    expiring.amend(expires=expiring.opens(90), issued=expiring.opens(3))
    assert expiring.play(3).why is Why.COMMITTED
    found = audit(expiring.store, expiring.fingerprint, now=expiring.night(3))
    assert found.ok, found.findings
    assert not any("expired" in remark for remark in found.remarks)


def test_a_freeze_by_an_expired_version_is_found(expiring: SmallFederation) -> None:
    """A coordinator that does not look: its machine's clock says round 2, its freeze says when."""
    expiring.open(2)
    expiring.submit_all(round_id=2)
    runner = expiring.runner(2, now=expiring.night(3))
    runner.reader.now = expiring.opens(3) - timedelta(minutes=1)
    runner.run(2)
    found = audit(expiring.store, expiring.fingerprint)
    assert [(f.key, f.rule) for f in found.findings] == [("rounds/00000002/freeze", "R-122")]


def test_who_counted_after_a_revocation_is_reported() -> None:
    fed = SmallFederation()
    fed.play(1)
    fed.play(2)
    assert not any("revokes" in remark for remark in audit(fed.store, fed.fingerprint).remarks)
    fed.revoke(VICTIM, from_round=2)
    remarks = [r for r in audit(fed.store, fed.fingerprint).remarks if "revokes" in r]
    assert len(remarks) == 1
    assert remarks[0].startswith("round 2, frozen at ")
    assert "counts site-03, whom registry version 2 " in remarks[0]


def test_a_coordinator_that_freezes_by_an_old_list_though_a_client_has_seen_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It leaves the claim out of sight; the signed header of the update it counts does not."""
    fed = SmallFederation()
    fed.open(1)
    runner = fed.runner(1)
    assert runner.reader.registry.version == 1
    fed.revoke(VICTIM, from_round=1)
    fed.submit("site-01")
    fed.submit("site-02")
    newest: Registry = runner.reader.registry
    monkeypatch.setattr(runner.reader, "refresh_registry", lambda: newest)
    monkeypatch.setattr(
        "hyperfed.coordinator.admission_stage.check_claims", lambda *_args, **_by: None
    )
    assert runner.run(1).why is Why.COMMITTED
    found = audit(fed.store, fed.fingerprint)
    assert {f.rule for f in found.findings} == {"R-121"}


def test_the_honest_twin_judges_again_by_the_new_list() -> None:
    fed = SmallFederation()
    fed.open(1)
    runner = fed.runner(1)
    assert runner.reader.registry.version == 1
    fed.revoke(VICTIM, from_round=1)
    fed.submit("site-01")
    fed.submit("site-02")
    assert runner.run(1).why is Why.COMMITTED
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert frozen.value.registry_version == 2
    assert audit(fed.store, fed.fingerprint).ok
