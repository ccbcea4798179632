"""`LedgerCopy`: the ledger's entries as this machine has read them, in one file, so that its next process asks for those that came since (ADR 0023).

1. It is believed only where the store's ledger goes through its newest entry, byte for byte (R-75): every entry names the digest of the one before it, so
   there is one history that ends there. Signatures, chain and grammar are verified as if all had been read from the store.
2. Whatever else it says, it is forgotten and the ledger is read from its beginning: a copy that is damaged, of another federation, of a drop-box that was
   rolled back. It saves requests, and decides nothing.
3. It holds what lies in the bucket, no secret. Where it cannot be written nothing is lost but the saving.

What it does not do: notice what is missing before its newest entry; `hyperfed audit` keeps no copy and reads everything.
"""

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hyperfed.codec.canonical import pack, unpack
from hyperfed.errors import ConfigError, SchemaError
from hyperfed.lasting import cache_folder, write_lasting

__all__ = ["LedgerCopy"]

_FORM = "hyperfed ledger copy 1"
_MAX_BYTES = 64 << 20  # of the file: a century of nights

_log = logging.getLogger(__name__)


class LedgerCopy:
    """The copy in `path`. Two processes may share it: it is replaced at once, and either's is a true one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def in_cache(cls, fingerprint: str | None) -> "LedgerCopy | None":
        """This user's copy of a federation's ledger, in the cache folder; None without a fingerprint, by which it is found, or a folder."""
        folder = cache_folder()
        if not fingerprint or folder is None:
            return None
        return cls(folder / f"ledger-{hashlib.sha256(fingerprint.encode()).hexdigest()[:32]}.bin")

    def load(self) -> list[bytes]:
        """The entries' envelopes, from the first; none where there is no copy, or none that can be read."""
        try:
            if self._path.stat().st_size > _MAX_BYTES:
                return []
            plain = unpack(self._path.read_bytes(), max_values=_MAX_BYTES)
        except (OSError, SchemaError):
            return []
        if type(plain) is not list or plain[:1] != [_FORM] or not {*map(type, plain[1:])} <= {bytes, memoryview}:
            return []
        return [*map(bytes, plain[1:])]

    def keep(self, entries: Sequence[bytes]) -> None:
        """Replace the copy."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_lasting(self._path, pack([_FORM, *entries]), error=ConfigError, remedy="Every process reads the whole ledger")
        except ConfigError as error:
            _log.debug("ledger copy: %s", error)
