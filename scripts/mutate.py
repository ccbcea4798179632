"""Break the code one line at a time, and see whether a test notices.

    python scripts/mutate.py --minutes 10            every room in turn, in a fixed random order
    python scripts/mutate.py --room validator --minutes 60 --seed 3
    python scripts/mutate.py --room validator --again      only what survived the last time
    python scripts/mutate.py --list --room guard     what could be broken, without running anything
    python scripts/mutate.py --one NAME              the tests of one mutant, with their output

1. A mutant is one change of one expression: a comparison is flipped or moved to its boundary, a
   condition is never or always true, a check that is called for its error is left out, a digest
   or signature that is compared is not looked at, `and` becomes `or`, a truth value is turned.
   Conditions inside of an f-string, which say how a message reads, are left alone.
2. Which test reaches which line is measured once and kept in build/mutation by content. A test that
   fails alone on the whole code takes no part.
3. The file on the disk is never touched. A parent has imported the package and collected the tests;
   for each mutant it forks a child that exchanges the changed functions, and runs the tests that
   reach the line: those first that noticed a mutant of the same function, then the quickest.
4. A mutant is killed where a test fails, or needs far more processor time than on the whole code.
   It survives where all tests pass that reach it: the room's own, and then those around the room
   (the quickest that take 25 s together, or as many as `--tests` says: few for a first look, as
   `--again` tries what survived it).
5. A survivor has its reason in tests/mutation/survivors.toml, under its name: file, function, the
   kind of change and the text of the line, so that names outlive changes of other lines. One
   without a reason makes the command end with 1.

What it does not do: break two things at once, or run more than one child.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from mutation.children import run_child
from mutation.loaded import Changed
from mutation.mutants import Mutant, mutants_in
from mutation.reach import KEPT, Reached, reaching
from mutation.rooms import ROOMS, ROOT, SOURCE
from mutation.trial import Profile, Trial, Verdict

SURVIVORS = ROOT / "tests" / "mutation" / "survivors.toml"
_COLD_S = 300.0


def reasons() -> dict[str, str]:
    """Return why each known survivor may survive, by its name."""
    document = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))
    return {mutant["name"]: mutant["reason"] for mutant in document.get("survivor", [])}


class Command(Trial):
    """Try mutants of some rooms for some minutes."""

    def __init__(self, given: argparse.Namespace, out: TextIO) -> None:
        super().__init__(out, time.monotonic() + 60 * given.minutes, given.tests)
        self.given, self.reasons = given, reasons()
        self.without: list[str] = []

    def say(self, text: str) -> None:
        """Print a line past pytest, which has taken the output."""
        print(text, file=self.out, flush=True)

    def work(self) -> None:
        """Try one room after the other, each for its share of the time that is left."""
        for done, room in enumerate(self.given.room):
            share = (self.over - time.monotonic()) / (len(self.given.room) - done)
            self._try_room(room, time.monotonic() + share)

    def _try_room(self, room: str, over: float) -> None:
        """Run the room's own tests on each mutant, and those around it where they all pass."""
        own, around = ROOMS[room][1:]
        kept = KEPT / f"{room}.json"
        verdicts: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
        waiting = mutants_in(room)
        random.Random(f"{self.given.seed} {room}").shuffle(waiting)  # noqa: S311
        if self.given.again:
            waiting = [m for m in waiting if verdicts.get(_key(m), "survived") == "survived"]
        began, measured = time.monotonic(), dict[str, Reached]()
        left, judged, unmeasured, excused = waiting, 0, 0, list[Mutant]()
        for tests in (own,) if self.given.sample else (own, around):
            now = time.monotonic()
            more, missing = self.measure(tests, (now + over) / 2)
            new = {name: test for name, test in more.items() if name not in measured}
            measured |= new
            self.say(
                f"{room}: {len(new)} tests measured in {time.monotonic() - now:.0f} s"
                + (f", {missing} not in time" if missing else "")
            )
            if self.given.sample:  # it says nothing of lines for which other tests stand
                waiting = left = [m for m in left if reaching(new, m.path, m.lines, ())]
            left, judged = self._try(left, new, verdicts, kept, over)
            with_reason = [m for m in left[:judged] if m.name in self.reasons]
            excused += with_reason
            left = [m for m in left if m not in with_reason]
            judged -= len(with_reason)
            unmeasured += missing
            if not left:
                break
        if unmeasured and not self.given.sample:
            judged = 0  # a test that was not measured may notice what is left
        untried = len(left) - judged
        for mutant in excused + left[:judged]:
            covering = len(reaching(measured, mutant.path, mutant.lines, ()))
            reason = self.reasons.get(mutant.name, "")
            self.say(f"SURVIVED {covering} tests {mutant.place} {reason}\n  {mutant.name}")
        self.without += [mutant.name for mutant in left[:judged]]
        tried = len(waiting) - untried
        each = (time.monotonic() - began) / max(1, tried)
        self.say(
            f"{room}, seed {self.given.seed}: {tried} of {len(waiting)} tried at {each:.2f} s, "
            f"{tried - len(excused) - judged} killed, {len(excused)} survived with a reason, "
            f"{judged} without"
        )

    def _try(
        self,
        mutants: Sequence[Mutant],
        measured: dict[str, Reached],
        verdicts: dict[str, str],
        kept: Path,
        over: float,
    ) -> tuple[list[Mutant], int]:
        """Return the mutants that survive, and behind so many of them those not tried in time.

        The verdicts are kept as they come, so that a run that is ended early is not lost.
        """
        kept.parent.mkdir(parents=True, exist_ok=True)
        survived: list[Mutant] = []
        for done, mutant in enumerate(mutants):
            try:
                if time.monotonic() > over:
                    raise TimeoutError
                verdict = self.judge(mutant, measured) or self._judged_anew(mutant)
            except TimeoutError:
                return [*survived, *mutants[done:]], len(survived)
            verdicts[_key(mutant)] = "survived" if verdict.survived else verdict.by
            kept.write_text(json.dumps(verdicts))
            if verdict.survived:
                survived.append(mutant)
            elif mutant.name in self.reasons:
                self.say(f"KILLED, though there is a reason\n  {mutant.name}")
            if done % 50 == 49:
                self.say(f"... {done + 1} tried, {len(survived)} not noticed so far")
        return survived, len(survived)

    def _judged_anew(self, mutant: Mutant) -> Verdict:
        """Run the room's own tests in a process that imports the mutant."""

        def work() -> int:
            os.execv(sys.executable, [sys.executable, __file__, "--one", mutant.name])  # noqa: S606

        ended = run_child(work, most_s=_COLD_S)
        return Verdict(ended.status == 0, f"status {ended.status} in a new process")


def _key(mutant: Mutant) -> str:
    return f"{mutant.lines[0]}.{mutant.column} {mutant.name}"


def run_one(name: str) -> int:
    """Run the own tests of a mutant's room on it, and show what they say."""
    import pytest

    for room in ROOMS:
        for mutant in mutants_in(room):
            if name in (mutant.name, mutant.place):
                sys.meta_path.insert(0, Changed(mutant))
                options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not browser"]
                return int(pytest.main([*options, *ROOMS[room][1]], plugins=[Profile()]))
    print(f"there is no mutant {name!r}; --list names them", file=sys.stderr)
    return 2


def main(arguments: list[str]) -> int:
    """Run the command; 1 where a mutant survived that has no reason."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--room", action="append", choices=sorted(ROOMS))
    parser.add_argument("--minutes", type=float, default=10.0, help="wall-clock time, all in all")
    parser.add_argument(
        "--tests", type=float, default=25.0, help="seconds of tests that a mutant meets at most"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order in which they are tried")
    parser.add_argument(
        "--sample",
        action="store_true",
        help="a room a day, with its own tests only",
    )
    parser.add_argument("--again", action="store_true", help="only what survived the last time")
    parser.add_argument("--list", action="store_true", help="only say what could be broken")
    parser.add_argument("--one", metavar="NAME", help="run the tests of one mutant")
    given = parser.parse_args(arguments)
    given.room = given.room or [*ROOMS]
    if given.one:
        return run_one(given.one)
    if given.list:
        for room in given.room:
            print(f"{room}: {len(mutants_in(room))}")
            for mutant in sorted(mutants_in(room), key=lambda m: (m.path, m.lines[0])):
                print(f"  {mutant.place} {mutant.kind}: {mutant.text}")
        return 0
    if given.sample:
        given.seed = given.seed or datetime.now(UTC).toordinal()  # every day another room
        given.room = [given.room[given.seed % len(given.room)]]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    command = Command(given, out)
    command.collect(
        sorted({t for r in given.room for t in ROOMS[r][1] + ROOMS[r][2] * (not given.sample)})
    )
    command.say(f"{len(command.without)} survived without a reason")
    return 1 if command.without else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    os.environ.pop("PYTEST_ADDOPTS", None)  # the session has options of its own
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ[f"{library}_NUM_THREADS"] = "1"  # a child that forks has one thread
    sys.path[:0] = [str(SOURCE), str(ROOT)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # after what a child has left is killed
    sys.exit(main(sys.argv[1:]))
