"""A plan that says of clients what its registry does not say (R-126): a cohort without one of them,
invented organisations, a quorum of one, baskets of the coordinator's choice. And a freeze that
excludes a client whose trust is fine (R-95).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hyperfed.coordinator import round_objects
from hyperfed.coordinator.choose import Choice, choose
from hyperfed.errors import RoundError
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol.machine import Why
from hyperfed.protocol.objects import Plan
from hyperfed.registry.floors import Floors
from hyperfed.registry.registry import Budget
from hyperfed.testing.federation import SmallFederation
from tests.attack.forged import forge_plan

BASKETS = PolicyPack(basket_minimum=3, basket_maximum=6)
Lie = Callable[[Plan], dict[str, Any]]
LIES: dict[str, Lie] = {
    "a client is not invited": lambda p: {
        "cohort": p.cohort[:-1],
        "domains": p.domains[:-1],
        "quorum": 3,
        "baskets": (),
    },
    "six hospitals are one": lambda p: {
        "organisations": tuple((c, "one") for c, _ in p.organisations)
    },
    "no organisations": lambda p: {"organisations": ()},
    "no domains": lambda p: {"domains": ()},
    "a quorum below the minimum support": lambda p: {"quorum": 1},
    "a basket's name": lambda p: {
        "baskets": tuple(replace(b, name=f"{b.name}/1") for b in p.baskets)
    },
    "no baskets": lambda p: {"baskets": ()},
}


def federation() -> SmallFederation:
    fed = SmallFederation(clients=8, auditors=1, policy=BASKETS, budget=Budget(minimum_support=2))
    fed.amend(
        floors=Floors(),
        clients=tuple(
            replace(record, basket="banks" if i < 4 else "plants")
            for i, record in enumerate(fed.registry.clients)
        ),
    )
    assert fed.play(1).why is Why.COMMITTED
    return fed


@pytest.mark.parametrize("name", LIES)
def test_nobody_follows_a_plan_that_does_not_follow(name: str) -> None:
    fed = federation()
    honest = fed.twin()
    honest.open(2)
    forge_plan(fed, 2, **({"baskets": honest.plan(2).baskets} | LIES[name](honest.plan(2))))
    before = fed.decided()
    for client in fed.clients:
        with pytest.raises(RoundError) as caught:
            fed.submit(client, round_id=2)
        assert (caught.value.rule, caught.value.subject) == ("R-126", "rounds/00000002/plan")
    assert not fed.objects("inbox/00000002/")
    with pytest.raises(RoundError):
        fed.run(2)
    assert fed.decided() == before
    report = audit(fed.store, fed.fingerprint)
    assert [(f.key, f.rule) for f in report.findings] == [("rounds/00000002/plan", "R-126")]
    assert fed.play(3).why is Why.COMMITTED, "the federation does not stop for it"


def test_the_honest_twin_with_baskets_is_followed_for_three_nights() -> None:
    fed = federation()
    assert [fed.play(r).why for r in (2, 3)] == [Why.COMMITTED] * 2
    report = audit(fed.store, fed.fingerprint, fed.coordinator)
    assert report.findings == ()
    assert report.checked["freezes"] == 3


def test_a_plan_that_names_a_commit_which_the_ledger_does_not_hold() -> None:
    fed = federation()
    fed.open(2)
    forged = forge_plan(fed, 3, newest_commit_round=2, baskets=fed.plan(2).baskets)
    assert forged.newest_commit
    report = audit(fed.store, fed.fingerprint)
    assert [(f.key, f.rule) for f in report.findings] == [("rounds/00000003/plan", "R-126")]


def test_a_client_is_not_excluded_whose_trust_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    fed = SmallFederation(clients=5, auditors=1)
    fed.play(1)

    def lying(*args: Any, **kwargs: Any) -> Choice:
        honest = choose(*args, **kwargs)
        kept = tuple(c for c in honest.counted if c.client != "site-04")
        return replace(honest, counted=kept, excluded=("site-04",))

    twin = fed.twin()
    monkeypatch.setattr(round_objects, "choose", lying)
    assert fed.play(2).why is Why.COMMITTED
    monkeypatch.undo()
    found = [(f.key, f.rule) for f in audit(fed.store, fed.fingerprint).findings]
    assert ("rounds/00000002/freeze", "R-95") in found
    assert twin.play(2).why is Why.COMMITTED
    assert audit(twin.store, twin.fingerprint).findings == ()
