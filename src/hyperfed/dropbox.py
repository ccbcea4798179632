"""`DropBoxReader`: the drop-box as verified values. Every object is read whole, verified, then parsed, and checked to be the one its key promises.

1. The registry chain is verified from its root fingerprint; everything else with the keys in it (R-23, R-32).
2. An object speaks for the round and federation of its key; anything else there is an error, not a surprise later (R-51).
3. What was read and verified is kept: objects never change. So is the ledger's verified prefix (R-71), beyond the process where there is a place for it (R-75).
4. A plan says what its registry version says of window and digest: the coordinator's key may not change them (R-52).

Used by coordinator, clients, audit and `hyperfed inspect`. It does not write, and takes no decision.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.errors import AccessDenied, LedgerError, ObjectNotFound, PacketError, RegistryError, RoundError, SignatureError, TransportError
from hyperfed.global_model import GlobalModel
from hyperfed.keys import KeyPair
from hyperfed.ledger_copy import LedgerCopy
from hyperfed.protocol.ledger import Book, Chained
from hyperfed.protocol.objects import Freeze, LedgerEntry, Plan, Receipt, ReceiptPage, RoundState, Tombstone
from hyperfed.protocol.receipt_pages import open_receipt
from hyperfed.protocol.receipts import receipt_keys
from hyperfed.registry import Registry, read_registry
from hyperfed.rounds import Keys, page_of
from hyperfed.signing import PacketType, Signed, open_envelope, verify_envelope
from hyperfed.store import ObjectStore

__all__ = ["DropBoxReader", "Stored"]

T = TypeVar("T")

_KEPT = 32
_ENTRIES_AT_ONCE = 64
_MAX_ENTRY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Generic[T]):
    """An object of the drop-box: its value, its packet digest, and its verified envelope."""

    key: str
    value: T
    digest: bytes
    signed: Signed


class DropBoxReader:
    """Read one federation's drop-box. fingerprint: the root fingerprint that was compared out of band (None: not compared, for the operator's own machine);
    copy: where the ledger's entries are kept for the next process, None: nowhere."""

    def __init__(
        self, store: ObjectStore, *, fingerprint: str | None, not_below: int = 0, limits: Limits = DEFAULT_LIMITS, copy: LedgerCopy | None = None
    ) -> None:
        self.store, self.limits = store, limits
        self._fingerprint, self._not_below = fingerprint, not_below
        self._registries: list[tuple[Registry, bytes]] = []
        self._known: OrderedDict[str, Stored[Any]] = OrderedDict()
        self._lock = threading.Lock()  # of what is known: judging processes ask for bases from threads
        self._book: Book | None = None
        self._copy = copy
        self._envelopes: list[bytes] = []  # of the book's entries, while there is a copy to be written

    @property
    def registry(self) -> Registry:
        """The newest version, read once."""
        return self._newest()[0]

    @property
    def registry_digest(self) -> bytes:
        return self._newest()[1]

    def refresh_registry(self) -> Registry:
        """Read what versions came since: revocations work at the next freeze."""
        if not self._registries:
            return self.registry
        self._read_registries()
        return self.registry

    def _newest(self) -> tuple[Registry, bytes]:
        if not self._registries:
            self._read_registries()
        return self._registries[-1]

    def _read_registries(self) -> None:
        known = list(self._registries)
        while True:
            key = Keys.registry(len(known) + 1)
            try:
                data = self.store.read(key, max_bytes=self.limits.max_object_bytes)
            except ObjectNotFound:
                break
            fingerprint = None if known else self._fingerprint
            known.append(read_registry(data, before=known[-1] if known else None, fingerprint=fingerprint, subject=key, limits=self.limits))
        if not known:
            raise RegistryError(
                "this drop-box has no registry",
                subject=Keys.registry(1),
                remedy="The operator makes one with `hyperfed registry init`; check bucket and prefix",
            )
        if len(known) < self._not_below:
            raise RegistryError(
                f"the newest version is {len(known)}, this machine has seen {self._not_below}",
                subject="registry",
                rule="R-50",
                remedy="The drop-box was rolled back; ask the operator",
            )
        self._registries = known

    def registry_at(self, version: int) -> Registry:
        """A version, verified from the root."""
        return self.registry_version(version)[0]

    def registry_version(self, version: int) -> tuple[Registry, bytes]:
        """(registry, digest) of a version, verified from the root. Raises RegistryError."""
        if not 1 <= version <= self._newest()[0].version:
            self._read_registries()
        if not 1 <= version <= len(self._registries):
            raise RegistryError("is missing", subject=f"registry version {version}", rule="R-23", remedy="Restore the bucket from its versions")
        return self._registries[version - 1]

    def read(self, key: str, types: PacketType | Sequence[PacketType], kinds: dict[str, type[Any]], *, round_id: int) -> Stored[Any] | None:
        """A coordinator's object, verified and parsed, or None where there is none; kept, since it never changes.

        Raises SignatureError, SchemaError, TransportError, RoundError.
        """
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        try:
            data = self.store.read(key, max_bytes=self.limits.max_object_bytes)
        except ObjectNotFound:
            return None
        found = self.verify(data, key=key, types=types, kinds=kinds, round_id=round_id)
        with self._lock:
            self._known[key] = found
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found

    def verify(self, data: bytes, *, key: str, types: PacketType | Sequence[PacketType], kinds: dict[str, type[Any]], round_id: int) -> Stored[Any]:
        """The object in `data`, which lay at `key`."""
        signed = self._signed(data, key=key, types=types, round_id=round_id)
        registry = self.registry
        value = PayloadCodec(limits=self.limits.for_verified()).decode(signed.body, kinds[signed.type])
        said = (signed.header.federation, signed.header.round, value.federation, value.round)
        if said != (registry.federation, round_id, registry.federation, round_id):
            raise RoundError(
                f"speaks for round {signed.header.round} of federation {signed.header.federation!r:.40}",
                subject=key,
                rule="R-51",
                remedy="The object was moved from another place: restore the bucket from its versions",
            )
        return Stored(key=key, value=value, digest=signed.digest, signed=signed)

    def _signed(self, data: bytes, *, key: str, types: PacketType | Sequence[PacketType], round_id: int | None) -> Signed:
        """The envelope in `data`, signed by a coordinator's key (valid in the round)."""
        for last_try in (False, True):
            registry = self.refresh_registry() if last_try else self.registry  # the key may be newer than our copy of the registry
            try:
                return verify_envelope(open_envelope(data, subject=key), expect=types, key_of=partial(registry.coordinator_key, round_id=round_id), subject=key)
            except SignatureError:
                if last_try:
                    raise
        raise SignatureError("is not signed by the coordinator", subject=key, rule="R-32")

    def plan(self, round_id: int) -> Stored[Plan] | None:
        """Raises RoundError where it contradicts the registry, which the coordinator's key may not change (R-52)."""
        found: Stored[Plan] | None = self.read(Keys.plan(round_id), PacketType.PLAN, {PacketType.PLAN: Plan}, round_id=round_id)
        if found is not None:
            registry, digest = self.registry_version(found.value.registry_version)
            windows = registry.windows
            said = (found.value.registry_digest, found.value.opens, found.value.deadline)
            if said != (digest, windows.opens(round_id), windows.deadline(round_id)):
                raise RoundError(
                    f"does not follow from registry version {registry.version}",
                    subject=found.key,
                    rule="R-52",
                    remedy="The coordinator's key may not change windows or registry: tell the registry's roots",
                )
        return found

    def freeze(self, round_id: int) -> Stored[Freeze] | None:
        return self.read(Keys.freeze(round_id), PacketType.FREEZE, {PacketType.FREEZE: Freeze}, round_id=round_id)

    def result(self, round_id: int) -> Stored[GlobalModel] | Stored[Tombstone] | None:
        kinds: dict[str, type[Any]] = {PacketType.RESULT: GlobalModel, PacketType.TOMBSTONE: Tombstone}
        return self.read(Keys.result(round_id), [PacketType.RESULT, PacketType.TOMBSTONE], kinds, round_id=round_id)

    def state(self, round_id: int) -> Stored[RoundState] | None:
        return self.read(Keys.state(round_id), PacketType.STATE, {PacketType.STATE: RoundState}, round_id=round_id)

    def receipt(self, round_id: int, client: str, keys: KeyPair) -> Stored[Receipt] | None:
        """A client's receipt, of its own or in a page (R-44), opened with its keys. Raises RoundError where it is another's, SignatureError."""
        own, places = Keys.receipt(round_id, client), receipt_keys(round_id, client, clients=len(self.registry.clients), limits=self.limits)
        for key in places:
            try:
                found = self.own_receipt(round_id, client) if key == own else self._paged_receipt(round_id, client, keys)
            except AccessDenied:  # a client may have been given access to one of them only
                if key == places[0]:
                    raise
                continue
            if found is not None:
                return found
        return None

    def own_receipt(self, round_id: int, client: str) -> Stored[Receipt] | None:
        """The receipt that is an object of its own."""
        found: Stored[Receipt] | None = self.read(Keys.receipt(round_id, client), PacketType.RECEIPT, {PacketType.RECEIPT: Receipt}, round_id=round_id)
        if found is not None and (found.value.client != client or found.signed.header.audience != client):
            raise RoundError(f"is a receipt for {found.value.client!r:.40}", subject=found.key, rule="R-51")
        return found

    def receipt_page(self, round_id: int, number: int) -> Stored[ReceiptPage] | None:
        """A page of receipts, sealed as they are. Raises RoundError where it is another page, or names clients of another."""
        key, kinds = Keys.receipt_page(round_id, number), {str(PacketType.RECEIPT_PAGE): ReceiptPage}
        found: Stored[ReceiptPage] | None = self.read(key, PacketType.RECEIPT_PAGE, kinds, round_id=round_id)
        if found is not None and {found.value.page, *(page_of(entry.client) for entry in found.value.receipts)} != {number}:
            raise RoundError("is another page, or holds another page's receipts", subject=key, rule="R-51")
        return found

    def _paged_receipt(self, round_id: int, client: str, keys: KeyPair) -> Stored[Receipt] | None:
        page = self.receipt_page(round_id, page_of(client))
        receipt = None if page is None else open_receipt(page.value, client, keys, subject=page.key)
        return None if page is None or receipt is None else Stored(key=page.key, value=receipt, digest=page.digest, signed=page.signed)

    def ledger(self) -> list[Chained]:
        """The whole ledger, chain, signatures and grammar verified; only what is new is read, several entries at once. Raises LedgerError."""
        first = self._book is None
        if self._book is None:
            self._book = self._copied_book() or Book(self.registry.federation)
        known, ahead = len(self._book.entries), 1
        while self._read_entries(self._book, ahead):
            ahead = min(2 * ahead, _ENTRIES_AT_ONCE)
        if self._copy is not None and first and len(self._book.entries) > known:  # once a process: what comes later is the next one's to read
            self._copy.keep(self._envelopes)
        return list(self._book.entries)

    def _copied_book(self) -> Book | None:
        """R-75: what the copy holds, verified; None where there is nothing, or not what the store's ledger goes through."""
        self._envelopes.clear()
        envelopes = [] if self._copy is None else self._copy.load()
        if not envelopes:
            return None
        book = Book(self.registry.federation)
        try:
            if self.store.read(Keys.ledger(len(envelopes)), max_bytes=_MAX_ENTRY_BYTES) != envelopes[-1]:
                return None
            for number, data in enumerate(envelopes, 1):
                self._add(book, data, Keys.ledger(number))
        except (ObjectNotFound, PacketError, LedgerError):
            self._envelopes.clear()
            return None
        return book

    def verified_entries(self) -> list[Chained]:
        """What of the ledger was read and verified so far: as of the last call of `ledger`, or up to where it failed."""
        return list(self._book.entries) if self._book else []

    def check_entry(self, entry: LedgerEntry) -> None:
        """R-71, R-74: whether `entry` may follow what was read so far. Raises LedgerError."""
        if self._book is not None:
            self._book.check(entry)

    def _read_entries(self, book: Book, count: int) -> bool:
        """Whether the next `count` entries are all there. A hole is not an end: what was cut out of the middle shows here."""
        first = len(book.entries) + 1
        missing = ""
        for key, data in self.store.read_many([Keys.ledger(first + i) for i in range(count)], max_bytes=_MAX_ENTRY_BYTES):
            if isinstance(data, ObjectNotFound):
                missing = missing or key
            elif isinstance(data, TransportError):
                raise data
            elif missing:
                if self.store.head(missing) is None:  # else it was appended while we read
                    raise LedgerError(f"is missing, though {key} exists", subject=missing, rule="R-71", remedy="Restore the bucket from its versions")
                return True
            else:
                self._add(book, data, key)
        return not missing

    def _add(self, book: Book, data: bytes, key: str) -> None:
        signed = self._signed(data, key=key, types=PacketType.LEDGER, round_id=None)
        entry = PayloadCodec(limits=self.limits).decode(signed.body, LedgerEntry)
        said = (signed.header.federation, signed.header.round, signed.header.sequence, signed.header.previous)
        if said != (entry.federation, entry.round, entry.sequence, entry.previous):
            raise LedgerError("its header speaks of another entry", subject=key, rule="R-71", remedy="Run `hyperfed audit`")
        if self.registry.coordinator_key(signed.header.key_id, entry.round) is None:
            raise SignatureError(f"key {signed.header.key_id:.32} was not the coordinator's in round {entry.round}", subject=key, rule="R-81")
        book.add(entry, signed.digest)
        if self._copy is not None:
            self._envelopes.append(data)
