"""Decide what a round does next, without I/O: (state, event) -> (state, command).

Source: DESIGN section 3, "The round, step by step".

Any coordinator may start it for any round at any time, any number of times, beside any other:
everything it decides rests on create-only writes and on what it has just read. The rules, by step:

0. Rounds finish in order. An opened predecessor that is neither committed nor void is finished
   first if its `close_by` is past: run where a quorum lies in its inbox, void otherwise. Until its
   `close_by` is past the machine halts, and a later run tries again (R-60). A round whose window
   has not begun is not touched (R-115).
1. Where the round is committed or void, only receipts are written. A result without a ledger line
   is finished (R-61).
2. Gather. Below quorum the run fails, having decided nothing; after `close_by` it writes a
   tombstone (R-62).
3. Create the freeze; one that exists is adopted (R-63).
4. Reserve, once, under an id that follows from the freeze; after any doubt the ledger is read again
   and everything is checked anew (R-64). What the budget cannot pay ends in a tombstone (R-65). So
   does a freeze whose base state is no longer the newest one (R-69): a round that was opened late
   has been committed since, and may have counted the same updates. So does a freeze from which no
   result can be computed, where that is known already (R-118). Where the coordinator adds noise,
   the round's seed is created first, or the existing one adopted, and the reserve names its digest.
   A seed that does not open ends the round, uncharged (R-110).
   A reserve that is not of this round's freeze, or asks for something other than its plan, is
   alien. Its round ends in a void, whether or not it was opened, and so does an earlier round that
   an alien reserve has overtaken (R-119).
   In a round of secure sums a manifest then names the frozen cohort for the helpers; one that
   exists is adopted (R-165). The round waits for their answers. Past `close_by` it ends in a
   tombstone, whoever has answered; where answers differ, nothing is released (R-166, R-167).
5. Release: compute and create the result in one step, never from a cache; one that exists is
   adopted (R-66). The noise follows from the seed that the reserve names. Where that seed is gone,
   is another one or does not open, the round ends in a tombstone (R-111). So does a round from
   which no result can be computed, once its `close_by` is past (R-118).
6. Write the state, then commit. Where the result is a tombstone, write a void instead. It refunds
   the reserve if there is one that charges nothing (R-67). What was charged stays charged, because
   somebody may have seen a value (R-112).
7. Write the receipts (R-68).

Entries that the registry's roots have annulled keep their place in the chain, and decide nothing
(R-123).

An unknown outcome (a lost reply) is treated like "exists": the machine reads again to find out.
`tests/property/test_protocol_model.py` visits every reachable state of this very machine under
crashes, races, lost requests and lost replies.

What it does not do: handle bytes, read clocks, or retry (`coordinator.runner`). Of an object it
holds only what decisions need.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from hyperfed.protocol.commands import Append as Append
from hyperfed.protocol.commands import Command as Command
from hyperfed.protocol.commands import Gather as Gather
from hyperfed.protocol.commands import Halt as Halt
from hyperfed.protocol.commands import Line as Line
from hyperfed.protocol.commands import NoiseView as NoiseView
from hyperfed.protocol.commands import OpeningsView as OpeningsView
from hyperfed.protocol.commands import PlanView as PlanView
from hyperfed.protocol.commands import PutFreeze as PutFreeze
from hyperfed.protocol.commands import PutManifest as PutManifest
from hyperfed.protocol.commands import PutNoise as PutNoise
from hyperfed.protocol.commands import PutReceipts as PutReceipts
from hyperfed.protocol.commands import PutState as PutState
from hyperfed.protocol.commands import PutTombstone as PutTombstone
from hyperfed.protocol.commands import ReadFreeze as ReadFreeze
from hyperfed.protocol.commands import ReadLedger as ReadLedger
from hyperfed.protocol.commands import ReadManifest as ReadManifest
from hyperfed.protocol.commands import ReadNoise as ReadNoise
from hyperfed.protocol.commands import ReadOpenings as ReadOpenings
from hyperfed.protocol.commands import ReadPlan as ReadPlan
from hyperfed.protocol.commands import ReadResult as ReadResult
from hyperfed.protocol.commands import Release as Release
from hyperfed.protocol.commands import ResultView as ResultView
from hyperfed.protocol.commands import Why as Why
from hyperfed.protocol.commands import WriteOutcome as WriteOutcome
from hyperfed.protocol.entries import EntryKind

__all__ = [
    "Economy",
    "Machine",
    "Phase",
    "finished",
    "last_committed",
    "outstanding",
    "start",
    "step",
]


class Phase(Enum):
    """Names the answer that the machine waits for."""

    LEDGER = "ledger"
    PLAN = "plan"
    RESULT = "result"
    FREEZE = "freeze"
    GATHER = "gather"
    FREEZING = "freezing"
    RESERVE = "reserve"
    NOISE = "noise"
    DRAWING = "drawing"
    RESERVING = "reserving"
    MANIFEST = "manifest"
    NAMING = "naming"
    OPENINGS = "openings"
    RELEASING = "releasing"
    BURYING = "burying"
    STATE = "state"
    ENDING_LEDGER = "ending ledger"
    ENDING = "ending"
    RECEIPTS = "receipts"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Machine:
    """Holds the place in the round at which a coordinator stands."""

    aim: int
    """The round that the machine was started for."""
    phase: Phase
    """The answer that it waits for."""
    round: int
    """The round that it works on: an unfinished predecessor of the aim, or the aim itself."""
    closed: bool = False
    """Whether that round's `close_by` is past."""
    opened: bool = True
    """Whether that round has a plan."""
    pending: Line | None = None
    """The reserve of a round that has not ended, as the ledger said first; None: there is none."""
    ledger: tuple[Line, ...] = ()
    """The ledger that decides how the aim ended; empty before."""
    freeze: Any = None
    """The round's freeze, or None before it is read."""
    reserved: Line | None = None
    """The round's reserve in the ledger, or None before there is one."""
    entry: int = 0
    """The number that the round's reserve would have in the ledger."""
    noise: Hashable = None
    """The noise that the reserve names, while helpers open the sum that it is added to."""
    result: ResultView | None = None
    """What stands at the round's result, or None before it is read."""


@dataclass(frozen=True, slots=True)
class Economy:
    """Holds what the machine must know of budget and freeze."""

    affordable: Callable[[tuple[Line, ...], int], bool]
    """(ledger, round) -> whether the ledger so far leaves room for the round's reserve."""
    reserve_id: Callable[[int, Any], Hashable]
    """(round, freeze) -> the id of the round's reserve."""
    base_of: Callable[[Any], int]
    """freeze -> the round whose state it builds on, 0 for none."""
    charges: Callable[[int, Any], bool] = lambda _round, _freeze: False
    """(round, freeze) -> whether the round's reserve takes something from the budget."""
    needs_noise: Callable[[int, Any], bool] = lambda _round, _freeze: False
    """(round, freeze) -> whether the coordinator adds noise."""
    alien: Callable[[int, Any], bool] = lambda _round, _freeze: False
    """(round, freeze) -> whether the round's reserve asks for something else than its plan."""
    computable: Callable[[int, Any], bool] = lambda _round, _freeze: True
    """(round, freeze) -> False where it is known beforehand that no result can be computed."""
    masked: Callable[[int, Any], bool] = lambda _round, _freeze: False
    """(round, freeze) -> whether helpers must open the round's sum before it is released."""


def finished(ledger: tuple[Line, ...], round_id: int) -> bool:
    """Return whether the ledger holds the round's commit or void."""
    return any(line.round == round_id and _ends(line) for line in ledger)


def _ends(line: Line) -> bool:
    return line.kind is not EntryKind.RESERVE and not line.annulled


def _live(ledger: tuple[Line, ...]) -> tuple[Line, ...]:
    """Return the entries that decide something."""
    return tuple(line for line in ledger if not line.annulled)


def last_committed(ledger: tuple[Line, ...], before: int) -> int:
    """Return the newest committed round below `before`, 0 for none."""
    return max(
        (
            line.round
            for line in _live(ledger)
            if line.kind is EntryKind.COMMIT and line.round < before
        ),
        default=0,
    )


def outstanding(ledger: tuple[Line, ...]) -> tuple[Line, ...]:
    """Return the reserves that no void has refunded. Annulled ones stay charged."""
    refunded = {line.ref for line in _live(ledger) if line.kind is EntryKind.VOID}
    return tuple(
        line for line in ledger if line.kind is EntryKind.RESERVE and line.ref not in refunded
    )


def start(aim: int) -> tuple[Machine, Command]:
    """Return the machine for round `aim` and its first command."""
    return Machine(aim, Phase.LEDGER, aim), ReadLedger()


def _again(m: Machine) -> tuple[Machine, Command]:
    return start(m.aim)


def _halt(m: Machine, why: Why) -> tuple[Machine, Command]:
    return replace(
        m,
        phase=Phase.HALTED,
        freeze=None,
        ledger=(),
        result=None,
        reserved=None,
        noise=None,
        entry=0,
        pending=None,
        opened=True,
    ), Halt(m.aim, why)


def step(m: Machine, answer: Any, economy: Economy) -> tuple[Machine, Command]:
    """Return the next state and command after the answer to the last command."""
    return _STEPS[m.phase](m, answer, economy)


def _on_ledger(m: Machine, ledger: tuple[Line, ...], _: Economy) -> tuple[Machine, Command]:
    last = max((line.round for line in ledger if _ends(line)), default=0)
    if finished(ledger, m.aim):
        return replace(m, phase=Phase.RECEIPTS, round=m.aim, ledger=ledger), PutReceipts(m.aim)
    if last > m.aim:
        return _halt(m, Why.SKIPPED)
    ended = {line.round for line in ledger if _ends(line)}
    pending = next((line for line in _live(ledger) if line.round not in ended), None)
    return replace(m, phase=Phase.PLAN, round=last + 1, pending=pending), ReadPlan(last + 1)


def _on_plan(m: Machine, plan: PlanView | None, _: Economy) -> tuple[Machine, Command]:
    if plan is None:
        if m.round == m.aim:
            return _halt(m, Why.NOT_OPENED)
        if m.pending is not None and m.pending.round == m.round:
            return replace(m, phase=Phase.RESULT, opened=False), ReadResult(m.round)
        return replace(m, round=m.round + 1), ReadPlan(m.round + 1)
    if not plan.begun:
        return _halt(m, Why.NOT_BEGUN)
    if m.round < m.aim and not plan.closed:
        return _halt(m, Why.PREDECESSOR_OPEN)
    return replace(m, phase=Phase.RESULT, closed=plan.closed, opened=True), ReadResult(m.round)


def _on_result(m: Machine, result: ResultView | None, _: Economy) -> tuple[Machine, Command]:
    if result is not None:
        return _conclude(m, result)
    if not m.opened:
        return _bury(m, "R-119")
    return replace(m, phase=Phase.FREEZE), ReadFreeze(m.round)


def _bury(m: Machine, rule: str) -> tuple[Machine, Command]:
    return replace(m, phase=Phase.BURYING), PutTombstone(m.round, rule)


def _on_freeze(m: Machine, freeze: Any, _: Economy) -> tuple[Machine, Command]:
    if freeze is None:
        return replace(m, phase=Phase.GATHER), Gather(m.round)
    return replace(m, phase=Phase.RESERVE, freeze=freeze), ReadLedger()


def _on_gather(m: Machine, candidate: Any, _: Economy) -> tuple[Machine, Command]:
    if candidate is not None:
        return replace(m, phase=Phase.FREEZING), PutFreeze(m.round, candidate)
    if m.closed:
        rule = "R-60" if m.round < m.aim else "R-62"
        return _bury(m, rule)
    return _halt(m, Why.BELOW_QUORUM)


def _on_freezing(m: Machine, _outcome: WriteOutcome, _: Economy) -> tuple[Machine, Command]:
    # adopt the freeze that stands there, whoever wrote it
    return replace(m, phase=Phase.FREEZE), ReadFreeze(m.round)


def _on_reserve(m: Machine, ledger: tuple[Line, ...], economy: Economy) -> tuple[Machine, Command]:
    if finished(ledger, m.round):
        return _again(m)
    live = _live(ledger)
    if any(line.round > m.round for line in live):
        return _halt(m, Why.SKIPPED) if m.round == m.aim else _bury(m, "R-119")
    if any(line.round < m.round and not finished(ledger, line.round) for line in live):
        return _again(m)  # a round that was reserved since we looked goes first
    own_reserve = next(
        (e for e in live if e.kind is EntryKind.RESERVE and e.round == m.round), None
    )
    if own_reserve is not None:
        if own_reserve.ref != economy.reserve_id(m.round, m.freeze) or economy.alien(
            m.round, m.freeze
        ):
            return _bury(m, "R-119")
        if own_reserve.noise is None:
            return _reserved(m, None, economy)
        return replace(m, phase=Phase.NOISE, reserved=own_reserve), ReadNoise(m.round)
    if economy.base_of(m.freeze) != last_committed(ledger, m.round):
        return _bury(m, "R-69")
    if not economy.computable(m.round, m.freeze):
        return _bury(m, "R-118")
    if not economy.affordable(ledger, m.round):
        return _bury(m, "R-65")
    m = replace(m, reserved=None, entry=len(ledger) + 1)
    if economy.needs_noise(m.round, m.freeze):
        return replace(m, phase=Phase.NOISE), ReadNoise(m.round)
    return _reserve(m, None, economy)


def _reserve(m: Machine, noise: Hashable, economy: Economy) -> tuple[Machine, Command]:
    line = Line(
        EntryKind.RESERVE,
        m.round,
        economy.reserve_id(m.round, m.freeze),
        noise=noise,
        charged=economy.charges(m.round, m.freeze),
    )
    return replace(m, phase=Phase.RESERVING, reserved=line), Append(m.entry, line)


def _on_noise(m: Machine, noise: NoiseView | None, economy: Economy) -> tuple[Machine, Command]:
    if m.reserved is None:
        if noise is None:
            return replace(m, phase=Phase.DRAWING), PutNoise(m.round, m.freeze)
        if not noise.opens:
            return _bury(m, "R-110")
        return _reserve(m, noise.digest, economy)
    if noise is None or not noise.opens or noise.digest != m.reserved.noise:
        return _bury(m, "R-111")
    return _reserved(m, noise.digest, economy)


def _on_drawing(m: Machine, _outcome: WriteOutcome, _: Economy) -> tuple[Machine, Command]:
    # adopt the seed that stands there, whoever drew it
    return replace(m, phase=Phase.NOISE), ReadNoise(m.round)


def _on_reserving(m: Machine, outcome: WriteOutcome, economy: Economy) -> tuple[Machine, Command]:
    if outcome is WriteOutcome.CREATED and m.reserved is not None:
        return _reserved(replace(m, reserved=None), m.reserved.noise, economy)
    return replace(m, phase=Phase.RESERVE, reserved=None), ReadLedger()


def _reserved(m: Machine, noise: Hashable, economy: Economy) -> tuple[Machine, Command]:
    """Go on from the round's reserve: to its helpers, or to its release."""
    if economy.masked(m.round, m.freeze):
        if m.closed:
            return _bury(replace(m, reserved=None), "R-166")
        return replace(m, phase=Phase.MANIFEST, noise=noise, reserved=None), ReadManifest(m.round)
    return replace(m, phase=Phase.RELEASING), Release(m.round, m.freeze, noise)


def _on_manifest(m: Machine, is_there: bool, _: Economy) -> tuple[Machine, Command]:
    if not is_there:
        return replace(m, phase=Phase.NAMING), PutManifest(m.round, m.freeze)
    return replace(m, phase=Phase.OPENINGS), ReadOpenings(m.round, m.freeze)


def _on_naming(m: Machine, _outcome: WriteOutcome, _: Economy) -> tuple[Machine, Command]:
    # adopt the manifest that stands there, whoever wrote it
    return replace(m, phase=Phase.MANIFEST), ReadManifest(m.round)


def _on_openings(m: Machine, openings: OpeningsView, _: Economy) -> tuple[Machine, Command]:
    if openings is OpeningsView.OPEN:
        release = Release(m.round, m.freeze, m.noise)
        return replace(m, phase=Phase.RELEASING, noise=None), release
    disputed = openings is OpeningsView.DISPUTED
    return _halt(m, Why.DISPUTED if disputed else Why.AWAITING_HELPERS)


def _on_releasing(m: Machine, outcome: WriteOutcome, _: Economy) -> tuple[Machine, Command]:
    if outcome is not WriteOutcome.IMPOSSIBLE:
        return _on_written(m, outcome, _)
    if not m.closed:
        return _halt(m, Why.IMPOSSIBLE)
    return _bury(replace(m, reserved=None), "R-118")


def _on_written(m: Machine, _outcome: WriteOutcome, _: Economy) -> tuple[Machine, Command]:
    # what stands at `result` decides, whoever made it
    return replace(m, phase=Phase.RESULT, freeze=None, reserved=None), ReadResult(m.round)


def _conclude(m: Machine, result: ResultView) -> tuple[Machine, Command]:
    m = replace(m, result=result)
    pending = m.pending if m.pending is not None and m.pending.round == m.round else None
    if not m.opened or (pending is not None and result.reserve not in (None, pending.ref)):
        # a result that no entry can commit: the round is void, whatever stands there
        m = replace(m, result=replace(result, tombstone=True))
        return replace(m, phase=Phase.ENDING_LEDGER), ReadLedger()
    if result.tombstone:
        return replace(m, phase=Phase.ENDING_LEDGER), ReadLedger()
    return replace(m, phase=Phase.STATE), PutState(m.round)


def _on_state(m: Machine, _answer: Any, _: Economy) -> tuple[Machine, Command]:
    return replace(m, phase=Phase.ENDING_LEDGER), ReadLedger()


def _on_ending_ledger(m: Machine, ledger: tuple[Line, ...], _: Economy) -> tuple[Machine, Command]:
    if finished(ledger, m.round) or m.result is None:
        return replace(m, phase=Phase.RECEIPTS, ledger=ledger, result=None), PutReceipts(m.round)
    own_reserve = next(
        (e for e in _live(ledger) if e.kind is EntryKind.RESERVE and e.round == m.round), None
    )
    burnt = m.result.reserve is not None and (
        own_reserve is None or own_reserve.ref != m.result.reserve
    )
    if m.result.tombstone or burnt:
        line = Line(
            EntryKind.VOID,
            m.round,
            None if own_reserve is None or own_reserve.charged else own_reserve.ref,
        )
    else:
        line = Line(EntryKind.COMMIT, m.round, m.result.digest)
    return replace(m, phase=Phase.ENDING), Append(len(ledger) + 1, line)


def _on_ending(m: Machine, _outcome: WriteOutcome, _: Economy) -> tuple[Machine, Command]:
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
    Phase.NOISE: _on_noise,
    Phase.DRAWING: _on_drawing,
    Phase.RESERVING: _on_reserving,
    Phase.MANIFEST: _on_manifest,
    Phase.NAMING: _on_naming,
    Phase.OPENINGS: _on_openings,
    Phase.RELEASING: _on_releasing,
    Phase.BURYING: _on_written,
    Phase.STATE: _on_state,
    Phase.ENDING_LEDGER: _on_ending_ledger,
    Phase.ENDING: _on_ending,
    Phase.RECEIPTS: _on_receipts,
}
