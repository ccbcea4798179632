"""Check the drop-box's store: whether it answers, takes what is new, and keeps what it has.

1. One key is created where it is not there yet, created again, read and listed. A second create
   that is taken, or that changes a byte, is critical: the protocol rests on it (R-1).
2. The coordinator's key is below `probe/` and has the day's date, so that something is really
   written once a day. A client's is a slot of round 0 in its own inbox, which no round looks at;
   once it is there, the refusal proves the right to write, because stores ask for the right first.
3. Links and readers without a key have nothing that they may write here, and the finding says so.

What it does not do: try every rule (`hyperfed check store` does).
"""

from datetime import datetime

from hyperfed.config import DEFAULT_LIMITS
from hyperfed.errors import HyperfedError
from hyperfed.operations.health.finding import Finding, Level
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.clock import said_of
from hyperfed.storage.store import ObjectStore

__all__ = ["clock_finding", "key_of_check", "store_finding"]

_DATA = b"hyperfed check\n"
_MAX_BYTES = 4096


def key_of_check(*, client: str | None, coordinator: bool, links: bool, now: datetime) -> str:
    """Return the key that a party writes to prove that it may; empty where there is none."""
    if coordinator:
        return f"probe/check/{now:%Y-%m-%d}"
    return Keys.inbox(0, client, 0) if client is not None and not links else ""


def store_finding(store: ObjectStore, key: str) -> Finding:
    """Return how the store stands. `key` is what to create there; empty: nothing is written."""
    if not key:
        return Finding(
            name="store",
            level=Level.GOOD,
            said=f"{store.location} is read; with these settings nothing is written there",
        )
    try:
        problem = _problem(store, key)
    except HyperfedError as error:
        return Finding.of_error("store", error)
    if problem:
        return Finding(
            name="store",
            level=Level.CRITICAL,
            said=f"{store.location}: {key} {problem} [R-1]",
            remedy=(
                "Stop the rounds: two could have a result. `hyperfed check store` says which "
                "rule the store breaks"
            ),
        )
    said = f"{store.location} creates once, reads and lists"
    return Finding(name="store", level=Level.GOOD, said=said)


def _problem(store: ObjectStore, key: str) -> str:
    """Return what is wrong with creating, reading or listing a key, or ""."""
    store.put_if_absent(key, _DATA)
    before = store.read(key, max_bytes=_MAX_BYTES)
    if store.put_if_absent(key, b"a second create\n"):
        return "was created a second time"
    if store.read(key, max_bytes=_MAX_BYTES) != before:
        return "was changed by a create that was refused"
    if [(info.key, info.size) for info in store.list(key)] != [(key, len(before))]:
        return "is there and is not listed"
    return ""


def clock_finding(store: ObjectStore) -> Finding:
    """Return how this machine's clock stands against the store's. It needs an answer before."""
    skew, most = store.clock_skew_s, DEFAULT_LIMITS.clock_skew_s
    if skew is None:
        said = "this drop-box has no clock to compare with"
        return Finding(name="clock", level=Level.GOOD, said=said)
    level = (
        Level.CRITICAL
        if abs(skew) > most
        else Level.WARNING
        if abs(skew) > most / 2
        else Level.GOOD
    )
    return Finding(
        name="clock",
        level=level,
        said=f"{said_of(skew)}; {most:.0f} s are tolerated",
        remedy=""
        if level is Level.GOOD
        else "Set the clock (timedatectl set-ntp true), unless the store's is the wrong one",
    )
