"""What a client has seen, in one file: so that nobody can show it an older world (R-50).

1. The marks only rise: highest round pulled, ledger sequence with its digest, registry version, own sequence.
2. The file is replaced atomically and fsynced before anything is sent or believed.
3. Two processes may share it: each change is made under a lock, on what the file says then. A sequence is taken once, so that an overlapping run
   can never sign two updates with one sequence, which would count as equivocation (R-92).

4. The ledger's entries lie beside it, in `<name>.ledger.bin` (`ledger_copy`): they are read once.
5. What local noise has spent of the client's privacy budget lies beside it, in `<name>.privacy.json` (`privacy_guard`), and the newest noised message, until
   it has arrived, in `<name>.message.json` (`message`).

What it does not do: trust what it reads (`session` verifies first, then raises the marks).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hyperfed.client.noised import OneMessage
from hyperfed.errors import ConfigError
from hyperfed.lasting import alone_with, write_lasting
from hyperfed.ledger_copy import LedgerCopy
from hyperfed.privacy.guard import PrivacyGuard
from hyperfed.registry import Budget

__all__ = ["ClientMemory", "Marks"]

_REMEDY = "Nothing was sent; give the client a place it can write to"


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


_NUMBERS = ("sequence", "broadcast_round", "ledger_sequence", "registry_version")


def _higher(known: Marks, new: Marks) -> Marks:
    """`new`, but nothing lower than in `known`; a digest goes with its number."""
    broadcast = known if known.broadcast_round > new.broadcast_round else new
    ledger = known if known.ledger_sequence > new.ledger_sequence else new
    return replace(
        new,
        sequence=max(known.sequence, new.sequence),
        registry_version=max(known.registry_version, new.registry_version),
        broadcast_round=broadcast.broadcast_round,
        broadcast=broadcast.broadcast,
        ledger_sequence=ledger.ledger_sequence,
        ledger_digest=ledger.ledger_digest,
    )


class ClientMemory:
    """The marks in `path`; None: in this process only (tests, notebooks)."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._guard: PrivacyGuard | None = None
        self.ledger_copy = None if path is None else LedgerCopy(path.with_name(path.name + ".ledger.bin"))
        self.message = OneMessage(None if path is None else path.with_name(path.name + ".message.json"))
        self.marks = self._load() if path is not None and path.exists() else Marks()

    def privacy_guard(self, budget: Budget) -> PrivacyGuard:
        """The guard of this client's own budget, for rounds in which it noises its messages itself. Without a file it lasts as long as this object."""
        if self._path is not None:
            return PrivacyGuard(budget.epsilon, budget.delta, path=self._path.with_name(self._path.name + ".privacy.json"))
        if self._guard is None:
            self._guard = PrivacyGuard(budget.epsilon, budget.delta)
        return self._guard

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
        """Set marks, on disk before this returns. Raises ConfigError for a number that would fall. Higher marks that another process set stay."""
        for name in _NUMBERS:
            if name in marks and int(marks[name]) < getattr(self.marks, name):
                raise ConfigError(f"{name} would fall from {getattr(self.marks, name)} to {marks[name]}", subject=str(self._path or "memory"), rule="R-50")
        with self._locked() as newest:
            self._set(_higher(newest, replace(self.marks, **marks)))  # type: ignore[arg-type]

    def take_sequence(self) -> int:
        """The next sequence: above all that were taken before, and nobody else's."""
        with self._locked() as newest:
            marks = _higher(newest, self.marks)
            self._set(replace(marks, sequence=marks.sequence + 1))
        return self.marks.sequence

    def _set(self, marks: Marks) -> None:
        if self._path is not None and (marks != self.marks or not self._path.exists()):
            write_lasting(self._path, json.dumps(asdict(marks), indent=1) + "\n", error=ConfigError, remedy=_REMEDY)
        self.marks = marks

    @contextmanager
    def _locked(self) -> Iterator[Marks]:
        """What the file says, alone with it."""
        if self._path is None:
            yield self.marks
            return
        with alone_with(self._path, error=ConfigError, remedy=_REMEDY):
            yield self._load() if self._path.exists() else self.marks
