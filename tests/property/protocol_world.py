"""What lies in the drop-box of `protocol_model`, what a write to it may lead to, and what must hold
of it in every state (DESIGN section 3).

`check` compares a world with the one before it: what is never changed, what is decided once, what
is charged and shown, and who is counted. It knows nothing of the machines that made the step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hyperfed.protocol import machine as mc
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.machine import Line, WriteOutcome

ROUNDS = (1, 2)
TOMB = "tombstone"
RESERVE, COMMIT, VOID = EntryKind.RESERVE, EntryKind.COMMIT, EntryKind.VOID

Sent = tuple[int, str, int]  # round, client, sequence
THERE: frozenset[Sent] = frozenset({(1, "a", 0), (2, "a", 0)})
COMING: frozenset[Sent] = frozenset({(1, "b", 0), (1, "b", 1)})


@dataclass(frozen=True, slots=True)
class Frozen:
    """A freeze: (client, made for, sequence) of whom it counts, and the round whose state it builds
    on.
    """

    counted: frozenset[tuple[str, int, int]]
    base: int


@dataclass(frozen=True, slots=True)
class World:
    """What lies in the drop-box, and what the environment has done. readable: how many noised
    values of each round somebody could have read. In private rounds, seeds: the round's noise;
    drawn: how many seeds ever lay there; taken: whether the bucket took one away; shown: the values
    that reached the bucket, whether or not it kept them.
    """

    inbox: frozenset[Sent] = THERE
    plans: tuple[bool, ...] = (True, True)
    begun: tuple[bool, ...] = (True, True)
    closed: tuple[bool, ...] = (False, False)
    freezes: tuple[Frozen | None, ...] = (None, None)
    ledger: tuple[Line, ...] = ()
    results: tuple[Any, ...] = (None, None)
    readable: tuple[int, ...] = (0, 0)
    seeds: tuple[Any, ...] = (None, None)
    drawn: tuple[int, ...] = (0, 0)
    taken: tuple[bool, ...] = (False, False)
    shown: tuple[frozenset[Any], ...] = (frozenset(), frozenset())


class Violation(Exception):
    """A broken invariant."""


def at(values: tuple[Any, ...], round_id: int, value: Any) -> tuple[Any, ...]:
    return (*values[: round_id - 1], value, *values[round_id:])


def create(
    world: World, name: str, r: int, value: Any, *, over: bool = False
) -> Iterator[tuple[World, WriteOutcome]]:
    """Every (world, answer) that a put-if-absent of a round's object may lead to."""
    held = getattr(world, name)
    if held[r - 1] is not None and not over:
        yield world, WriteOutcome.EXISTS
        return
    after = replace(world, **{name: at(held, r, value)})
    if name == "results" and value != TOMB:
        after = replace(after, readable=at(after.readable, r, after.readable[r - 1] + 1))
    yield from written(world, after)


def written(before: World, after: World) -> Iterator[tuple[World, WriteOutcome]]:
    """Every (world, answer) that a write may lead to which the store takes."""
    yield after, WriteOutcome.CREATED
    yield after, WriteOutcome.UNKNOWN  # the reply was lost
    yield after, WriteOutcome.EXISTS  # the reply was lost, and the repeated write refused
    yield before, WriteOutcome.UNKNOWN  # the request was lost


def check(world: World, before: World, budget: int) -> None:
    """Raises Violation."""
    for why in _broken(world, before, budget):
        raise Violation(why)


def _broken(world: World, before: World, budget: int) -> Iterator[str]:
    for name in ("freezes", "results"):
        if any(
            old is not None and old != new
            for old, new in zip(getattr(before, name), getattr(world, name), strict=True)
        ):
            yield f"one of {name} changed"
    if any(
        old is not None and new not in (old, None)
        for old, new in zip(before.seeds, world.seeds, strict=True)
    ):
        yield "a seed changed"
    ledger = world.ledger
    if _chain(ledger)[: len(before.ledger)] != _chain(before.ledger):
        yield "the ledger is not append-only"
    for r in ROUNDS:
        yield from _broken_round(world, r)
    counted = [
        (client, made_for)
        for r in ROUNDS
        if mc.last_committed(ledger, r + 1) == r
        for client, made_for, _ in world.results[r - 1][0]
    ]
    if len(counted) != len(set(counted)):
        yield "an update counted twice"
    if any(len(mc.outstanding(ledger[:n])) > budget for n in range(len(ledger) + 1)):
        yield "ledger over budget"
    if sum(bool(shown) for shown in world.shown) > budget or sum(world.readable) > budget:
        yield "true spending over budget"
    ledger = tuple(line for line in ledger if not line.annulled)
    rounds = [line.round for line in ledger if line.kind is not VOID]
    if rounds != sorted(rounds):
        yield "rounds out of order"
    if any(
        line.kind is RESERVE
        and any(e.round < line.round and not mc.finished(ledger[:n], e.round) for e in ledger[:n])
        for n, line in enumerate(ledger)
    ):
        yield "reserved while an earlier round is open"


def _chain(ledger: tuple[Line, ...]) -> tuple[Line, ...]:
    """The entries, whatever the roots have said of them since."""
    return tuple(replace(line, annulled=False) for line in ledger)


def _broken_round(world: World, r: int) -> Iterator[str]:
    mine = [line for line in world.ledger if line.round == r and not line.annulled]
    kinds = [line.kind for line in mine]
    result, frozen = world.results[r - 1], world.freezes[r - 1]
    if not world.begun[r - 1] and (mine or result is not None or frozen is not None):
        yield "decided before the round has begun"
    if kinds.count(RESERVE) > 1:
        yield "two reserves"
    if kinds.count(COMMIT) + kinds.count(VOID) > 1:
        yield "a round ended twice"
    alien_reserve = any(line.kind is RESERVE and line.ref == "alien" for line in mine)
    if alien_reserve and (world.readable[r - 1] or world.shown[r - 1]):
        yield "released under an alien reserve"
    if COMMIT in kinds and any(line.ref == "alien" for line in mine):
        yield "committed under an alien reserve"
    if RESERVE in kinds[1:]:
        yield "reserved after the end"
    if len(world.shown[r - 1]) > 1:
        yield "two noised values shown"
    if world.shown[r - 1] and RESERVE not in kinds:
        yield "shown before it was reserved"
    if world.readable[r - 1] > 1:
        yield "two noised values readable"
    if world.readable[r - 1] and RESERVE not in kinds:
        yield "released before it was reserved"
    for line in mine:
        alien = any(line.ref == "alien" for line in world.ledger if line.round == r)
        if line.kind is VOID and result != TOMB and not alien:
            yield "refund of an open or released round"
        free = any(line.kind is RESERVE and not line.charged for line in mine)
        if line.kind is VOID and line.ref != "alien" and (line.ref is not None) != free:
            yield "a void does not refund exactly what was reserved and not charged"
        if line.kind is COMMIT and line.ref != result:
            yield "commit is not of the result"
        if line.kind is COMMIT and (frozen is None or result[0] != frozen.counted):
            yield "result is not of the frozen set"
    if frozen is not None and len({client for client, _, _ in frozen.counted}) != len(
        frozen.counted
    ):
        yield "two updates of one client"
