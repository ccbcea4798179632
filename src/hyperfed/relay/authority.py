"""Decide who asks a relay and what that party may do, by the newest registry.

1. The registry is read from the relay's own folder, and verified from the root fingerprint on. A
   new version takes effect within a second. A version that is refused is logged, and the last good
   one stays in effect.
2. TLS trusts the certificates that a key of the registry has signed: each key stands for an
   authority under its key id, made here from the public key. Nobody needs to send one.
3. Every call is judged again (R-156): the certificate's signature by the key that its issuer names,
   and that key by the registry. A key that is no longer valid in the running round is refused.
4. A role may do what `hyperfed iam` prints (R-157), and exchange mail: a party leaves messages in
   its own name, a client's id or a role, and reads what it left and what is for it.
5. A "*" in the middle of a pattern stands for one name here: in a folder, an object below another's
   key would keep that one from being written.

What it does not do: ask whether an object is any good, which admission decides.
"""

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from hyperfed.dropbox.registries import RegistryChain
from hyperfed.errors import AccessDenied, HyperfedError
from hyperfed.operations.access import Access, Role, access_of
from hyperfed.registry.registry import Registry
from hyperfed.storage.store import ObjectStore
from hyperfed.transport import MAIL

__all__ = ["Authority", "Party", "Rights"]

log = logging.getLogger(__name__)

_FRESH_S = 1.0  # the folder is asked for a newer registry at most this often
_REMEMBERED = 4096  # certificates whose signature was verified
_PAST, _FUTURE = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class Rights:
    """Holds what an `Access` lets a party do with a key."""

    def __init__(self, access: Access) -> None:
        self._reads, self._creates = _pattern(access.reads), _pattern(access.creates)

    def may_read(self, key: str) -> bool:
        """Return whether the object may be read."""
        return self._reads.fullmatch(key) is not None

    def may_create(self, key: str) -> bool:
        """Return whether the object may be created."""
        return self._creates.fullmatch(key) is not None


def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return the expression for any of the patterns; for none of them, one that nothing matches."""
    each = [
        "[^/]+".join(map(re.escape, pattern.removesuffix("*").split("*")))
        + (".+" if pattern.endswith("*") else "")
        for pattern in patterns
    ]
    return re.compile("|".join(each) if each else "(?!)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Names who asks."""

    name: str
    """The client's id, or the role and the beginning of the key id."""
    role: Role
    """The party's role."""
    rights: Rights
    """What it may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    signing: bytes
    valid_until: int | None
    party: Party


class Authority:
    """Says who holds a certificate, from the registry in a relay's folder.

    `fingerprint` is what the first version's roots must have; None: it is not compared. The
    constructor raises RegistryError where there is no registry, and what reading it raises.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        fingerprint: str | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._now, self._clock = store, now, clock
        self._chain, self._lock = RegistryChain(fingerprint=fingerprint), threading.Lock()
        self._chain.read_new(store)
        self._registry = self._chain.newest()[0]
        self._keys, self._asked = _keys_of(self._registry), clock()
        self._verified: OrderedDict[bytes, str] = OrderedDict()

    @property
    def version(self) -> int:
        """The version of the registry that is in effect."""
        return self._registry.version

    @property
    def federation(self) -> str:
        """The name of the federation."""
        return self._registry.federation

    def refresh(self) -> None:
        """Take over a newer version of the registry, where there is one."""
        with self._lock:
            if self._clock() - self._asked < _FRESH_S:
                return
            self._asked = self._clock()
            try:
                if not self._chain.read_new(self._store):
                    return
            except HyperfedError as error:
                log.warning("registry not taken over, version %d holds: %s", self.version, error)
                return
            self._registry = self._chain.newest()[0]
            self._keys = _keys_of(self._registry)
            self._verified.clear()
        log.info("registry version %d holds", self.version)

    def anchors(self) -> bytes:
        """Return an authority for each key of the registry, in PEM form, for TLS to trust."""
        return b"".join(_anchor(key_id, key.signing) for key_id, key in self._keys.items())

    def party_of(self, certificate: bytes) -> Party:
        """Return who holds a certificate in PEM form.

        Raises AccessDenied where no key of the registry has signed it, or that key is not valid any
        more.
        """
        self.refresh()
        with self._lock:
            keys, registry = self._keys, self._registry
            key_id = self._verified.get(certificate, "")
        if not key_id:
            key_id = _signed_by(certificate, keys)
            with self._lock:
                self._verified[certificate] = key_id
                while len(self._verified) > _REMEMBERED:
                    self._verified.popitem(last=False)
        key = keys.get(key_id)
        if key is None:
            raise _refused(f"key {key_id} is not in registry version {registry.version}")
        now = self._now()
        running = registry.windows.round_at(now) if now >= registry.genesis else 1
        if key.valid_until is not None and key.valid_until < running:
            raise _refused(f"key {key_id} was valid until round {key.valid_until}; {running} runs")
        return key.party


def _with_mail(access: Access, name: str) -> Rights:
    """Return the rights of an access, and those to exchange messages as `name`."""
    sent = f"{MAIL}/*/{name}/*"
    return Rights(
        replace(
            access,
            reads=(*access.reads, f"{MAIL}/{name}/*", sent),
            creates=(*access.creates, sent),
        )
    )


def _keys_of(registry: Registry) -> Mapping[str, _Key]:
    """Return every key that a registry names, by its id. No key has two roles (R-21)."""
    found: dict[str, _Key] = {}
    for role, records in (
        (Role.COORDINATOR, registry.coordinators),
        (Role.AUDITOR, registry.auditors),
    ):
        rights = _with_mail(access_of(role), role.value)
        for record in records:
            key_id = record.keys.key_id
            party = Party(name=f"{role.value} {key_id[:8]}", role=role, rights=rights)
            found[key_id] = _Key(
                signing=record.keys.signing, valid_until=record.valid_until, party=party
            )
    rights = Rights(access_of(Role.ROOTS))
    for root in registry.roots:
        party = Party(name=f"root {root.key_id[:8]}", role=Role.ROOTS, rights=rights)
        found[root.key_id] = _Key(signing=root.signing, valid_until=None, party=party)
    named = () if registry.secure_sums is None else registry.secure_sums.helpers
    helpers = {helper.client_id for helper in named}
    for client in registry.clients:
        name = client.client_id
        access = access_of(Role.HELPER if name in helpers else Role.CLIENT, client=name)
        party = Party(name=name, role=Role.CLIENT, rights=_with_mail(access, name))
        for record in client.keys:
            found[record.keys.key_id] = _Key(
                signing=record.keys.signing, valid_until=record.valid_until, party=party
            )
    return found


def _signed_by(certificate: bytes, keys: Mapping[str, _Key]) -> str:
    """Return the id of the key that has signed a certificate. Raises AccessDenied."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.x509 import oid

    try:
        read = x509.load_pem_x509_certificate(certificate)
        names = read.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        key_id = str(names[0].value) if len(names) == 1 else ""
        usage = read.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, x509.ExtensionNotFound) as exc:
        raise _refused("the certificate is no access of a key") from exc
    key = keys.get(key_id)
    if key is None or oid.ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise _refused(f"key {ascii(key_id)[1:33]} is not in the registry")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key.signing).verify(
            read.signature, read.tbs_certificate_bytes
        )
    except InvalidSignature as exc:
        raise _refused(f"the certificate is not signed by key {key_id}, its issuer") from exc
    return key_id


def _refused(problem: str) -> AccessDenied:
    return AccessDenied(problem, rule="R-156")


@lru_cache(maxsize=1 << 14)
def _anchor(key_id: str, signing: bytes) -> bytes:
    """Return the authority that a signing key stands for, in PEM form.

    It is trusted because it is in the list, so its own signature says nothing, and is anybody's.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, key_id)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(ed25519.Ed25519PublicKey.from_public_bytes(signing))
        .serial_number(1)
        .not_valid_before(_PAST)
        .not_valid_after(_FUTURE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(_nobody(), None)
    )
    return signed.public_bytes(serialization.Encoding.PEM)


@lru_cache(maxsize=1)
def _nobody() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519.Ed25519PrivateKey.generate()
