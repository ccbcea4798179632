"""What an operator is told without asking."""

from dataclasses import replace
from decimal import Decimal

from hyperfed.registry.registry import Budget
from hyperfed.report.notices import KINDS, notices
from hyperfed.report.view import view_of
from hyperfed.testing.federation import SmallFederation


def said(federation: SmallFederation, night: int, **changes: object) -> list[tuple[str, str]]:
    reader = federation.reader()
    view = replace(view_of(reader, night), **changes)  # type: ignore[arg-type]
    found = notices(view, reader)
    assert all(notice.kind in KINDS and notice.text for notice in found)
    return [(notice.kind, notice.about) for notice in found]


def test_a_good_night_and_a_round_that_has_not_ended_say_nothing() -> None:
    federation = SmallFederation()
    federation.open(1)
    assert said(federation, 1) == []
    federation.play(1)
    assert said(federation, 1) == []


def test_a_client_that_stays_away_is_told_of_after_three_nights_and_then_weekly() -> None:
    federation = SmallFederation()
    told = []
    for night in range(1, 14):
        federation.play(night, but=("site-02",) if night > 2 else ())
        told += [
            (night, about)
            for kind, about in said(federation, night)
            if kind == "hyperfed.client.absent"
        ]
    assert told == [(5, "site-02"), (12, "site-02")]


def test_a_void_round_and_an_equivocation_are_told_of() -> None:
    federation = SmallFederation()
    federation.open(1)
    federation.run(1, now=federation.night(2))
    assert said(federation, 1) == [("hyperfed.round.void", "round 1")]
    federation.open(2)
    federation.submit("site-01", round_id=2)
    federation.submit("site-03", round_id=2)
    for slot in (0, 1):
        federation.put(
            federation.envelope(
                "site-02",
                round_id=2,
                sequence=9,
                update=federation.update("site-02", effect=0.5 + slot),
            ),
            "site-02",
            round_id=2,
            slot=slot,
        )
    federation.run(2)
    assert said(federation, 2) == [("hyperfed.client.equivocated", "site-02")]


def test_less_than_a_fifth_of_the_budget_is_told_of() -> None:
    federation = SmallFederation(budget=Budget(epsilon=Decimal(10)))
    federation.play(1)
    budget = view_of(federation.reader(), 1).budget
    assert said(federation, 1, budget=replace(budget, spent_epsilon=Decimal(8))) == []
    assert said(federation, 1, budget=replace(budget, spent_epsilon=Decimal("8.1"))) == [
        ("hyperfed.budget.low", "small-fed")
    ]
