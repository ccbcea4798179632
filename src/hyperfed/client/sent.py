"""Keep what this client has sent, and compare it with what its receipts say.

1. The newest 64 updates are kept in a file beside the client's memory, each with the instant at
   which it arrived and its round's deadline.
2. A receipt that says "not seen" denies an update that arrived before the round's deadline. So does
   one that counts or refuses an update that was never sent, where another one was. A later receipt
   that counts the update takes the denial back.
3. A denial is no proof of who lies: the coordinator may have left the update out, the bucket may
   have hidden it. The update's own signature is what the client can show.

What it does not do: it does not verify receipts (`client.checks`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from hyperfed.errors import ConfigError
from hyperfed.protocol.objects import Plan
from hyperfed.protocol.receipt_objects import Fate, Receipt
from hyperfed.storage.local_files import alone_with, write_durably

__all__ = ["Denial", "SentLog", "SentRecord", "denials"]

_KEPT = 64
_REMEDY = "The update was sent; give the client a place it can write to"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRecord:
    """Holds what is kept of one update that arrived."""

    round: int
    """The round it was made for."""
    key: str
    """The object's key in the drop-box."""
    sequence: int
    """Its sequence."""
    digest: str
    """Its packet digest, hexadecimal."""
    sent_at: str
    """When it arrived, by this machine's clock, in ISO 8601."""
    deadline: str
    """The round's deadline, in ISO 8601."""

    @property
    def in_time(self) -> bool:
        """Whether the update arrived before the deadline."""
        return datetime.fromisoformat(self.sent_at) < datetime.fromisoformat(self.deadline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Describes a receipt that denies an update which was sent in time."""

    sent: SentRecord
    """What was sent."""
    receipt_round: int
    """The round whose receipt denies it."""
    instead: str
    """The digest of the update that the receipt speaks of in its place; empty for none."""

    @property
    def said(self) -> str:
        """The denial in one sentence."""
        instead = (
            f"the receipt speaks of another update, {self.instead[:16]}, which was not sent here"
            if self.instead
            else "the receipt denies it"
        )
        return (
            f"you sent sequence {self.sent.sequence} (digest {self.sent.digest[:16]}) for round "
            f"{self.sent.round} at {self.sent.sent_at}, before its deadline {self.sent.deadline}, "
            f"and {instead}"
        )

    @property
    def remedy(self) -> str:
        """What to show, and to whom."""
        return (
            f"Keep {self.sent.key} and the receipt of round {self.receipt_round} as they lie in "
            "the drop-box. Show both, and this digest, to an auditor and to the other members, "
            "not to the coordinator alone: `hyperfed audit` names the update (R-127)"
        )


class SentLog:
    """Keeps what was sent in the file `path`, or in this process only where `path` is None."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._records: list[SentRecord] = []

    def records(self) -> Sequence[SentRecord]:
        """Return what was sent, oldest first. Raises ConfigError for a file of another kind."""
        if self._path is not None and self._path.exists():
            try:
                self._records = [
                    SentRecord(**plain) for plain in json.loads(self._path.read_text())
                ]
                _ = [record.in_time for record in self._records]
            except (OSError, ValueError, TypeError) as exc:
                raise ConfigError(
                    "is not a list of sent updates",
                    subject=str(self._path),
                    remedy="Move it away: what was sent before cannot be compared with receipts",
                ) from exc
        return self._records

    def add(self, plan: Plan, *, key: str, sequence: int, digest: str, now: datetime) -> None:
        """Keep an update that arrived, once, on disk before this returns. Raises ConfigError."""
        record = SentRecord(
            round=plan.round,
            key=key,
            sequence=sequence,
            digest=digest,
            sent_at=now.isoformat(),
            deadline=plan.deadline.isoformat(),
        )
        if self._path is None:
            self._records = _with(self._records, record)
            return
        with alone_with(self._path, error=ConfigError, remedy=_REMEDY):
            self._records = _with(self.records(), record)
            text = json.dumps([asdict(one) for one in self._records], indent=1) + "\n"
            write_durably(self._path, text, error=ConfigError, remedy=_REMEDY)


def _with(records: Sequence[SentRecord], new: SentRecord) -> list[SentRecord]:
    """Return the newest records with a new one, unless it is of an update that is there already."""
    known = any((one.key, one.digest) == (new.key, new.digest) for one in records)
    return [*records, *(() if known else (new,))][-_KEPT:]


def denials(records: Sequence[SentRecord], receipts: Sequence[Receipt]) -> list[Denial]:
    """Return what the receipts deny of what was sent in time, newest round first."""
    in_time: Mapping[int, list[SentRecord]] = {
        receipt.round: [r for r in records if r.round == receipt.round and r.in_time]
        for receipt in receipts
    }
    counted = {r.digest.hex() for r in receipts if r.fate in (Fate.COUNTED, Fate.LATE)}
    found = []
    for receipt in sorted(receipts, key=lambda r: r.round, reverse=True):
        sent = in_time[receipt.round]
        digests = {record.digest for record in sent}
        if not sent or digests & counted or receipt.fate is Fate.VOID:
            continue
        other = receipt.digest.hex()
        if receipt.fate is Fate.NOT_SEEN or (other and other not in digests):
            found.append(Denial(sent=sent[-1], receipt_round=receipt.round, instead=other))
    return found
