"""Keep what a helper must not lose, and erase what it must not keep.

1. The secret of a round's key is on disk before the key is published. It is erased when the round
   has ended or is past its `close_by`: a later theft of q helpers then opens no history (R-169).
2. What was answered is in one file (`secure_aggregation.HelperMarks`), on disk before an answer
   leaves. A helper that loses it is revoked and enrols anew.

An erased file may survive in a disk's free space, and in backups: keep this folder out of backups.
An older copy of the marks does not know what was answered since.
"""

from pathlib import Path

from hyperfed.errors import ConfigError
from hyperfed.secure_aggregation import HelperMarks
from hyperfed.secure_aggregation.boxes import new_round_key
from hyperfed.storage.local_files import alone_with, write_durably

__all__ = ["HelperMemory"]

_REMEDY = "Nothing was published; give the helper a folder of its own that it can write to"


class HelperMemory:
    """Keeps a helper's round keys and marks in `folder`, or in this process where it is None."""

    def __init__(self, folder: Path | None = None, *, first_round: int = 1) -> None:
        self._folder = folder
        self._keys: dict[int, bytes] = {}
        path = None if folder is None else folder / "opened.json"
        self.marks = HelperMarks(path, first_round=first_round)

    def rounds(self) -> tuple[int, ...]:
        """Return the rounds whose keys are kept, ascending."""
        if self._folder is None:
            return tuple(sorted(self._keys))
        files = self._folder.glob("round-*.key")
        return tuple(sorted(int(file.stem.removeprefix("round-")) for file in files))

    def key(self, round_id: int) -> bytes | None:
        """Return the secret of a round's key, or None where there is none."""
        if self._folder is None:
            return self._keys.get(round_id)
        path = self._path(self._folder, round_id)
        if not path.exists():
            return None
        try:
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
            if len(secret) != 32:
                raise ValueError("another length")
        except (OSError, ValueError) as exc:
            raise ConfigError(
                "is no round key",
                subject=str(path),
                remedy="Move it away: this round goes on without this helper",
            ) from exc
        return secret

    def new_key(self, round_id: int) -> bytes:
        """Draw the secret of a round's key, or return the one that is kept."""
        if self._folder is None:
            return self._keys.setdefault(round_id, new_round_key())
        path = self._path(self._folder, round_id)
        with alone_with(path, error=ConfigError, remedy=_REMEDY):
            kept = self.key(round_id)
            if kept is None:
                kept = new_round_key()
                write_durably(path, kept.hex() + "\n", error=ConfigError, remedy=_REMEDY)
        return kept

    def erase(self, round_id: int) -> None:
        """Erase the secret of a round's key."""
        self._keys.pop(round_id, None)
        if self._folder is not None:
            path = self._path(self._folder, round_id)
            path.unlink(missing_ok=True)
            (self._folder / f".{path.name}.lock").unlink(missing_ok=True)

    @staticmethod
    def _path(folder: Path, round_id: int) -> Path:
        return folder / f"round-{round_id:08d}.key"
