"""Note which private value of a round this machine is about to show, before it is shown.

1. A mark names round, freeze, noise and the sums that the noise hides. It is on disk before the
   first write of a result (R-110), because a bucket sees even what it refuses to keep.
2. The same value may be written again, as often as a lost reply asks for it. Another value of the
   same round is refused: two of them would reveal more than was charged.
3. A round without a seed, which an earlier version reserved, is shown once; a second try would draw
   anew.

What it does not do: protect a coordinator on another machine. There the seed protects, because it
makes the values the same.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hyperfed.errors import ConfigError, RoundError
from hyperfed.storage.local_files import alone_with, state_folder, write_durably

__all__ = ["ReleaseMark", "ReleaseMarks"]

_KEPT = 512  # rounds; a result that old is in every client's hands
_REMEDY = "Nothing was written to the drop-box; name a writable folder as HYPERFED_STATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseMark:
    """Names one value that was shown. Digests are hexadecimal."""

    round: int
    """The round."""
    freeze: str
    """Packet digest of its freeze."""
    noise: str
    """Packet digest of its noise; empty in a round that an earlier version reserved."""
    sums: str
    """Digest of what the noise hides (`privacy.noise_source`)."""


class ReleaseMarks:
    """Keeps the marks in the file `path`, or in this process only where `path` is None."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._marks: dict[int, ReleaseMark] = {}

    @classmethod
    def in_state(cls, fingerprint: str | None) -> "ReleaseMarks":
        """Return the marks of a federation, in this user's state folder.

        They are found by the federation's root fingerprint. Without one, or without a state folder,
        they last as long as the process.
        """
        folder = state_folder()
        if not fingerprint or folder is None:
            return cls()
        return cls(folder / f"shown-{hashlib.sha256(fingerprint.encode()).hexdigest()[:32]}.json")

    def note(self, mark: ReleaseMark) -> None:
        """Note that a value is about to be shown, on disk before this returns.

        Raises RoundError where another value of the round was shown from here, and ConfigError
        where the mark cannot be kept.
        """
        if self._path is None:
            self._note(mark)
            return
        with alone_with(self._path, error=ConfigError, remedy=_REMEDY):
            self._marks = self._load(self._path)
            if self._note(mark):
                newest_marks = sorted(self._marks.values(), key=lambda shown: shown.round)[-_KEPT:]
                text = json.dumps([asdict(shown) for shown in newest_marks], indent=1) + "\n"
                write_durably(self._path, text, error=ConfigError, remedy=_REMEDY)

    def _note(self, mark: ReleaseMark) -> bool:
        """Add the mark, and return whether it is new."""
        earlier_mark = self._marks.get(mark.round)
        if earlier_mark is None:
            self._marks[mark.round] = mark
            return True
        if earlier_mark != mark or not mark.noise:
            raise RoundError(
                "another value of this round was shown before, or one whose noise cannot be drawn "
                "again",
                subject=f"result of round {mark.round}",
                rule="R-110",
                remedy=(
                    "Let the round end at its close_by; its reserve stays charged. Two values "
                    "would reveal more than was charged"
                ),
            )
        return False

    def _load(self, path: Path) -> dict[int, ReleaseMark]:
        """Return the marks in the file. Raises ConfigError where it holds something else."""
        if not path.exists():
            return {}
        try:
            stored = json.loads(path.read_text("utf-8"))
            marks = [ReleaseMark(**plain) for plain in stored]
            if type(stored) is not list or not all(type(mark.round) is int for mark in marks):
                raise ValueError("no list of marks")
        except (OSError, ValueError, TypeError) as exc:
            raise ConfigError(
                "does not say what this coordinator has shown",
                subject=str(path),
                rule="R-110",
                remedy=(
                    "Restore it from a backup. If there is none, move the file away once no "
                    "round is open"
                ),
            ) from exc
        return {mark.round: mark for mark in marks}
