"""The one message of a round that a client keeps (R-98): what is noted of it, for which round."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperfed.client import ClientMemory
from hyperfed.client.noised import (
    KeptMessage,
    OneMessage,
    before_noise,
    noised,
    operation_of,
    recover,
    recover_all,
)
from hyperfed.client_agent import statistics_update
from hyperfed.errors import RefusedError
from hyperfed.packets import PolicyPack, SumsPolicy
from hyperfed.privacy.guard import PrivacyGuard
from hyperfed.privacy.moments import plan_moments
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import Plan
from hyperfed.registry.registry import Budget
from hyperfed.statistics.clipped import clipped_statistics
from hyperfed.testing.federation import SmallFederation

SUMS: dict[str, Any] = {
    "payload": "statistics",
    "lags": (1,),
    "max_staleness": 0,
    "statistics": SumsPolicy(row_norm=1.0, centring="public"),
}
FIRST, SECOND = "fed round 1", "fed round 2"
RECORDS = Budget(unit="record")
LOCAL = PolicyPack(privacy="local", strategy="mean", trust_min=0, max_lag=1)


def test_an_arrival_is_noted_for_the_round_of_the_kept_message_only(tmp_path: Path) -> None:
    kept = OneMessage(tmp_path / "message")
    kept.arrived(FIRST)
    assert kept.of(FIRST) is None, "what was not drawn has not arrived"
    message = KeptMessage(operation=SECOND, sequence=1, digest="00" * 32, edges=3, data=b"x")
    assert kept.keep(message) == message
    kept.arrived(FIRST)
    assert kept.of(FIRST) is None
    assert kept.keep(replace(message, sequence=2)) == message, "what was drawn first counts"
    second = kept.of(SECOND)
    assert second == message
    assert not second.arrived
    kept.arrived(SECOND)
    assert OneMessage(tmp_path / "message").of(SECOND) == replace(message, arrived=True)
    third = replace(message, operation="fed round 3")
    assert not kept.gave_way(SECOND)
    assert kept.keep(third) == replace(third, earlier=(SECOND,))
    assert kept.of(SECOND) is None
    again = OneMessage(tmp_path / "message")
    assert (again.gave_way(SECOND), again.gave_way(FIRST)) == (True, False)


def test_a_kept_message_says_how_many_edges_it_has() -> None:
    update = SmallFederation().update("site-01")
    kept = KeptMessage.of(FIRST, update, b"x", 1, "00" * 32)
    assert kept.edges == len(update.edges or ()) > 0


# -- what a guard is charged, and when -------------------------------------------------------------


def local_plan(**policy: Any) -> Plan:
    fed = SmallFederation()
    return replace(fed.open(1).value, policy=replace(LOCAL, **policy))


def reserves(*places: str) -> list[Chained]:
    """A ledger of reserves, one a round, whose noise is drawn at these places."""
    fed = SmallFederation(policy=LOCAL)
    fed.play(1)
    reserve = fed.reader().ledger()[0]
    return [
        replace(
            reserve,
            entry=replace(
                reserve.entry,
                round=at,
                mechanisms=tuple(replace(m, place=place) for m in reserve.entry.mechanisms),
            ),
        )
        for at, place in enumerate(places, 1)
    ]


def guard() -> PrivacyGuard:
    return ClientMemory().privacy_guard(Budget())


def test_a_guard_that_was_lost_starts_from_what_the_ledger_reserved() -> None:
    ledger = reserves("local", "central", "local")
    for charged in (recover, recover_all):
        lost = guard()
        charged(lost, ledger)
        names = [f"{c.entry.federation}/round/{c.entry.round}" for c in ledger]
        assert [lost.has_charged(name) for name in names] == [True, False, True]
        assert len(lost.accountant.mechanisms) == 2


def test_a_guard_that_knows_its_nights_is_charged_no_other_but_by_a_backup() -> None:
    """The client took no part in the other nights, and drew nothing."""
    ledger = reserves("local", "local")
    first = ledger[0].entry
    kept = guard()
    kept.charge(first.mechanisms, operation=f"{first.federation}/round/1")
    recover(kept, ledger)
    assert len(kept.accountant.mechanisms) == 1
    recover_all(kept, ledger)
    assert len(kept.accountant.mechanisms) == 2


def test_noise_is_charged_once_under_the_rounds_name() -> None:
    plan, kept = local_plan(), guard()
    noised(SmallFederation().update("site-01"), plan, budget=Budget(), guard=kept)
    assert kept.has_charged(operation_of(plan))
    sums, kept = local_plan(**SUMS), guard()
    moments = clipped_statistics(
        np.random.default_rng(0).normal(size=(60, 4)),
        names=sums.vocabulary.names,
        vocabulary=sums.vocabulary,
        lags=(1,),
        row_norm=1.0,
        grid=plan_moments(sums.policy, 4).bound,
        centring="public",
    )
    noised(statistics_update(moments), sums, budget=RECORDS, guard=kept)
    assert kept.has_charged(operation_of(sums))
    with pytest.raises(RefusedError, match="no statistics to noise") as caught:
        noised(SmallFederation().update("site-01"), sums, budget=RECORDS, guard=guard())
    assert caught.value.rule == "R-160"
    with pytest.raises(RefusedError, match="is no round of local noise"):
        noised(
            SmallFederation().update("site-01"),
            local_plan(privacy="none"),
            budget=Budget(),
            guard=guard(),
        )


@pytest.mark.parametrize(
    ("unit", "attested", "fits"),
    [
        ("record", None, False),
        ("record", 0.51, False),
        ("record", 0.5, True),
        ("client", None, True),
        ("client", 0.51, True),
    ],
)
def test_a_client_attests_what_its_records_move_before_anything_is_charged(
    unit: str, attested: float | None, fits: bool
) -> None:
    update = SmallFederation().update("site-01")
    update = replace(update, claims=replace(update.claims, record_bound=attested))
    plan, kept = local_plan(record_bound=0.5), guard()
    budget = RECORDS if unit == "record" else Budget()
    if fits:
        noised(update, plan, budget=budget, guard=kept)
        assert len(kept.accountant.mechanisms) == 1
        return
    with pytest.raises(RefusedError, match="attests a record bound") as caught:
        noised(update, plan, budget=budget, guard=kept)
    assert caught.value.rule == "R-91"
    assert kept.accountant.mechanisms == ()


def test_an_update_fits_the_policy_that_holds_before_noise() -> None:
    plain = local_plan(privacy="none")
    assert before_noise(plain).policy.privacy == "none"
    assert before_noise(local_plan(privacy="central")).policy.privacy == "central"
    assert before_noise(local_plan()).policy.privacy == "none"
    assert before_noise(local_plan(**SUMS)).policy.privacy == "central"
