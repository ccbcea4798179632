"""Carry a stick between the drop-box and a site without a network.

What a client reads goes in, what it wrote comes out, and nothing else is transferred.

1. The registry, the ledger, the plans and results of the last rounds and the client's own receipts
   go in. The client's own inbox slots of the last rounds come out. Of secure sums both take along
   what a client, or a helper, reads and writes (`offline_openings`).
2. Every object is verified before it is copied. The copy has the very bytes that were signed, and
   is read back and compared (R-31).
3. Both ways only create objects: what is there already is compared, and never replaced (R-1). The
   next run finishes one that was interrupted.
4. The ledger follows the results, and the plans come last. A stick that was pulled out early
   therefore shows an older round, never a broken one.

The site uses the stick as its drop-box. Its memory of what it has seen stays at the site, and
protects it from an old stick as it does from an old bucket (R-50).

What it does not do: read an update (its body is sealed), or decide whether an update counts (the
coordinator does).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import PacketType, open_envelope, verify_envelope
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.dropbox.registries import RegistryChain
from hyperfed.errors import (
    AccessDenied,
    ObjectNotFound,
    ObjectTooLarge,
    PacketError,
    RefusedError,
    RegistryError,
    RoundError,
)
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.offline_openings import AHEAD, own_parts, parts_to_read, reserved_before
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.object_keys import Keys, parse_inbox_key
from hyperfed.protocol.objects import (
    Plan,
    Tombstone,
)
from hyperfed.protocol.receipt_objects import (
    Receipt,
    ReceiptPage,
)
from hyperfed.protocol.receipts import receipt_keys
from hyperfed.registry.registry import Registry
from hyperfed.registry.windows import check_client_id
from hyperfed.storage.store import ObjectStore

__all__ = ["Transferred", "transfer_in", "transfer_out"]

Kinds = dict[PacketType, type[Any]]
_RECEIPTS = 64  # a client without memory looks this many ended rounds back for its sequence


@dataclass(slots=True, kw_only=True)
class Transferred:
    """Holds what a run has transferred so far."""

    copied: list[str] = field(default_factory=list)
    """The keys that were copied."""
    there: list[str] = field(default_factory=list)
    """The keys that held the same bytes already."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(key, reason) of what was left behind."""

    def put(self, store: ObjectStore, key: str, data: bytes) -> None:
        """Create `key`, make sure that it holds `data`, and record it.

        Raises RefusedError where it holds something else (R-1). The comparison is skipped where the
        store does not let the key be read.
        """
        created = store.put_if_absent(key, data)
        try:
            same = store.read(key, max_bytes=len(data)) == data
        except AccessDenied:  # not every client may read its inbox; then the store is believed
            same = True
        except (ObjectNotFound, ObjectTooLarge):
            same = False
        if not same:
            problem = "was not kept as it was written" if created else "holds something else there"
            raise RefusedError(
                problem,
                subject=key,
                rule="R-1",
                remedy="Nothing was replaced. Use another stick, or the next slot; tell the "
                "operator",
            )
        (self.copied if created else self.there).append(key)

    def put_part(self, store: ObjectStore, key: str, part: bytes | str) -> None:
        """Create `key` with a part's bytes, or record why it is left behind."""
        if isinstance(part, str):
            self.refused.append((key, part))
            return
        try:
            self.put(store, key, part)
        except RefusedError as error:
            self.refused.append((key, str(error)))


def transfer_in(
    drop_box: ObjectStore,
    stick: ObjectStore,
    *,
    client: str,
    fingerprint: str | None,
    now: datetime,
    last: int = 8,
    limits: Limits = DEFAULT_LIMITS,
) -> Transferred:
    """Copy what a client reads to the stick, and return what was copied.

    The first object that does not verify ends the run, and is not copied.

    Args:
        drop_box: The federation's drop-box.
        stick: The store that is carried to the site.
        client: The id of the client whose receipts go along.
        fingerprint: The registry's root fingerprint, compared out of band; None: not compared.
        now: The instant that decides which round runs.
        last: The number of rounds whose plans and results are copied, up to the one that runs.
        limits: The limits of what is read.

    Raises RegistryError, PacketError, RoundError, LedgerError and RefusedError for what does not
    verify, TransportError where a store cannot be used.
    """
    check_client_id(client)
    reader = DropBoxReader(drop_box, fingerprint=fingerprint, limits=limits)
    ledger, registry = reader.ledger(), reader.registry
    current = registry.windows.round_at(max(now, registry.genesis))
    rounds = range(max(1, current - last + 1), current + 1)
    ends = [c.entry for c in ledger if c.entry.kind is not EntryKind.RESERVE]
    committed = [e.round for e in ends if e.kind is EntryKind.COMMIT][-1:]
    with_receipts = sorted({e.round for e in ends})[-_RECEIPTS:]
    transferred = Transferred()
    chain = RegistryChain(fingerprint=fingerprint, limits=limits)
    for version, data in enumerate(chain.read_new(drop_box, until=registry.version), start=1):
        transferred.put(stick, Keys.registry(version), data)
    results: Kinds = {PacketType.RESULT: GlobalModel, PacketType.TOMBSTONE: Tombstone}
    objects: list[tuple[str, int, Kinds]] = [
        (Keys.result(r), r, results) for r in sorted({*rounds, *committed})
    ]
    for r in with_receipts:
        for key in receipt_keys(r, client, clients=len(registry.clients), limits=limits):
            is_receipt = key == Keys.receipt(r, client)
            objects.append(
                (
                    key,
                    r,
                    {PacketType.RECEIPT: Receipt}
                    if is_receipt
                    else {PacketType.RECEIPT_PAGE: ReceiptPage},
                )
            )
    for key, round_id, kinds in objects:
        _copy(reader, stick, key, round_id, kinds, transferred)
    for round_id in rounds:
        for key, part in parts_to_read(reader, round_id, client):
            transferred.put_part(stick, key, part)
    for key, part in reserved_before(reader, client):
        transferred.put_part(stick, key, part)
    for chained in ledger:
        key = Keys.ledger(chained.entry.sequence)
        data = drop_box.read(key, max_bytes=limits.max_object_bytes)
        signed = verify_envelope(
            open_envelope(data, subject=key),
            expect=PacketType.LEDGER,
            key_of=registry.coordinator_key,
            subject=key,
        )
        if signed.digest != chained.digest:
            raise RoundError(
                "changed while it was read",
                subject=key,
                rule="R-71",
                remedy="Tell the operator; run `hyperfed audit`",
            )
        transferred.put(stick, key, data)
    for round_id in rounds:
        _copy(reader, stick, Keys.plan(round_id), round_id, {PacketType.PLAN: Plan}, transferred)
    return transferred


def _copy(
    reader: DropBoxReader,
    stick: ObjectStore,
    key: str,
    round_id: int,
    kinds: Kinds,
    transferred: Transferred,
) -> None:
    """Verify and copy one of the coordinator's objects, if it is there."""
    try:
        data = reader.store.read(key, max_bytes=reader.limits.max_object_bytes)
    except ObjectNotFound:
        return
    reader.verify(
        data,
        key=key,
        types=[*kinds],
        kinds={str(k): v for k, v in kinds.items()},
        round_id=round_id,
    )
    transferred.put(stick, key, data)


def transfer_out(
    stick: ObjectStore,
    drop_box: ObjectStore,
    *,
    client: str,
    fingerprint: str | None,
    now: datetime,
    last: int = 2,
    limits: Limits = DEFAULT_LIMITS,
) -> Transferred:
    """Copy what a client wrote for the last rounds to the drop-box, and return what was copied.

    What is not the client's own signed update, or part of an opening, is left behind and named. So
    is one whose place holds something else in the drop-box.

    Args:
        stick: The store that was carried from the site.
        drop_box: The federation's drop-box.
        client: The id of the client whose updates are copied.
        fingerprint: The registry's root fingerprint, compared out of band; None: not compared.
        now: The instant that decides which round runs.
        last: The number of rounds whose updates are copied, up to the one that runs.
        limits: The limits of what is read.

    Raises RegistryError and PacketError where the drop-box's registry does not verify,
    TransportError where a store cannot be used.
    """
    check_client_id(client)
    reader = DropBoxReader(drop_box, fingerprint=fingerprint, limits=limits)
    registry = reader.registry
    current = registry.windows.round_at(max(now, registry.genesis))
    transferred = Transferred()
    for round_id in range(max(1, current - last + 1), current + AHEAD + 1):
        # boxes first: an update without them would take the client's only slot
        for key, part in own_parts(stick, registry, round_id, client, limits=limits):
            transferred.put_part(drop_box, key, part)
    for round_id in range(max(1, current - last + 1), current + 1):
        for info in stick.list(Keys.inbox(round_id)):
            try:
                data = stick.read(info.key, max_bytes=limits.max_update_bytes)
                _check_update(data, info.key, client, registry)
                transferred.put(drop_box, info.key, data)
            except (PacketError, RegistryError, ObjectTooLarge) as error:
                transferred.refused.append((info.key, str(error)))
    return transferred


def _check_update(data: bytes, key: str, client: str, registry: Registry) -> None:
    """Check that `data` is the client's own update for the round whose inbox it lies in.

    It must be signed with a key that the client may use in that round. The body stays sealed.
    Raises PacketError and RegistryError.
    """
    round_id, folder, _ = parse_inbox_key(key)
    if folder != client:
        raise RefusedError(
            f"lies in the folder of {folder!r:.40}",
            subject=key,
            rule="R-82",
            remedy=f"Take it off the stick: only {client}'s own updates are carried",
        )
    client_keys = {
        r.keys.key_id: r.keys.signing for r in registry.client(client).keys if r.valid_in(round_id)
    }
    header = verify_envelope(
        open_envelope(data, subject=key),
        expect=PacketType.UPDATE,
        key_of=client_keys.get,
        subject=key,
    ).header
    if (header.federation, header.round, header.sender) != (registry.federation, round_id, client):
        raise RefusedError(
            f"made by {header.sender!r:.40} for round {header.round}",
            subject=key,
            rule="R-84",
            remedy="Take it off the stick: it lies in the wrong place",
        )
