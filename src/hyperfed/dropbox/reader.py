"""Read a drop-box's objects and return them as verified values (`DropBoxReader`).

Every object is read whole, verified, then parsed, and checked to be the one that its key promises.

1. The registry chain is verified from its root fingerprint, and everything else with the keys in
   the registry (R-23, R-32).
2. An object speaks for the round and federation of its key. Anything else there is an error at
   once, not a surprise later (R-51).
3. What was read and verified is kept, because objects never change. So is the ledger's verified
   prefix (R-71), beyond the process where there is a place for it (R-75).
4. A plan must follow from the registry version it names: the coordinator's key may not change what
   the roots have signed (R-52, R-125, R-126), nor keep a round open for longer (R-116).
5. Nothing that speaks for a round which has not begun is believed (R-115).

Used by coordinator, clients, audit and `hyperfed inspect`.

What it does not do: write, or take a decision.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import PacketType, Signed, open_envelope, verify_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.ledger_copy import LedgerCopy
from hyperfed.dropbox.ledger_reader import LedgerReader
from hyperfed.dropbox.registries import RegistryChain
from hyperfed.errors import (
    RESTORE_BUCKET,
    AccessDenied,
    ObjectNotFound,
    RegistryError,
    RoundError,
    SignatureError,
)
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.protocol.entries import (
    LedgerEntry,
)
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    RoundState,
    Tombstone,
)
from hyperfed.protocol.plan_checks import baskets_of, check_follows, not_derived
from hyperfed.protocol.receipt_objects import (
    Receipt,
    ReceiptPage,
)
from hyperfed.protocol.receipt_pages import open_receipt
from hyperfed.protocol.receipts import receipt_keys
from hyperfed.protocol.round_noise import RoundNoise
from hyperfed.registry.registry import Registry
from hyperfed.registry.windows import check_instant
from hyperfed.storage.store import ObjectStore

__all__ = ["DropBoxReader", "Stored"]

T = TypeVar("T")

_KEPT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Generic[T]):
    """Holds an object of the drop-box, verified."""

    key: str
    """Key under which it lies."""
    value: T
    """Its parsed value."""
    digest: bytes
    """Its packet digest, 32 bytes."""
    signed: Signed
    """Its verified envelope."""


class DropBoxReader:
    """Reads one federation's drop-box.

    `fingerprint` is the root fingerprint that was compared out of band; with None it is not
    compared, which is for the operator's own machine. `not_below` is the newest registry version
    that this machine has seen. `copy` keeps the ledger's entries for the next process; with None
    they are not kept. `now` is the instant of the reading; with None nothing is refused for being
    ahead of its time.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        fingerprint: str | None,
        not_below: int = 0,
        limits: Limits = DEFAULT_LIMITS,
        copy: LedgerCopy | None = None,
        now: datetime | None = None,
    ) -> None:
        self.store, self.limits = store, limits
        self.now = None if now is None else check_instant(now)
        newest_version = 0 if copy is None else copy.load().registry_version
        self._not_below = max(not_below, newest_version)
        self._registries = RegistryChain(fingerprint=fingerprint, limits=limits)
        self._known: OrderedDict[str, Stored[Any]] = OrderedDict()
        self._followed: set[bytes] = set()  # plans that follow from their registry, by digest
        self._ledger = LedgerReader(store, limits=limits, copy=copy)

    @property
    def registry(self) -> Registry:
        """The newest version of the registry, which is read once."""
        return self._newest()[0]

    @property
    def registry_digest(self) -> bytes:
        return self._newest()[1]

    def refresh_registry(self) -> Registry:
        """Read the versions that came since the last look, and return the newest one.

        So a revocation works at the next freeze.
        """
        self._registries.read_new(self.store)
        return self.registry

    def _newest(self) -> tuple[Registry, bytes]:
        if not self._registries.versions:
            self._registries.read_new(self.store)
        return self._registries.newest(not_below=self._not_below)

    def registry_at(self, version: int) -> Registry:
        """Return a version of the registry, verified from the root."""
        return self.registry_version(version)[0]

    def registry_version(self, version: int) -> tuple[Registry, bytes]:
        """Return (registry, digest) of a version, verified from the root.

        Raises RegistryError where the version is missing.
        """
        if not 1 <= version <= self._newest()[0].version:
            self._registries.read_new(self.store)
        if not 1 <= version <= len(self._registries.versions):
            raise RegistryError(
                "is missing",
                subject=f"registry version {version}",
                rule="R-23",
                remedy=RESTORE_BUCKET,
            )
        return self._registries.versions[version - 1]

    def read(
        self,
        key: str,
        types: PacketType | Sequence[PacketType],
        kinds: dict[str, type[Any]],
        *,
        round_id: int,
    ) -> Stored[Any] | None:
        """Return a coordinator's object, verified and parsed, or None where there is none.

        The object is kept in memory, since it never changes. Raises SignatureError, SchemaError,
        TransportError or RoundError.
        """
        cached = self._known.get(key)
        if cached is not None:
            self._known.move_to_end(key)
            return cached
        try:
            data = self.store.read(key, max_bytes=self.limits.max_object_bytes)
        except ObjectNotFound:
            return None
        stored = self.verify(data, key=key, types=types, kinds=kinds, round_id=round_id)
        self._known[key] = stored
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return stored

    def verify(
        self,
        data: bytes,
        *,
        key: str,
        types: PacketType | Sequence[PacketType],
        kinds: dict[str, type[Any]],
        round_id: int,
    ) -> Stored[Any]:
        """Return the object in `data`, which lay at `key`, verified and parsed.

        Raises RoundError where it speaks for another round or federation (R-51).
        """
        signed = self.signed(data, key=key, types=types, round_id=round_id)
        registry = self.registry
        value = PayloadCodec(limits=self.limits.for_verified()).decode(
            signed.body, kinds[signed.type]
        )
        names = (signed.header.federation, signed.header.round, value.federation, value.round)
        if names != (registry.federation, round_id, registry.federation, round_id):
            raise RoundError(
                f"speaks for round {signed.header.round} of federation "
                f"{signed.header.federation!r:.40}",
                subject=key,
                rule="R-51",
                remedy="The object was moved from another place: restore the bucket from its "
                "versions",
            )
        self.check_begun(round_id, key)
        return Stored(key=key, value=value, digest=signed.digest, signed=signed)

    def check_fresh(self) -> None:
        """Raise RegistryError where the newest registry version has expired (R-122)."""
        if self.now is None:
            return
        try:
            self.registry.check_fresh(self.now, skew_s=self.limits.clock_skew_s)
        except RegistryError:  # it may have been renewed since it was read
            self.refresh_registry().check_fresh(self.now, skew_s=self.limits.clock_skew_s)

    def check_begun(self, round_id: int, key: str) -> None:
        """Raise RoundError where the object at `key` speaks for a round to come (R-115)."""
        if self.now is not None:
            self.registry.windows.check_begun(
                round_id, self.now, subject=key, skew_s=self.limits.clock_skew_s
            )

    def signed(
        self,
        data: bytes,
        *,
        key: str,
        types: PacketType | Sequence[PacketType],
        round_id: int | None,
    ) -> Signed:
        """Return the envelope in `data`, once a coordinator's key verifies it.

        The key must be valid in the round `round_id`; with None, in any round. Raises
        SignatureError or SchemaError.
        """
        for last_try in (False, True):
            # the key may be newer than our copy of the registry
            registry = self.refresh_registry() if last_try else self.registry
            try:
                return verify_envelope(
                    open_envelope(data, subject=key),
                    expect=types,
                    key_of=partial(registry.coordinator_key, round_id=round_id),
                    subject=key,
                )
            except SignatureError:
                if last_try:
                    raise
        raise SignatureError("is not signed by the coordinator", subject=key, rule="R-32")

    def plan_as_it_lies(self, round_id: int) -> Stored[Plan] | None:
        """Return the round's plan, signed by the coordinator, whether or not it follows.

        Nobody acts on it; it shows what its signer asked for.
        """
        kinds: dict[str, type[Any]] = {PacketType.PLAN: Plan}
        return self.read(Keys.plan(round_id), PacketType.PLAN, kinds, round_id=round_id)

    def plan(self, round_id: int, *, or_none: bool = False) -> Stored[Plan] | None:
        """Return the round's plan, or None where there is none.

        Raises RoundError where the plan contradicts the registry, which the coordinator's key may
        not change (R-52, R-125, R-126). or_none: whether such a plan counts as none.
        """
        stored_plan = self.plan_as_it_lies(round_id)
        if stored_plan is None or stored_plan.digest in self._followed:
            return stored_plan
        try:
            registry, digest = self.registry_version(stored_plan.value.registry_version)
            check_follows(stored_plan.value, registry, digest)
            registry.check_close_by(round_id, stored_plan.value.close_by)
            self._check_baskets(stored_plan.value)
        except RoundError:
            if not or_none:
                raise
            return None
        self._followed.add(stored_plan.digest)
        return stored_plan

    def _check_baskets(self, plan: Plan) -> None:
        """Raise RoundError where a plan's baskets do not follow from its newest commit (R-102).

        They are not computed again where that commit's freeze cannot be read, as with links.
        """
        if not plan.policy.basket_minimum:
            return
        last = plan.newest_commit_round
        try:
            before = self.plan_as_it_lies(last) if last else None
            frozen = self.freeze(last) if last else None
        except AccessDenied:
            return
        if last and (before is None or frozen is None):
            return
        expected = baskets_of(
            self.registry_at(plan.registry_version),
            plan.policy,
            plan.cohort,
            round_id=plan.round,
            baskets=before.value.baskets if before else (),
            counted=None if frozen is None else [c.client for c in frozen.value.counted],
        )
        if plan.baskets != expected:
            raise not_derived(plan, f"has not the baskets that follow from round {last}")

    def freeze(self, round_id: int) -> Stored[Freeze] | None:
        return self.read(
            Keys.freeze(round_id), PacketType.FREEZE, {PacketType.FREEZE: Freeze}, round_id=round_id
        )

    def noise(self, round_id: int) -> Stored[RoundNoise] | None:
        """Return the sealed seed of a round's noise, or None where there is none."""
        return self.read(
            Keys.noise(round_id),
            PacketType.NOISE,
            {PacketType.NOISE: RoundNoise},
            round_id=round_id,
        )

    def result(self, round_id: int) -> Stored[GlobalModel] | Stored[Tombstone] | None:
        kinds: dict[str, type[Any]] = {
            PacketType.RESULT: GlobalModel,
            PacketType.TOMBSTONE: Tombstone,
        }
        return self.read(
            Keys.result(round_id),
            [PacketType.RESULT, PacketType.TOMBSTONE],
            kinds,
            round_id=round_id,
        )

    def state(self, round_id: int) -> Stored[RoundState] | None:
        return self.read(
            Keys.state(round_id),
            PacketType.STATE,
            {PacketType.STATE: RoundState},
            round_id=round_id,
        )

    def receipt(self, round_id: int, client: str, key_pair: KeyPair) -> Stored[Receipt] | None:
        """Return a client's receipt, or None where there is none.

        The receipt is an object of its own or part of a page, which `key_pair` opens (R-44). Raises
        RoundError where it is another client's, and SignatureError.
        """
        own_key, places = (
            Keys.receipt(round_id, client),
            receipt_keys(round_id, client, clients=len(self.registry.clients), limits=self.limits),
        )
        for key in places:
            try:
                receipt = (
                    self.own_receipt(round_id, client)
                    if key == own_key
                    else self._paged_receipt(round_id, client, key_pair)
                )
            except AccessDenied:  # the client may have access to only one of them
                if key == places[0]:
                    raise
                continue
            if receipt is not None:
                return receipt
        return None

    def own_receipt(self, round_id: int, client: str) -> Stored[Receipt] | None:
        """Return a client's receipt that is an object of its own, or None where there is none.

        Raises RoundError where it is another client's.
        """
        stored_receipt: Stored[Receipt] | None = self.read(
            Keys.receipt(round_id, client),
            PacketType.RECEIPT,
            {PacketType.RECEIPT: Receipt},
            round_id=round_id,
        )
        if stored_receipt is not None and (
            stored_receipt.value.client != client or stored_receipt.signed.header.audience != client
        ):
            raise RoundError(
                f"is a receipt for {stored_receipt.value.client!r:.40}",
                subject=stored_receipt.key,
                rule="R-51",
            )
        return stored_receipt

    def receipt_page(self, round_id: int, number: int) -> Stored[ReceiptPage] | None:
        """Return a page of receipts, which stay sealed, or None where there is none.

        Raises RoundError where the object is another page, or names clients of another page.
        """
        key, kinds = (
            Keys.receipt_page(round_id, number),
            {str(PacketType.RECEIPT_PAGE): ReceiptPage},
        )
        stored_page: Stored[ReceiptPage] | None = self.read(
            key, PacketType.RECEIPT_PAGE, kinds, round_id=round_id
        )
        if stored_page is not None and {
            stored_page.value.page,
            *(page_of(entry.client) for entry in stored_page.value.receipts),
        } != {number}:
            raise RoundError(
                "is another page, or holds another page's receipts", subject=key, rule="R-51"
            )
        return stored_page

    def _paged_receipt(
        self, round_id: int, client: str, key_pair: KeyPair
    ) -> Stored[Receipt] | None:
        page = self.receipt_page(round_id, page_of(client))
        receipt = (
            None if page is None else open_receipt(page.value, client, key_pair, subject=page.key)
        )
        return (
            None
            if page is None or receipt is None
            else Stored(key=page.key, value=receipt, digest=page.digest, signed=page.signed)
        )

    def ledger(self) -> list[Chained]:
        """Return the whole ledger, with chain, signatures and grammar verified.

        Only entries that are new since the last call are read, several at once. Raises LedgerError
        where the ledger is broken, and SignatureError or TransportError.
        """
        return self._ledger.read(self)

    def verified_entries(self) -> list[Chained]:
        """Return the ledger entries that are verified so far.

        They are those of the last call of `ledger`, or those up to where it failed.
        """
        return self._ledger.verified()

    @property
    def ledger_proof(self) -> bytes:
        """The coordinator's signed header of the newest entry read; empty where none was."""
        return self._ledger.proof

    @property
    def registry_proof(self) -> bytes:
        """The roots' signed header of the newest version; empty where it is too long."""
        return self._registries.proof

    def check_entry(self, entry: LedgerEntry) -> None:
        """Raise LedgerError where `entry` may not follow the entries read so far (R-71, R-74)."""
        self._ledger.check(entry)
