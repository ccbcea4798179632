"""Who may speak, with which key: the root-signed list everything else hangs on.

1. Versions are numbered from 1, create-only, each naming the digest of the one before; signed by `threshold` of the root keys (R-23).
2. Version 1's roots are checked out of band by their fingerprint. Version n+1 carries the thresholds of both n's and its own roots (R-24).
3. Genesis, window, budget, unit and minimum support lie here, so that the coordinator's online key cannot loosen them.
4. Validity is counted in rounds: the round number decides before any clock does. A revocation holds from the round it names (R-25).
5. Public keys are checked points, no two records share a key, client ids are as `rounds.check_client_id` says (R-21, R-22).

What it does not do: keep root keys (they are offline), admit packets (`validator`).
"""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.encryption import bind_body
from hyperfed.errors import ConfigError, ObjectNotFound, RegistryError, SignatureError
from hyperfed.keys import KeyPair, PublicKeys
from hyperfed.rounds import Keys, Windows, check_client_id
from hyperfed.signing import MAX_SIGNATURES, Header, PacketType, assemble, open_envelope, sign_envelope, verify_envelope
from hyperfed.store import ObjectStore

__all__ = [
    "Budget",
    "ClientRecord",
    "KeyRecord",
    "Registry",
    "load_registry",
    "merge_signatures",
    "publish_registry",
    "read_registry",
    "root_fingerprint",
    "sign_registry",
]

_FOREVER = (1 << 53) - 1
_RESERVED_IDS = frozenset({"all", "auditor", "clients", "coordinator", "registry", "root"})  # other parties' names in headers


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One pair of public keys and the rounds [valid_from, valid_until] it may speak in; both ends included."""

    keys: PublicKeys
    valid_from: int = 1
    valid_until: int = _FOREVER

    def __post_init__(self) -> None:
        if not 0 <= self.valid_from <= self.valid_until <= _FOREVER:
            raise RegistryError(f"valid from round {self.valid_from} until {self.valid_until}", subject=self.keys.key_id, rule="R-25")

    def valid_in(self, round_id: int) -> bool:
        return self.valid_from <= round_id <= self.valid_until


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client: its id, organisation, basket (domain group) and keys; several keys overlap while they rotate."""

    client_id: str
    organisation: str
    basket: str = "default"
    keys: tuple[KeyRecord, ...]

    def __post_init__(self) -> None:
        check_client_id(self.client_id)
        if self.client_id in _RESERVED_IDS:
            raise RegistryError("is the name of another party", subject=self.client_id, rule="R-22", remedy="Choose another client id")
        for name, text in (("organisation", self.organisation), ("basket", self.basket)):
            if len(text) > 200 or not text.isprintable():
                raise RegistryError(f"{name} is not a text of at most 200 printable characters", subject=self.client_id, rule="R-22")
        if not self.keys:
            raise RegistryError("has no key", subject=self.client_id, rule="R-32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The federation's privacy budget: epsilon and delta in all, the unit they protect, and how many clients must stand behind a released value."""

    epsilon: Decimal = Decimal("10")
    delta: Decimal = Decimal("0.0001")
    unit: str = "client"
    minimum_support: int = 1

    def __post_init__(self) -> None:
        if not (self.epsilon.is_finite() and self.delta.is_finite()):  # NaN cannot even be compared
            raise RegistryError("epsilon and delta are finite numbers", subject="budget")
        if not (self.epsilon > 0 and 0 <= self.delta < 1 and self.unit in ("client", "record") and self.minimum_support >= 1):
            raise RegistryError("epsilon is positive, delta in [0, 1), unit 'client' or 'record', minimum support at least 1", subject="budget")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One version of the registry. roots: Ed25519 public keys, `threshold` of which sign; previous: digest of the version before, empty in the first."""

    federation: str
    version: int
    previous: bytes
    issued: datetime
    genesis: datetime
    window_s: int
    roots: tuple[PublicKeys, ...]
    threshold: int
    coordinators: tuple[KeyRecord, ...]
    auditors: tuple[KeyRecord, ...] = ()
    clients: tuple[ClientRecord, ...] = ()
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        check_client_id(self.federation)
        if not 1 <= self.threshold <= len(self.roots) <= MAX_SIGNATURES:
            problem = f"threshold {self.threshold} of {len(self.roots)} root keys"
            raise RegistryError(problem, subject="registry", rule="R-23", remedy=f"1 to {MAX_SIGNATURES} roots, of which at least one signs")
        if not self.coordinators:
            raise RegistryError("names no coordinator", subject="registry")
        ids = [c.client_id for c in self.clients]
        if sorted(set(ids)) != ids:
            raise RegistryError("clients must ascend by id, each once", subject="registry", remedy="A client's new keys go into its own record")
        if len(self.previous) != (0 if self.version == 1 else 32):
            raise RegistryError(f"version {self.version} must {'not ' if self.version == 1 else ''}name the version before", subject="registry", rule="R-23")
        pairs = [*self.roots, *(r.keys for r in self.coordinators), *(r.keys for r in self.auditors), *(r.keys for c in self.clients for r in c.keys)]
        for name, keys in (("signing", {p.signing for p in pairs}), ("sealing", {p.sealing for p in pairs}), ("named", {p.key_id for p in pairs})):
            if len(keys) != len(pairs):
                raise RegistryError(f"a {name} key is registered twice", subject="registry", rule="R-21", remedy="Every party makes its own keys")
        for pair in pairs:
            pair.check_points()
        _ = self.windows

    @property
    def windows(self) -> Windows:
        return Windows(genesis=self.genesis, window_s=self.window_s)

    def client(self, client_id: str) -> ClientRecord:
        """Raises RegistryError for an unknown one."""
        found = self._found(client_id)
        if found is not None:
            return found
        raise RegistryError(
            "not in the registry",
            subject=f"client {client_id!r:.60}",
            rule="R-32",
            remedy=f"Registry version {self.version} knows {len(self.clients)} clients; the operator adds one with `hyperfed registry add`",
        )

    def keys_of(self, client_id: str) -> tuple[KeyRecord, ...]:
        """A client's keys, whenever they hold; none of an unknown one's."""
        found = self._found(client_id)
        return found.keys if found is not None else ()

    def _found(self, client_id: str) -> ClientRecord | None:
        at = bisect_left(self.clients, client_id, key=lambda c: c.client_id)
        return self.clients[at] if at < len(self.clients) and self.clients[at].client_id == client_id else None

    def signing_keys(self, round_id: int) -> dict[str, tuple[str, bytes]]:
        """key id -> (client id, Ed25519 key) of every client key valid in a round."""
        return {r.keys.key_id: (c.client_id, r.keys.signing) for c in self.clients for r in c.keys if r.valid_in(round_id)}

    def clients_in(self, round_id: int) -> tuple[str, ...]:
        """The clients that may take part in a round, ascending."""
        return tuple(c.client_id for c in self.clients if any(r.valid_in(round_id) for r in c.keys))

    def coordinator_key(self, key_id: str, round_id: int | None = None) -> bytes | None:
        """The coordinator's Ed25519 key of this id, valid in the round (in any, where None); None where there is none."""
        for record in self.coordinators:
            if record.keys.key_id == key_id and (round_id is None or record.valid_in(round_id)):
                return record.keys.signing
        return None

    def sealing_keys(self, round_id: int) -> tuple[PublicKeys, ...]:
        """To whom a client seals its update in a round: coordinators and auditors."""
        return tuple(r.keys for r in (*self.coordinators, *self.auditors) if r.valid_in(round_id))

    def with_client(self, record: ClientRecord, *, previous: bytes, issued: datetime) -> "Registry":
        """The next version with `record` added or replaced."""
        others = [c for c in self.clients if c.client_id != record.client_id]
        return replace(self, clients=tuple(sorted((*others, record), key=lambda c: c.client_id)), version=self.version + 1, previous=previous, issued=issued)

    def revoke(self, client_id: str, *, from_round: int, previous: bytes, issued: datetime) -> "Registry":
        """The next version in which no key of the client is valid from `from_round` on (R-25)."""
        record = self.client(client_id)
        kept = tuple(replace(r, valid_until=min(r.valid_until, from_round - 1)) for r in record.keys if r.valid_from < from_round)
        if not kept:
            return replace(self, clients=tuple(c for c in self.clients if c is not record), version=self.version + 1, previous=previous, issued=issued)
        return self.with_client(replace(record, keys=kept), previous=previous, issued=issued)


def root_fingerprint(roots: Sequence[PublicKeys], threshold: int) -> str:
    """What is compared out of band: 64 hexadecimal digits over threshold and root keys."""
    h = hashlib.sha256(f"hyperfed/roots/{threshold}/{len(roots)}\n".encode())
    for key in sorted(r.signing for r in roots):
        h.update(key)
    return h.hexdigest()


def registry_header(registry: Registry) -> Header:
    """The header every root signs for a version: the same bytes wherever it is made, so that signatures can be merged."""
    return Header(
        federation=registry.federation,
        round=0,
        sender="root",
        key_id="",
        audience="all",
        sequence=registry.version,
        nonce=b"",
        created=registry.issued,
        expires=datetime.max.replace(tzinfo=UTC, microsecond=0) - timedelta(days=1),
        previous=registry.previous,
    )


def sign_registry(registry: Registry, roots: Sequence[KeyPair]) -> bytes:
    """The envelope of a version signed by `roots` (fewer than the threshold may sign first; `merge_signatures` joins them)."""
    body = PayloadCodec().encode(registry)
    return sign_envelope(PacketType.REGISTRY, bind_body(registry_header(registry), body), body, roots)


def read_registry(
    data: bytes, *, before: tuple[Registry, bytes] | None, fingerprint: str | None, subject: str = "registry", limits: Limits = DEFAULT_LIMITS
) -> tuple[Registry, bytes]:
    """(registry, digest) of one version's bytes, verified against the version before it, or against the fingerprint for the first.

    Raises RegistryError, PacketError. The body must be parsed to know which roots sign version 1: their fingerprint
    vouches for it, and it holds no more than what anybody may write; every later version is verified with keys already trusted before it is parsed.
    """
    envelope = open_envelope(data, subject=subject)
    if before is not None:
        last, old = before[0], {r.key_id: r.signing for r in before[0].roots}
        by = f"{subject} (by version {last.version}'s roots)"
        verify_envelope(envelope, expect=PacketType.REGISTRY, key_of=old.get, threshold=last.threshold, subject=by)
    registry = PayloadCodec(limits=limits if before is None else limits.for_verified()).decode(envelope.body, Registry)
    own = {r.key_id: r.signing for r in registry.roots}
    signed = verify_envelope(envelope, expect=PacketType.REGISTRY, key_of=own.get, threshold=registry.threshold, subject=subject)
    if before is None:
        found = root_fingerprint(registry.roots, registry.threshold)
        if registry.version != 1:
            raise RegistryError(f"version {registry.version} without the ones before it", subject=subject, rule="R-23")
        if fingerprint is not None and found != fingerprint:
            raise RegistryError(
                f"root fingerprint {found}, expected {fingerprint}",
                subject=subject,
                rule="R-24",
                remedy="This is another federation's drop-box, or somebody replaced the registry: ask the operator on another channel",
            )
    else:
        _check_successor(registry, before=before, subject=subject)
    if signed.header_bytes != bind_body(registry_header(registry), signed.body).to_bytes():
        raise RegistryError("the signed header is not that of this version", subject=subject, rule="R-23")
    return registry, signed.digest


def _check_successor(registry: Registry, *, before: tuple[Registry, bytes], subject: str) -> None:
    last, digest = before
    if registry.version != last.version + 1 or registry.previous != digest:
        raise RegistryError(f"version {registry.version} does not follow version {last.version}", subject=subject, rule="R-23")
    fixed = ("federation", "genesis", "window_s")
    changed = [name for name in fixed if getattr(registry, name) != getattr(last, name)]
    if changed:
        raise RegistryError(
            f"changes {', '.join(changed)}, which hold for the federation's whole life", subject=subject, rule="R-23", remedy="Start a new federation instead"
        )


def publish_registry(store: ObjectStore, data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> str:
    """Create the next version's object, having verified it against the versions there; its key. Raises RegistryError where another holds its number."""
    known = load_registry(store, fingerprint=None, limits=limits, missing_ok=True)
    registry, _ = read_registry(data, before=known, fingerprint=None, limits=limits)
    key = Keys.registry(registry.version)
    if not store.put_if_absent(key, data) and store.read(key, max_bytes=limits.max_object_bytes) != data:
        raise RegistryError("another registry already holds this version", subject=key, rule="R-23", remedy="Load it, and sign the next version on top of it")
    return key


def load_registry(
    store: ObjectStore, *, fingerprint: str | None, at_version: int | None = None, not_below: int = 0, limits: Limits = DEFAULT_LIMITS, missing_ok: bool = False
) -> tuple[Registry, bytes] | None:
    """(registry, digest) of the newest version in the drop-box, or of `at_version`, the whole chain verified from version 1.

    not_below: the highest version the caller has seen; fewer is a rollback. None only with missing_ok and an empty drop-box.
    Raises RegistryError, PacketError, TransportError.
    """
    known: tuple[Registry, bytes] | None = None
    version = 1
    while at_version is None or version <= at_version:
        key = Keys.registry(version)
        try:
            data = store.read(key, max_bytes=limits.max_object_bytes)
        except ObjectNotFound:
            break
        known = read_registry(data, before=known, fingerprint=fingerprint if version == 1 else None, subject=key, limits=limits)
        version += 1
    if known is None and missing_ok:
        return None
    if known is None:
        raise RegistryError(
            "this drop-box has no registry", subject="registry/000001", remedy="The operator makes one with `hyperfed registry init`; check bucket and prefix"
        )
    if at_version is not None and known[0].version != at_version:
        raise RegistryError(f"version {at_version} is missing; the newest is {known[0].version}", subject="registry", rule="R-23")
    if known[0].version < not_below:
        raise RegistryError(
            f"the newest version is {known[0].version}, this machine has seen {not_below}",
            subject="registry",
            rule="R-50",
            remedy="The drop-box was rolled back; ask the operator",
        )
    return known


def merge_signatures(parts: Sequence[bytes]) -> bytes:
    """One envelope with the signatures of several copies of the same version. Raises SignatureError where they differ in anything else."""
    if not parts:
        raise ConfigError("nothing to merge")
    opened = [open_envelope(part) for part in parts]
    first = opened[0]
    if any((e.type, bytes(e.header_bytes), bytes(e.body)) != (first.type, bytes(first.header_bytes), bytes(first.body)) for e in opened):
        raise SignatureError("the files are signatures of different registries", rule="R-23", remedy="All roots sign the same unsigned file")
    signatures: dict[str, bytes] = {}
    for key_id, signature in (pair for e in opened for pair in e.signatures):
        if signatures.setdefault(key_id, signature) != signature:  # Ed25519 signatures are deterministic: one of the two is none
            raise SignatureError(f"two different signatures of key {key_id!r:.40}", rule="R-23", remedy="Ask that root for its file again")
    return assemble(first.type, bytes(first.header_bytes), sorted(signatures.items()), first.body)
