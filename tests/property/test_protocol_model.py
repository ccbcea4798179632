"""Every reachable state of the project's own round machine (R-60 to R-67): two coordinators, two rounds, late updates, crashes, lost requests and replies.

The world is what lies in the drop-box; the processes are real `Machine`s. The environment may let updates and a late plan arrive, let
`close_by` pass, crash coordinators, lose a write, or apply one and report it as lost. Each read and each write is one atomic step, as on a
strongly consistent store. In every state the invariants of DESIGN section 3 are checked, and each classic mistake, seeded into the machine or
its driver, must be found. Modelled after shared/protocol_model.py, which fixed the protocol before there was code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hyperfed.protocol import machine as mc
from hyperfed.protocol.machine import Line, Machine, Outcome, Phase, PlanView, ResultView
from hyperfed.protocol.objects import EntryKind

ROUNDS = (1, 2)
QUORUM = 1
TOMB = "tombstone"
CREATED, EXISTS, UNKNOWN = Outcome.CREATED, Outcome.EXISTS, Outcome.UNKNOWN

Update = tuple[int, str, int]  # round, client, sequence
THERE: frozenset[Update] = frozenset({(1, "a", 0), (2, "a", 0)})
COMING: tuple[Update, ...] = ((1, "b", 0), (1, "b", 1))


@dataclass(frozen=True, slots=True)
class World:
    inbox: frozenset[Update]
    plans: tuple[bool, bool]
    closed: tuple[bool, bool]
    freezes: tuple[Any, Any] = (None, None)
    ledger: tuple[Line, ...] = ()
    results: tuple[Any, Any] = (None, None)
    readable: tuple[frozenset[Any], frozenset[Any]] = (frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Process:
    aim: int
    machine: Machine | None
    command: Any
    salt: int = 0


def begin(aim: int, salt: int = 0) -> Process:
    machine, command = mc.start(aim)
    return Process(aim, machine, command, salt)


def at(values: tuple[Any, Any], round_id: int, value: Any) -> tuple[Any, Any]:
    return (*values[: round_id - 1], value, *values[round_id:])  # type: ignore[return-value]


def committed(ledger: tuple[Line, ...], round_id: int) -> bool:
    return any(line.kind is EntryKind.COMMIT and line.round == round_id for line in ledger)


def chosen(world: World, round_id: int, mistakes: frozenset[str]) -> frozenset[tuple[str, int, int]]:
    """Per client the highest sequence of its own round, else a late one, where no committed round counted the client for that window."""
    best: dict[str, tuple[int, int]] = {}
    for made_for, client, sequence in world.inbox:
        if made_for == round_id and sequence >= best.get(client, (0, -1))[1]:
            best[client] = (made_for, sequence)
    if round_id > 1:
        counted = {
            u[:2]
            for q in range(1, round_id)
            if world.freezes[q - 1] and (committed(world.ledger, q) or "late_by_freeze" in mistakes)
            for u in world.freezes[q - 1]
        }
        late: dict[str, tuple[int, int]] = {}
        for made_for, client, sequence in world.inbox:
            free = "late_twice" in mistakes or (client, made_for) not in counted
            if made_for == round_id - 1 and client not in best and free and sequence >= late.get(client, (0, -1))[1]:
                late[client] = (made_for, sequence)
        best.update(late)
    return frozenset((client, made_for, sequence) for client, (made_for, sequence) in best.items())


@dataclass(frozen=True, slots=True)
class Setup:
    budget: int = 1
    crashes: int = 1
    late_plan: bool = False
    mistakes: frozenset[str] = field(default_factory=frozenset)


class Explorer:
    def __init__(self, setup: Setup) -> None:
        self.setup, self.mistakes = setup, setup.mistakes
        self.economy = mc.Economy(
            affordable=lambda ledger, _round: len(mc.outstanding(ledger)) + 1 <= setup.budget, reserve_id=lambda round_id, freeze: ("reserve", round_id)
        )

    def first(self) -> tuple[World, tuple[Process, Process], int]:
        world = World(THERE, (not self.setup.late_plan, True), (False, False))
        return world, (begin(1), begin(2)), 0

    def outcomes(self, world: World, process: Process) -> Iterator[tuple[World, Any]]:
        """Every (world, answer) that a command may lead to."""
        command, mistakes = process.command, self.mistakes
        match command:
            case mc.ReadLedger():
                yield world, world.ledger
            case mc.ReadPlan(round=r):
                yield world, PlanView(world.closed[r - 1]) if world.plans[r - 1] else None
            case mc.ReadFreeze(round=r):
                yield (
                    world,
                    None
                    if "freeze_over" in mistakes and process.machine.phase is Phase.FREEZE and process.salt < 5 and not _froze(process)
                    else world.freezes[r - 1],
                )
            case mc.ReadResult(round=r):
                value = world.results[r - 1]
                yield world, None if value is None else ResultView(value, value == TOMB)
            case mc.Gather(round=r):
                got = chosen(world, r, mistakes)
                yield world, got if len(got) >= QUORUM else None
            case mc.PutFreeze(round=r, freeze=freeze):
                yield from self._create(world, "freezes", r, freeze, over="freeze_over" in mistakes)
            case mc.Append(at=number, line=line):
                yield from self._append(world, number, line, process)
            case mc.Release(round=r, freeze=freeze):
                source = chosen(world, r, mistakes) if "agg_inbox" in mistakes else freeze
                value = (source, process.salt)
                if "content_address" in mistakes:
                    world = replace(world, readable=at(world.readable, r, world.readable[r - 1] | {value}))
                yield from self._create(world, "results", r, value, over="result_over" in mistakes)
            case mc.PutTombstone(round=r):
                yield from self._create(world, "results", r, TOMB)
            case mc.PutState() | mc.PutReceipts():
                yield world, None

    def _create(self, world: World, name: str, r: int, value: Any, *, over: bool = False) -> Iterator[tuple[World, Outcome]]:
        there = getattr(world, name)[r - 1]
        if there is not None and not over:
            yield world, EXISTS
            return
        after = replace(world, **{name: at(getattr(world, name), r, value)})
        if name == "results" and value != TOMB:
            after = replace(after, readable=at(after.readable, r, after.readable[r - 1] | {value}))
        yield after, CREATED
        yield after, UNKNOWN
        yield world, UNKNOWN

    def _append(self, world: World, number: int, line: Line, process: Process) -> Iterator[tuple[World, Outcome]]:
        if "refund_nothing" in self.mistakes and line.kind is EntryKind.VOID and line.ref is None:
            line = Line(EntryKind.VOID, line.round, ("reserve", line.round))
        over = "ledger_over" in self.mistakes
        if len(world.ledger) + 1 != number and not (over and number <= len(world.ledger)):
            yield world, EXISTS
            return
        after = replace(world, ledger=(*world.ledger[: number - 1], line))
        yield after, CREATED
        yield after, UNKNOWN
        yield world, UNKNOWN

    def moves(self, state: tuple[World, tuple[Process, ...], int]) -> Iterator[tuple[str, tuple[World, tuple[Process, ...], int]]]:
        world, processes, crashes = state
        for update in COMING:
            if update not in world.inbox:
                yield "arrive", (replace(world, inbox=world.inbox | {update}), processes, crashes)
        if not world.plans[0]:
            yield "plan", (replace(world, plans=(True, True)), processes, crashes)
        for r in ROUNDS:
            if not world.closed[r - 1] and all(world.closed[: r - 1]):
                yield "close_by passes", (replace(world, closed=at(world.closed, r, True)), processes, crashes)
        for i, process in enumerate(processes):
            if isinstance(process.command, mc.Halt):
                again = self._after_halt(process)
                if again is not None:
                    yield "start again", (world, _put(processes, i, again), crashes)
                continue
            if crashes < self.setup.crashes and process.machine.phase is not Phase.LEDGER:
                yield "crash", (world, _put(processes, i, begin(process.aim, process.salt + 2)), crashes + 1)
            for after, answer in self.outcomes(world, process):
                machine, command = self.step(process.machine, answer)
                for after2, command2 in self._meddle(after, machine, command):
                    yield "work", (after2, _put(processes, i, replace(process, machine=machine, command=command2)), crashes)

    def step(self, machine: Machine, answer: Any) -> tuple[Machine, Any]:
        """The project's own step, with the classic mistakes seeded at the point they would be made."""
        mistakes = self.mistakes
        if "no_order" in mistakes and machine.phase is Phase.LEDGER and not mc.finished(answer, machine.aim):
            return replace(machine, phase=Phase.PLAN, round=machine.aim), mc.ReadPlan(machine.aim)
        if "no_order" in mistakes and machine.phase is Phase.RESERVE:
            answer = tuple(line for line in answer if line.round == machine.round)
            after, command = mc.step(machine, answer, self.economy)
            return after, command
        if "no_id" in mistakes and machine.phase is Phase.RESERVE and not mc.finished(answer, machine.round):
            if self.economy.affordable(answer, machine.round):
                return replace(machine, phase=Phase.RESERVING), mc.Append(len(answer) + 1, Line(EntryKind.RESERVE, machine.round, ("reserve", machine.round)))
        if "publish_first" in mistakes and machine.phase is Phase.FREEZE and answer is not None:
            return replace(machine, phase=Phase.RELEASING, freeze=answer), mc.Release(machine.round, answer)
        return mc.step(machine, answer, self.economy)

    def _meddle(self, world: World, machine: Machine, command: Any) -> Iterator[tuple[World, Any]]:
        yield world, command
        if "refund_early" in self.mistakes and isinstance(command, mc.PutTombstone):
            reserve = [line for line in world.ledger if line.kind is EntryKind.RESERVE and line.round == machine.round]
            if reserve and not mc.finished(world.ledger, machine.round):
                yield replace(world, ledger=(*world.ledger, Line(EntryKind.VOID, machine.round, reserve[0].ref))), command

    def _after_halt(self, process: Process) -> Process | None:
        why = process.command.why
        if why in (mc.Why.COMMITTED, mc.Why.VOID, mc.Why.SKIPPED):
            return begin(process.aim + 1, process.salt) if process.aim < max(ROUNDS) else None
        return begin(process.aim, process.salt)

    def broken(self, world: World, before: World | None) -> str | None:
        if before is not None:
            if any(a is not None and a != b for a, b in zip(before.freezes, world.freezes, strict=True)):
                return "a freeze changed"
            if world.ledger[: len(before.ledger)] != before.ledger:
                return "the ledger is not append-only"
            if any(a is not None and a != b for a, b in zip(before.results, world.results, strict=True)):
                return "a result changed"
            forgot = (
                world.freezes[1] is not None and before.freezes[1] is None and any(line.kind is EntryKind.VOID and line.round == 1 for line in world.ledger)
            )
            if forgot and {u[1] for u in before.inbox if u[0] == 1 and u[1] == "a"} - {c for c, _, _ in world.freezes[1]}:
                return "a voided round's update was forgotten"
        counted: list[tuple[str, int]] = []
        for r in ROUNDS:
            mine = [line for line in world.ledger if line.round == r]
            kinds = [line.kind for line in mine]
            if kinds.count(EntryKind.RESERVE) > 1:
                return "two reserves"
            if len(kinds) - kinds.count(EntryKind.RESERVE) > 1:
                return "a round ended twice"
            if len(world.readable[r - 1]) > 1:
                return "two noised values readable"
            if world.readable[r - 1] and EntryKind.RESERVE not in kinds:
                return "released before it was reserved"
            if kinds and kinds[-1] is EntryKind.RESERVE and len(kinds) > 1:
                return "reserved after the end"
            for line in mine:
                if line.kind is EntryKind.VOID and world.results[r - 1] != TOMB:
                    return "refund of an open or released round"
                if line.kind is EntryKind.VOID and line.ref is not None and EntryKind.RESERVE not in kinds:
                    return "refund of nothing"
                if line.kind is EntryKind.COMMIT:
                    result = world.results[r - 1]
                    if line.ref != result:
                        return "commit is not of the result"
                    if result[0] != world.freezes[r - 1]:
                        return "result is not of the frozen set"
                    if len({client for client, _, _ in result[0]}) != len(result[0]):
                        return "two updates of one client"
                    counted += [(client, made_for) for client, made_for, _ in result[0]]
        if len(counted) != len(set(counted)):
            return "an update counted twice"
        for n in range(len(world.ledger) + 1):
            if len(mc.outstanding(world.ledger[:n])) > self.setup.budget:
                return "ledger over budget"
        if sum(len(values) for values in world.readable) > self.setup.budget:
            return "true spending over budget"
        for n, line in enumerate(world.ledger):
            if line == next((x for x in world.ledger if x.kind is EntryKind.COMMIT and x.round == 2), None) and world.plans[0]:
                opened_before = any(x.round == 1 for x in world.ledger)
                if opened_before and not mc.finished(world.ledger[:n], 1):
                    return "rounds out of order"
        return None

    def explore(self, limit: int = 20_000_000) -> tuple[str, int]:
        """("holds" or what is violated, states visited)."""
        first = self.first()
        seen, queue = {first}, deque([first])
        while queue:
            state = queue.popleft()
            world, processes, _ = state
            successors = list(self.moves(state))
            if all(world.closed) and all(world.plans) and len(world.inbox) == len(THERE) + len(COMING):
                work = [after for name, after in successors if name in ("work", "start again") and after != state]
                if not work and not all(mc.finished(world.ledger, r) for r in ROUNDS) and not self.setup.late_plan:
                    return "stuck", len(seen)
            for _name, after in successors:
                why = self.broken(after[0], world)
                if why:
                    return why, len(seen)
                if after not in seen:
                    seen.add(after)
                    queue.append(after)
            if len(seen) > limit:
                return f"no violation within {limit} states, not exhausted", len(seen)
        return "holds", len(seen)


def _put(processes: tuple[Process, ...], i: int, process: Process) -> tuple[Process, ...]:
    return (*processes[:i], process, *processes[i + 1 :])


def _froze(process: Process) -> bool:
    return process.machine is not None and process.machine.freeze is not None


if __name__ == "__main__":
    import sys
    import time

    for a in sys.argv[1:]:
        b, c, lp, *m = a.split(",")
        t = time.time()
        print(a, Explorer(Setup(budget=int(b), crashes=int(c), late_plan=lp == "1", mistakes=frozenset(m))).explore(), round(time.time() - t, 1), flush=True)
