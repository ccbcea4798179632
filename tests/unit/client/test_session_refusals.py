"""What a session asks before it says or sends anything: each check alone, where others would hold
too, and the honest twin.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hyperfed.client import ClientSession
from hyperfed.errors import ClockError, RefusedError, RegistryError, RoundError
from hyperfed.packets import PolicyPack
from hyperfed.registry.floors import Floors
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation

WHO = "site-01"
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
LOCAL: dict[str, Any] = {"privacy": "local", "strategy": "mean", "trust_min": 0, "max_lag": 1}


@pytest.fixture
def fed() -> SmallFederation:
    fed = SmallFederation()
    fed.open(1)
    return fed


def test_an_expired_registry_stops_each_way_in() -> None:
    fed = SmallFederation()
    fed.amend(expires=fed.opens(2) + HOUR)
    late = fed.opens(2) + HOUR + timedelta(seconds=fed.limits.clock_skew_s)
    fed.play(1)
    plan, update = fed.open(2), fed.update(WHO)
    assert fed.session(WHO).plan_at(late - SECOND) is not None
    assert fed.session(WHO).pull(now=late - SECOND) is not None
    before = fed.objects()
    for attempt in (
        lambda: fed.session(WHO).plan_at(late),
        lambda: fed.session(WHO).submit(update, now=late, plan=plan),
        lambda: fed.session(WHO).pull(now=late),
    ):
        with pytest.raises(RegistryError) as caught:
            attempt()
        assert caught.value.rule == "R-122"
    assert fed.objects() == before


def test_a_plan_below_the_floors_is_neither_shown_nor_followed() -> None:
    """The roots set the floor after the round was opened."""
    fed = SmallFederation()
    plan = fed.open(1, sealed=False)
    assert fed.session(WHO).plan(1).value == plan.value
    fed.amend(floors=Floors(sealed=True))
    session, before = fed.session(WHO), fed.objects()
    for attempt in (
        lambda: session.plan(1),
        lambda: session.submit(fed.update(WHO), now=fed.opens(1), plan=plan),
    ):
        with pytest.raises(RoundError) as caught:
            attempt()
        assert caught.value.rule == "R-125"
    assert fed.objects() == before
    assert fed.memories[WHO].marks.sequence == 0


def test_a_round_is_taken_in_its_time(fed: SmallFederation) -> None:
    session, now = fed.session(WHO), fed.opens(1) + HOUR
    assert session.plan_at(now).value.round == session.plan_at(now, 1).value.round == 1
    with pytest.raises(RoundError, match="has not begun"):
        session.plan_at(now, 2)
    fed.open(3)
    now = fed.opens(3)
    with pytest.raises(RoundError, match="round 2: was not opened"):
        session.plan_at(now, 2)
    assert session.plan_at(now - timedelta(days=1, seconds=1), 1).value.round == 1
    with pytest.raises(RoundError, match="took updates until"):
        session.plan_at(fed.plan(1).close_by, 1)
    fed.revoke(WHO, from_round=1)
    with pytest.raises(RegistryError, match="was revoked"):
        fed.session(WHO).plan_at(now)


def test_who_is_not_in_the_cohort_is_told_before_anything_is_discovered() -> None:
    fed = SmallFederation(clients=2)
    fed.open(1)
    stranger = SmallFederation(clients=3).registry.clients[2]
    fed.keys["site-03"] = SmallFederation(clients=3).keys["site-03"]
    fed.memories["site-03"] = SmallFederation(clients=3).memories["site-03"]
    fed.amend(clients=(*fed.registry.clients, stranger))
    with pytest.raises(RoundError, match="was opened without client site-03"):
        fed.session("site-03").plan_at(fed.opens(1))


def test_what_is_sent_later_for_an_earlier_round_is_said(fed: SmallFederation) -> None:
    now = fed.opens(2)
    fed.open(2)
    session = fed.session(WHO)
    assert session.sent_later(1, now=now) is None
    fed.submit(WHO, round_id=2)
    assert (session.sent_later(1, now=now), session.sent_later(2, now=now)) == (2, None)
    assert fed.session("site-02").sent_later(1, now=now) is None


@pytest.mark.parametrize(
    ("policy", "running", "sent", "refused"),
    [
        (LOCAL, True, True, True),
        (LOCAL, True, False, False),
        (LOCAL, False, False, False),
        ({}, True, True, False),
    ],
)
def test_a_noised_message_of_the_running_round_is_not_shut_out(
    policy: dict[str, Any], running: bool, sent: bool, refused: bool
) -> None:
    fed = SmallFederation(policy=PolicyPack(**policy))
    fed.open(1)
    if running:
        fed.open(2)
    if sent:
        fed.submit(WHO, round_id=2)
    session = fed.session(WHO)
    if not refused:
        assert session.plan_at(fed.opens(2), 1).value.round == 1
        return
    with pytest.raises(RefusedError, match="would shut it out") as caught:
        session.plan_at(fed.opens(2), 1)
    assert caught.value.rule == "R-98"


class Ahead(MemoryStore):
    clock_skew_s = 3600.0


def test_a_wrong_clock_signs_nothing() -> None:
    fed = SmallFederation(store=Ahead())
    plan = fed.open(1)
    with pytest.raises(ClockError):
        fed.session(WHO).submit(fed.update(WHO), now=fed.opens(1), plan=plan)
    assert not fed.objects("inbox/")
    assert fed.memories[WHO].marks.sequence == 0


def test_a_sequence_goes_up_by_one_and_not_by_room_while_the_memory_is_there() -> None:
    fed = SmallFederation()
    for round_id in (1, 2, 3):
        fed.play(round_id)
    marks = fed.memories[WHO].marks
    assert (marks.sequence, marks.receipt_round) == (3, 2)
    fed.open(4)
    for _ in range(2):  # nothing ends between them
        fed.submit(WHO, round_id=4)
    marks = fed.memories[WHO].marks
    assert (marks.sequence, marks.receipt_round) == (5, 3)


def test_what_was_sent_says_how_much_it_holds(fed: SmallFederation) -> None:
    assert fed.submit(WHO).edges == len(fed.update(WHO).edges or ()) > 0


@pytest.mark.parametrize(
    ("policy", "own", "claimed", "attested"),
    [
        ({**LOCAL, "record_bound": 0.5}, 0.25, None, 0.25),
        ({**LOCAL, "record_bound": 0.5}, 0.25, 0.125, 0.125),
        ({**LOCAL, "record_bound": 0.5}, None, None, None),
        (LOCAL, 0.25, None, None),
        ({"record_bound": 0.5}, 0.25, None, None),
    ],
)
def test_a_record_bound_is_attested_where_the_policy_protects_records(
    policy: dict[str, Any], own: float | None, claimed: float | None, attested: float | None
) -> None:
    fed = SmallFederation()
    plan = replace(fed.open(1).value, policy=PolicyPack(**policy))
    session = ClientSession(
        fed.store,
        client_id=WHO,
        key_pair=fed.keys[WHO],
        fingerprint=fed.fingerprint,
        record_bound=own,
    )
    update = fed.update(WHO)
    update = replace(update, claims=replace(update.claims, record_bound=claimed))
    assert session.leaving(update, plan).claims.record_bound == attested


def test_a_message_is_drawn_once_and_not_where_another_lies() -> None:
    fed = SmallFederation(policy=PolicyPack(**LOCAL))
    plan, session = fed.open(1), fed.session(WHO)
    given: dict[str, Any] = {"now": fed.opens(1), "plan": plan, "ledger": session.check_ledger()}
    drawn = session.drawn_message(fed.update(WHO), **given)
    assert session.drawn_message(fed.update(WHO), **given) == drawn
    assert fed.memories[WHO].marks.sequence == 1
    fed.submit("site-02")
    fed.memories["site-02"] = SmallFederation().memories["site-02"]
    with pytest.raises(RefusedError, match="has its message already") as caught:
        fed.session("site-02").drawn_message(fed.update("site-02"), **given)
    assert "Nothing was sent or spent" in caught.value.remedy
    budget = fed.registry.budget
    assert fed.memories["site-02"].privacy_guard(budget).accountant.mechanisms == ()


def test_receipts_are_those_of_ended_rounds_void_ones_too() -> None:
    fed = SmallFederation()
    fed.play(1)
    fed.open(2)
    fed.run(2, now=fed.night(2) + timedelta(days=3))
    fed.open(3)
    session = fed.session(WHO)
    assert [r.round for r in session.receipts()] == [2, 1]
    assert [r.round for r in session.receipts(last=1)] == [2]
    fed.submit(WHO, round_id=3)
    assert fed.memories[WHO].marks.receipt_round == 2


def test_a_branch_that_is_left_takes_the_broadcast_along(
    fed: SmallFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-124."""
    fed.submit_all()
    fed.run(1)
    session = fed.session(WHO)
    assert session.pull(now=fed.night(1)) is not None
    ledger = session.check_ledger()
    assert session.memory.marks.broadcast_round == 1
    monkeypatch.setattr("hyperfed.client.session.check_ledger", lambda *given: False)
    session.check_ledger()
    marks = session.memory.marks
    assert (marks.broadcast_round, marks.ledger_sequence) == (0, len(ledger))


def test_a_message_of_the_running_round_hides_its_plan_from_nobody() -> None:
    fed = SmallFederation(policy=PolicyPack(**LOCAL))
    fed.open(1)
    fed.submit(WHO)
    assert fed.session(WHO).plan_at(fed.opens(1) + HOUR).value.round == 1
