"""A plan below the floors that the roots sign (R-125): noise left out, bodies in the clear, a cut
and a trust that let anything through. The coordinator's key signs it, and nobody follows it.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from hyperfed.errors import ConfigError, QuorumMissed, RoundError
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol.machine import Why
from hyperfed.registry.floors import Floors
from hyperfed.registry.registry import Budget
from hyperfed.testing.federation import SmallFederation
from tests.attack.forged import forge_plan

LOCAL = PolicyPack(
    strategy="mean",
    privacy="local",
    privacy_epsilon=Decimal(1),
    privacy_delta=Decimal("0.00001"),
    trust_min=0,
    max_lag=1,
    stability_min=0,
)
OPEN = replace(LOCAL, privacy="none", sealed=False)
BOUNDED = Floors(
    vote_min=0.2,
    fdr_max=0.1,
    trust_min_least=0.1,
    trust_min_most=0.3,
    trust_nights=3,
    organisation_cap=2,
)


def federation(floors: Floors, policy: PolicyPack | None = None) -> SmallFederation:
    fed = SmallFederation(auditors=1, policy=policy)
    fed.amend(floors=floors)
    return fed


def test_no_client_sends_exact_values_in_the_clear() -> None:
    fed = federation(Floors(privacy="local"), LOCAL)
    assert fed.play(1).why is Why.COMMITTED
    forge_plan(fed, 2, policy=OPEN)
    for client in fed.clients:
        with pytest.raises(RoundError, match='at least "local" is asked for') as caught:
            fed.submit(client, round_id=2)
        assert caught.value.rule == "R-125"
        assert fed.session(client).memory.marks.sequence == 1, "nothing was signed"
    assert not fed.objects("inbox/00000002/")
    with pytest.raises(RoundError, match="below the floors"):
        fed.run(2)
    report = audit(fed.store, fed.fingerprint)
    assert [(f.key, f.rule) for f in report.findings] == [("rounds/00000002/plan", "R-125")]
    # and the federation goes on, as if that round had never been opened
    assert fed.play(3).why is Why.COMMITTED


@pytest.mark.parametrize(
    "changes",
    [
        {"sealed": False},
        {"vote_min": 0.1},
        {"cut": "fdr", "fdr_max": 0.2},
        {"strategy": "union"},
        {"trust_min": 0.0},
        {"trust_min": 0.9},
        {"trust_nights": 1},
        {"organisation_cap": 0.0},
        {"organisation_cap": 3.0},
    ],
)
def test_each_bound_holds_against_the_coordinators_key(changes: dict[str, Any]) -> None:
    fed = federation(BOUNDED)
    with pytest.raises(ConfigError) as signing:
        fed.open(1, **changes)
    assert signing.value.rule == "R-125"
    assert not fed.objects("rounds/"), "an honest coordinator signs no such plan"
    forge_plan(fed, 1, policy=replace(fed.policy, **changes))
    with pytest.raises(RoundError, match="below the floors"):
        fed.submit("site-01")
    assert not fed.objects("inbox/")
    assert [f.rule for f in audit(fed.store, fed.fingerprint).findings] == ["R-125"]


def test_nobody_shows_single_clients_under_a_minimum_support() -> None:
    fed = SmallFederation(clients=4, auditors=1, budget=Budget(minimum_support=2))
    assert fed.play(1).why is Why.COMMITTED
    forge_plan(fed, 2, policy=replace(fed.policy, show_clients=True))
    with pytest.raises(RoundError, match="single clients are shown") as caught:
        fed.submit("site-01", round_id=2)
    assert caught.value.rule == "R-125"
    assert not fed.objects("inbox/00000002/")
    assert [f.rule for f in audit(fed.store, fed.fingerprint).findings] == ["R-125"]


def test_a_plan_that_names_the_registry_before_the_floors() -> None:
    fed = SmallFederation(auditors=1, policy=LOCAL)
    fed.play(1)
    before = (fed.registry.version, fed.registry_digest)
    fed.amend(floors=Floors(privacy="local"))
    fed.play(2)
    forge_plan(fed, 3, policy=OPEN, registry_version=before[0], registry_digest=before[1])
    with pytest.raises(RoundError, match="below the floors of registry version 2"):
        fed.submit("site-01", round_id=3)
    assert not fed.objects("inbox/00000003/")
    report = audit(fed.store, fed.fingerprint)
    assert [(f.key, f.rule) for f in report.findings] == [("rounds/00000003/plan", "R-126")]


def test_floors_that_are_raised_in_mid_round_hold_at_once() -> None:
    fed = SmallFederation(auditors=1)
    fed.open(1, sealed=False)
    fed.submit("site-01")
    fed.submit("site-02")
    fed.amend(floors=Floors())
    with pytest.raises(RoundError, match="bodies are not sealed"):
        fed.submit("site-03")
    before = fed.decided()
    judged = fed.judge(1)
    assert [refused.rule for refused in judged.refused] == ["R-125", "R-125"]
    with pytest.raises(QuorumMissed):
        fed.run(1)
    assert fed.decided() == before
    assert fed.run(1, now=fed.night(1) + timedelta(days=2)).why is Why.VOID
    assert audit(fed.store, fed.fingerprint, fed.coordinator).ok
    assert fed.play(2).why is Why.COMMITTED


@pytest.mark.parametrize(
    ("floors", "policy"),
    [
        (BOUNDED, PolicyPack()),
        (BOUNDED, PolicyPack(cut="fdr", fdr_max=0.1, vote_min=0.0)),
        (BOUNDED, PolicyPack(vote_min=0.2, trust_min=0.3, organisation_cap=2.0)),
        (BOUNDED, LOCAL),  # a noised round cuts by its noise and weighs nobody
        (Floors(privacy="central"), LOCAL),
        (Floors(sealed=False), PolicyPack(sealed=False)),
        (None, PolicyPack(sealed=False, vote_min=0, trust_min=0)),
    ],
)
def test_the_honest_twin_at_its_floors_counts(floors: Floors | None, policy: PolicyPack) -> None:
    fed = SmallFederation(auditors=1, policy=policy)
    if floors is not None:
        fed.amend(floors=floors)
    assert fed.play(1).why is Why.COMMITTED
    assert audit(fed.store, fed.fingerprint, fed.coordinator).ok
