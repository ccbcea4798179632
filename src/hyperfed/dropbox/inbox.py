"""List the inbox of a round, and read those of its objects that can be updates.

1. An object whose key no update can have is refused unread. One such object of each folder is
   named, so that nobody can flood a freeze (R-82). Nor can a party that writes into folders of
   clients that do not exist: at most 64 of these folders are read, and one object in each.
2. A fault of the store is never taken for a fault of the client: it ends the stage, which is tried
   again.

What it does not do: wait (`coordinator.stragglers`), judge (`validator`), copy
(`dropbox.accepted`), or choose (`coordinator.choose`).
"""

from collections.abc import Container, Generator, Iterable, Iterator
from dataclasses import dataclass

from hyperfed.config import Limits
from hyperfed.errors import HyperfedError, SchemaError, TransientError, TransportError
from hyperfed.protocol.object_keys import client_of, top_of
from hyperfed.storage.store import ObjectInfo, ObjectStore
from hyperfed.validator.admission import Admission, Arrival

__all__ = ["Arrivals", "Judged", "read_arrivals", "without_misplaced"]

_MAX_UNKNOWN_CLIENTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Holds the content of a round's inbox."""

    round: int
    """Number of the round."""
    quorum: int
    """Number of clients that must be counted."""
    present: tuple[str, ...]
    """Clients of the cohort with an update for this round."""
    missing: tuple[str, ...]
    """Clients of the cohort without one."""
    keys: tuple[tuple[str, int], ...]
    """Key and size in bytes of every object that may count."""
    closed: bool
    """Whether the round's `close_by` is past."""
    decided: bool
    """Whether the round is past this stage (a freeze or an end exists), so that nothing is waited
    for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Admission):
    """Holds an admission, and the registry and base state under which it was judged."""

    registry_version: int
    """Version of the registry."""
    base_state: bytes
    """Digest of the base state; empty for none."""


def without_misplaced(
    listed: Iterable[ObjectInfo], *, known: Container[str]
) -> Iterator[ObjectInfo]:
    """Yield what may be an update, and from each folder the first object that cannot be one.

    That is enough to refuse it, and not enough to flood a freeze. `known` holds the clients there
    are; of the folders of others, only the first object of the first 64 is yielded.
    """
    misplaced_folders: set[str] = set()
    unknown_clients = 0
    for info in listed:
        client = client_of(info.key)
        folder = top_of(info.key, 3)  # inbox/{round}/{client}
        if client and client in known:
            yield info
        elif folder not in misplaced_folders:
            misplaced_folders.add(folder)
            unknown_clients += bool(client)
            if not client or unknown_clients <= _MAX_UNKNOWN_CLIENTS:
                yield info


def read_arrivals(
    store: ObjectStore, arrivals: Arrivals, *, limits: Limits
) -> Generator[Arrival, None, None]:
    """Yield what was listed, ascending by key, with its bytes or the error that reading it raised.

    Objects are yielded as they come, so that one is judged while the store sends the next; closing
    the generator ends the reading. Objects that are too large have neither bytes nor error. Raises
    TransientError.
    """
    sizes = dict(sorted(arrivals.keys))
    updates = {key for key in sizes if client_of(key)}
    reading = store.read_many(
        [k for k, size in sizes.items() if size <= limits.max_update_bytes and k in updates],
        max_bytes=limits.max_update_bytes,
    )
    for key, size in sizes.items():
        answer: bytes | TransportError | None = None
        error: HyperfedError | None = None
        if key not in updates:
            error = SchemaError(
                "not an update's key",
                subject=key,
                rule="R-82",
                remedy="inbox/{round:08d}/{client}/{slot}, slots from 0",
            )
        elif size <= limits.max_update_bytes:
            _, answer = next(reading)
            if isinstance(answer, TransientError):
                # the stage is tried again: a fault of the store must not look like a client's
                raise answer
            error = answer if isinstance(answer, TransportError) else None
        yield Arrival(
            key=key, size=size, data=answer if isinstance(answer, bytes) else None, error=error
        )
