"""Keep a client's gossip of a round, so that each process can run one epoch of it.

1. Each round has a file of its own beside the client's memory; those of the last two rounds stay.
2. What is to be left for peers is on disk, signed and sealed, before it is written to the drop-box.
   A repeat after a crash or a lost reply writes the very same bytes.
3. The state after a push and the object that was pushed are kept at once, so that no part of a
   vector is lost or given away twice.
4. One process at a time works on a round.

What it does not do: decide what to send (`client.gossip`).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hyperfed.codec import is_array, pack, unpack
from hyperfed.errors import ConfigError, SchemaError
from hyperfed.storage.local_files import alone_with, write_durably

__all__ = ["GossipMemory", "KeptGossip"]

_VERSION = 1
_ROUNDS_KEPT = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REMEDY = "Nothing was sent; give the client a writable place"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptGossip:
    """Holds what a client has of a round's gossip."""

    announced: int
    """The round of the plan whose terms hold."""
    state: bytes
    """The state, as `GossipState.saved` gives it."""
    key: str
    """The key of the newest object that this client leaves for its peers."""
    data: bytes
    """Its bytes, as they were signed."""
    written: bool
    """Whether it lies in the drop-box."""
    sent: datetime
    """When it was made."""
    dropped: tuple[tuple[str, int, str], ...] = ()
    """What peers left that does not count: (sender, epoch, why)."""


class GossipMemory:
    """Keeps gossip beside the memory file `path`, or in this process only where it is None."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept: dict[int, KeptGossip] = {}  # where there is no path

    def rounds(self) -> list[int]:
        """Return the rounds of which something is kept, newest first."""
        if self._path is None:
            return sorted(self._kept, reverse=True)
        name = re.compile(re.escape(f"{self._path.name}.gossip-") + r"([0-9]{8,15})\.bin")
        folder = self._path.parent
        matches = (
            (name.fullmatch(entry.name) for entry in folder.iterdir()) if folder.is_dir() else ()
        )
        return sorted((int(match[1]) for match in matches if match), reverse=True)

    @contextmanager
    def alone(self, round_id: int) -> Iterator[None]:
        """Let no other process work on the round's gossip while the context lasts."""
        if self._path is None:
            yield
            return
        with alone_with(_file(self._path, round_id), error=ConfigError, remedy=_REMEDY):
            yield

    def of(self, round_id: int) -> KeptGossip | None:
        """Return what is kept of a round, or None. Raises ConfigError for another kind of file."""
        if self._path is None:
            return self._kept.get(round_id)
        path = _file(self._path, round_id)
        if not path.exists():
            return None
        try:
            return _read(path.read_bytes(), path)
        except (OSError, SchemaError, ValueError, OverflowError) as exc:
            raise ConfigError(
                "is not what a client keeps of its gossip",
                subject=str(path),
                remedy="Restore it from a backup; without it this round's gossip is over for this "
                "client, and the next one begins anew",
            ) from exc

    def keep(self, round_id: int, kept_gossip: KeptGossip) -> KeptGossip:
        """Keep a round's gossip, on disk before this returns, and forget what is older by two."""
        if self._path is None:
            self._kept[round_id] = kept_gossip
        else:
            file = _file(self._path, round_id)
            write_durably(file, _written(kept_gossip), error=ConfigError, remedy=_REMEDY)
        for old in self.rounds()[_ROUNDS_KEPT:]:
            self._forget(old)
        return kept_gossip

    def _forget(self, round_id: int) -> None:
        self._kept.pop(round_id, None)
        if self._path is not None:
            file = _file(self._path, round_id)
            file.unlink(missing_ok=True)
            (file.parent / f".{file.name}.lock").unlink(missing_ok=True)


def _file(memory: Path, round_id: int) -> Path:
    """Return the file of a round's gossip, beside a client's memory."""
    return memory.parent / f"{memory.name}.gossip-{round_id:08d}.bin"


def _written(kept_gossip: KeptGossip) -> bytes:
    return pack(
        [
            _VERSION,
            kept_gossip.announced,
            kept_gossip.state,
            kept_gossip.key,
            kept_gossip.data,
            kept_gossip.written,
            (kept_gossip.sent - _EPOCH) // timedelta(microseconds=1),
            [list(one) for one in kept_gossip.dropped],
        ]
    )


def _read(data: bytes, path: Path) -> KeptGossip:
    """Return what `_written` wrote.

    Raises ConfigError where a newer version wrote it, SchemaError for anything else.
    """
    plain: Any = unpack(data)
    if is_array(plain[:1] if isinstance(plain, list) else plain, int) and plain[0] > _VERSION:
        raise ConfigError(
            f"is of version {plain[0]}; this library reads up to {_VERSION}",
            subject=str(path),
            rule="R-12",
            remedy="Update hyperfed",
        )
    if (
        not is_array(plain, int, int, bytes, str, bytes, bool, int, list)
        or plain[0] != _VERSION
        or not all(is_array(one, str, int, str) for one in plain[7])
    ):
        raise SchemaError("is no kept gossip", subject="file")
    return KeptGossip(
        announced=plain[1],
        state=bytes(plain[2]),
        key=plain[3],
        data=bytes(plain[4]),
        written=plain[5],
        sent=_EPOCH + timedelta(microseconds=plain[6]),
        dropped=tuple((sender, epoch, why) for sender, epoch, why in plain[7]),
    )
