"""Keep what a client has seen in one file, so that nobody can show it an older world (R-50).

1. The marks only rise: the highest round pulled, the ledger sequence with its digest, the registry
   version, and the client's own sequence.
2. The file is replaced atomically and fsynced before anything is sent or believed.
3. Two processes may share it: each change is made under a lock, on what the file says then. A
   sequence is taken once, so that an overlapping run can never sign two updates with one sequence,
   which would count as equivocation (R-92).
4. The ledger's entries lie beside it, in `<name>.ledger.bin` (`ledger_copy`): they are read once.
5. What local noise has spent of the client's privacy budget lies beside it, in
   `<name>.privacy.json` (`privacy_guard`). The newest noised message lies in `<name>.message.json`,
   with a note once it has arrived (`message`). The keys of the last masked messages' boxes lie in
   `<name>.boxes.json` (`box_keys`).
6. What gossip has spent of its own share lies in `<name>.gossip-privacy.json` (`gossip_guard`), and
   each round's gossip in `<name>.gossip-<round>.bin` (`gossip`).
7. The last update that was sent lies beside it, in `<name>.update.bin`, for changes against it
   (`last_update`). What was sent in the last rounds lies in `<name>.sent.json`, for a comparison
   with receipts (`sent`).

What it does not do: it does not verify what it stores (`session` verifies first, then raises the
marks).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path

from hyperfed.client.box_keys import BoxKeys
from hyperfed.client.deltas import LastUpdate
from hyperfed.client.gossip_memory import GossipMemory
from hyperfed.client.noised import OneMessage
from hyperfed.client.sent import SentLog
from hyperfed.dropbox.ledger_copy import LedgerCopy
from hyperfed.errors import ConfigError
from hyperfed.privacy.guard import PrivacyGuard
from hyperfed.registry.registry import Budget
from hyperfed.storage.local_files import alone_with, write_durably

__all__ = ["ClientMemory", "Marks"]

_REMEDY = "Nothing was sent; give the client a place it can write to"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Holds what a client has seen, as numbers that only rise.

    Digests are hexadecimal, and empty where there is none.
    """

    sequence: int = 0
    """The sequence of the last update sent."""
    previous: str = ""
    """The digest of the last update sent."""
    broadcast_round: int = 0
    """The round of the newest result pulled."""
    broadcast: str = ""
    """The digest of the newest result pulled."""
    ledger_sequence: int = 0
    """The sequence of the newest ledger entry seen."""
    ledger_digest: str = ""
    """The digest of the newest ledger entry seen."""
    registry_version: int = 0
    """The newest version of the registry seen."""
    receipt_round: int = 0
    """The newest round whose receipt the sequence was compared with."""


_NUMBERS = (
    "sequence",
    "broadcast_round",
    "ledger_sequence",
    "registry_version",
    "receipt_round",
)


def _higher(remembered: Marks, new: Marks) -> Marks:
    """Return `new`, with no number lower than in `remembered`; a digest goes with its number."""
    broadcast = remembered if remembered.broadcast_round > new.broadcast_round else new
    ledger = remembered if remembered.ledger_sequence > new.ledger_sequence else new
    return replace(
        new,
        sequence=max(remembered.sequence, new.sequence),
        registry_version=max(remembered.registry_version, new.registry_version),
        receipt_round=max(remembered.receipt_round, new.receipt_round),
        broadcast_round=broadcast.broadcast_round,
        broadcast=broadcast.broadcast,
        ledger_sequence=ledger.ledger_sequence,
        ledger_digest=ledger.ledger_digest,
    )


class ClientMemory:
    """Keeps the marks in the file `path`, or in this process only where `path` is None."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._guard: PrivacyGuard | None = None
        self._gossip_guard: PrivacyGuard | None = None
        self.ledger_copy = (
            None if path is None else LedgerCopy(path.parent / f"{path.name}.ledger.bin")
        )
        self.message = OneMessage(
            None if path is None else path.parent / f"{path.name}.message.json"
        )
        self.box_keys = BoxKeys(None if path is None else path.with_name(f"{path.name}.boxes.json"))
        self.gossip = GossipMemory(path)
        self.last_update = LastUpdate(
            None if path is None else path.with_name(path.name + ".update.bin")
        )
        self.sent = SentLog(None if path is None else path.with_name(path.name + ".sent.json"))
        self.marks = self._load() if path is not None and path.exists() else Marks()

    def privacy_guard(self, budget: Budget) -> PrivacyGuard:
        """Return the guard of this client's own budget.

        It is for rounds in which the client noises its messages itself, and has no part in gossip's
        share. Without a file it lasts as long as this object.
        """
        budget = budget.rounds
        if self._path is not None:
            return PrivacyGuard(
                budget.epsilon,
                budget.delta,
                path=self._path.parent / f"{self._path.name}.privacy.json",
            )
        if self._guard is None:
            self._guard = PrivacyGuard(budget.epsilon, budget.delta)
        return self._guard

    def drew(self, operation: str, round_id: int) -> bool:
        """Return whether a message of a round was sent, or had to give way to a later round's.

        `operation` is the name that it was kept under. Whatever the bucket shows, another message
        of that round is a second one.
        """
        sent = any(one.round == round_id for one in self.sent.records())
        return sent or self.message.gave_way(operation)

    def gossip_guard(self, epsilon: Decimal, delta: Decimal) -> PrivacyGuard:
        """Return the guard of gossip's share of the budget, which rounds do not use."""
        if self._path is not None:
            path = self._path.parent / f"{self._path.name}.gossip-privacy.json"
            return PrivacyGuard(epsilon, delta, path=path)
        if self._gossip_guard is None:
            self._gossip_guard = PrivacyGuard(epsilon, delta)
        return self._gossip_guard

    def _load(self) -> Marks:
        """Return the marks in the file. Raises ConfigError where it holds something else."""
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
                remedy="Restore it from a backup; without it this client cannot tell an old "
                "broadcast from a new one",
            ) from exc
        return marks

    def raise_to(self, **marks: int | str) -> None:
        """Set marks, on disk before this returns.

        Raises ConfigError for a number that would fall. Higher marks that another process set stay.
        """
        for name in _NUMBERS:
            if name in marks and int(marks[name]) < getattr(self.marks, name):
                raise ConfigError(
                    f"{name} would fall from {getattr(self.marks, name)} to {marks[name]}",
                    subject=str(self._path or "memory"),
                    rule="R-50",
                )
        with self._locked() as newest:
            self._set(_higher(newest, replace(self.marks, **marks)))  # type: ignore[arg-type]

    def abandon_ledger(self) -> None:
        """Forget the ledger's newest entry: the roots have abandoned its branch (R-124).

        The sequence and everything else stay as they are.
        """
        with self._locked() as newest:
            marks = _higher(newest, self.marks)
            self._set(
                replace(marks, ledger_sequence=0, ledger_digest="", broadcast_round=0, broadcast="")
            )

    def take_sequence(self) -> int:
        """Return the next sequence, above all that were taken before; nobody else takes it."""
        with self._locked() as newest:
            marks = _higher(newest, self.marks)
            self._set(replace(marks, sequence=marks.sequence + 1))
        return self.marks.sequence

    def _set(self, marks: Marks) -> None:
        """Keep the marks, on disk before this returns. Raises ConfigError."""
        if self._path is not None and (marks != self.marks or not self._path.exists()):
            write_durably(
                self._path,
                json.dumps(asdict(marks), indent=1) + "\n",
                error=ConfigError,
                remedy=_REMEDY,
            )
        self.marks = marks

    @contextmanager
    def _locked(self) -> Iterator[Marks]:
        """Yield what the file says, while no other process can change it."""
        if self._path is None:
            yield self.marks
            return
        with alone_with(self._path, error=ConfigError, remedy=_REMEDY):
            yield self._load() if self._path.exists() else self.marks
