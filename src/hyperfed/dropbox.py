"""`DropBoxReader`: the drop-box as verified values. Every object is read whole, verified, then parsed, and checked to be the one its key promises.

1. The registry chain is verified from its root fingerprint; everything else with the keys in it (R-23, R-32).
2. An object speaks for the round and federation of its key; anything else there is an error, not a surprise later (R-51).
3. The ledger is read entry by entry, its verified prefix kept: entries never change (R-71).

Used by coordinator, clients, audit and `hyperfed inspect`. It does not write, and takes no decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.errors import ObjectNotFound, RegistryError, RoundError, SignatureError
from hyperfed.global_model import GlobalModel
from hyperfed.protocol.ledger import Chained, check_next
from hyperfed.protocol.objects import Freeze, LedgerEntry, Plan, Receipt, RoundState, Tombstone
from hyperfed.registry import Registry, load_registry
from hyperfed.rounds import Keys
from hyperfed.signing import PacketType, Signed, open_envelope, verify_envelope
from hyperfed.store import ObjectStore

__all__ = ["DropBoxReader", "Stored"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Generic[T]):
    """An object of the drop-box: its value, its packet digest, and its verified envelope."""

    key: str
    value: T
    digest: bytes
    signed: Signed


class DropBoxReader:
    """Read one federation's drop-box. fingerprint: the root fingerprint that was compared out of band (None: not compared, for the operator's own machine)."""

    def __init__(self, store: ObjectStore, *, fingerprint: str | None, not_below: int = 0, limits: Limits = DEFAULT_LIMITS) -> None:
        self.store, self.limits = store, limits
        self._fingerprint, self._not_below = fingerprint, not_below
        self._registry: tuple[Registry, bytes] | None = None
        self._ledger: list[Chained] = []

    @property
    def registry(self) -> Registry:
        """The newest version, read once."""
        return self._newest()[0]

    @property
    def registry_digest(self) -> bytes:
        return self._newest()[1]

    def refresh_registry(self) -> Registry:
        """Read the registry again: revocations work at the next freeze."""
        self._registry = None
        return self.registry

    def _newest(self) -> tuple[Registry, bytes]:
        if self._registry is None:
            self._registry = load_registry(self.store, fingerprint=self._fingerprint, not_below=self._not_below, limits=self.limits)
        if self._registry is None:
            raise RegistryError("this drop-box has no registry", subject=Keys.registry(1))
        return self._registry

    def registry_at(self, version: int) -> Registry:
        """An earlier version, verified from the root."""
        if self._newest()[0].version == version:
            return self.registry
        known = load_registry(self.store, fingerprint=self._fingerprint, at_version=version, limits=self.limits)
        if known is None:
            raise RegistryError("is missing", subject=Keys.registry(version))
        return known[0]

    def read(self, key: str, types: PacketType | Sequence[PacketType], kinds: dict[str, type[Any]], *, round_id: int) -> Stored[Any] | None:
        """A coordinator's object, verified and parsed, or None where there is none. Raises SignatureError, SchemaError, TransportError, RoundError."""
        try:
            data = self.store.read(key, max_bytes=self.limits.max_object_bytes)
        except ObjectNotFound:
            return None
        return self.verify(data, key=key, types=types, kinds=kinds, round_id=round_id)

    def verify(self, data: bytes, *, key: str, types: PacketType | Sequence[PacketType], kinds: dict[str, type[Any]], round_id: int) -> Stored[Any]:
        """The object in `data`, which lay at `key`."""
        registry = self.registry
        try:
            signed = verify_envelope(
                open_envelope(data, subject=key), expect=types, key_of=lambda key_id: registry.coordinator_key(key_id, round_id), subject=key
            )
        except SignatureError:
            registry = self.refresh_registry()  # the coordinator's key may be newer than our copy of the registry
            signed = verify_envelope(
                open_envelope(data, subject=key), expect=types, key_of=lambda key_id: registry.coordinator_key(key_id, round_id), subject=key
            )
        value = PayloadCodec(limits=self.limits).decode(signed.body, kinds[signed.type])
        said = (signed.header.federation, signed.header.round, value.federation, value.round)
        if said != (registry.federation, round_id, registry.federation, round_id):
            raise RoundError(
                f"speaks for round {signed.header.round} of federation {signed.header.federation!r:.40}",
                subject=key,
                rule="R-51",
                remedy="The object was moved from another place: restore the bucket from its versions",
            )
        return Stored(key=key, value=value, digest=signed.digest, signed=signed)

    def plan(self, round_id: int) -> Stored[Plan] | None:
        return self.read(Keys.plan(round_id), PacketType.PLAN, {PacketType.PLAN: Plan}, round_id=round_id)

    def freeze(self, round_id: int) -> Stored[Freeze] | None:
        return self.read(Keys.freeze(round_id), PacketType.FREEZE, {PacketType.FREEZE: Freeze}, round_id=round_id)

    def result(self, round_id: int) -> Stored[GlobalModel] | Stored[Tombstone] | None:
        kinds: dict[str, type[Any]] = {PacketType.RESULT: GlobalModel, PacketType.TOMBSTONE: Tombstone}
        return self.read(Keys.result(round_id), [PacketType.RESULT, PacketType.TOMBSTONE], kinds, round_id=round_id)

    def state(self, round_id: int) -> Stored[RoundState] | None:
        return self.read(Keys.state(round_id), PacketType.STATE, {PacketType.STATE: RoundState}, round_id=round_id)

    def receipt(self, round_id: int, client: str) -> Stored[Receipt] | None:
        found: Stored[Receipt] | None = self.read(Keys.receipt(round_id, client), PacketType.RECEIPT, {PacketType.RECEIPT: Receipt}, round_id=round_id)
        if found is not None and (found.value.client != client or found.signed.header.audience != client):
            raise RoundError(f"is a receipt for {found.value.client!r:.40}", subject=found.key, rule="R-51")
        return found

    def ledger(self) -> list[Chained]:
        """The whole ledger, chain and signatures verified; only what is new is read."""
        while True:
            number = len(self._ledger) + 1
            key = Keys.ledger(number)
            try:
                data = self.store.read(key, max_bytes=self.limits.max_object_bytes)
            except ObjectNotFound:
                return list(self._ledger)
            self._ledger.append(self._verify_entry(data, key))

    def _verify_entry(self, data: bytes, key: str) -> Chained:
        registry = self.registry
        signed = verify_envelope(open_envelope(data, subject=key), expect=PacketType.LEDGER, key_of=registry.coordinator_key, subject=key)
        entry = PayloadCodec(limits=self.limits).decode(signed.body, LedgerEntry)
        if registry.coordinator_key(signed.header.key_id, entry.round) is None:
            raise SignatureError(f"key {signed.header.key_id:.32} was not the coordinator's in round {entry.round}", subject=key, rule="R-81")
        check_next(entry, before=self._ledger[-1] if self._ledger else None, federation=registry.federation)
        return Chained(entry=entry, digest=signed.digest)
