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


R2 = Line(RESERVE, 2, "r2")


def test_what_is_charged_and_what_was_committed_last_is_read_from_the_live_entries() -> None:
    charged = Line(RESERVE, 3, "r3", annulled=True), Line(RESERVE, 4, "r4"), Line(RESERVE, 5, "r5")
    ledger = (
        *DONE,
        *(R2, Line(VOID, 2, "r2")),
        *(charged[0], Line(COMMIT, 3, "res3", annulled=True)),
        *(charged[1], Line(VOID, 4)),
        *(charged[2], Line(VOID, 5, "r5", annulled=True), Line(COMMIT, 5, "res5")),
    )
    assert mc.outstanding(ledger) == (DONE[0], *charged)
    assert [mc.last_committed(ledger, before) for before in (1, 2, 5, 6)] == [0, 1, 1, 5]


def test_a_reserved_round_that_nobody_opened_ends_in_a_void() -> None:
    reserved = (*DONE, R2)
    assert after(3, reserved, None) == mc.ReadResult(2)
    assert after(3, reserved, None, None) == mc.PutTombstone(2, "R-119")
    result = ResultView("res", False, "r2")
    assert after(3, reserved, None, result) == mc.ReadLedger(), "and not its state"
    assert after(3, reserved, None, result, reserved) == mc.Append(4, Line(VOID, 2, "r2"))
    assert after(4, (*DONE, Line(RESERVE, 3, "r3")), None) == mc.ReadPlan(3), "2 was not reserved"


def test_a_reserve_of_something_else_than_the_plan_ends_in_a_tombstone() -> None:
    other = (*DONE, Line(RESERVE, 2, "another id"))
    assert after(2, *TO_RESERVE, other) == mc.PutTombstone(2, "R-119")
    alien = replace(economy(), alien=lambda _round, _freeze: True)
    assert after(2, *TO_RESERVE, (*DONE, R2), money=alien) == mc.PutTombstone(2, "R-119")


def test_a_result_of_another_reserve_than_the_ledgers_is_never_committed() -> None:
    of_two, of_none = ResultView("res", False, "r2"), ResultView("res", False)
    for ledger, result, command in (
        ((*DONE, Line(RESERVE, 2, "alien")), of_two, mc.ReadLedger()),
        ((*DONE, Line(RESERVE, 2, "alien")), of_none, mc.PutState(2)),
        ((*DONE, R2), of_two, mc.PutState(2)),
        ((*DONE, Line(RESERVE, 3, "r3")), of_two, mc.PutState(2)),
    ):
        assert after(4, ledger, CLOSED, result) == command
    for ledger, ending in (
        (DONE, Line(VOID, 2)),
        ((*DONE, Line(RESERVE, 2, "alien")), Line(VOID, 2, "alien")),
        ((*DONE, Line(RESERVE, 2, "alien", charged=True)), Line(VOID, 2)),
        ((*DONE, R2), Line(COMMIT, 2, "res")),
    ):
        answers = (DONE, OPEN, of_two, None, ledger)
        assert after(2, *answers) == mc.Append(len(ledger) + 1, ending)


def test_noise_is_drawn_before_the_reserve_names_it() -> None:
    noisy = replace(economy(), needs_noise=lambda _round, _freeze: True)
    to_noise = (*TO_RESERVE, DONE)
    seed, closed_seed = mc.NoiseView("n", True), mc.NoiseView("n", False)
    named = Line(RESERVE, 2, "r2", noise="n")
    for answers, command in (
        ((), mc.ReadNoise(2)),
        ((None,), mc.PutNoise(2, "freeze")),
        ((None, WriteOutcome.CREATED), mc.ReadNoise(2)),
        ((seed,), mc.Append(3, named)),
        ((seed, WriteOutcome.CREATED), mc.Release(2, "freeze", "n")),
        ((closed_seed,), mc.PutTombstone(2, "R-110")),
    ):
        assert after(2, *to_noise, *answers, money=noisy) == command
    to_named = (*TO_RESERVE, (*DONE, named))
    assert after(2, *to_named, money=noisy) == mc.ReadNoise(2)
    assert after(2, *to_named, seed, money=noisy) == mc.Release(2, "freeze", "n")
    for noise in (None, closed_seed, mc.NoiseView("another", True)):
        assert after(2, *to_named, noise, money=noisy) == mc.PutTombstone(2, "R-111")
