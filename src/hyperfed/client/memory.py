"""What a client has seen, in one file: so that nobody can show it an older world (R-50).

1. The marks only rise: highest round pulled, ledger sequence with its digest, registry version, own sequence.
2. The file is replaced atomically and fsynced before anything is sent or believed.

What it does not do: trust what it reads (`session` verifies first, then raises the marks).
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hyperfed.errors import ConfigError

__all__ = ["ClientMemory", "Marks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """sequence: of the last update sent; previous: its digest; broadcast_round, broadcast: the newest result pulled; ledger_sequence, ledger_digest:
    the newest ledger entry seen; registry_version. Digests are hexadecimal, empty for none."""

    sequence: int = 0
    previous: str = ""
    broadcast_round: int = 0
    broadcast: str = ""
    ledger_sequence: int = 0
    ledger_digest: str = ""
    registry_version: int = 0


class ClientMemory:
    """The marks in `path`; None: in this process only (tests, notebooks)."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.marks = self._load() if path is not None and path.exists() else Marks()

    def _load(self) -> Marks:
        try:
            marks = Marks(**json.loads(self._path.read_text()))  # type: ignore[union-attr]
            for name, value in asdict(Marks()).items():
                if type(getattr(marks, name)) is not type(value):
                    raise ValueError(name)
        except (OSError, ValueError, TypeError) as exc:
            raise ConfigError(
                "is not what a client's memory looks like",
                subject=str(self._path),
                rule="R-50",
                remedy="Restore it from a backup; without it this client cannot tell an old broadcast from a new one",
            ) from exc
        return marks

    def raise_to(self, **marks: int | str) -> None:
        """Set marks, on disk before this returns. Raises ConfigError for a number that would fall."""
        new = replace(self.marks, **marks)  # type: ignore[arg-type]
        for name in ("sequence", "broadcast_round", "ledger_sequence", "registry_version"):
            if getattr(new, name) < getattr(self.marks, name):
                raise ConfigError(
                    f"{name} would fall from {getattr(self.marks, name)} to {getattr(new, name)}", subject=str(self._path or "memory"), rule="R-50"
                )
        if self._path is not None:
            self._write(new, self._path)
        self.marks = new

    @staticmethod
    def _write(marks: Marks, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("w") as file:
                json.dump(asdict(marks), file, indent=1)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as exc:
            part.unlink(missing_ok=True)
            raise ConfigError(
                f"cannot be written: {exc.strerror}", subject=str(path), remedy="Nothing was sent; give the client a place it can write to"
            ) from exc
