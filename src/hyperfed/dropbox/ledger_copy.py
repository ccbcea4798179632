"""Keep in one file the ledger's entries that this machine has read (`LedgerCopy`).

With this file the machine's next process asks only for newer entries (ADR 0023), and a drop-box
that was rolled back is noticed (ADR 0034).

1. Entries are kept once they have been read back from the store and verified. The copy counts where
   the store's ledger goes through its newest entry, byte for byte (R-75). Every entry names the
   digest of the one before it, so only one history ends there.
2. A copy whose entries verify and that the store contradicts is evidence, and stays: two signed
   histories, or a tail that is gone (R-113, `ledger_reader`).
3. A copy that is damaged or of another federation is dropped, and the ledger is read from its
   beginning.
4. It also holds the newest version of the registry that this machine has seen (R-50). A registry
   that was rolled back with the ledger would no longer name the keys that signed the copy.
5. It holds what lies in the bucket, and no secret. Where it cannot be written, rollbacks go
   unnoticed by the next process, which is logged.

What it does not do: notice what is missing before its newest entry. `hyperfed audit` keeps no copy
and reads everything.
"""

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hyperfed.codec import pack, unpack
from hyperfed.errors import ConfigError, SchemaError
from hyperfed.storage.local_files import state_folder, write_durably

__all__ = ["Kept", "LedgerCopy"]

_FORM = "hyperfed ledger copy 2"
_MAX_BYTES = 64 << 20  # of the file: a century of nights

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Holds what a copy says."""

    registry_version: int = 0
    """The newest version of the registry that was seen; 0 for none."""
    entries: tuple[bytes, ...] = ()
    """The entries' envelopes, from the first entry on."""


class LedgerCopy:
    """Keeps the copy in the file `path`.

    Two processes may share it: the file is replaced at once, and the copy of either is true.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def in_state(cls, fingerprint: str | None) -> "LedgerCopy | None":
        """Return this user's copy of a federation's ledger, in the state folder.

        The copy is found by the federation's root fingerprint. Return None where there is no
        fingerprint or no state folder.
        """
        folder = state_folder()
        if not fingerprint or folder is None:
            return None
        return cls(folder / f"ledger-{hashlib.sha256(fingerprint.encode()).hexdigest()[:32]}.bin")

    @property
    def path(self) -> Path:
        """The file of the copy, for messages."""
        return self._path

    def load(self) -> Kept:
        """Return what is kept; empty where there is no copy, or none that can be read."""
        try:
            if self._path.stat().st_size > _MAX_BYTES:
                return Kept()
            plain = unpack(self._path.read_bytes(), max_values=_MAX_BYTES)
        except (OSError, SchemaError):
            return Kept()
        if (
            type(plain) is not list
            or plain[:1] != [_FORM]
            or [*map(type, plain[1:2])] != [int]
            or not {*map(type, plain[2:])} <= {bytes, memoryview}
        ):
            return Kept()
        return Kept(registry_version=plain[1], entries=tuple(map(bytes, plain[2:])))

    def keep(self, entries: Sequence[bytes], *, registry_version: int) -> None:
        """Replace the copy. A failure to write is only logged."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_durably(
                self._path,
                pack([_FORM, registry_version, *entries]),
                error=ConfigError,
                remedy=(
                    "Make the file writable: until then this machine will not notice a rollback "
                    "of the drop-box"
                ),
            )
        except ConfigError as error:
            _log.warning("ledger copy: %s", error)
