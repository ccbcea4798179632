"""Check at start-up that a store honours what the protocol's safety rests on (DESIGN section 3).

1. Under `probe/`, with names that nobody used before, the probe writes, reads back and lists. Then
   it writes again, which must be refused and change nothing.
2. Several threads write different bytes under one key at once. Exactly one must be told "created",
   and a read must return its bytes.
3. The listing is asked for in pages of two, and must be complete: a store that ends a listing
   without a word would lose updates.
4. A StoreUnsuitable names what failed. Errors on the way to the store (AccessDenied,
   TransientError) come out as they are.

What it does not do: prove it for ever. Stores are checked at every start; a few small objects stay
under `probe/` and may expire.
"""

import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from hyperfed.errors import ObjectNotFound, StoreUnsuitable
from hyperfed.storage.store import ObjectStore

__all__ = ["probe"]

_REMEDY = (
    "Without it two coordinators could both win: use a store with create-only writes "
    "(If-None-Match on PUT), such as AWS S3, MinIO or SeaweedFS"
)


def probe(
    store: ObjectStore,
    *,
    racers: int = 4,
    races: int = 2,
    token: Callable[[], str] = lambda: secrets.token_hex(8),
) -> None:
    """Check that `store` is fit for a federation; return None where it is.

    Each of `races` races has `racers` threads that write to one key. `token` names the folder of
    this probe.

    Raises StoreUnsuitable, which names what failed, and AccessDenied or TransientError where the
    store could not be asked.
    """
    folder = f"probe/{token()}"
    _second_write_is_refused(store, f"{folder}/once")
    for race in range(races):
        _race_has_one_winner(store, f"{folder}/race-{race}", racers)
    _pages_are_complete(store, folder, ["once", *(f"race-{race}" for race in range(races))])


def _fail(problem: str, key: str) -> StoreUnsuitable:
    return StoreUnsuitable(problem, subject=key, rule="R-1", remedy=_REMEDY)


def _second_write_is_refused(store: ObjectStore, key: str) -> None:
    # False may be the answer to our own repeated request
    if not store.put_if_absent(key, b"first") and _read(store, key) != b"first":
        raise _fail("a first write was refused", key)
    if store.put_if_absent(key, b"second"):
        raise _fail("a second write to the same key was accepted", key)
    if _read(store, key) != b"first":
        raise _fail(
            "a write that was refused changed the object, or a written object cannot be read "
            "at once",
            key,
        )
    if [(info.key, info.size) for info in store.list(key)] != [(key, 5)]:
        raise _fail("a written object is not listed at once", key)


def _race_has_one_winner(store: ObjectStore, key: str, racers: int) -> None:
    start = threading.Barrier(racers)

    def run(racer: int) -> bool:
        start.wait()
        return store.put_if_absent(key, b"racer %d" % racer)

    with ThreadPoolExecutor(racers) as pool:
        created_by = list(pool.map(run, range(racers)))
    winners = [racer for racer, created in enumerate(created_by) if created]
    stored_bytes = _read(store, key)
    if len(winners) > 1:
        raise _fail(
            f"{len(winners)} of {racers} simultaneous writers were told that they created the "
            "object",
            key,
        )
    # Where nobody won, a reply may have been lost and its request repeated: the object must still
    # be what one of the writers wrote.
    if stored_bytes not in (
        [b"racer %d" % racer for racer in winners]
        or [b"racer %d" % racer for racer in range(racers)]
    ):
        raise _fail("the object does not hold what the winner of a race wrote", key)


def _pages_are_complete(store: ObjectStore, folder: str, names: Sequence[str]) -> None:
    listed = [info.key for info in store.list_paged(f"{folder}/", 2)]
    if listed != [f"{folder}/{name}" for name in names]:
        raise _fail(f"a listing in pages names {len(listed)} of {len(names)} objects", folder)


def _read(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.read(key, max_bytes=64)
    except ObjectNotFound:
        return None
