"""Keep the ephemeral keys of a client's boxes for as long as helpers may accuse it, and no longer.

1. They are on disk before the message is, in a file of their own beside the client's memory.
2. Each round's keys are erased when they have answered an accusation, or once helpers erase theirs
   (R-198): the client's next night after that does it. Those that are not published are erased
   before an answer is offered to the store.
3. Whoever reads this file can open the boxes, and so unmask the message. It lies beside the
   client's own data, on the same disk; keep both out of others' backups.

What it does not do: publish (`client.rebuttal`).
"""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hyperfed.errors import ConfigError
from hyperfed.storage.local_files import alone_with, write_durably

__all__ = ["BoxKeys"]

_REMEDY = "Nothing was sent or published; give the client a place it can write to"


class BoxKeys:
    """Keeps the keys in the file `path`, or in this process only where `path` is None."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._rounds: dict[str, dict[str, Any]] = {}

    def keep(
        self, round_id: int, keys: Mapping[str, bytes], *, now: datetime, until: datetime
    ) -> None:
        """Keep a round's keys by helper until an instant, on disk before this returns."""
        kept = {helper: key.hex() for helper, key in keys.items()}
        self._change({str(round_id): {"until": until.isoformat(), "keys": kept}}, now=now)

    def of(self, round_id: int, *, now: datetime) -> dict[str, bytes]:
        """Return a round's keys by helper, none where they are not kept or no longer."""
        self.forget(now=now)
        kept = self._rounds.get(str(round_id), {"keys": {}})
        return {helper: bytes.fromhex(key) for helper, key in kept["keys"].items()}

    def keep_only(self, round_id: int, helpers: Collection[str], *, now: datetime) -> None:
        """Erase a round's keys but those of some helpers, on disk before this returns."""
        self.forget(now=now)
        kept = self._rounds.get(str(round_id))
        if kept is not None:
            keys = {helper: key for helper, key in kept["keys"].items() if helper in helpers}
            self._change({str(round_id): {**kept, "keys": keys}}, now=now)

    def erase(self, round_id: int, *, now: datetime) -> None:
        """Erase a round's keys."""
        self._change({str(round_id): None}, now=now)

    def forget(self, *, now: datetime) -> None:
        """Erase what is past its time."""
        self._change({}, now=now)

    def _change(self, changes: Mapping[str, dict[str, Any] | None], *, now: datetime) -> None:
        if self._path is None:
            self._rounds = _changed(self._rounds, changes, now)
            return
        with alone_with(self._path, error=ConfigError, remedy=_REMEDY):
            before = self._load(self._path)
            self._rounds = _changed(before, changes, now)
            if self._rounds != before:
                text = json.dumps(self._rounds, indent=1) + "\n"
                write_durably(self._path, text, error=ConfigError, remedy=_REMEDY)

    @staticmethod
    def _load(path: Path) -> dict[str, dict[str, Any]]:
        """Return what the file holds. Raises ConfigError where it holds something else."""
        if not path.exists():
            return {}
        try:
            stored: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
            for kept in stored.values():
                datetime.fromisoformat(kept["until"])
                _ = [bytes.fromhex(key) for key in kept["keys"].values()]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
            raise ConfigError(
                "is not a file of boxes' keys",
                subject=str(path),
                remedy="Move it away: accusations of earlier rounds can then not be answered",
            ) from exc
        return stored


def _changed(
    before: Mapping[str, dict[str, Any]],
    changes: Mapping[str, dict[str, Any] | None],
    now: datetime,
) -> dict[str, dict[str, Any]]:
    """Return what is kept after some changes, without what is past its time."""
    return {
        name: kept
        for name, kept in {**before, **changes}.items()
        if kept is not None and now < datetime.fromisoformat(kept["until"])
    }
