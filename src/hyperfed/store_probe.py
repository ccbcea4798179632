"""The start-up check: does this store honour what the protocol's safety rests on (DESIGN section 3)?

1. Under `probe/`, with names nobody used before, it writes, reads back and lists; then writes again, which must be refused and change nothing.
2. Several threads write different bytes under one key at once: exactly one is told "created", and its bytes are what is read.
3. What fails is named in a StoreUnsuitable; errors of the way to the store (AccessDenied, TransientError) come out as they are.

What it does not do: prove it for ever. Stores are checked at every start; a few small objects stay under `probe/` and may expire.
"""

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hyperfed.errors import ObjectNotFound, StoreUnsuitable
from hyperfed.store import ObjectStore

__all__ = ["probe"]

_REMEDY = "Without it two coordinators could both win: use a store with create-only writes (If-None-Match on PUT), such as AWS S3, MinIO or SeaweedFS"


def probe(store: ObjectStore, *, racers: int = 4, races: int = 2, token: Callable[[], str] = lambda: secrets.token_hex(8)) -> None:
    """Returns where the store is fit. Raises StoreUnsuitable naming what failed, AccessDenied or TransientError where it could not be asked."""
    folder = f"probe/{token()}"
    _second_write_is_refused(store, f"{folder}/once")
    for race in range(races):
        _race_has_one_winner(store, f"{folder}/race-{race}", racers)


def _fail(problem: str, key: str) -> StoreUnsuitable:
    return StoreUnsuitable(problem, subject=key, rule="R-1", remedy=_REMEDY)


def _second_write_is_refused(store: ObjectStore, key: str) -> None:
    if not store.put_if_absent(key, b"first") and _read(store, key) != b"first":  # False may be one's own repeated request
        raise _fail("a first write was refused", key)
    if store.put_if_absent(key, b"second"):
        raise _fail("a second write to the same key was accepted", key)
    if _read(store, key) != b"first":
        raise _fail("a write that was refused changed the object, or a written object cannot be read at once", key)
    if [(info.key, info.size) for info in store.list(key)] != [(key, 5)]:
        raise _fail("a written object is not listed at once", key)


def _race_has_one_winner(store: ObjectStore, key: str, racers: int) -> None:
    start = threading.Barrier(racers)

    def run(racer: int) -> bool:
        start.wait()
        return store.put_if_absent(key, b"racer %d" % racer)

    with ThreadPoolExecutor(racers) as pool:
        told = list(pool.map(run, range(racers)))
    winners = [racer for racer, created in enumerate(told) if created]
    held = _read(store, key)
    if len(winners) > 1:
        raise _fail(f"{len(winners)} of {racers} simultaneous writers were told that they created the object", key)
    # No winner at all can be a lost reply that was repeated: then the object must still be one of theirs.
    if held not in ([b"racer %d" % racer for racer in winners] or [b"racer %d" % racer for racer in range(racers)]):
        raise _fail("the object does not hold what the winner of a race wrote", key)


def _read(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.read(key, max_bytes=64)
    except ObjectNotFound:
        return None
