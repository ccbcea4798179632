"""The round as a state machine without I/O: (state, event) -> (state, command). DESIGN section 3, "The round, step by step".

Any coordinator may start it for any round at any time, any number of times, beside any other: everything it decides rests on create-only
writes and on what it has just read. Rules, by step:

    0. Rounds finish in order. An opened predecessor that is neither committed nor void is voided if its `close_by` is past; otherwise wait (R-60).
    1. Committed or void: only receipts are written. A result without a ledger line: finish it (R-61).
    2. Gather. Below quorum: fail, having decided nothing; after `close_by`: tombstone (R-62).
    3. Create the freeze; the one that exists is adopted (R-63).
    4. Reserve, once, under an id that follows from the freeze; after any doubt the ledger is read again and everything checked anew (R-64).
       What the budget cannot pay ends in a tombstone (R-65); so does a freeze whose base state is no longer the newest one (R-69): a round that was
       opened late has been committed since, and may have counted the same updates.
    5. Release: compute and create the result in one step, never from a cache; the one that exists is adopted (R-66).
    6. State, then commit; or, where the result is a tombstone, void, refunding the reserve if there is one (R-67).
    7. Receipts (R-68).

An unknown outcome (a lost reply) is treated like "exists": read and see. `tests/property/test_protocol_model.py` visits every reachable
state of this very machine under crashes, races, lost requests and lost replies.

What it does not do: bytes, clocks, retries (`coordinator.runner`). What it holds of an object is only what decisions need.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from hyperfed.protocol.objects import EntryKind

__all__ = [
    "Append",
    "Command",
    "Economy",
    "Gather",
    "Halt",
    "Line",
    "Machine",
    "Outcome",
    "Phase",
    "PlanView",
    "PutFreeze",
    "PutReceipts",
    "PutState",
    "PutTombstone",
    "ReadFreeze",
    "ReadLedger",
    "ReadPlan",
    "ReadResult",
    "Release",
    "ResultView",
    "Why",
    "finished",
    "last_committed",
    "outstanding",
    "start",
    "step",
]


@dataclass(frozen=True, slots=True)
class Line:
    """What the machine knows of a ledger entry. ref: in a reserve its id, in a commit the result's digest, in a void the reserve it refunds or None."""

    kind: EntryKind
    round: int
    ref: Hashable = None


@dataclass(frozen=True, slots=True)
class PlanView:
    """A round that was opened; closed: its `close_by` is past."""

    closed: bool


@dataclass(frozen=True, slots=True)
class ResultView:
    """What stands at `result`: a result or a tombstone, by its digest."""

    digest: Hashable
    tombstone: bool


class Outcome(Enum):
    """How a create-only write ended."""

    CREATED = "created"
    EXISTS = "exists"
    UNKNOWN = "unknown"


class Why(Enum):
    """Why the machine halts."""

    COMMITTED = "committed"
    VOID = "void"
    NOT_OPENED = "not opened"
    PREDECESSOR_OPEN = "an earlier round is still open"
    BELOW_QUORUM = "below quorum"
    SKIPPED = "a later round has ended"


@dataclass(frozen=True, slots=True)
class ReadLedger:
    """Answer: tuple[Line, ...], the whole ledger."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """Answer: PlanView or None."""

    round: int


@dataclass(frozen=True, slots=True)
class ReadFreeze:
    """Answer: the freeze (anything hashable) or None."""

    round: int


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Answer: ResultView or None."""

    round: int


@dataclass(frozen=True, slots=True)
class Gather:
    """List, verify, choose and copy to `accepted/`. Answer: a freeze to create, or None below quorum."""

    round: int


@dataclass(frozen=True, slots=True)
class PutFreeze:
    """Answer: Outcome."""

    round: int
    freeze: Any


@dataclass(frozen=True, slots=True)
class Append:
    """Create ledger entry number `at` (from 1). Answer: Outcome."""

    at: int
    line: Line


@dataclass(frozen=True, slots=True)
class Release:
    """Compute from `freeze` and create the result, in one step. Answer: Outcome."""

    round: int
    freeze: Any


@dataclass(frozen=True, slots=True)
class PutTombstone:
    """Answer: Outcome."""

    round: int
    rule: str


@dataclass(frozen=True, slots=True)
class PutState:
    """Answer: anything; raising means trying again later."""

    round: int


@dataclass(frozen=True, slots=True)
class PutReceipts:
    """Answer: anything."""

    round: int


@dataclass(frozen=True, slots=True)
class Halt:
    """There is nothing more to do for the round that the machine was started for."""

    round: int
    why: Why


Command = ReadLedger | ReadPlan | ReadFreeze | ReadResult | Gather | PutFreeze | Append | Release | PutTombstone | PutState | PutReceipts | Halt


class Phase(Enum):
    """Which answer the machine waits for."""

    LEDGER = "ledger"
    PLAN = "plan"
    RESULT = "result"
    FREEZE = "freeze"
    GATHER = "gather"
    FREEZING = "freezing"
    RESERVE = "reserve"
    RESERVING = "reserving"
    RELEASING = "releasing"
    BURYING = "burying"
    STATE = "state"
    ENDING_LEDGER = "ending ledger"
    ENDING = "ending"
    RECEIPTS = "receipts"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a coordinator stands. aim: the round it was started for; round: the one it works on, an unfinished predecessor or the aim itself."""

    aim: int
    phase: Phase
    round: int
    closed: bool = False
    ledger: tuple[Line, ...] = ()
    freeze: Any = None
    result: ResultView | None = None


@dataclass(frozen=True, slots=True)
class Economy:
    """What the machine must know of budget and freeze. affordable: whether the ledger so far leaves room for the round's reserve; reserve_id: of a
    freeze; base_of: the round whose state a freeze builds on, 0 for none."""

    affordable: Callable[[tuple[Line, ...], int], bool]
    reserve_id: Callable[[int, Any], Hashable]
    base_of: Callable[[Any], int]


def finished(ledger: tuple[Line, ...], round_id: int) -> bool:
    """Whether the ledger holds the round's commit or void."""
    return any(line.round == round_id and line.kind is not EntryKind.RESERVE for line in ledger)


def last_committed(ledger: tuple[Line, ...], before: int) -> int:
    """The newest committed round below `before`; 0 for none."""
    return max((line.round for line in ledger if line.kind is EntryKind.COMMIT and line.round < before), default=0)


def outstanding(ledger: tuple[Line, ...]) -> tuple[Line, ...]:
    """The reserves that no void has refunded."""
    refunded = {line.ref for line in ledger if line.kind is EntryKind.VOID}
    return tuple(line for line in ledger if line.kind is EntryKind.RESERVE and line.ref not in refunded)


def start(aim: int) -> tuple[Machine, Command]:
    """The machine for round `aim` and its first command."""
    return Machine(aim, Phase.LEDGER, aim), ReadLedger()


def _again(m: Machine) -> tuple[Machine, Command]:
    return start(m.aim)


def _halt(m: Machine, why: Why) -> tuple[Machine, Command]:
    return replace(m, phase=Phase.HALTED, freeze=None, ledger=(), result=None), Halt(m.aim, why)


def step(m: Machine, answer: Any, economy: Economy) -> tuple[Machine, Command]:
    """The next state and command after the answer to the last command."""
    return _STEPS[m.phase](m, answer, economy)


def _on_ledger(m: Machine, ledger: tuple[Line, ...], _: Economy) -> tuple[Machine, Command]:
    last = max((line.round for line in ledger if line.kind is not EntryKind.RESERVE), default=0)
    if finished(ledger, m.aim):
        return replace(m, phase=Phase.RECEIPTS, round=m.aim, ledger=ledger), PutReceipts(m.aim)
    if last > m.aim:
        return _halt(m, Why.SKIPPED)
    return replace(m, phase=Phase.PLAN, round=last + 1), ReadPlan(last + 1)


def _on_plan(m: Machine, plan: PlanView | None, _: Economy) -> tuple[Machine, Command]:
    if plan is None:
        if m.round == m.aim:
            return _halt(m, Why.NOT_OPENED)
        return replace(m, round=m.round + 1), ReadPlan(m.round + 1)
    if m.round < m.aim and not plan.closed:
        return _halt(m, Why.PREDECESSOR_OPEN)
    return replace(m, phase=Phase.RESULT, closed=plan.closed), ReadResult(m.round)


def _on_result(m: Machine, result: ResultView | None, _: Economy) -> tuple[Machine, Command]:
    if result is not None:
        return _conclude(m, result)
    if m.round < m.aim:
        return replace(m, phase=Phase.BURYING), PutTombstone(m.round, "R-60")
    return replace(m, phase=Phase.FREEZE), ReadFreeze(m.round)


def _on_freeze(m: Machine, freeze: Any, _: Economy) -> tuple[Machine, Command]:
    if freeze is None:
        return replace(m, phase=Phase.GATHER), Gather(m.round)
    return replace(m, phase=Phase.RESERVE, freeze=freeze), ReadLedger()


def _on_gather(m: Machine, candidate: Any, _: Economy) -> tuple[Machine, Command]:
    if candidate is not None:
        return replace(m, phase=Phase.FREEZING), PutFreeze(m.round, candidate)
    if m.closed:
        return replace(m, phase=Phase.BURYING), PutTombstone(m.round, "R-62")
    return _halt(m, Why.BELOW_QUORUM)


def _on_freezing(m: Machine, _outcome: Outcome, _: Economy) -> tuple[Machine, Command]:
    return replace(m, phase=Phase.FREEZE), ReadFreeze(m.round)  # adopt what stands there, whoever wrote it


def _on_reserve(m: Machine, ledger: tuple[Line, ...], economy: Economy) -> tuple[Machine, Command]:
    if finished(ledger, m.round):
        return _again(m)
    if any(line.round > m.round for line in ledger):
        return _halt(m, Why.SKIPPED)
    if any(line.round < m.round and not finished(ledger, line.round) for line in ledger):
        return _again(m)  # opened and reserved since we looked: it goes first
    ref = economy.reserve_id(m.round, m.freeze)
    if any(line.kind is EntryKind.RESERVE and line.round == m.round for line in ledger):
        return replace(m, phase=Phase.RELEASING), Release(m.round, m.freeze)
    if economy.base_of(m.freeze) != last_committed(ledger, m.round):
        return replace(m, phase=Phase.BURYING), PutTombstone(m.round, "R-69")
    if not economy.affordable(ledger, m.round):
        return replace(m, phase=Phase.BURYING), PutTombstone(m.round, "R-65")
    return replace(m, phase=Phase.RESERVING), Append(len(ledger) + 1, Line(EntryKind.RESERVE, m.round, ref))


def _on_reserving(m: Machine, outcome: Outcome, _: Economy) -> tuple[Machine, Command]:
    if outcome is Outcome.CREATED:
        return replace(m, phase=Phase.RELEASING), Release(m.round, m.freeze)
    return replace(m, phase=Phase.RESERVE), ReadLedger()


def _on_written(m: Machine, _outcome: Outcome, _: Economy) -> tuple[Machine, Command]:
    return replace(m, phase=Phase.RESULT, freeze=None), ReadResult(m.round)  # what stands at `result` decides, not what we made


def _conclude(m: Machine, result: ResultView) -> tuple[Machine, Command]:
    m = replace(m, result=result)
    if result.tombstone:
        return replace(m, phase=Phase.ENDING_LEDGER), ReadLedger()
    return replace(m, phase=Phase.STATE), PutState(m.round)


def _on_state(m: Machine, _answer: Any, _: Economy) -> tuple[Machine, Command]:
    return replace(m, phase=Phase.ENDING_LEDGER), ReadLedger()


def _on_ending_ledger(m: Machine, ledger: tuple[Line, ...], _: Economy) -> tuple[Machine, Command]:
    if finished(ledger, m.round) or m.result is None:
        return replace(m, phase=Phase.RECEIPTS, ledger=ledger, result=None), PutReceipts(m.round)
    if m.result.tombstone:
        reserve = next((line.ref for line in ledger if line.kind is EntryKind.RESERVE and line.round == m.round), None)
        line = Line(EntryKind.VOID, m.round, reserve)
    else:
        line = Line(EntryKind.COMMIT, m.round, m.result.digest)
    return replace(m, phase=Phase.ENDING), Append(len(ledger) + 1, line)


def _on_ending(m: Machine, _outcome: Outcome, _: Economy) -> tuple[Machine, Command]:
    return replace(m, phase=Phase.ENDING_LEDGER), ReadLedger()


def _on_receipts(m: Machine, _answer: Any, _: Economy) -> tuple[Machine, Command]:
    if m.round != m.aim:
        return _again(m)
    committed = any(line.kind is EntryKind.COMMIT and line.round == m.aim for line in m.ledger)
    return _halt(m, Why.COMMITTED if committed else Why.VOID)


_STEPS: dict[Phase, Callable[[Machine, Any, Economy], tuple[Machine, Command]]] = {
    Phase.LEDGER: _on_ledger,
    Phase.PLAN: _on_plan,
    Phase.RESULT: _on_result,
    Phase.FREEZE: _on_freeze,
    Phase.GATHER: _on_gather,
    Phase.FREEZING: _on_freezing,
    Phase.RESERVE: _on_reserve,
    Phase.RESERVING: _on_reserving,
    Phase.RELEASING: _on_written,
    Phase.BURYING: _on_written,
    Phase.STATE: _on_state,
    Phase.ENDING_LEDGER: _on_ending_ledger,
    Phase.ENDING: _on_ending,
    Phase.RECEIPTS: _on_receipts,
}
