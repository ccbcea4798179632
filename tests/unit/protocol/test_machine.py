"""The round's state machine step by step: the command after each answer (R-60 to R-69). The
exhaustive search is tests/property/test_protocol_model.py.
"""

from dataclasses import replace
from typing import Any

import pytest

from hyperfed.protocol import machine as mc
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.machine import Economy, Line, PlanView, ResultView, Why, WriteOutcome

RESERVE, COMMIT, VOID = EntryKind.RESERVE, EntryKind.COMMIT, EntryKind.VOID
DONE = (Line(RESERVE, 1, "r1"), Line(COMMIT, 1, "res1"))
OPEN, CLOSED = PlanView(False), PlanView(True)


def economy(*, affordable: bool = True, base: int = 1) -> Economy:
    return Economy(
        affordable=lambda ledger, r: affordable,
        reserve_id=lambda r, freeze: f"r{r}",
        base_of=lambda freeze: base,
    )


def after(aim: int, *answers: Any, money: Economy | None = None) -> Any:
    """The command after these answers, from the start."""
    machine, command = mc.start(aim)
    for answer in answers:
        machine, command = mc.step(machine, answer, money or economy())
    return command


TO_FREEZE = (DONE, OPEN, None)  # ledger, plan of round 2, no result
TO_RESERVE = (*TO_FREEZE, "freeze")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ((), mc.ReadLedger()),
        ((DONE,), mc.ReadPlan(2)),
        (((),), mc.ReadPlan(1)),
        (((), None), mc.ReadPlan(2)),
        (((), None, None), mc.Halt(2, Why.NOT_OPENED)),
        (((), OPEN), mc.Halt(2, Why.PREDECESSOR_OPEN)),
        (((), CLOSED), mc.ReadResult(1)),
        (((), CLOSED, None), mc.ReadFreeze(1)),
        (((), CLOSED, None, None), mc.Gather(1)),
        (((), CLOSED, None, None, None), mc.PutTombstone(1, "R-60")),
        (((), CLOSED, None, None, "theirs"), mc.PutFreeze(1, "theirs")),
        ((DONE, PlanView(False, False)), mc.Halt(2, Why.NOT_BEGUN)),
        ((DONE, PlanView(True, False)), mc.Halt(2, Why.NOT_BEGUN)),
        (((*DONE, Line(VOID, 3)),), mc.Halt(2, Why.SKIPPED)),
        (((*DONE, Line(VOID, 2)),), mc.PutReceipts(2)),
        (((*DONE, Line(VOID, 2)), None), mc.Halt(2, Why.VOID)),
        (TO_FREEZE, mc.ReadFreeze(2)),
        ((*TO_FREEZE, None), mc.Gather(2)),
        ((*TO_FREEZE, None, None), mc.Halt(2, Why.BELOW_QUORUM)),
        ((DONE, CLOSED, None, None, None), mc.PutTombstone(2, "R-62")),
        ((*TO_FREEZE, None, "mine"), mc.PutFreeze(2, "mine")),
        (TO_RESERVE, mc.ReadLedger()),
        ((*TO_RESERVE, DONE), mc.Append(3, Line(RESERVE, 2, "r2"))),
        ((*TO_RESERVE, (*DONE, Line(RESERVE, 2, "r2"))), mc.Release(2, "freeze")),
        ((*TO_RESERVE, (*DONE, Line(VOID, 2))), mc.ReadLedger()),
        ((*TO_RESERVE, (*DONE, Line(VOID, 3))), mc.Halt(2, Why.SKIPPED)),
        ((*TO_RESERVE, DONE, WriteOutcome.CREATED), mc.Release(2, "freeze")),
        ((DONE, OPEN, ResultView("res", False)), mc.PutState(2)),
        ((DONE, OPEN, ResultView("res", False), None), mc.ReadLedger()),
        (
            (DONE, OPEN, ResultView("res", False), None, (*DONE, Line(RESERVE, 2, "r2"))),
            mc.Append(4, Line(COMMIT, 2, "res")),
        ),
        ((DONE, OPEN, ResultView("tomb", True)), mc.ReadLedger()),
        ((DONE, OPEN, ResultView("tomb", True), DONE), mc.Append(3, Line(VOID, 2, None))),
        (
            (DONE, OPEN, ResultView("tomb", True), (*DONE, Line(RESERVE, 2, "r2"))),
            mc.Append(4, Line(VOID, 2, "r2")),
        ),
        ((DONE, OPEN, ResultView("tomb", True), (*DONE, Line(VOID, 2))), mc.PutReceipts(2)),
    ],
    ids=str,
)
def test_the_command_after_each_answer(answers: tuple[Any, ...], expected: Any) -> None:
    assert after(2, *answers) == expected


@pytest.mark.parametrize("outcome", list(WriteOutcome))
def test_after_a_write_what_stands_there_is_read_whatever_the_answer(outcome: WriteOutcome) -> None:
    """But for a reserve that was certainly ours: it is released. A release that is impossible is
    no write.
    """
    assert after(2, *TO_FREEZE, None, "mine", outcome) == mc.ReadFreeze(2)
    if outcome is not WriteOutcome.IMPOSSIBLE:
        assert after(2, *TO_RESERVE, DONE, WriteOutcome.CREATED, outcome) == mc.ReadResult(2)
    assert after(2, DONE, CLOSED, None, None, None, outcome) == mc.ReadResult(2)
    assert after(2, DONE, OPEN, ResultView("tomb", True), DONE, outcome) == mc.ReadLedger()
    if outcome is not WriteOutcome.CREATED:
        assert after(2, *TO_RESERVE, DONE, outcome) == mc.ReadLedger()


def test_what_cannot_be_paid_ends_in_a_tombstone() -> None:
    assert after(2, *TO_RESERVE, DONE, money=economy(affordable=False)) == mc.PutTombstone(
        2, "R-65"
    )
    reserved = (*DONE, Line(RESERVE, 2, "r2"))
    assert after(2, *TO_RESERVE, reserved, money=economy(affordable=False)) == mc.Release(
        2, "freeze"
    ), "what was reserved is paid"


@pytest.mark.parametrize(
    ("plan", "expected"),
    [(OPEN, mc.Halt(2, Why.IMPOSSIBLE)), (CLOSED, mc.PutTombstone(2, "R-118"))],
)
def test_a_release_that_is_impossible_ends_the_round_once_it_is_closed(
    plan: PlanView, expected: Any
) -> None:
    answers = (DONE, plan, None, "freeze", DONE, WriteOutcome.CREATED, WriteOutcome.IMPOSSIBLE)
    assert after(2, *answers) == expected


def test_a_round_that_is_known_to_have_no_result_reserves_nothing() -> None:
    money = replace(economy(), computable=lambda _round, _freeze: False)
    assert after(2, *TO_RESERVE, DONE, money=money) == mc.PutTombstone(2, "R-118")
    reserved = (*DONE, Line(RESERVE, 2, "r2"))
    assert after(2, *TO_RESERVE, reserved, money=money) == mc.Release(2, "freeze")


def test_a_freeze_on_a_state_that_is_not_the_newest_ends_in_a_tombstone() -> None:
    assert after(2, *TO_RESERVE, DONE, money=economy(base=0)) == mc.PutTombstone(2, "R-69")


def test_a_round_that_was_opened_late_goes_first_once_it_has_reserved() -> None:
    assert (
        after(3, DONE, None, OPEN, None, "freeze", (*DONE, Line(RESERVE, 2, "r2")))
        == mc.ReadLedger()
    )
    again = after(
        3,
        DONE,
        None,
        OPEN,
        None,
        "freeze",
        (*DONE, Line(RESERVE, 2, "r2")),
        (*DONE, Line(RESERVE, 2, "r2")),
    )
    assert again == mc.ReadPlan(2)


def test_after_an_unfinished_predecessor_the_machine_starts_again_for_its_own_round() -> None:
    buried = ((), CLOSED, ResultView("tomb", True), (), WriteOutcome.CREATED, (Line(VOID, 1),))
    assert after(2, *buried) == mc.PutReceipts(1)
    assert after(2, *buried, None) == mc.ReadLedger()
