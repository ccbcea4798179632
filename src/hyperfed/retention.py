"""What of a drop-box may be forgotten, and the record of what was.

1. Only three things ever: inbox objects and remembered stage results, of rounds that have ended and lie `keep_rounds` behind the newest ended one; and what
   a merge across machines left (`coordinator.scratch`), of every round up to the newest ended one: rounds finish in order, so nobody works on it any more.
   Registry, plan, freeze, accepted updates, result, state, receipts and ledger are kept for ever: the audit needs them.
2. `keep_rounds` is at least what the protocol looks back (`REMEMBERED`): an inbox that a round may still take late updates from is not touched.
3. The record, signed by the coordinator, is written before the first object goes: `pruned/{number:06d}`. `hyperfed audit` verifies and tells it.

What it does not do: decide when (the housekeeping flow does).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hyperfed.adapters.erasing import erase
from hyperfed.codec import PayloadCodec
from hyperfed.dropbox import DropBoxReader
from hyperfed.errors import ConfigError, RoundError
from hyperfed.keys import KeyPair
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.objects import REMEMBERED, EntryKind
from hyperfed.rounds import Keys
from hyperfed.signing import PacketType, open_envelope, verify_envelope
from hyperfed.store import ObjectInfo, ObjectStore

__all__ = ["FOLDER", "KEEP_ROUNDS", "Pruned", "prunable", "prune", "read_pruned", "scratch_of"]

FOLDER = "pruned"
KEEP_ROUNDS = 90
_AT_ONCE = 10_000  # objects a record


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """keys: what was erased, ascending; sizes: bytes of each; round: the newest ended one then."""

    federation: str
    round: int
    keys: tuple[str, ...]
    sizes: tuple[int, ...]
    time: datetime


def _round_of(key: str) -> int:
    """The round of a key that may ever be pruned; 0 for every other key."""
    parts = key.split("/")
    at = {"inbox": 1, "prefect": 3, "rounds": 1}.get(parts[0], 0)
    right = at and len(parts) > at + 1 and (parts[0] == "inbox" or parts[1:3] == ["stages", "rounds"] or _is_scratch(key))
    return int(parts[at]) if right and parts[at].isdecimal() else 0


def _is_scratch(key: str) -> bool:
    parts = key.split("/")
    return len(parts) > 3 and parts[0] == "rounds" and parts[2] == "scratch"


def scratch_of(store: ObjectStore, round_id: int) -> list[ObjectInfo]:
    """What a merge across machines left of a round, ascending."""
    return list(store.list(Keys.scratch(round_id)))


def prunable(reader: DropBoxReader, *, keep_rounds: int = KEEP_ROUNDS) -> list[ObjectInfo]:
    """What may go now, in ascending order. Raises ConfigError where `keep_rounds` is less than the protocol looks back."""
    if keep_rounds < REMEMBERED:
        raise ConfigError(f"{keep_rounds} rounds are kept; at least {REMEMBERED} are needed", subject="housekeeping", remedy="Raise keep_rounds")
    ended = {c.entry.round for c in reader.ledger() if c.entry.kind is not EntryKind.RESERVE}
    last = max(ended, default=0) - keep_rounds
    listed = [info for prefix in ("inbox/", "prefect/stages/") for info in reader.store.list(prefix)]
    old = [info for info in listed if 0 < (number := _round_of(info.key)) <= last and (number in ended or reader.plan(number) is None)]
    return old + [info for r in sorted(ended) for info in scratch_of(reader.store, r)]


def prune(reader: DropBoxReader, *, keys: KeyPair, now: datetime, keep_rounds: int = KEEP_ROUNDS) -> Pruned | None:
    """Record and erase what may go; None where nothing may. A run that was interrupted is finished by the next, under a record of its own."""
    found = prunable(reader, keep_rounds=keep_rounds)[:_AT_ONCE]
    if not found:
        return None
    newest = max(c.entry.round for c in reader.ledger() if c.entry.kind is not EntryKind.RESERVE)
    record = Pruned(
        federation=reader.registry.federation,
        round=newest,
        keys=tuple(info.key for info in found),
        sizes=tuple(info.size for info in found),
        time=now.replace(microsecond=0),
    )
    key = f"{FOLDER}/{sum(1 for _ in reader.store.list(FOLDER + '/')) + 1:06d}"
    write = sign_object(key, PacketType.PRUNED, record, keys=keys, time=record.time, audience="coordinator", compression="zstd")
    if not reader.store.put_if_absent(write.key, write.data):
        raise RoundError("was written by another run just now", subject=write.key, remedy="Run housekeeping again")
    for info in found:
        erase(reader.store, info.key)
    return record


def read_pruned(reader: DropBoxReader, listed: Sequence[str]) -> list[tuple[str, Pruned]]:
    """The records under the listed keys, verified. Raises SignatureError, SchemaError, and RoundError for one that names what must be kept."""
    out = []
    for key in listed:
        data = reader.store.read(key, max_bytes=reader.limits.max_object_bytes)
        signed = verify_envelope(open_envelope(data, subject=key), expect=PacketType.PRUNED, key_of=reader.registry.coordinator_key, subject=key)
        record = PayloadCodec(limits=reader.limits).decode(signed.body, Pruned)
        if record.federation != reader.registry.federation or not all(_round_of(name) for name in record.keys):
            raise RoundError("names objects that are kept for ever", subject=key, remedy="Restore the bucket from its versions")
        out.append((key, record))
    return out
