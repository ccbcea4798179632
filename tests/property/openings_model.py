"""Every reachable state of the machine in rounds of secure sums (R-164 to R-167, R-173).

1. The world of `protocol_model`, and beside it the round's manifests and its helpers: four, of whom
   one colludes and answers whatever it is asked. Three answers open a sum (q = 3).
2. Where the coordinator's key is stolen, a second manifest of another cohort is shown to helpers,
   and each honest one answers the manifest that it saw first. The colluding helper may lie.
3. No two cohorts of a round are opened, no message is named by two manifests, nothing is released
   that helpers did not open or contradict each other about, and what was charged stays charged.
   From every world a coordinator alone ends each round, and a sum that honest helpers open in time
   is released.
4. With noise in shares each round is charged, and nobody names what holds fewer shares than its
   plan counts on (R-193). Such a round is not frozen: it waits, for more may come.
5. With central noise every coordinator shows one value of a round, however often it waited.
6. Each mistake of `OPENING_MISTAKES`, seeded into machine, coordinator or helpers, is found.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hyperfed.protocol import machine as mc
from hyperfed.protocol.machine import OpeningsView, WriteOutcome
from tests.property.protocol_model import Explorer, Process, Setup, begin
from tests.property.protocol_world import (
    COMMIT,
    RESERVE,
    ROUNDS,
    THERE,
    TOMB,
    Frozen,
    Sent,
    Violation,
    World,
    at,
)

HONEST = 3
QUORUM = 3

OPENING_MISTAKES = {
    "second_answer": "two cohorts",  # a helper answers every manifest that it is shown
    "t_plus_one": "two cohorts",  # t + 1 answers open a sum
    "counts_late": "named by two manifests",  # a void round's message counts in the next round
    "no_wait": "released before helpers opened it",  # releases once the manifest is written
    "any_answer": "although helpers contradict",  # takes the first of two answers that differ
    "manifest_over": "a manifest changed",  # names the cohort anew, over what stands there
    "waits_for_ever": "stuck",  # waits for helpers past `close_by`
    "never_looks": "opened and void",  # does not look whether the helpers have answered
    "few_shares": "too few shares of noise",  # reserves and names whatever was frozen
    "freezes_few": "no manifest",  # freezes too few shares, and misses who comes in time
    "charge_back": "not charged",  # refunds what helpers may have opened
    "forgets_noise": "two noised values shown",  # forgets while it waits which noise is reserved
}
"""What each mistake breaks."""


@dataclass(frozen=True, slots=True)
class OpeningWorld(World):
    """A drop-box with helpers beside it. true, forged: how many honest helpers have answered the
    manifest that lies there, and another one that a thief has shown them. lied: whether the
    colluding helper's answer is false.
    """

    manifests: tuple[Frozen | None, ...] = (None, None)
    true: tuple[int, ...] = (0, 0)
    forged: tuple[int, ...] = (0, 0)
    lied: tuple[bool, ...] = (False, False)


@dataclass(frozen=True, slots=True)
class OpeningSetup(Setup):
    """split: whether a thief shows some helpers another manifest of round 1. lies: whether the
    colluding helper may lie in round 1.
    """

    split: bool = False
    lies: bool = False
    late: bool = False
    """Whether an update of round 1 comes late, and a correction of another; neither counts."""
    silent: bool = False
    """Whether nobody sends anything for round 2."""
    shares: int = 0
    """How many messages a round needs for its noise in shares; 0: its sum has no noise."""


class OpeningExplorer(Explorer):
    """Visits every state of rounds of secure sums."""

    setup: OpeningSetup

    def __init__(self, setup: OpeningSetup) -> None:
        super().__init__(setup)
        self.quorum = 2 if self.mistake == "t_plus_one" else QUORUM
        self.economy = replace(
            self.economy,
            masked=lambda *_: True,
            charges=lambda *_: setup.private or setup.shares > 0,
            computable=lambda _, frozen: self.mistake == "few_shares" or self._enough(frozen),
        )

    def _enough(self, frozen: Frozen) -> bool:
        return len(frozen.counted) >= self.setup.shares

    def _first(self) -> World:
        return OpeningWorld(inbox=frozenset({(1, "a", 0)}) if self.setup.silent else THERE)

    def outcomes(self, world: World, command: Any) -> Iterator[tuple[World, Any]]:
        assert isinstance(world, OpeningWorld)
        match command:
            case mc.ReadManifest(round=r):
                over = self.mistake == "manifest_over" and not world.true[r - 1]
                yield world, world.manifests[r - 1] is not None and not over
            case mc.PutManifest(round=r, freeze=freeze):
                yield from self._name(world, r, freeze)
            case mc.ReadOpenings(round=r):
                yield world, self._openings(world, r)
            case _:
                yield from super().outcomes(world, command)

    def _name(
        self, world: OpeningWorld, r: int, freeze: Frozen
    ) -> Iterator[tuple[World, WriteOutcome]]:
        if self.mistake == "manifest_over":
            freeze = replace(freeze, counted=self._chosen(world, r))
        if world.manifests[r - 1] is not None and self.mistake != "manifest_over":
            yield world, WriteOutcome.EXISTS
            return
        named = replace(world, manifests=at(world.manifests, r, freeze))
        yield named, WriteOutcome.CREATED
        yield named, WriteOutcome.UNKNOWN
        yield world, WriteOutcome.UNKNOWN

    def _openings(self, world: OpeningWorld, r: int) -> OpeningsView:
        """The colluding helper has always answered. Its lie shows where another has the seed."""
        if self.mistake == "never_looks":
            return OpeningsView.MISSING
        answers = world.true[r - 1]
        if self.mistake == "no_wait":
            return OpeningsView.OPEN
        if world.lied[r - 1] and answers and self.mistake != "any_answer":
            return OpeningsView.DISPUTED
        return OpeningsView.OPEN if answers + 1 >= self.quorum else OpeningsView.MISSING

    def _release(
        self, world: World, r: int, freeze: Frozen, noise: Any
    ) -> Iterator[tuple[World, WriteOutcome]]:
        drawn_anew = ("fresh", len(world.shown[r - 1]))  # where the release names no noise
        return super()._release(world, r, freeze, noise or drawn_anew)

    def _chosen(self, world: World, r: int) -> frozenset[tuple[str, int, int]]:
        """Its own round's updates in slot 0 alone; the mistake also takes late ones."""
        rounds = (r - 1, r) if self.mistake == "counts_late" else (r,)
        taken = {
            client: (client, made_for, sequence)
            for made_for, client, sequence in sorted(world.inbox)
            if made_for in rounds and sequence == 0
        }
        return frozenset(taken.values())

    def _gather(self, world: World, r: int) -> Frozen | None:
        counted = self._chosen(world, r)
        frozen = Frozen(counted, mc.last_committed(world.ledger, r))
        enough = self.mistake in ("few_shares", "freezes_few") or self._enough(frozen)
        return frozen if enough and len(counted) >= self.setup.quorum else None

    def step(self, m: mc.Machine, answer: Any) -> tuple[mc.Machine, Any]:
        if self.mistake == "waits_for_ever" and m.phase in (mc.Phase.RESERVE, mc.Phase.RESERVING):
            return super().step(replace(m, closed=False), answer)
        if self.mistake == "forgets_noise":
            m = replace(m, noise=None)
        return super().step(m, answer)

    def _environment(self, w: int) -> list[int]:
        world = self.worlds[w]
        assert isinstance(world, OpeningWorld)
        after = list[World]()
        coming = {(1, "b", 0), (1, "a", 1)} if self.setup.late else set[Sent]()
        after += [replace(world, inbox=world.inbox | {sent}) for sent in coming - world.inbox]
        for r in ROUNDS:
            after += self._answered(world, r)
        if not all(world.closed):
            r = world.closed.index(False) + 1
            after.append(replace(world, closed=at(world.closed, r, True)))
        for new in after:
            self._check(new, world)
        return [self._number(self.worlds, self.world_ids, new) for new in after]

    def _answered(self, world: OpeningWorld, r: int) -> Iterator[World]:
        """Helpers that answer; in round 2 all at once, because one round's steps show them all."""
        reserved = any(line.round == r and line.kind is RESERVE for line in world.ledger)
        if world.closed[r - 1] or not reserved:
            return
        true, forged = world.true[r - 1], world.forged[r - 1]
        twice = self.mistake == "second_answer"
        step = 1 if r == 1 else HONEST
        if world.manifests[r - 1] is not None and true + (0 if twice else forged) + step <= HONEST:
            yield replace(world, true=at(world.true, r, true + step))
        if self.setup.split and r == 1 and forged + (0 if twice else true) < HONEST:
            yield replace(world, forged=at(world.forged, r, forged + 1))
        # a lie that comes once the coordinator has looked is like one after the release
        if self.setup.lies and r == 1 and world.manifests[0] and not true and not world.lied[0]:
            yield replace(world, lied=at(world.lied, r, True))

    def _check(self, world: World, before: World) -> None:
        super()._check(world, before)
        assert isinstance(world, OpeningWorld)
        assert isinstance(before, OpeningWorld)
        for why in self._broken_openings(world, before):
            raise Violation(why)

    def _broken_openings(self, world: OpeningWorld, before: OpeningWorld) -> Iterator[str]:
        named = [
            (client, made_for)
            for manifest in world.manifests
            if manifest is not None
            for client, made_for, _ in manifest.counted
        ]
        if len(named) != len(set(named)):
            yield "a message is named by two manifests"
        for r in ROUNDS:
            old, new = before.manifests[r - 1], world.manifests[r - 1]
            if old is not None and old != new:
                yield "a manifest changed"
            if new is not None and not self._enough(new):
                yield "a manifest names too few shares of noise"
            if world.true[r - 1] + 1 >= self.quorum <= world.forged[r - 1] + 1:
                yield "two cohorts of a round can be opened"
            if before.results[r - 1] is None and world.results[r - 1] not in (None, TOMB):
                if world.true[r - 1] + 1 < self.quorum:
                    yield "released before helpers opened it"
                if world.lied[r - 1]:
                    yield "released although helpers contradict each other"

    def _counts_whom_it_can(self, world: World) -> None:
        """A round that nothing has decided yet is released where honest helpers answer in time."""
        assert isinstance(world, OpeningWorld)
        if any(world.results) or world.closed[0] or world.ledger or world.lied[0]:
            return
        enough = max(self.setup.quorum, self.setup.shares)
        if world.forged[0] or len(self._chosen(world, 1)) < enough:
            return
        if not self.setup.budget:
            return
        waiting = self._run_alone(world, 1)
        assert isinstance(waiting, OpeningWorld)
        if waiting.manifests[0] is None:
            raise Violation("no manifest")
        answered = replace(waiting, true=at(waiting.true, 1, HONEST))
        ended = self._run_alone(self._run_alone(answered, 1), 1)
        if not any(line.kind is COMMIT and line.round == 1 for line in ended.ledger):
            raise Violation("opened and void")

    def _after_halt(self, process: Process) -> Process:
        aim = process.machine.aim
        return begin(aim) if self.setup.aims == (1, 1) else super()._after_halt(process)
