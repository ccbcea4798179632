"""Make the coordinator's writes: create-only, and never with a key that nobody could verify.

1. Nothing is written with a key that the registry does not name for the round: an object that no
   reader can verify would occupy its object key for ever (R-81).
2. What was created is read back once (R-114). A store that honours create-only writes below
   `probe/` alone, or that swallows what it confirms, is found out here, before anybody builds on
   it.
"""

import logging
from dataclasses import dataclass

from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import (
    ObjectNotFound,
    ObjectTooLarge,
    RegistryError,
    StoreUnsuitable,
    TransientError,
)
from hyperfed.protocol.documents import Write
from hyperfed.protocol.machine import WriteOutcome
from hyperfed.storage.store import ObjectStore

__all__ = ["SignedWrites"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedWrites:
    """Makes the create-only writes of one coordinator."""

    store: ObjectStore
    """The drop-box."""
    reader: DropBoxReader
    """Reads the registry, which names the coordinator's keys."""
    key_pair: KeyPair
    """The coordinator's key pair, which has signed what is written."""

    def create(self, write: Write, round_id: int) -> WriteOutcome:
        """Create one object, and return whether this call created it.

        Returns `WriteOutcome.EXISTS` where an object is there already, and `WriteOutcome.UNKNOWN`
        where the reply was lost. Raises RegistryError where the key is not the coordinator's in the
        round (R-81), and StoreUnsuitable where the store says that it created the object and holds
        something else (R-114).
        """
        self.check_key(round_id)
        try:
            created = self.store.put_if_absent(write.key, write.data)
        except TransientError as error:
            log.debug("key=%s outcome=unknown error=%s", write.key, error)
            return WriteOutcome.UNKNOWN
        return self._read_back(write) if created else WriteOutcome.EXISTS

    def _read_back(self, write: Write) -> WriteOutcome:
        """Return whether the object that the store says it created can be read as it was written.

        Returns `WriteOutcome.UNKNOWN` where the reply was lost. Raises StoreUnsuitable (R-114).
        """
        try:
            stored_bytes = self.store.read(write.key, max_bytes=len(write.data))
        except TransientError as error:
            log.debug("key=%s outcome=unknown error=%s", write.key, error)
            return WriteOutcome.UNKNOWN
        except (ObjectNotFound, ObjectTooLarge):
            stored_bytes = b""
        if stored_bytes != write.data:
            raise StoreUnsuitable(
                "the store said that it created this object, and holds "
                + ("another one" if stored_bytes else "none, or another one"),
                subject=write.key,
                rule="R-114",
                remedy="It does not honour create-only writes here, or something in between "
                "swallows them: look at proxies and bucket rules; `hyperfed check store` tries a "
                "prefix. Run `hyperfed audit` before the next round",
            )
        return WriteOutcome.CREATED

    def check_key(self, round_id: int) -> None:
        """Raise RegistryError where the key is not the coordinator's in the round (R-81)."""
        if self.reader.registry.coordinator_key(self.key_pair.key_id, round_id) is not None:
            return
        registry = self.reader.refresh_registry()
        if registry.coordinator_key(self.key_pair.key_id, round_id) is None:
            raise RegistryError(
                f"key {self.key_pair.key_id} is not the coordinator's in round {round_id}",
                subject=f"round {round_id}",
                rule="R-81",
                remedy=f"Registry version {registry.version} names the coordinator's keys; use "
                "one of them. Nothing was written",
            )
