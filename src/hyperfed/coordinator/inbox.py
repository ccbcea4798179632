"""The inbox of a round: what lies there, and what of it is read.

1. What cannot be an update by its key is refused unread; one such object a folder is named, so that nobody can flood a freeze (R-82). Nor can who writes into
   folders of clients that do not exist: 64 of these folders are looked at, and one object in each.
2. A fault of the store is never taken for a fault of the client: it ends the stage for another try.

What it does not do: wait (`stragglers`), judge (`validator`), copy (`accepted`), choose (`protocol.choose`).
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from hyperfed.config import Limits
from hyperfed.errors import HyperfedError, SchemaError, TransientError, TransportError
from hyperfed.store import ObjectInfo, ObjectStore
from hyperfed.validator import Admission, Arrival, parse_inbox_key

__all__ = ["Arrivals", "Judged", "is_inbox_key", "read_arrivals", "without_litter"]

_MAX_STRANGERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What lies in a round's inbox. present, missing: clients of the cohort with and without an update for this round;
    keys: all objects that may count, with sizes.

    decided: the round is past this stage (a freeze or an end exists), so nothing is waited for.
    """

    round: int
    quorum: int
    present: tuple[str, ...]
    missing: tuple[str, ...]
    keys: tuple[tuple[str, int], ...]
    closed: bool
    decided: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Admission):
    """An admission and what it was judged under: the registry's version and the base state's digest (empty: none)."""

    registry_version: int
    base_state: bytes


def is_inbox_key(key: str) -> bool:
    try:
        parse_inbox_key(key)
    except SchemaError:
        return False
    return True


def without_litter(listed: Iterable[ObjectInfo], *, known: Container[str]) -> Iterator[ObjectInfo]:
    """What may be an update, and of each folder the first object that cannot be one: enough to refuse it, not enough to flood a freeze. known: the clients
    there are; of others' folders the first object of the first 64."""
    seen: set[str] = set()
    strangers = 0
    for info in listed:
        parts, fits = info.key.split("/"), is_inbox_key(info.key)
        folder = "/".join(parts[:3])
        if fits and parts[2] in known:
            yield info
        elif folder not in seen:
            seen.add(folder)
            strangers += fits
            if not fits or strangers <= _MAX_STRANGERS:
                yield info


def read_arrivals(store: ObjectStore, arrivals: Arrivals, *, limits: Limits) -> Iterator[Arrival]:
    """What was listed, ascending by key, with its bytes or why they could not be read; as they come, so that what has come is judged while the store
    sends the next. Raises TransientError."""
    sizes = dict(sorted(arrivals.keys))
    updates = {key for key in sizes if is_inbox_key(key)}
    reading = store.read_many([k for k, size in sizes.items() if size <= limits.max_update_bytes and k in updates], max_bytes=limits.max_update_bytes)
    for key, size in sizes.items():
        got: bytes | TransportError | None = None
        error: HyperfedError | None = None
        if key not in updates:
            error = SchemaError("not an update's key", subject=key, rule="R-82", remedy="inbox/{round:08d}/{client}/{slot}, slots from 0")
        elif size <= limits.max_update_bytes:
            _, got = next(reading)
            if isinstance(got, TransientError):
                raise got  # the stage is tried again: a fault of the store must not look like a fault of the client
            error = got if isinstance(got, TransportError) else None
        yield Arrival(key=key, size=size, data=got if isinstance(got, bytes) else None, error=error)
