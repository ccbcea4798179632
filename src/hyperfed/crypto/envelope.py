"""Sign, take apart and verify envelopes, which say who sends what to whom in which round.

An envelope is the canonical array [1, type, header bytes, [[key id, signature]...], body]. Its
signatures cover a small header that carries the body's digest.

1. Signatures are Ed25519 over DSSE's pre-authentication encoding of (type, header bytes). The type
   is signed, so that nothing can be read as another type (R-30). Source: DSSE v1.0.0, protocol.md.
2. Verify first, then parse, and parse only the verified bytes. Nothing is encoded again in order to
   verify (R-31).
3. The algorithm and the key come from the registry, never from the message: a key id is only a name
   to look up (R-32).
4. The header binds the body by length and SHA-256; the body is hashed where it lies, never copied
   (R-33).
5. A packet's digest is SHA-256 over the signed encoding: it binds header and body, and does not
   depend on who signed (R-34).

What it does not do: decide whether a sender may speak (`registry`, `validator`), or open sealed
bodies (`crypto.sealing`).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import nacl.bindings
import nacl.exceptions

from hyperfed.codec import (
    from_record,
    is_array,
    leading_int,
    pack,
    pack_around,
    to_record,
    unpack,
)
from hyperfed.codec.versions import lowered, since
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import HyperfedError, SchemaError, SignatureError

__all__ = [
    "MAX_SIGNATURES",
    "NO_DIGEST",
    "Envelope",
    "Header",
    "PacketType",
    "Signed",
    "assemble",
    "digest_of",
    "open_envelope",
    "pre_authentication_encoding",
    "sign_envelope",
    "verify_envelope",
]

NO_DIGEST = b""
_VERSION = 1
MAX_SIGNATURES = 32
_MAX_HEADER_BYTES = 4096
_LATER = {"ledger_proof": b"", "registry_digest": b"", "registry_proof": b"", "registry_version": 0}


class PacketType(StrEnum):
    """Names the kind of object that an envelope holds.

    It is part of what is signed.
    """

    REGISTRY = "hyperfed/registry"
    PLAN = "hyperfed/plan"
    LINKS = "hyperfed/links"
    UPDATE = "hyperfed/update"
    FREEZE = "hyperfed/freeze"
    NOISE = "hyperfed/noise"
    RESULT = "hyperfed/result"
    TOMBSTONE = "hyperfed/tombstone"
    STATE = "hyperfed/state"
    RECEIPT = "hyperfed/receipt"
    RECEIPT_PAGE = "hyperfed/receipt-page"
    LEDGER = "hyperfed/ledger"
    MESSAGE = "hyperfed/message"
    ENROLMENT = "hyperfed/enrolment"
    PRUNED = "hyperfed/pruned"
    GOSSIP = "hyperfed/gossip"
    HELPER_KEY = "hyperfed/helper-key"
    BOXES = "hyperfed/boxes"
    CONFIRMATION = "hyperfed/confirmation"
    MANIFEST = "hyperfed/manifest"
    OPENING = "hyperfed/opening"
    HELPER_REFUSAL = "hyperfed/helper-refusal"
    REBUTTAL = "hyperfed/rebuttal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Holds the part of an envelope that is signed besides the type (DESIGN section 2).

    Raises SchemaError where a field does not fit: texts have at most 128 printable characters,
    counts are in [0, 2**53), and digests have 32 bytes or none.
    """

    federation: str
    """Name of the federation; empty in an enrolment."""
    round: int
    """Round that the packet is for; 0 where it is for none."""
    sender: str
    """Party that sends the packet."""
    key_id: str
    """Key that signs the packet; empty where several roots sign."""
    audience: str
    """Party that the packet is for, such as "coordinator", "clients", "all" or a client's id."""
    sequence: int
    """The sender's own count, which ascends."""
    nonce: bytes
    """16 random bytes from clients; at most 32 are allowed.

    It is empty from the coordinator, whose objects are named by their keys.
    """
    created: datetime
    """Instant at which the packet was made."""
    expires: datetime
    """Instant from which the packet no longer holds."""
    policy: bytes = NO_DIGEST
    """Digest of the plan's policy, 32 bytes or empty."""
    vocabulary: bytes = NO_DIGEST
    """Digest of the plan's vocabulary, 32 bytes or empty."""
    previous: bytes = NO_DIGEST
    """Digest of the sender's packet before this one, 32 bytes or empty."""
    seen_broadcast: bytes = NO_DIGEST
    """Digest of the last result that the sender saw, 32 bytes or empty."""
    ledger_sequence: int = 0
    """Number of the newest ledger entry that the sender saw; 0 for none."""
    ledger_digest: bytes = NO_DIGEST
    """Digest of that ledger entry; empty for none."""
    body_length: int = 0
    """Length in bytes of the body as it travels."""
    body_digest: bytes = NO_DIGEST
    """SHA-256 of the body as it travels."""
    encryption: str = "none"
    """The scheme that sealed the body, or "none"."""
    ledger_proof: bytes = field(default=b"", metadata=since(2))
    """What the coordinator signed of that ledger entry (`crypto.proofs`); empty for none."""
    registry_version: int = field(default=0, metadata=since(2))
    """Number of the newest registry version that the sender saw; 0 where it does not say."""
    registry_digest: bytes = field(default=NO_DIGEST, metadata=since(2))
    """Digest of that version; empty where the sender does not say."""
    registry_proof: bytes = field(default=b"", metadata=since(2))
    """What the roots signed of that version; empty where it is too long for a header."""

    def __post_init__(self) -> None:
        digests = {
            len(self.policy),
            len(self.vocabulary),
            len(self.previous),
            len(self.seen_broadcast),
            len(self.ledger_digest),
            len(self.body_digest),
            len(self.registry_digest),
        }
        counts = (
            self.round,
            self.sequence,
            self.ledger_sequence,
            self.body_length,
            self.registry_version,
        )
        texts = (self.federation, self.sender, self.key_id, self.audience, self.encryption)
        fits = (
            digests <= {0, 32}
            and min(counts) >= 0
            and max(counts) < 1 << 53
            and max(map(len, texts)) <= 128
            and "".join(texts).isprintable()
        )
        if not fits or len(self.nonce) > 32:
            self._refuse()

    def _refuse(self) -> None:
        """Raise SchemaError naming the first field that does not fit."""
        for name in (
            "policy",
            "vocabulary",
            "previous",
            "seen_broadcast",
            "ledger_digest",
            "body_digest",
            "registry_digest",
        ):
            if len(getattr(self, name)) not in (0, 32):
                raise SchemaError(
                    f"{name} has {len(getattr(self, name))} bytes, not 32 or none", subject="header"
                )
        for name in ("round", "sequence", "ledger_sequence", "body_length", "registry_version"):
            if not 0 <= getattr(self, name) < 1 << 53:
                raise SchemaError(
                    f"{name} is {getattr(self, name)}, outside [0, 2**53)", subject="header"
                )
        for name in ("federation", "sender", "key_id", "audience", "encryption"):
            if len(getattr(self, name)) > 128 or not getattr(self, name).isprintable():
                raise SchemaError(
                    f"{name} is not a text of at most 128 printable characters", subject="header"
                )
        if len(self.nonce) > 32:
            raise SchemaError(
                f"the nonce has {len(self.nonce)} bytes, at most 32 are allowed", subject="header"
            )

    def to_bytes(self) -> bytes:
        """Return the header's one canonical form; later fields are left out where all are empty."""
        return pack(lowered(Header, to_record(self))[1])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Header":
        """Return the header in verified bytes. Raises SchemaError."""
        plain = unpack(data)
        if isinstance(plain, dict):
            if _LATER.keys().isdisjoint(plain):
                plain = dict(sorted((plain | _LATER).items()))
            elif plain | _LATER == plain:
                raise SchemaError(
                    "spells out fields that are left out where all are empty",
                    subject="header",
                    rule="R-10",
                )
        return from_record(Header, plain, "header")


def pre_authentication_encoding(type_: str, payload: bytes | memoryview) -> bytes:
    """Return DSSEv1's PAE of (type, payload), the bytes that are signed.

    Source: DSSE v1.0.0, protocol.md, "Signature Definition".
    """
    name = type_.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), bytes(payload))


def digest_of(type_: str, header_bytes: bytes | memoryview) -> bytes:
    """Return a packet's digest: SHA-256 over what is signed, 32 bytes."""
    return hashlib.sha256(pre_authentication_encoding(type_, header_bytes)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Holds an envelope as it was received: taken apart, with nothing in it verified."""

    type: str
    """The type that the envelope claims."""
    header_bytes: bytes
    """The header as it was signed."""
    signatures: tuple[tuple[str, bytes], ...]
    """Pairs of key id and signature (64 bytes), ascending by key id."""
    body: memoryview
    """A view of the body in the received bytes."""
    size: int
    """Length in bytes of the whole envelope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Holds a verified envelope: its signatures and its body's digest are right."""

    type: str
    """The type, which was signed."""
    header: Header
    """The header, parsed from the verified bytes."""
    header_bytes: bytes
    """The header as it was signed."""
    body: memoryview
    """A view of the body in the received bytes."""
    digest: bytes
    """The packet's digest, 32 bytes."""
    signers: tuple[str, ...]
    """Ids of the known keys whose signatures hold."""


def sign_envelope(
    type_: PacketType, header: Header, body: bytes | memoryview, signers: Sequence[KeyPair]
) -> bytes:
    """Return the envelope of `body` under `header`, signed by each of `signers`.

    The header's body fields must describe the body; `bind_body` sets them.
    """
    header_bytes = header.to_bytes()
    return assemble(
        type_,
        header_bytes,
        sorted(
            (pair.key_id, pair.sign(pre_authentication_encoding(type_, header_bytes)))
            for pair in signers
        ),
        body,
    )


def assemble(
    type_: str,
    header_bytes: bytes,
    signatures: Sequence[tuple[str, bytes]],
    body: bytes | memoryview,
) -> bytes:
    """Return the bytes of an envelope made of its parts.

    This is how signatures that were made in different places are merged.
    """
    return pack_around(
        [
            _VERSION,
            str(type_),
            header_bytes,
            [[key_id, signature] for key_id, signature in signatures],
        ],
        [body],
    )


def open_envelope(data: bytes | memoryview, *, subject: str = "envelope") -> Envelope:
    """Take an envelope apart. Nothing in it can be trusted before `verify_envelope`.

    Raises SchemaError where the bytes are not an envelope, or one of a newer version.
    """
    version = leading_int(data)
    if version is not None and version != _VERSION:
        raise SchemaError(
            f"envelope version {version}; this library reads version {_VERSION}",
            subject=subject,
            rule="R-12",
            remedy="Update hyperfed",
        )
    try:
        parts = unpack(data, max_values=16 + 5 * MAX_SIGNATURES)
    except SchemaError as exc:
        raise SchemaError(
            exc.problem,
            subject=subject,
            rule=exc.rule,
            remedy="Send it again: it is not a Hyperfed envelope, or was cut off on its way",
        ) from None
    if not is_array(parts, int, str, bytes, list, bytes):
        raise SchemaError("not [1, type, header, signatures, body]", subject=subject, rule="R-30")
    if len(parts[2]) > _MAX_HEADER_BYTES or not 1 <= len(parts[3]) <= MAX_SIGNATURES:
        raise SchemaError(
            f"a header has at most {_MAX_HEADER_BYTES} bytes, and 1 to {MAX_SIGNATURES} sign it",
            subject=subject,
            rule="R-30",
        )
    signatures = tuple(_signature(item, subject) for item in parts[3])
    key_ids = [key_id for key_id, _ in signatures]
    if sorted(set(key_ids)) != key_ids:
        raise SchemaError(
            "signatures must ascend by key id, one for each key", subject=subject, rule="R-30"
        )
    return Envelope(
        type=parts[1],
        header_bytes=bytes(parts[2]),
        signatures=signatures,
        body=memoryview(parts[4]),
        size=len(data),
    )


def _signature(item: Any, subject: str) -> tuple[str, bytes]:
    if not is_array(item, str, bytes) or len(item[1]) != 64:
        raise SchemaError("a signature is [key id, 64 bytes]", subject=subject, rule="R-30")
    return item[0], bytes(item[1])


def verify_envelope(
    envelope: Envelope,
    *,
    expect: PacketType | Sequence[PacketType],
    key_of: Callable[[str], bytes | None],
    threshold: int = 1,
    subject: str = "envelope",
) -> Signed:
    """Verify an envelope, and return what it says.

    At least `threshold` known keys must have signed it, every signature by a known key must hold,
    and the body must be the one that was signed. `key_of` returns the Ed25519 public key of a key
    id, or None where the id is unknown.

    Raises SignatureError where the type is not expected, a signature or the body does not verify,
    or too few known keys signed; SchemaError where the verified header cannot be parsed.
    """
    expected = [expect] if isinstance(expect, PacketType) else list(expect)
    if envelope.type not in expected:
        raise SignatureError(
            f"a {envelope.type!r:.60} where a {' or '.join(expected)} belongs",
            subject=subject,
            rule="R-30",
            remedy=(
                "Somebody put another object in its place: restore the right one, or ask its "
                "writer to send it again"
            ),
        )
    message = pre_authentication_encoding(envelope.type, envelope.header_bytes)
    known_signers = []
    for key_id, signature in envelope.signatures:
        key = key_of(key_id)
        if key is None:
            continue
        try:
            nacl.bindings.crypto_sign_open(signature + message, key)
        except (nacl.exceptions.BadSignatureError, ValueError) as exc:
            raise SignatureError(
                f"the signature of key {key_id:.40} does not verify",
                subject=subject,
                rule="R-31",
                remedy=(
                    "Sign and send it again: it was changed after it was signed, or signed with "
                    "another key"
                ),
            ) from exc
        known_signers.append(key_id)
    if len(known_signers) < threshold:
        named = ", ".join(f"{key_id!r:.40}" for key_id, _ in envelope.signatures)
        raise SignatureError(
            f"{len(known_signers)} of the {threshold} signatures needed are by keys known here "
            "(signed "
            f"by {named})",
            subject=subject,
            rule="R-32",
            remedy=(
                "The sender's key is not in the registry, or is no longer valid: enrol it, or "
                "use the current key"
            ),
        )
    header_bytes = envelope.header_bytes
    try:
        header = Header.from_bytes(header_bytes)
    except HyperfedError as exc:
        raise SchemaError(
            exc.problem,
            subject=f"{subject} {exc.subject}".strip(),
            rule=exc.rule or "R-11",
            remedy=exc.remedy,
        ) from None
    if (
        header.body_length != len(envelope.body)
        or header.body_digest != hashlib.sha256(envelope.body).digest()
    ):
        raise SignatureError(
            "the body is not the one that was signed",
            subject=subject,
            rule="R-33",
            remedy="It was changed or cut off on its way; send it again",
        )
    if header.key_id and header.key_id not in known_signers:
        raise SignatureError(
            f"the header names key {header.key_id!r:.40}, which did not sign",
            subject=subject,
            rule="R-32",
            remedy="Sign with the key that the header names",
        )
    return Signed(
        type=envelope.type,
        header=header,
        header_bytes=header_bytes,
        body=envelope.body,
        digest=hashlib.sha256(message).digest(),
        signers=tuple(known_signers),
    )
