"""Erase what a drop-box no longer needs, and record what was erased.

1. Only five kinds of object are ever erased. Inbox objects, remembered stage results and gossip go
   when their round has ended or was never opened, and lies `keep_rounds` behind the newest round
   that has ended. The first epoch of gossip stays, because a client whose guard was lost counts by
   it. What a merge across machines left (`dropbox.scratch`) and the seed of a round's noise
   (`protocol.round_noise`) go when their round has ended. Rounds finish in order, so nobody works
   on them any more, and a stolen coordinator's key would open every seed that is left. Registry,
   plan, freeze, accepted updates, result, state, receipts and ledger are kept for ever, because the
   audit needs them.
2. `keep_rounds` is at least as many rounds as the protocol looks back (`REMEMBERED`), so that no
   inbox is touched that a round may still take late updates from.
3. A record, signed by the coordinator, is written at `pruned/{number:06d}` before the first object
   is erased. `hyperfed audit` verifies and reports it.

What it does not do: decide when (the housekeeping flow does).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import PacketType, open_envelope, verify_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import RESTORE_BUCKET, ConfigError, RoundError
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.object_keys import Keys, parse_key
from hyperfed.protocol.objects import (
    REMEMBERED,
)
from hyperfed.storage.clock import check_clock
from hyperfed.storage.erasing import erase
from hyperfed.storage.store import ObjectInfo, ObjectStore

__all__ = ["KEEP_ROUNDS", "Pruned", "prunable", "prune", "read_pruned", "scratch_of"]

KEEP_ROUNDS = 90
"""How many rounds are kept unless the caller says otherwise."""
_AT_ONCE = 10_000  # one record names at most this many objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """Records what one run of housekeeping erased."""

    federation: str
    """The federation's name."""
    round: int
    """The newest round that had ended."""
    keys: tuple[str, ...]
    """The keys of the objects that were erased, ascending."""
    sizes: tuple[int, ...]
    """The size of each in bytes."""
    time: datetime
    """When the record was written, to the second."""


def _round_of(key: str) -> int:
    """Return the round of a key that may be pruned at some time, and 0 for every other key."""
    parts = parse_key(key)
    # scratch objects and noise are of no use once their round has ended
    # a client whose guard was lost counts its first epochs again
    gossip = parts.kind == "gossip" and parts.number > 0
    scratch = key.startswith(Keys.scratch(parts.round))
    may = parts.kind in ("inbox", "stage", "noise") or gossip or scratch
    return parts.round if may else 0


def scratch_of(store: ObjectStore, round_id: int) -> list[ObjectInfo]:
    """Return the objects that a merge across machines left of a round, ascending by key."""
    return list(store.list(Keys.scratch(round_id)))


def prunable(reader: DropBoxReader, *, keep_rounds: int = KEEP_ROUNDS) -> list[ObjectInfo]:
    """Return the objects that may be erased now, in the order in which they are erased.

    They are inboxes, gossip, stage results, and what ended rounds left: scratch objects and seeds
    of noise.

    Raises ConfigError where `keep_rounds` is less than the protocol looks back.
    """
    if keep_rounds < REMEMBERED:
        raise ConfigError(
            f"{keep_rounds} rounds are kept; at least {REMEMBERED} are needed",
            subject="housekeeping",
            remedy="Raise keep_rounds",
        )
    entries = [c.entry for c in reader.ledger()]
    ended = {entry.round for entry in entries if entry.kind is not EntryKind.RESERVE}
    last = max(ended, default=0) - keep_rounds
    listed = [
        info
        for prefix in ("inbox/", "gossip/", "prefect/stages/")
        for info in reader.store.list(prefix)
    ]
    old = [
        info
        for info in listed
        if 0 < (number := _round_of(info.key)) <= last
        and (number in ended or reader.plan(number, or_none=True) is None)
    ]
    noised = sorted(ended & {entry.round for entry in entries if entry.noise})
    seeds = [info for r in noised if (info := reader.store.head(Keys.noise(r))) is not None]
    return old + [info for r in sorted(ended) for info in scratch_of(reader.store, r)] + seeds


def prune(
    reader: DropBoxReader, *, key_pair: KeyPair, now: datetime, keep_rounds: int = KEEP_ROUNDS
) -> Pruned | None:
    """Record what may be erased, erase it, and return the record; None where there is nothing.

    A run erases at most 10,000 objects. What an interrupted run leaves is erased by the next one,
    under a record of its own. Raises ConfigError as `prunable` does, and where the clocks differ by
    more than the federation tolerates; RoundError where another run has just written the record.
    """
    old_objects = prunable(reader, keep_rounds=keep_rounds)[:_AT_ONCE]
    if not old_objects:
        return None
    check_clock(reader.store, most_s=reader.limits.clock_skew_s)
    newest = max(c.entry.round for c in reader.ledger() if c.entry.kind is not EntryKind.RESERVE)
    record = Pruned(
        federation=reader.registry.federation,
        round=newest,
        keys=tuple(info.key for info in old_objects),
        sizes=tuple(info.size for info in old_objects),
        time=now.replace(microsecond=0),
    )
    key = Keys.pruned(sum(1 for _ in reader.store.list("pruned/")) + 1)
    write = sign_object(
        key,
        PacketType.PRUNED,
        record,
        key_pair=key_pair,
        time=record.time,
        audience="coordinator",
        compression="zstd",
    )
    if not reader.store.put_if_absent(write.key, write.data):
        raise RoundError(
            "was written by another run just now",
            subject=write.key,
            remedy="Run housekeeping again",
        )
    for info in old_objects:
        erase(reader.store, info.key)
    return record


def read_pruned(reader: DropBoxReader, listed: Sequence[str]) -> list[tuple[str, Pruned]]:
    """Return (key, record) for each of the listed keys, verified.

    Raises SignatureError, SchemaError, and RoundError for a record that is of another federation or
    names what must be kept.
    """
    out = []
    for key in listed:
        data = reader.store.read(key, max_bytes=reader.limits.max_object_bytes)
        signed = verify_envelope(
            open_envelope(data, subject=key),
            expect=PacketType.PRUNED,
            key_of=reader.registry.coordinator_key,
            subject=key,
        )
        record = PayloadCodec(limits=reader.limits).decode(signed.body, Pruned)
        if record.federation != reader.registry.federation or not all(
            _round_of(name) for name in record.keys
        ):
            raise RoundError(
                "names objects that are kept for ever",
                subject=key,
                remedy=RESTORE_BUCKET,
            )
        out.append((key, record))
    return out
