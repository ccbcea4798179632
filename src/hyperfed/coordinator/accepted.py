"""`accepted/`: admitted updates are copied there in packs, and what a freeze counts is read from there, pack by pack.

1. A copy that is there already must be that very pack, byte for byte: its name is the digest of its bytes (R-66).
2. A pack that is read must have the digest that the freeze names, and hold the updates that it counts. That they are their clients' the caller verifies.
3. Whoever reads many updates reads each of their packs once, one after the other: in the order of the packs, which is nearly the clients'.
4. Whoever asks for one at a time is given it from the packs that were read last, up to 64 MB of them: clients ascend and so do packs, and changes upon changes
   go back through up to 32 rounds, each with a pack of its own.
5. A freeze from before there were packs has an object for each update, which is read by its own digest.

What it does not do: verify an update (`frozen`), say what a pack is (`protocol.packs`).
"""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from hyperfed.config import Limits
from hyperfed.errors import HyperfedError, ObjectNotFound, RoundError, TransientError, TransportError
from hyperfed.protocol.objects import Counted, Freeze
from hyperfed.protocol.packs import Pack, filled, make_pack, read_pack
from hyperfed.rounds import Keys
from hyperfed.store import ObjectStore

__all__ = ["Accepted", "copy_packs", "packed"]

_KEPT_BYTES = 64 << 20
_REMEDY = "Restore the bucket from its versions; run `hyperfed audit`"

Opened = dict[bytes, memoryview]  # packet digest -> envelope


def packed(updates: Iterable[tuple[bytes, bytes | memoryview]], *, limits: Limits) -> Iterator[Pack]:
    """The packs of (packet digest, envelope), in their order and one behind: a thread joins and hashes a pack while the next one fills."""
    making: Future[Pack] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="hyperfed-packs") as maker:
        for group in filled(updates, pack_bytes=limits.pack_bytes):
            ready, making = making, maker.submit(_made, group)
            if ready is not None:
                yield ready.result()
        if making is not None:
            yield making.result()


def _made(group: list[tuple[bytes, bytes | memoryview]]) -> Pack:
    """The pack of what is given, which is let go: nothing is held twice while the pack is on its way."""
    pack = make_pack(group)
    group.clear()
    return pack


def copy_packs(store: ObjectStore, round_id: int, packs: Iterable[Pack], *, limits: Limits) -> Iterator[Pack]:
    """Copy packs to `accepted/` as they are filled; each is given back once it is there. Raises TransportError, RoundError where something else lies there."""
    sent: deque[Pack] = deque()

    def objects() -> Iterator[tuple[str, bytes]]:
        for pack in packs:
            sent.append(pack)
            yield Keys.accepted(round_id, pack.digest), pack.data

    for key, answer in store.put_many(objects()):
        pack = sent.popleft()
        if isinstance(answer, TransportError):
            raise answer
        if not answer and store.read(key, max_bytes=limits.max_pack_bytes) != pack.data:
            remedy = "Somebody else writes into the drop-box: restore the bucket from its versions"
            raise RoundError("holds something else", subject=key, rule="R-66", remedy=remedy)
        yield pack


class Accepted:
    """What lies in `accepted/`, by what freezes count. Several threads may ask `one`."""

    def __init__(self, store: ObjectStore, *, limits: Limits) -> None:
        self._store, self._limits = store, limits
        self._kept: OrderedDict[tuple[int, bytes], Opened] = OrderedDict()
        self._lock = Lock()

    def read(self, freeze: Freeze, some: Sequence[Counted]) -> Iterator[tuple[Counted, str, bytes | memoryview | RoundError]]:
        """(counted, the key of its object, its envelope or why there is none) for some of what a freeze counts, in the order of their packs; the same error
        for all that lie in an object which cannot be read. Raises TransientError."""
        places: dict[bytes, list[Counted]] = {}
        for counted in some:
            places.setdefault(freeze.lies_in(counted), []).append(counted)
        keys = [Keys.accepted(freeze.round, digest) for digest in places]
        for (key, data), (digest, whose) in zip(self._store.read_many(keys, max_bytes=self._most(freeze)), places.items(), strict=True):
            opened = self._opened(freeze, data, key=key, digest=digest, whose=whose)
            for counted in whose:
                yield counted, key, opened if isinstance(opened, RoundError) else _found(opened, counted, key)

    def one(self, freeze: Freeze, counted: Counted) -> bytes | memoryview | None:
        """The envelope of one counted update; None where its object is gone. Raises RoundError where it is not what was frozen, TransportError."""
        digest = freeze.lies_in(counted)
        place = (freeze.round, digest)
        with self._lock:  # also while it is read: whoever asks for the same pack meanwhile shall not read it again
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
        """Let go what is kept of packs that were read."""
        with self._lock:
            self._kept.clear()

    def _keep(self, place: tuple[int, bytes], opened: Opened) -> None:
        self._kept[place] = opened
        while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > _KEPT_BYTES:
            self._kept.popitem(last=False)

    def _most(self, freeze: Freeze) -> int:
        return self._limits.max_pack_bytes if freeze.packs else self._limits.max_update_bytes

    def _opened(self, freeze: Freeze, data: bytes | TransportError, *, key: str, digest: bytes, whose: Sequence[Counted]) -> Opened | RoundError:
        """The updates in an object that was read, or why there are none. Raises TransientError."""
        if isinstance(data, TransientError):
            raise data
        if isinstance(data, HyperfedError):
            return RoundError(f"cannot be read: {data}", subject=key, rule="R-66", remedy="Restore the bucket from its versions")
        if not freeze.packs:
            return {counted.digest: memoryview(data) for counted in whose}
        if hashlib.sha256(data).digest() != digest:
            return RoundError("is not the pack that was frozen", subject=key, rule="R-66", remedy=_REMEDY)
        try:
            return read_pack(data, subject=key)
        except HyperfedError as error:  # the coordinator named it, so it is not what somebody put there
            return RoundError(error.problem, subject=key, rule="R-66", remedy=_REMEDY)


def _found(opened: Opened, counted: Counted, key: str) -> memoryview | RoundError:
    envelope = opened.get(counted.digest)
    return RoundError(f"does not hold {counted.client}'s update that was frozen", subject=key, rule="R-66", remedy=_REMEDY) if envelope is None else envelope


def _size(opened: Opened) -> int:
    """About what a pack takes: every view keeps all of its bytes."""
    return sum(len(envelope) for envelope in opened.values())
