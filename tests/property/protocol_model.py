"""Every reachable state of the project's own round machine (R-60 to R-69, R-110 to R-112, R-115,
R-118): two coordinators, two rounds, late updates, crashes, lost requests and replies.

1. The world is what lies in the drop-box; the processes are real `Machine`s, one started a night
   later. Each read and each write is one atomic step, as on a strongly consistent store. The
   environment lets updates (one late, one a correction of it) and a late plan arrive, lets
   `close_by` pass, crashes coordinators, loses a write, applies one and reports it as lost, or as
   refused. Where the bucket is hostile it also takes the round's noise away, which it may do to any
   object that no signature of another object misses.
2. In every state the invariants of `protocol_world` hold, and from every world one coordinator
   alone, undisturbed, finishes every round.
3. Each classic mistake, seeded into the machine or its driver, is found: the test of the test. Two
   more: `stale_base` reserves for a freeze that a late-opened round's commit has made stale,
   `never_void` waits for a quorum for ever.

The search is exhaustive: nothing is sampled, no state is cut off. What is drawn as noise is named
by its order of appearance, so that states that differ in the name only are one. Worlds and
processes are numbered, what a command may do in a world is computed once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hyperfed.protocol import machine as mc
from hyperfed.protocol.machine import Line, Machine, Phase, PlanView, ResultView, WriteOutcome
from tests.property.protocol_world import (
    COMING,
    COMMIT,
    RESERVE,
    ROUNDS,
    TOMB,
    VOID,
    Frozen,
    Violation,
    World,
    at,
    check,
    create,
    written,
)

MISTAKES = (
    "no_id",  # reserves without looking for the round's own reserve
    "result_over",  # overwrites the result
    "content_address",  # uploads the noised value before it wins the result's name
    "refund_early",  # refunds before the tombstone stands
    "refund_nothing",  # a void always names a reserve
    "ledger_over",  # overwrites the ledger's entry
    "freeze_over",  # overwrites the freeze
    "agg_inbox",  # aggregates what lies in the inbox, not what was frozen
    "late_twice",  # counts late updates whoever counted them before
    "late_by_freeze",  # takes a void round's freeze for counted
    "no_order",  # does not wait for the round before
    "publish_first",  # releases before it reserves
)

NOISE_MISTAKES = (
    "fresh_noise",  # draws noise for each release instead of taking it from the seed
    "seed_over",  # overwrites the seed
    "any_seed",  # takes the seed that lies there, not the one that the reserve names
    "charge_back",  # refunds a reserve that charged something
)


@dataclass(frozen=True, slots=True)
class Setup:
    """aims: the round each coordinator is started for."""

    budget: int = 1
    crashes: int = 0
    aims: tuple[int, int] = (1, 2)
    late_plan: bool = False
    quorum: int = 1
    mistake: str = ""
    private: bool = False
    hostile: bool = False
    ahead: bool = False
    """Whether round 2 has not begun at first."""
    impossible: bool = False
    """Whether nothing can be computed from round 1's freeze."""
    foreseen: bool = False
    """Whether that is known before the reserve."""
    thief: int = 0
    """The round that a thief of the coordinator's key reserves once, for a freeze of nobody's."""
    annuls: bool = False
    """Whether the thief also voids round 2 ahead of round 1, and the roots annul what it wrote."""
    unopened: bool = False
    """Whether round 1 is never opened."""


@dataclass(frozen=True, slots=True)
class Process:
    """A coordinator: the command it is about to carry out, and the machine that waits for the
    answer.
    """

    machine: Machine
    command: Any


def begin(aim: int) -> Process:
    return Process(*mc.start(aim))


def chosen(world: World, round_id: int, mistake: str) -> frozenset[tuple[str, int, int]]:
    """Per client the highest sequence of its own round, else of a late one where no committed round
    counted the client for that window.
    """
    best: dict[str, tuple[int, int]] = {}
    for made_for, client, sequence in sorted(world.inbox):
        if made_for == round_id:
            best[client] = (made_for, sequence)
    before = round_id - 1
    if before:
        frozen = world.freezes[before - 1]
        counts = frozen is not None and (
            mc.last_committed(world.ledger, round_id) == before or mistake == "late_by_freeze"
        )
        counted = (
            {(client, made_for) for client, made_for, _ in frozen.counted}
            if counts and frozen and mistake != "late_twice"
            else set()
        )
        late = {
            client: (made_for, sequence)
            for made_for, client, sequence in sorted(world.inbox)
            if made_for == before and (client, made_for) not in counted
        }
        best = late | best
    return frozenset((client, made_for, sequence) for client, (made_for, sequence) in best.items())


class Explorer:
    """Visits every state that `setup` can reach; raises Violation. `states` counts them."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.mistake = setup, setup.mistake
        self.economy = mc.Economy(
            affordable=lambda ledger, _: len(mc.outstanding(ledger)) < setup.budget,
            reserve_id=lambda round_id, _: ("reserve", round_id),
            base_of=lambda frozen: frozen.base,
            charges=lambda _round, _freeze: setup.private,
            needs_noise=lambda _round, _freeze: setup.private,
            computable=lambda round_id, _: (
                not (setup.impossible and setup.foreseen and round_id == 1)
            ),
        )
        self.worlds, self.world_ids = list[World](), dict[World, int]()
        self.processes, self.process_ids = list[Process](), dict[Process, int]()
        self.states = 0

    # -- what a command may lead to ----------------------------------------------------------------

    def outcomes(self, world: World, command: Any) -> Iterator[tuple[World, Any]]:
        """Every (world, answer) that a command may lead to."""
        match command:
            case mc.ReadLedger():
                yield world, world.ledger
            case mc.ReadPlan(round=r):
                yield world, self._plan(world, r)
            case mc.ReadFreeze(round=r):
                yield world, world.freezes[r - 1]
            case mc.ReadResult(round=r):
                value = world.results[r - 1]
                reserve = None if value in (None, TOMB) else ("reserve", r)
                yield world, None if value is None else ResultView(value, value == TOMB, reserve)
            case mc.Gather(round=r):
                yield world, self._gather(world, r)
            case mc.PutFreeze(round=r, freeze=freeze):
                yield from create(world, "freezes", r, freeze, over=self.mistake == "freeze_over")
            case mc.Append(at=number, line=line):
                yield from self._append(world, number, line)
            case mc.ReadNoise(round=r):
                seed = world.seeds[r - 1]
                yield world, None if seed is None else mc.NoiseView(seed, True)
            case mc.PutNoise(round=r):
                yield from self._draw(world, r)
            case mc.Release(round=r, freeze=freeze, noise=noise):
                yield from self._release(world, r, freeze, noise)
            case mc.PutTombstone(round=r):
                yield from create(self._refunded(world, r), "results", r, TOMB)
            case mc.PutState() | mc.PutReceipts():
                yield world, None

    def _plan(self, world: World, r: int) -> PlanView | None:
        if self.mistake == "own_clock":
            return PlanView(True, True) if world.plans[r - 1] else None
        return PlanView(world.closed[r - 1], world.begun[r - 1]) if world.plans[r - 1] else None

    def _gather(self, world: World, r: int) -> Frozen | None:
        counted = chosen(world, r, self.mistake)
        voided = {line.round for line in world.ledger if line.kind is VOID}
        if {
            client
            for made_for, client, _ in world.inbox
            if made_for == r - 1 and made_for in voided
        } - {client for client, _, _ in counted}:
            raise Violation("a void round's update is forgotten")
        return (
            Frozen(counted, mc.last_committed(world.ledger, r))
            if len(counted) >= self.setup.quorum
            else None
        )

    def _draw(self, world: World, r: int) -> Iterator[tuple[World, WriteOutcome]]:
        if world.seeds[r - 1] is not None and self.mistake != "seed_over":
            yield world, WriteOutcome.EXISTS
            return
        fresh = world.drawn[r - 1] + 1
        after = replace(world, drawn=at(world.drawn, r, fresh), seeds=at(world.seeds, r, fresh))
        yield from written(world, after)

    def _release(
        self, world: World, r: int, freeze: Frozen, noise: Any
    ) -> Iterator[tuple[World, WriteOutcome]]:
        if self.setup.impossible and r == 1:
            yield world, WriteOutcome.IMPOSSIBLE
            return
        counted = chosen(world, r, self.mistake) if self.mistake == "agg_inbox" else freeze.counted
        value = (counted, world.readable[r - 1])  # a fresh draw: no other is called so
        if self.setup.private:
            fresh = self.mistake in ("fresh_noise", "publish_first")
            value = (counted, ("fresh", len(world.shown[r - 1])) if fresh else noise)
            world = replace(world, shown=at(world.shown, r, world.shown[r - 1] | {value}))
        if self.mistake == "content_address":
            world = replace(world, readable=at(world.readable, r, world.readable[r - 1] + 1))
        yield from create(world, "results", r, value, over=self.mistake == "result_over")

    def _append(
        self, world: World, number: int, line: Line
    ) -> Iterator[tuple[World, WriteOutcome]]:
        if self.mistake == "refund_nothing" and line.kind is VOID:
            line = Line(VOID, line.round, ("reserve", line.round))
        if self.mistake == "charge_back" and line.kind is VOID:
            refs = [e.ref for e in world.ledger if e.kind is RESERVE and e.round == line.round]
            line = replace(line, ref=refs[0] if refs else None)
        if line.kind is RESERVE and line.round == 1 and self.setup.foreseen:
            raise Violation("charged for a round of which it is known that it has no result")
        if len(world.ledger) + 1 != number and self.mistake != "ledger_over":
            yield world, WriteOutcome.EXISTS
            return
        yield from written(world, replace(world, ledger=(*world.ledger[: number - 1], line)))

    def _refunded(self, world: World, r: int) -> World:
        reserved = [line.ref for line in world.ledger if line.kind is RESERVE and line.round == r]
        if self.mistake != "refund_early" or not reserved or mc.finished(world.ledger, r):
            return world
        return replace(world, ledger=(*world.ledger, Line(VOID, r, reserved[0])))

    def step(self, m: Machine, answer: Any) -> tuple[Machine, Any]:
        """The project's own step, but for a mistake that is seeded into it."""
        match self.mistake, m.phase:
            case "no_order", Phase.LEDGER if not mc.finished(answer, m.aim):
                return replace(m, phase=Phase.PLAN, round=m.aim), mc.ReadPlan(m.aim)
            case "no_order", Phase.RESERVE if not mc.finished(
                answer, m.round
            ) and self.economy.affordable(answer, m.round):
                if not any(line.kind is RESERVE and line.round == m.round for line in answer):
                    return replace(m, phase=Phase.RESERVING), mc.Append(
                        len(answer) + 1, Line(RESERVE, m.round, ("reserve", m.round))
                    )
            case "no_id", Phase.RESERVE if not mc.finished(
                answer, m.round
            ) and self.economy.affordable(answer, m.round):
                return replace(m, phase=Phase.RESERVING), mc.Append(
                    len(answer) + 1, Line(RESERVE, m.round, ("reserve", m.round))
                )
            case "freeze_over", Phase.RESULT if answer is None and m.round == m.aim:
                return replace(m, phase=Phase.GATHER), mc.Gather(m.round)
            case "publish_first", Phase.FREEZE if answer is not None:
                return replace(m, phase=Phase.RELEASING, freeze=answer), mc.Release(m.round, answer)
            case "any_seed", Phase.NOISE if m.reserved is not None and answer is not None:
                m = replace(m, reserved=replace(m.reserved, noise=answer.digest))
            case "stale_base", Phase.RESERVE:
                m = replace(m, freeze=replace(m.freeze, base=mc.last_committed(answer, m.round)))
            case "never_void", Phase.GATHER:
                m = replace(m, closed=False)
            case "void_unseen", Phase.RESULT if answer is None and m.round < m.aim:
                return replace(m, phase=Phase.BURYING), mc.PutTombstone(m.round, "R-60")
            case "annulled_ends", Phase.LEDGER:
                answer = tuple(replace(line, annulled=False) for line in answer)
            case "any_reserve", Phase.RESERVE:
                refs = [e.ref for e in answer if e.kind is RESERVE and e.round == m.round]
                if refs:  # its own reserves keep their id
                    taken = replace(self.economy, reserve_id=lambda *_: refs[0])
                    return mc.step(m, answer, taken)
            case "unopened_waits", Phase.PLAN:
                m = replace(m, pending=None)
            case "reserve_first", Phase.RESERVE:
                return mc.step(m, answer, replace(self.economy, computable=lambda *_: True))
            case "try_for_ever", Phase.RELEASING if answer is WriteOutcome.IMPOSSIBLE:
                m = replace(m, closed=False)
        return mc.step(m, answer, self.economy)

    # -- the search --------------------------------------------------------------------------------

    def explore(self) -> int:
        """The number of states, all of them visited. Raises Violation."""
        world = self._first()
        p, q = (
            self._number(self.processes, self.process_ids, begin(aim)) for aim in self.setup.aims
        )
        first = _packed(self._number(self.worlds, self.world_ids, world), p, q, 0)
        seen, stack = {first}, [first]
        around, work = _Memo(self._environment), _Memo(self._work)
        while stack:
            w, p, q, crashes = _unpacked(stack.pop())
            after = [_packed(v, p, q, crashes) for v in around[w]]
            after += [_packed(v, n, q, crashes) for v, n in work[w, p]]
            after += [_packed(v, p, n, crashes) for v, n in work[w, q]]
            if crashes < self.setup.crashes:
                after.append(_packed(w, self._fresh(p), q, crashes + 1))
                after.append(_packed(w, p, self._fresh(q), crashes + 1))
            for state in after:
                if state not in seen:
                    seen.add(state)
                    stack.append(state)
        self.states = len(seen)
        for world in self.worlds:
            self._finishes(world)
            self._counts_whom_it_can(world)
        return self.states

    def _first(self) -> World:
        return World(
            plans=(not (self.setup.late_plan or self.setup.unopened), True),
            begun=(True, not self.setup.ahead),
        )

    def _number(self, values: list[Any], ids: dict[Any, int], value: Any) -> int:
        number = ids.setdefault(value, len(values))
        if number >> 16 and ids is self.process_ids:
            raise OverflowError("more processes than a packed state can number")
        if number == len(values):
            values.append(value)
        return number

    def _fresh(self, process: int) -> int:
        return self._number(
            self.processes, self.process_ids, begin(self.processes[process].machine.aim)
        )

    def _environment(self, w: int) -> list[int]:
        world = self.worlds[w]
        after = [replace(world, inbox=world.inbox | {sent}) for sent in COMING - world.inbox]
        if self.setup.thief and self._may_reserve(world, self.setup.thief):
            alien = Line(RESERVE, self.setup.thief, "alien", charged=self.setup.private)
            after.append(replace(world, ledger=(*world.ledger, alien)))
        if self.setup.annuls:
            stolen = Line(VOID, 2, "alien")
            if not any(line.ref == "alien" and line.kind is VOID for line in world.ledger) and (
                not mc.finished(world.ledger, 2)
                and not any(e.kind is RESERVE and e.round == 2 for e in world.ledger)
            ):
                after.append(replace(world, ledger=(*world.ledger, stolen)))
            if any(line.ref == "alien" and not line.annulled for line in world.ledger):
                after.append(self._annulled(world))
        if self.setup.hostile:
            for r in ROUNDS:
                if world.seeds[r - 1] is not None and not world.taken[r - 1]:
                    gone = replace(world, seeds=at(world.seeds, r, None))
                    after.append(replace(gone, taken=at(world.taken, r, True)))
        if not all(world.plans) and not self.setup.unopened:
            after.append(replace(world, plans=(True, True)))
        if not all(world.begun):
            after.append(replace(world, begun=(True, True)))
        elif not all(world.closed):
            after.append(
                replace(world, closed=at(world.closed, world.closed.index(False) + 1, True))
            )
        return [self._number(self.worlds, self.world_ids, world) for world in after]

    def _annulled(self, world: World) -> World:
        ledger = tuple(
            replace(line, annulled=True) if line.ref == "alien" else line for line in world.ledger
        )
        return replace(world, ledger=ledger)

    def _may_reserve(self, world: World, r: int) -> bool:
        """Whether the ledger's grammar lets a thief reserve a round (R-74)."""
        open_rounds = any(
            line.kind is RESERVE and not mc.finished(world.ledger, line.round)
            for line in world.ledger
        )
        return not open_rounds and all(line.round < r for line in world.ledger)

    def _work(self, key: tuple[int, int]) -> list[tuple[int, int]]:
        """(world, process) after each way in which a process's command may go; the invariants are
        checked on the way.
        """
        before, process = self.worlds[key[0]], self.processes[key[1]]
        if isinstance(process.command, mc.Halt):
            return [
                (key[0], self._number(self.processes, self.process_ids, self._after_halt(process)))
            ]
        found = set()
        for world, answer in self.outcomes(before, process.command):
            if world != before:
                self._check(world, before)
            after = Process(*self.step(process.machine, answer))
            found.add(
                (
                    self._number(self.worlds, self.world_ids, world),
                    self._number(self.processes, self.process_ids, after),
                )
            )
        return sorted(found)

    def _check(self, world: World, before: World) -> None:
        check(world, before, self.setup.budget)

    def _after_halt(self, process: Process) -> Process:
        aim, ended = (
            process.machine.aim,
            process.command.why in (mc.Why.COMMITTED, mc.Why.VOID, mc.Why.SKIPPED),
        )
        return begin(min(aim + 1, max(ROUNDS)) if ended else aim)

    def _finishes(self, world: World) -> None:
        """From this world on, once nothing more comes and nothing fails, one coordinator alone
        finishes what is not skipped.
        """
        world = self._at_the_end(world)
        for r in ROUNDS:
            world = self._run_alone(world, r)
        skips = self.setup.late_plan or self.setup.thief or self.setup.unopened
        first, last = (mc.finished(world.ledger, r) for r in ROUNDS)
        if not last or not (first or skips):
            raise Violation("stuck")

    def _counts_whom_it_can(self, world: World) -> None:
        """A round of which nothing is decided, and whose inbox holds a quorum, is not void because
        the next one is run first.
        """
        setup = self.setup
        if world.results[0] is not None or world.freezes[0] is not None or world.ledger:
            return
        if not world.plans[0] or not setup.budget or setup.impossible or setup.unopened:
            return
        if len({client for r, client, _ in world.inbox | COMING if r == 1}) < setup.quorum:
            return
        if any(world.taken) or world.results[1] is not None:
            return
        world = self._run_alone(self._at_the_end(world), 2)
        if not any(line.kind is COMMIT and line.round == 1 for line in world.ledger):
            raise Violation("a quorum is void")

    def _at_the_end(self, world: World) -> World:
        return replace(
            self._annulled(world) if self.setup.annuls else world,
            inbox=world.inbox | COMING,
            plans=(not self.setup.unopened, True),
            begun=(True, True),
            closed=(True, True),
        )

    def _run_alone(self, world: World, aim: int) -> World:
        process = begin(aim)
        for _ in range(100):
            if isinstance(process.command, mc.Halt):
                break
            world, answer = next(self.outcomes(world, process.command))
            process = Process(*self.step(process.machine, answer))
        return world


def _packed(world: int, p: int, q: int, crashes: int) -> int:
    """A state in one integer: millions of tuples would take a gigabyte."""
    return world << 34 | p << 18 | q << 2 | crashes


def _unpacked(state: int) -> tuple[int, int, int, int]:
    return state >> 34, state >> 18 & 0xFFFF, state >> 2 & 0xFFFF, state & 3


class _Memo(dict[Any, Any]):
    """What a function gave for a key, computed once."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __missing__(self, key: Any) -> Any:
        value = self[key] = self.function(key)
        return value
