"""A stick between the drop-box and a site without a network: what a client reads goes in, what it wrote comes out, nothing else.

1. In: registry, ledger, the last rounds' plans and results, the client's own receipts. Out: the client's own inbox slots of the last rounds.
2. Every object is verified before it is copied, byte by byte as it was signed, and read back and compared afterwards (R-31).
3. Both ways are create-only: what is there is compared, and never replaced (R-1). A run that was interrupted is gone on with by another one.
4. Ledger after results, plans last: a stick that was pulled out early shows an older night, never a broken one.

The site uses the stick as its drop-box; its memory of what it has seen stays inside, and holds against an old stick as it does against an old bucket (R-50).

What it does not do: read an update (it is sealed), decide whether it counts (the coordinator does).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.dropbox import DropBoxReader
from hyperfed.errors import AccessDenied, ObjectNotFound, ObjectTooLarge, PacketError, RefusedError, RegistryError, RoundError
from hyperfed.global_model import GlobalModel
from hyperfed.protocol.objects import EntryKind, Plan, Receipt, ReceiptPage, Tombstone
from hyperfed.protocol.receipts import receipt_keys
from hyperfed.registry import Registry, read_registry
from hyperfed.rounds import Keys, check_client_id
from hyperfed.signing import PacketType, open_envelope, verify_envelope
from hyperfed.store import ObjectStore
from hyperfed.validator import parse_inbox_key

__all__ = ["Carried", "carry_in", "carry_out"]

Kinds = dict[PacketType, type[Any]]
_RECEIPTS = 64  # as far back as a client without memory looks for its sequence


@dataclass(slots=True, kw_only=True)
class Carried:
    """Keys that were copied, keys that were there already, and what was left behind and why."""

    copied: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def put(self, store: ObjectStore, key: str, data: bytes) -> None:
        """Create `key`, and make sure that it holds `data`. Raises RefusedError where it holds something else."""
        created = store.put_if_absent(key, data)
        try:
            same = store.read(key, max_bytes=len(data)) == data
        except AccessDenied:  # not every client may read its inbox: then the store's word has to do
            same = True
        except (ObjectNotFound, ObjectTooLarge):
            same = False
        if not same:
            problem = "was not kept as it was written" if created else "holds something else there"
            raise RefusedError(problem, subject=key, rule="R-1", remedy="Nothing was replaced. Use another stick, or the next slot; tell the operator")
        (self.copied if created else self.there).append(key)


def carry_in(
    drop_box: ObjectStore, stick: ObjectStore, *, client: str, fingerprint: str | None, now: datetime, last: int = 8, limits: Limits = DEFAULT_LIMITS
) -> Carried:
    """Copy what `client` reads to the stick; last: of how many rounds, up to the one that runs at `now`. What does not verify stops it, and is not copied.

    Raises RegistryError, PacketError, RoundError, LedgerError, TransportError.
    """
    check_client_id(client)
    reader = DropBoxReader(drop_box, fingerprint=fingerprint, limits=limits)
    ledger, registry = reader.ledger(), reader.registry
    current = registry.windows.round_at(max(now, registry.genesis))
    rounds = range(max(1, current - last + 1), current + 1)
    ends = [c.entry for c in ledger if c.entry.kind is not EntryKind.RESERVE]
    committed = [e.round for e in ends if e.kind is EntryKind.COMMIT][-1:]
    with_receipts = sorted({e.round for e in ends})[-_RECEIPTS:]
    carried = Carried()
    for key, data in _registries(reader, registry.version, fingerprint):
        carried.put(stick, key, data)
    results: Kinds = {PacketType.RESULT: GlobalModel, PacketType.TOMBSTONE: Tombstone}
    objects: list[tuple[str, int, Kinds]] = [(Keys.result(r), r, results) for r in sorted({*rounds, *committed})]
    for r in with_receipts:
        for key in receipt_keys(r, client, clients=len(registry.clients), limits=limits):
            own = key == Keys.receipt(r, client)
            objects.append((key, r, {PacketType.RECEIPT: Receipt} if own else {PacketType.RECEIPT_PAGE: ReceiptPage}))
    for key, round_id, kinds in objects:
        _copy(reader, stick, key, round_id, kinds, carried)
    for chained in ledger:
        key = Keys.ledger(chained.entry.sequence)
        data = drop_box.read(key, max_bytes=limits.max_object_bytes)
        signed = verify_envelope(open_envelope(data, subject=key), expect=PacketType.LEDGER, key_of=registry.coordinator_key, subject=key)
        if signed.digest != chained.digest:
            raise RoundError("changed while it was read", subject=key, rule="R-71", remedy="Tell the operator; run `hyperfed audit`")
        carried.put(stick, key, data)
    for round_id in rounds:
        _copy(reader, stick, Keys.plan(round_id), round_id, {PacketType.PLAN: Plan}, carried)
    return carried


def _registries(reader: DropBoxReader, version: int, fingerprint: str | None) -> Iterator[tuple[str, bytes]]:
    before: tuple[Registry, bytes] | None = None
    for number in range(1, version + 1):
        key = Keys.registry(number)
        data = reader.store.read(key, max_bytes=reader.limits.max_object_bytes)
        before = read_registry(data, before=before, fingerprint=None if before else fingerprint, subject=key, limits=reader.limits)
        yield key, data


def _copy(reader: DropBoxReader, stick: ObjectStore, key: str, round_id: int, kinds: Kinds, carried: Carried) -> None:
    """One of the coordinator's objects, where there is one."""
    try:
        data = reader.store.read(key, max_bytes=reader.limits.max_object_bytes)
    except ObjectNotFound:
        return
    reader.verify(data, key=key, types=[*kinds], kinds={str(k): v for k, v in kinds.items()}, round_id=round_id)
    carried.put(stick, key, data)


def carry_out(
    stick: ObjectStore, drop_box: ObjectStore, *, client: str, fingerprint: str | None, now: datetime, last: int = 2, limits: Limits = DEFAULT_LIMITS
) -> Carried:
    """Copy what `client` wrote for the last rounds to the drop-box. What is not its own signed update is left behind and named; so is a slot that is taken.

    Raises RegistryError, PacketError where the drop-box's registry does not verify; TransportError.
    """
    check_client_id(client)
    reader = DropBoxReader(drop_box, fingerprint=fingerprint, limits=limits)
    registry = reader.registry
    current = registry.windows.round_at(max(now, registry.genesis))
    carried = Carried()
    for round_id in range(max(1, current - last + 1), current + 1):
        for info in stick.list(Keys.inbox(round_id)):
            try:
                data = stick.read(info.key, max_bytes=limits.max_update_bytes)
                _check_update(data, info.key, client, registry)
                carried.put(drop_box, info.key, data)
            except (PacketError, RegistryError, ObjectTooLarge) as error:
                carried.refused.append((info.key, str(error)))
    return carried


def _check_update(data: bytes, key: str, client: str, registry: Registry) -> None:
    """The client's own update for the round it lies in, signed with a key that is registered for it. Its body stays sealed."""
    round_id, folder, _ = parse_inbox_key(key)
    if folder != client:
        raise RefusedError(f"lies in the folder of {folder!r:.40}", subject=key, rule="R-82", remedy=f"Only {client}'s own updates are carried")
    own = {r.keys.key_id: r.keys.signing for r in registry.client(client).keys if r.valid_in(round_id)}
    header = verify_envelope(open_envelope(data, subject=key), expect=PacketType.UPDATE, key_of=own.get, subject=key).header
    if (header.federation, header.round, header.sender) != (registry.federation, round_id, client):
        raise RefusedError(f"made by {header.sender!r:.40} for round {header.round}", subject=key, rule="R-84", remedy="It lies in the wrong place")
