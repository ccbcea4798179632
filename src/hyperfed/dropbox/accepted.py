"""Read from `accepted/` what a freeze counts (R-66).

1. A pack that is read must have the digest that the freeze names, and must hold the updates that
   the freeze counts. The caller verifies that the updates are their clients'.
2. A caller that reads many updates reads each of their packs once, one after the other. The order
   is that of the packs, which is nearly that of the clients.
3. A caller that asks for one update at a time gets it from the packs that were read last, of which
   up to 64 MB are kept. Clients ascend and so do packs; but a chain of changes goes back through up
   to 32 rounds, each with a pack of its own.
4. A freeze that was made before there were packs has one object for each update, which is read by
   the update's own digest.

What it does not do: verify an update (`coordinator.frozen`), write packs (`dropbox.pack_writer`),
or say what a pack is (`protocol.packs`).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from hyperfed.config import Limits
from hyperfed.errors import (
    RESTORE_BUCKET,
    FrozenUpdateLost,
    HyperfedError,
    ObjectNotFound,
    RoundError,
    TransientError,
    TransportError,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Counted, Freeze
from hyperfed.protocol.packs import read_pack
from hyperfed.storage.store import ObjectStore

__all__ = ["Accepted"]

_KEPT_BYTES = 64 << 20

Opened = dict[bytes, memoryview]  # packet digest -> envelope


class Accepted:
    """Reads what freezes count from `accepted/`."""

    def __init__(self, store: ObjectStore, *, limits: Limits) -> None:
        self._store, self._limits = store, limits
        self._kept: OrderedDict[tuple[int, bytes], Opened] = OrderedDict()

    def read(
        self, freeze: Freeze, some: Sequence[Counted]
    ) -> Iterator[tuple[Counted, str, bytes | memoryview | RoundError]]:
        """Yield (counted, key, answer) for some of the updates that a freeze counts.

        The order is that of their packs. `key` is that of the object that the update lies in. The
        answer is its envelope, or a RoundError that says why there is none; where an object cannot
        be read, all updates in it have the same error. Raises TransientError.
        """
        places: dict[bytes, list[Counted]] = {}
        for counted in some:
            places.setdefault(freeze.lies_in(counted), []).append(counted)
        keys = [Keys.accepted(freeze.round, digest) for digest in places]
        for (key, data), (digest, whose) in zip(
            self._store.read_many(keys, max_bytes=self._most(freeze)), places.items(), strict=True
        ):
            opened = self._opened(freeze, data, key=key, digest=digest, whose=whose)
            for counted in whose:
                yield (
                    counted,
                    key,
                    opened if isinstance(opened, RoundError) else _found(opened, counted, key),
                )

    def one(self, freeze: Freeze, counted: Counted) -> bytes | memoryview | None:
        """Return the envelope of one counted update, or None where its object is gone.

        Raises RoundError where the object is not what was frozen, and TransportError.
        """
        digest = freeze.lies_in(counted)
        place = (freeze.round, digest)
        opened = self._kept.get(place)
        if opened is None:
            key = Keys.accepted(freeze.round, digest)
            try:
                data = self._store.read(key, max_bytes=self._most(freeze))
            except ObjectNotFound:
                return None
            answer = self._opened(freeze, data, key=key, digest=digest, whose=[counted])
            if isinstance(answer, RoundError):
                raise answer
            opened = answer
            if freeze.packs:
                self._keep(place, opened)
        else:
            self._kept.move_to_end(place)
        envelope = _found(opened, counted, Keys.accepted(freeze.round, digest))
        if isinstance(envelope, RoundError):
            raise envelope
        return envelope

    def forget(self) -> None:
        """Drop the packs that are kept in memory."""
        self._kept.clear()

    def _keep(self, place: tuple[int, bytes], opened: Opened) -> None:
        self._kept[place] = opened
        while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > _KEPT_BYTES:
            self._kept.popitem(last=False)

    def _most(self, freeze: Freeze) -> int:
        return self._limits.max_pack_bytes if freeze.packs else self._limits.max_update_bytes

    def _opened(
        self,
        freeze: Freeze,
        data: bytes | TransportError,
        *,
        key: str,
        digest: bytes,
        whose: Sequence[Counted],
    ) -> Opened | RoundError:
        """Return the updates in an object that was read, or the error that says why there are none.

        Raises TransientError where reading it raised one.
        """
        if isinstance(data, TransientError):
            raise data
        if isinstance(data, HyperfedError):
            gone = isinstance(data, ObjectNotFound)
            return (FrozenUpdateLost if gone else RoundError)(
                f"cannot be read: {data}",
                subject=key,
                rule="R-66",
                remedy=RESTORE_BUCKET,
            )
        if not freeze.packs:
            return {counted.digest: memoryview(data) for counted in whose}
        if hashlib.sha256(data).digest() != digest:
            return RoundError(
                "is not the pack that was frozen", subject=key, rule="R-66", remedy=RESTORE_BUCKET
            )
        try:
            return read_pack(data, subject=key)
        # the digest is the one that the coordinator named, so nobody else put these bytes there
        except HyperfedError as error:
            return RoundError(error.problem, subject=key, rule="R-66", remedy=RESTORE_BUCKET)


def _found(opened: Opened, counted: Counted, key: str) -> memoryview | RoundError:
    envelope = opened.get(counted.digest)
    return (
        RoundError(
            f"does not hold {counted.client}'s update that was frozen",
            subject=key,
            rule="R-66",
            remedy=RESTORE_BUCKET,
        )
        if envelope is None
        else envelope
    )


def _size(opened: Opened) -> int:
    """Return about how many bytes a pack takes: each view keeps all of the pack's bytes."""
    return sum(len(envelope) for envelope in opened.values())
