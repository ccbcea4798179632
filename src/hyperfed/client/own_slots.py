"""Write what is a client's own (its slots in the inbox and its gossip), and read it back.

1. A write that the store says it made is read back. Something between a client and its store (a
   sign-in page, a proxy that keeps uploads) may have answered in the store's place, and an update
   that nobody will count must not pass for sent.
2. On "exists already" the object may be the client's own retried write, so it is read and compared.
3. A client that may not read its own inbox cannot check. A write then counts as made, and an
   existing object as somebody else's.
"""

from collections.abc import Callable
from contextlib import suppress

from hyperfed.errors import (
    AccessDenied,
    ObjectNotFound,
    ObjectTooLarge,
    RefusedError,
    TransportError,
)
from hyperfed.protocol.object_keys import SLOTS, Keys
from hyperfed.storage.store import ObjectStore

__all__ = ["check_first_slot", "write_first_slot", "write_free_slot", "written"]


def write_free_slot(store: ObjectStore, client_id: str, round_id: int, data: bytes) -> str:
    """Write `data` to the first slot of the round that is free, and return its key.

    Raises RefusedError where no slot is free, and TransportError where the object is not there
    after all.
    """
    for slot in range(SLOTS):
        key = Keys.inbox(round_id, client_id, slot)
        if written(store, key, data):
            return key
    raise RefusedError(
        f"all {SLOTS} slots of round {round_id} are used",
        subject=f"client {client_id}",
        rule="R-93",
        remedy=f"Submit for the next one: an update can be corrected {SLOTS - 1} times a round",
    )


def write_first_slot(store: ObjectStore, client_id: str, round_id: int, data: bytes) -> bool:
    """Write `data` to the first slot, and return whether it is there now; False: another object is.

    Raises TransportError where the object is not there after all.
    """
    return written(store, Keys.inbox(round_id, client_id, 0), data)


def written(store: ObjectStore, key: str, data: bytes) -> bool:
    """Create an object, and return whether it is there as `data` now; False: another object is.

    Raises TransportError where the object is not there after all.
    """
    created = store.put_if_absent(key, data)
    try:
        same = store.read(key, max_bytes=len(data)) == data
    except AccessDenied:
        return created
    except (ObjectTooLarge, ObjectNotFound):
        same = False
    if created and not same:
        raise TransportError(
            "the store answered that it is written, and it is not there as it was sent",
            subject=key,
            remedy="Something between here and the store answers in its place (a sign-in page, a "
            "proxy that keeps uploads): mend that, and submit again",
        )
    return same


def check_first_slot(
    store: ObjectStore,
    client_id: str,
    round_id: int,
    error: Callable[[str, int], RefusedError],
    *,
    drawn: bool,
) -> None:
    """Raise `error` where the round has a message of the client, before another is drawn.

    drawn: whether the client itself remembers one, which the bucket may hide.
    """
    if drawn:
        raise error(client_id, round_id)
    with suppress(AccessDenied):  # a client that may not look is told by the write
        if store.head(Keys.inbox(round_id, client_id, 0)) is not None:
            raise error(client_id, round_id)
