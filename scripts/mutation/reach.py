"""Which lines each test reaches, measured once and kept by content.

A test is measured alone, in a child of its own, as a mutant will run it: what an earlier test has
left in a cache or a fixture hides no line. What is kept holds for the text of all of src, of what
the tests share, and of the test's own file.

What it does not do: look into other processes that a test starts.
"""

import hashlib
import json
import sys
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from mutation.rooms import ROOMS, ROOT, SOURCE, files_of

KEPT = ROOT / "build" / "mutation"


@dataclass(frozen=True, slots=True)
class Reached:
    """What one test did on the whole code."""

    passed: bool
    """Whether it passes alone."""
    cpu_s: float
    """The processor time that it takes alone, in seconds, measured while it was watched."""
    lines: dict[str, str]
    """The lines that it reached, by file below src: bit n of a hexadecimal number is line n."""

    def reaches(self, path: str, lines: range) -> bool:
        """Return whether the test reached one of the lines of a file."""
        mask = int(self.lines.get(path, "0"), 16)
        return any(mask >> line & 1 for line in lines)


class LineTracer:
    """Note which lines of the rooms' files this process runs from now on."""

    def __init__(self) -> None:
        self._files = {str(p): str(p.relative_to(SOURCE)) for r in ROOMS for p in files_of(r)}
        self._seen: dict[str, set[int]] = {path: set() for path in self._files}
        self._code: dict[Any, Any] = {}
        threading.settrace(self._call)
        sys.settrace(self._call)

    def _call(self, frame: FrameType, event: str, argument: object) -> Any:
        seen = self._seen.get(frame.f_code.co_filename)
        if seen is None:
            return None
        seen.add(frame.f_lineno)

        def line(frame: FrameType, event: str, argument: object) -> Any:
            seen.add(frame.f_lineno)
            return line

        return line

    def lines(self) -> dict[str, str]:
        """Stop, and return what was reached, as a `Reached` keeps it."""
        sys.settrace(None)
        threading.settrace(None)
        return {
            self._files[path]: f"{sum(1 << line for line in seen):x}"
            for path, seen in self._seen.items()
            if seen
        }


@cache
def _shared() -> bytes:
    """Return the digest of all that every test depends on."""
    files = [*SOURCE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    digest = hashlib.sha256()
    for path in sorted(p for p in files if not p.name.startswith("test_")):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.digest()


def _place(test_file: Path) -> Path:
    name = hashlib.sha256(_shared() + str(test_file).encode() + test_file.read_bytes()).hexdigest()
    return KEPT / "reach" / f"{test_file.stem}-{name[:32]}.json"


def kept(test_file: Path) -> dict[str, Reached]:
    """Return what was measured of a file's tests as they are now, by their node ids."""
    place = _place(test_file)
    if not place.exists():
        return {}
    return {name: Reached(**entry) for name, entry in json.loads(place.read_text()).items()}


def keep(test_file: Path, measured: dict[str, Reached]) -> None:
    """Keep what was measured of a file's tests."""
    place = _place(test_file)
    place.parent.mkdir(parents=True, exist_ok=True)
    for old in place.parent.glob(f"{test_file.stem}-{'?' * 32}.json"):
        old.unlink()
    place.write_text(json.dumps({name: asdict(entry) for name, entry in measured.items()}))


def reaching(
    measured: dict[str, Reached], path: str, lines: range, first: Iterable[str]
) -> list[str]:
    """Return the tests that reach one of the lines: those of `first`, then the quickest first."""
    names = [n for n, test in measured.items() if test.passed and test.reaches(path, lines)]
    before = {name: place for place, name in enumerate(first)}
    return sorted(names, key=lambda name: (before.get(name, len(before)), measured[name].cpu_s))
