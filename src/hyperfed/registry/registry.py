"""Read and sign the registry: the list of who may speak with which key (`Registry`).

1. Versions are numbered from 1 and create-only. Each names the digest of the one before, and is
   signed by `threshold` of the root keys (R-23).
2. Version 1's roots are checked out of band by their fingerprint. Version n+1 is signed by the
   threshold of n's roots and by that of its own (R-24).
3. Genesis, window, budget, unit, minimum support and the floors of every plan lie here, so that the
   coordinator's online key cannot loosen them (R-125).
4. Validity is counted in rounds: the round number decides before any clock does. A revocation holds
   from the round it names (R-25).
5. Public keys are checked points, no two records share a key, and client ids are as
   `windows.check_client_id` says (R-21, R-22).

What it does not do: keep root keys (they are offline), or admit packets (`validator`).
"""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hyperfed.codec import PayloadCodec
from hyperfed.codec.versions import since
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import (
    MAX_SIGNATURES,
    Header,
    PacketType,
    assemble,
    open_envelope,
    sign_envelope,
    verify_envelope,
)
from hyperfed.crypto.keys import KeyPair, PublicKeys
from hyperfed.crypto.sealing import bind_body
from hyperfed.errors import ConfigError, RegistryError, RoundError, SignatureError
from hyperfed.registry.annulments import Annulment, check_annulled
from hyperfed.registry.budget import Budget as Budget
from hyperfed.registry.floors import Floors
from hyperfed.registry.records import ClientRecord as ClientRecord
from hyperfed.registry.records import KeyRecord as KeyRecord
from hyperfed.registry.secure_sums import HELP_WINDOWS, SecureSums
from hyperfed.registry.windows import Windows, check_client_id, check_instant

__all__ = [
    "Budget",
    "ClientRecord",
    "KeyRecord",
    "Registry",
    "merge_signatures",
    "read_registry",
    "registry_header",
    "root_fingerprint",
    "sign_registry",
]

_MOST_CLOSE_WINDOWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Holds one version of the registry.

    Raises RegistryError or ConfigError where a field does not fit.
    """

    federation: str
    """Name of the federation, of the form of a client id."""
    version: int
    """Number of the version, from 1."""
    previous: bytes
    """Digest of the version before, 32 bytes; empty in version 1."""
    issued: datetime
    """Instant at which the version was made."""
    genesis: datetime
    """Instant at which round 1 opens."""
    window_s: int
    """Length of a round's window in seconds."""
    roots: tuple[PublicKeys, ...]
    """Public keys of the roots, `threshold` of which sign (Ed25519)."""
    threshold: int
    """Number of roots that must sign."""
    coordinators: tuple[KeyRecord, ...]
    """Keys of the coordinator, at least one."""
    auditors: tuple[KeyRecord, ...] = ()
    """Keys of the auditors."""
    clients: tuple[ClientRecord, ...] = ()
    """The clients, ascending by id, each once."""
    budget: Budget = field(default_factory=Budget)
    """The privacy budget."""
    close_windows: int = field(default=0, metadata=since(2))
    """Most windows for which a round may stay open after its deadline (R-116). 0: there is no
    bound, as in versions that do not say it.
    """
    expires: datetime | None = field(default=None, metadata=since(2))
    """Instant from which the version no longer holds (R-122); None: it holds until the next one."""
    annulled: tuple[Annulment, ...] = field(default=(), metadata=since(2))
    """The ledger entries that decide nothing any more, ascending (R-123). No later version takes
    one back.
    """
    least_sequences: tuple[tuple[str, int], ...] = field(default=(), metadata=since(2))
    """(key id or client, sequence), ascending by name: the highest that an abandoned branch of the
    ledger has counted under that key, or under any of that client's. Nothing at or below it counts
    (R-124).
    """
    floors: Floors | None = field(default=None, metadata=since(2))
    """Bounds of every plan's policy (R-125); None, as in schema version 1: there are none."""
    secure_sums: SecureSums | None = field(default=None, metadata=since(3))
    """Who helps to open secure sums (R-168); None: no round carries such sums."""

    def __post_init__(self) -> None:
        check_client_id(self.federation)
        if not 1 <= self.threshold <= len(self.roots) <= MAX_SIGNATURES:
            problem = f"threshold {self.threshold} of {len(self.roots)} root keys"
            raise RegistryError(
                problem,
                subject="registry",
                rule="R-23",
                remedy=f"Name 1 to {MAX_SIGNATURES} roots, of which at least one signs",
            )
        if not self.coordinators:
            raise RegistryError("names no coordinator", subject="registry")
        if self.expires is not None and (
            check_instant(self.expires) <= self.issued or self.expires <= self.genesis
        ):
            raise RegistryError(
                f"expires at {self.expires.isoformat()}, before it is issued or genesis",
                subject="registry",
                rule="R-122",
                remedy="Choose a later instant",
            )
        check_annulled(self.annulled, self.least_sequences)
        if not 0 <= self.close_windows <= _MOST_CLOSE_WINDOWS:
            raise RegistryError(
                f"rounds that stay open for {self.close_windows} windows",
                subject="registry",
                rule="R-116",
                remedy=f"State 1 to {_MOST_CLOSE_WINDOWS}; 0 sets no bound",
            )
        ids = [c.client_id for c in self.clients]
        if sorted(set(ids)) != ids:
            raise RegistryError(
                "clients must ascend by id, each once",
                subject="registry",
                remedy="Write each client once; its new keys go into its own record",
            )
        alike = {c.replace("_", "-"): c for c in ids}
        if len(alike) != len(ids):
            twin = next(c for c in ids if alike[c.replace("_", "-")] != c)
            raise RegistryError(
                f"looks like {alike[twin.replace('_', '-')]}: they differ in '-' and '_' alone",
                subject=f"client {twin}",
                rule="R-22",
                remedy="Choose an id that nobody can take for another",
            )
        if len(self.previous) != (0 if self.version == 1 else 32):
            raise RegistryError(
                f"version {self.version} must {'not ' if self.version == 1 else ''}name the "
                "version before",
                subject="registry",
                rule="R-23",
            )
        pairs = [
            *self.roots,
            *(r.keys for r in self.coordinators),
            *(r.keys for r in self.auditors),
            *(r.keys for c in self.clients for r in c.keys),
        ]
        for name, keys in (
            ("signing", {p.signing for p in pairs}),
            ("sealing", {p.sealing for p in pairs}),
            ("named", {p.key_id for p in pairs}),
        ):
            if len(keys) != len(pairs):
                raise RegistryError(
                    f"a {name} key is registered twice",
                    subject="registry",
                    rule="R-21",
                    remedy="Let every party make its own keys",
                )
        for pair in pairs:
            pair.check_points()
        if self.secure_sums is not None:
            self.secure_sums.check(self.clients)
        _ = self.windows

    @property
    def windows(self) -> Windows:
        return Windows(genesis=self.genesis, window_s=self.window_s)

    def check_fresh(self, now: datetime, *, skew_s: int) -> None:
        """Raise RegistryError where this version has expired, though it is the newest (R-122)."""
        if self.expires is not None and self.expires <= now - timedelta(seconds=skew_s):
            raise RegistryError(
                f"version {self.version} expired at {self.expires.isoformat()}",
                subject="registry",
                rule="R-122",
                remedy="Have the roots renew it with `hyperfed registry renew`. If they have, "
                "somebody holds the newer version back: tell the operator. Nothing was sent or "
                "written",
            )

    def check_close_by(self, round_id: int, close_by: datetime) -> None:
        """Raise RoundError where a round would stay open for too long (R-116)."""
        windows = self.close_windows
        if windows and close_by > self.windows.deadline(round_id + windows):
            raise RoundError(
                f"would stay open until {close_by.isoformat()}, more than {windows} windows after "
                "its deadline",
                subject=f"round {round_id}",
                rule="R-116",
                remedy=f"Registry version {self.version} bounds it: choose an earlier close_by",
            )

    def help_ends(self, round_id: int) -> datetime:
        """Return until when helpers keep the key of a round, whatever its plan says (R-198)."""
        return self.windows.deadline(round_id + (self.close_windows or HELP_WINDOWS))

    def client(self, client_id: str) -> ClientRecord:
        """Return the record of `client_id`. Raises RegistryError where there is none."""
        record = self._record_of(client_id)
        if record is not None:
            return record
        raise RegistryError(
            "not in the registry",
            subject=f"client {client_id!r:.60}",
            rule="R-32",
            remedy=f"Registry version {self.version} knows {len(self.clients)} clients; the "
            "operator adds one with `hyperfed registry add`",
        )

    def keys_of(self, client_id: str) -> tuple[KeyRecord, ...]:
        """Return all keys of a client, whenever they are valid; none where it is unknown."""
        record = self._record_of(client_id)
        return record.keys if record is not None else ()

    def _record_of(self, client_id: str) -> ClientRecord | None:
        at = bisect_left(self.clients, client_id, key=lambda c: c.client_id)
        return (
            self.clients[at]
            if at < len(self.clients) and self.clients[at].client_id == client_id
            else None
        )

    def signing_keys(self, round_id: int) -> dict[str, tuple[str, bytes]]:
        """Return key id -> (client id, Ed25519 key) for the client keys valid in a round."""
        return {
            r.keys.key_id: (c.client_id, r.keys.signing)
            for c in self.clients
            for r in c.keys
            if r.valid_in(round_id)
        }

    def clients_in(self, round_id: int) -> tuple[str, ...]:
        """Return the ids of the clients that may take part in a round, ascending."""
        return tuple(c.client_id for c in self.clients if any(r.valid_in(round_id) for r in c.keys))

    def coordinator_key(self, key_id: str, round_id: int | None = None) -> bytes | None:
        """Return the coordinator's Ed25519 key of this id, or None where there is none.

        The key must be valid in the round `round_id`; with None, in any round.
        """
        for record in self.coordinators:
            if record.keys.key_id == key_id and (round_id is None or record.valid_in(round_id)):
                return record.keys.signing
        return None

    def sealing_keys(self, round_id: int) -> tuple[PublicKeys, ...]:
        """Return the keys to which a client seals its update: coordinators' and auditors'."""
        return tuple(r.keys for r in (*self.coordinators, *self.auditors) if r.valid_in(round_id))

    def with_client(self, record: ClientRecord, *, previous: bytes, issued: datetime) -> "Registry":
        """Return the next version, in which `record` is added or replaces the client's record."""
        other_clients = [c for c in self.clients if c.client_id != record.client_id]
        return replace(
            self,
            clients=tuple(sorted((*other_clients, record), key=lambda c: c.client_id)),
            version=self.version + 1,
            previous=previous,
            issued=issued,
        )

    def revoke(
        self, client_id: str, *, from_round: int, previous: bytes, issued: datetime
    ) -> "Registry":
        """Return the next version, with no key of the client valid from `from_round` on (R-25)."""
        record = self.client(client_id)
        keys_left = tuple(
            replace(r, valid_until=min(r.valid_until, from_round - 1))
            for r in record.keys
            if r.valid_from < from_round
        )
        if not keys_left:
            return replace(
                self,
                clients=tuple(c for c in self.clients if c is not record),
                version=self.version + 1,
                previous=previous,
                issued=issued,
            )
        return self.with_client(replace(record, keys=keys_left), previous=previous, issued=issued)


def root_fingerprint(roots: Sequence[PublicKeys], threshold: int) -> str:
    """Return the fingerprint that is compared out of band.

    It is 64 hexadecimal digits over the threshold and the roots' signing keys.
    """
    h = hashlib.sha256(f"hyperfed/roots/{threshold}/{len(roots)}\n".encode())
    for key in sorted(r.signing for r in roots):
        h.update(key)
    return h.hexdigest()


def registry_header(registry: Registry) -> Header:
    """Return the header that every root signs for a version.

    It has the same bytes wherever it is made, so that signatures can be merged.
    """
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
    """Return the envelope of a version, signed by `roots`.

    Fewer roots than the threshold may sign at first; `merge_signatures` joins their envelopes.
    """
    body = PayloadCodec().encode(registry)
    return sign_envelope(
        PacketType.REGISTRY, bind_body(registry_header(registry), body), body, roots
    )


def read_registry(
    data: bytes,
    *,
    before: tuple[Registry, bytes] | None,
    fingerprint: str | None,
    subject: str = "registry",
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Registry, bytes]:
    """Return (registry, digest) of one version's bytes, once they are verified.

    A version is verified against the one before it (`before`). The first version, which has none,
    is verified against `fingerprint`; with None its fingerprint is not compared.

    The body of version 1 must be parsed in order to know which roots sign it. Their fingerprint
    vouches for it, and it may hold no more than anybody may write (`limits`). Every later version
    is verified with keys that are already trusted before it is parsed.

    Raises RegistryError or PacketError.
    """
    envelope = open_envelope(data, subject=subject)
    if before is not None:
        last, previous_root_keys = before[0], {r.key_id: r.signing for r in before[0].roots}
        by = f"{subject} (by version {last.version}'s roots)"
        verify_envelope(
            envelope,
            expect=PacketType.REGISTRY,
            key_of=previous_root_keys.get,
            threshold=last.threshold,
            subject=by,
        )
    registry = PayloadCodec(limits=limits if before is None else limits.for_verified()).decode(
        envelope.body, Registry
    )
    root_keys = {r.key_id: r.signing for r in registry.roots}
    signed = verify_envelope(
        envelope,
        expect=PacketType.REGISTRY,
        key_of=root_keys.get,
        threshold=registry.threshold,
        subject=subject,
    )
    if before is None:
        actual_fingerprint = root_fingerprint(registry.roots, registry.threshold)
        if registry.version != 1:
            raise RegistryError(
                f"version {registry.version} without the ones before it",
                subject=subject,
                rule="R-23",
            )
        if fingerprint is not None and actual_fingerprint != fingerprint:
            raise RegistryError(
                f"root fingerprint {actual_fingerprint}, expected {fingerprint}",
                subject=subject,
                rule="R-24",
                remedy="This is another federation's drop-box, or somebody replaced the "
                "registry: ask the operator on another channel",
            )
    else:
        _check_successor(registry, before=before, subject=subject)
    if signed.header_bytes != bind_body(registry_header(registry), signed.body).to_bytes():
        raise RegistryError(
            "the signed header is not that of this version", subject=subject, rule="R-23"
        )
    return registry, signed.digest


def _check_successor(registry: Registry, *, before: tuple[Registry, bytes], subject: str) -> None:
    last, digest = before
    if registry.version != last.version + 1 or registry.previous != digest:
        raise RegistryError(
            f"version {registry.version} does not follow version {last.version}",
            subject=subject,
            rule="R-23",
        )
    fixed = ("federation", "genesis", "window_s")
    if not set(last.annulled) <= set(registry.annulled) or any(
        dict(registry.least_sequences).get(client, 0) < sequence
        for client, sequence in last.least_sequences
    ):
        raise RegistryError(
            f"takes back what version {last.version} annulled",
            subject=subject,
            rule="R-123",
            remedy="Draft on top of the newest version: an annulment holds for good",
        )
    changed = [name for name in fixed if getattr(registry, name) != getattr(last, name)]
    if changed:
        raise RegistryError(
            f"changes {', '.join(changed)}, which hold for the federation's whole life",
            subject=subject,
            rule="R-23",
            remedy="Start a new federation instead",
        )


def merge_signatures(parts: Sequence[bytes]) -> bytes:
    """Return one envelope with the signatures of several copies of the same version.

    Raises SignatureError where the copies differ in anything else, or hold two signatures of one
    key, and ConfigError where there are no copies.
    """
    if not parts:
        raise ConfigError("nothing to merge")
    opened = [open_envelope(part) for part in parts]
    first = opened[0]
    if any(
        (e.type, bytes(e.header_bytes), bytes(e.body))
        != (first.type, bytes(first.header_bytes), bytes(first.body))
        for e in opened
    ):
        raise SignatureError(
            "the files are signatures of different registries",
            rule="R-23",
            remedy="Have all roots sign the same unsigned file",
        )
    signatures: dict[str, bytes] = {}
    for key_id, signature in (pair for e in opened for pair in e.signatures):
        # Ed25519 signatures are deterministic, so one of the two is false
        if signatures.setdefault(key_id, signature) != signature:
            raise SignatureError(
                f"two different signatures of key {key_id!r:.40}",
                rule="R-23",
                remedy="Ask that root for its file again",
            )
    return assemble(first.type, bytes(first.header_bytes), sorted(signatures.items()), first.body)
