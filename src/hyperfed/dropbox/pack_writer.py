"""Copy admitted updates to `accepted/` in packs, as they come (R-66).

1. A pack is full as soon as it holds `pack_bytes` (`protocol.packs`). It is made and written before
   more packs wait than the store takes requests at once. So what the writer holds does not grow
   with the bytes of the updates.
2. A pack's name is the digest of its bytes. Where an object of that name exists already, it must be
   that very pack, byte for byte.
3. Threads try once. A write that failed for the moment is tried again by the caller's thread, where
   Ctrl-C ends it. What fails for good is raised there, and nothing counts as copied.
4. A store that takes one request at a time is written to by the caller's own thread alone.

What it does not do: read packs (`dropbox.accepted`), or say what a pack is (`protocol.packs`).
"""

from functools import partial
from typing import Self

from hyperfed.config import Limits
from hyperfed.errors import RoundError, TransientError
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.packs import BYTES_BESIDE, Pack, make_pack
from hyperfed.storage.store import ObjectStore
from hyperfed.storage.work_ahead import WorkAhead

__all__ = ["PackWriter", "check_copied"]

Updates = list[tuple[bytes, bytes | memoryview]]


class PackWriter:
    """Fills the packs of a round and writes them. It is a context manager.

    Leave it by `finish`, unless an error ends it.
    """

    def __init__(self, store: ObjectStore, round_id: int, *, limits: Limits) -> None:
        self._store, self._round, self._limits = store, round_id, limits
        self._filling: Updates = []
        self._filling_bytes = 0
        self._pack_of: dict[bytes, bytes] = {}
        threads = store.at_once if store.at_once > 1 else 0
        self._writing = WorkAhead[tuple[Pack, bool | TransientError]](
            threads=threads, ahead=threads, name="packs"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writing.close()

    def add(self, digest: bytes, envelope: bytes | memoryview) -> None:
        """Take an update, given by its packet digest and its envelope.

        Raises TransportError where an earlier pack could not be written, and RoundError where
        another object has its name.
        """
        self._filling.append((digest, envelope))
        self._filling_bytes += len(envelope) + BYTES_BESIDE
        if self._filling_bytes >= self._limits.pack_bytes:
            self._send()

    def finish(self) -> dict[bytes, bytes]:
        """Write the last pack, and wait for all of them.

        Returns packet digest -> digest of the pack that holds the update. Raises as `add` does.
        """
        if self._filling:
            self._send()
        while len(self._writing):
            self._note()
        return self._pack_of

    def _send(self) -> None:
        """Have the pack that is full made and written."""
        if self._writing.full:
            self._note()
        updates, self._filling, self._filling_bytes = self._filling, [], 0
        self._writing.give(partial(_made_and_sent, self._store, self._round, updates))

    def _note(self) -> None:
        """Wait for the oldest pack, see that it is there, and note what it holds."""
        pack, created = self._writing.take()
        check_copied(self._store, self._round, pack, created, limits=self._limits)
        self._pack_of |= dict.fromkeys(pack.holds, pack.digest)


def check_copied(
    store: ObjectStore,
    round_id: int,
    pack: Pack,
    created: bool | TransientError,
    *,
    limits: Limits,
) -> None:
    """Raise an error unless a pack lies in a round's `accepted/`.

    created: how its first write ended. A passing failure is tried again, with the patience that the
    store has. Raises TransportError where the pack cannot be written, and RoundError where
    another object has its name.
    """
    key = Keys.accepted(round_id, pack.digest)
    if isinstance(created, TransientError):
        created = store.put_if_absent(key, pack.data)
    if not created and store.read(key, max_bytes=limits.max_pack_bytes) != pack.data:
        raise RoundError(
            "holds something else",
            subject=key,
            rule="R-66",
            remedy="Somebody else writes into the drop-box: restore the bucket from its versions",
        )


def _made_and_sent(
    store: ObjectStore, round_id: int, updates: Updates
) -> tuple[Pack, bool | TransientError]:
    """Make a pack of `updates`, empty that list, and try once to create the pack.

    So nothing is held twice while the pack is on its way.
    """
    pack = make_pack(updates)
    updates.clear()
    try:
        return pack, store.create_once(Keys.accepted(round_id, pack.digest), pack.data)
    except TransientError as error:
        return pack, error
