"""A fault lab: seeded schedules of three coordinators at one drop-box, each on a clock of its own
that jumps between the stages, on a network and a store that fail; and of one coordinator on a
machine that lacks something.

Everything follows from a schedule's number. What has struck is counted, so that a test can ask that
each fault did.
"""

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from copy import copy, deepcopy
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from hyperfed.config import Limits
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import HyperfedError
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol.entries import EntryKind
from hyperfed.registry.registry import Budget
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.faults import Fault
from hyperfed.testing.federation import SmallFederation
from tests.fault.invariants import check_dropbox
from tests.fault.turns import Actor, Box

__all__ = ["LACKS", "MachineLab", "at_the_store", "finish", "founded", "in_turns"]

ROOT = Path(__file__).parents[2]
ROUNDS = (1, 2)
PRIVATE = PolicyPack(privacy="central", strategy="mean", trust_min=0, max_lag=1)
BUDGET = Budget(epsilon=Decimal(30), delta=Decimal("0.001"))
LACKS = ("descriptors", "memory", "home", "temporary folder", "disk")
_COORDINATORS = 3
_MOST_STEPS = 4000
_MOST_KILLS = 4
_WEATHER = {Fault.LOST_REQUEST: 0.02, Fault.LOST_REPLY: 0.02, Fault.DUPLICATE: 0.02}


def founded(store: ObjectStore, *, private: bool) -> SmallFederation:
    """Two open rounds. Round 1: all but site-03, whose update comes late. Round 2: all but
    site-02.
    """
    fed = SmallFederation(
        store=store,
        budget=BUDGET,
        policy=PRIVATE if private else None,
        limits=Limits(pack_bytes=2600),
    )
    fed.open(1, quorum=2)
    fed.open(2, quorum=2)
    fed.submit_all(round_id=1, but=["site-03"])
    fed.submit_all(round_id=2, but=["site-02"])
    return fed


class Clock:
    """A coordinator's clock, which is set anew between two stages, forwards or back."""

    def __init__(self, rng: random.Random, start: datetime, struck: Counter[str]) -> None:
        self._rng, self._now, self._struck = rng, start, struck

    def now(self) -> datetime:
        if self._rng.random() < 0.5:
            self._now += timedelta(minutes=self._rng.choice((-50, -5, 1, 7, 60, 600, 1500)))
            self._struck["clock"] += 1
        return self._now


def _stages(fed: SmallFederation, round_id: int, clock: Clock) -> Callable[[ObjectStore], None]:
    """A round as a flow runs it: each stage has a runner of its own, which reads the clock."""

    deadline = fed.plan(round_id).deadline

    def work(store: ObjectStore) -> None:
        def runner() -> Any:
            return fed.runner(round_id, now=max(clock.now(), deadline), store=store)

        admission = runner().validate(runner().collect(round_id))
        runner().freeze(round_id, admission)
        for stage in ("reserve", "release", "conclude"):
            getattr(runner(), stage)(round_id)

    return work


def in_turns(
    number: int, fed: SmallFederation, reopened: Callable[[], ObjectStore] | None = None
) -> Counter[str]:
    """Play a schedule, then let a calm coordinator finish; what has struck.

    reopened: gives the store after it was restarted; None: it stays the same object. Raises
    AssertionError where something does not hold.
    """
    rng, struck = random.Random(number), Counter[str]()

    def start() -> Actor:
        round_id = rng.choice((1, 1, 2))
        clock = Clock(rng, fed.night(round_id) + timedelta(hours=rng.choice((0, 0, 5, 30))), struck)
        return Actor(fed.store, _stages(fed, round_id, clock))

    actors = [start() for _ in range(_COORDINATORS)]
    asleep = [0] * _COORDINATORS
    down = kills = 0
    for step in range(_MOST_STEPS):
        awake = [i for i, a in enumerate(actors) if not a.done and asleep[i] <= step]
        if not awake:
            if all(a.done for a in actors):
                break
            continue
        i = rng.choice(awake)
        draw = rng.random()
        if down == 0 and draw < 0.004:
            down = rng.randint(3, 25)
            struck["restart"] += 1
            if reopened is not None:
                fed.store = reopened()
                for actor in actors:
                    actor.box = fed.store
        elif draw < 0.02 and kills < _MOST_KILLS:
            actors[i].kill()
            actors[i] = start()
            kills += 1
            struck["killed"] += 1
            continue
        elif draw < 0.06:
            asleep[i] = step + rng.randint(5, 60)
            struck["delay"] += 1
            continue
        fault = Fault.LOST_REQUEST if down else _drawn(rng)
        down = max(0, down - 1)
        if fault is not None:
            struck[fault.value] += 1
        actors[i].step(fault)
    assert all(a.done for a in actors), "the coordinators never come to an end"
    for actor in actors:
        assert actor.error is None or isinstance(actor.error, HyperfedError)
    finish(fed)
    return struck


def _drawn(rng: random.Random) -> Fault | None:
    draw = rng.random()
    for fault, rate in _WEATHER.items():
        if draw < rate:
            return fault
        draw -= rate
    return None


def finish(fed: SmallFederation) -> None:
    """Let a calm coordinator end both rounds, long after, and look at everything."""
    for round_id in ROUNDS:
        fed.runner(round_id, now=fed.night(round_id) + timedelta(days=9)).run(round_id)
    box = fed.store
    if isinstance(box, Box):
        assert not box.overwritten, f"{box.overwritten} changed"
        assert all(len(digests) <= 1 for digests in box.released.values()), (
            "two results of a round were readable"
        )
    found = audit(box, fed.fingerprint, fed.coordinator)
    assert found.findings == (), found.findings
    ledger = DropBoxReader(box, fingerprint=fed.fingerprint).ledger()
    ends = [c.entry.round for c in ledger if c.entry.kind is not EntryKind.RESERVE]
    assert sorted(ends) == [*ROUNDS], "each round ends once"
    if fed.policy.privacy == "none":  # the sum without its noise is nobody's to compare
        check_dropbox(fed, rounds=ROUNDS)


def at_the_store(fed: SmallFederation, *, over: tuple[str, ...] = ()) -> SmallFederation:
    """The same federation on a copy of its drop-box in memory."""
    twin = copy(fed)
    twin.store, twin.memories = fed.store.copy(over=over), deepcopy(fed.memories)  # type: ignore[attr-defined]
    return twin


class MachineLab:
    """Coordinators in processes of their own, each of which lacks something: `tests.fault.poor`.

    The parent forks one for each schedule, so that real limits strike and end with it.
    """

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.poor"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        self._parent.communicate(timeout=60)

    def play(self, number: int, fed: SmallFederation, folder: Path) -> tuple[str, str]:
        """Let a poor coordinator run round 1, then a calm one finish; (what it lacked, how it
        ended).
        """
        rng = random.Random(number)
        lack = LACKS[number % len(LACKS)]
        order = {
            "folder": str(folder),
            "lack": lack,
            "share": rng.random(),
            "private": fed.policy.privacy != "none",
        }
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        print(json.dumps(order), file=self._parent.stdin, flush=True)
        ended = self._parent.stdout.readline().strip()
        assert ended, "the process that forks is gone"
        assert not ended.startswith("unknown"), f"{lack}: {ended}"
        fed.store = FilesystemStore(folder)
        finish(fed)
        return lack, ended
