"""The envelope: who says what, to whom, in which round; signed over a small header that carries the body's digest.

An envelope is the canonical array [1, type, header bytes, [[key id, signature]...], body].

1. Signatures are Ed25519 over DSSE's pre-authentication encoding of (type, header bytes): the type is signed, so that nothing can be read
   as another type (R-30). Source: DSSE v1.0.0, protocol.md.
2. Verify first, then parse, and parse only the verified bytes. Nothing is encoded again in order to verify (R-31).
3. The algorithm and the key come from the registry, never from the message: a key id is only a name to look up (R-32).
4. The body is bound by length and SHA-256 in the header; it is hashed where it lies, never copied (R-33).
5. A packet's digest is SHA-256 over the signed encoding: it binds header and body, and does not change with who signed (R-34).

What it does not do: decide whether a sender may speak (`registry`, `validator`), open sealed bodies (`encryption`).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import nacl.bindings
import nacl.exceptions

from hyperfed.codec import from_record, is_array, leading_int, pack, pack_around, to_record, unpack, unpack_around
from hyperfed.errors import HyperfedError, SchemaError, SignatureError
from hyperfed.keys import KeyPair

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


class PacketType(StrEnum):
    """What an envelope holds; part of what is signed."""

    REGISTRY = "hyperfed/registry"
    PLAN = "hyperfed/plan"
    LINKS = "hyperfed/links"
    UPDATE = "hyperfed/update"
    FREEZE = "hyperfed/freeze"
    RESULT = "hyperfed/result"
    TOMBSTONE = "hyperfed/tombstone"
    STATE = "hyperfed/state"
    RECEIPT = "hyperfed/receipt"
    RECEIPT_PAGE = "hyperfed/receipt-page"
    LEDGER = "hyperfed/ledger"
    MESSAGE = "hyperfed/message"
    ENROLMENT = "hyperfed/enrolment"
    PRUNED = "hyperfed/pruned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is signed besides the type (DESIGN section 2).

    federation; round; sender; key_id (empty where several roots sign); audience: "coordinator",
    "clients" or a client's id; sequence: the sender's own count, ascending;
    nonce: 16 random bytes from clients, empty from the coordinator (its objects are named by their keys); created, expires: instants;
    policy, vocabulary: digests of the plan's, 32 bytes or empty; previous: digest of the sender's packet before this one;
    seen_broadcast: digest of the last result it saw; ledger_sequence, ledger_digest: the newest ledger entry it saw (0 and empty: none);
    body_length, body_digest: of the body as it travels; encryption: "none" or the scheme that sealed it.
    """

    federation: str
    round: int
    sender: str
    key_id: str
    audience: str
    sequence: int
    nonce: bytes
    created: datetime
    expires: datetime
    policy: bytes = NO_DIGEST
    vocabulary: bytes = NO_DIGEST
    previous: bytes = NO_DIGEST
    seen_broadcast: bytes = NO_DIGEST
    ledger_sequence: int = 0
    ledger_digest: bytes = NO_DIGEST
    body_length: int = 0
    body_digest: bytes = NO_DIGEST
    encryption: str = "none"

    def __post_init__(self) -> None:
        digests = {len(self.policy), len(self.vocabulary), len(self.previous), len(self.seen_broadcast), len(self.ledger_digest), len(self.body_digest)}
        counts = (self.round, self.sequence, self.ledger_sequence, self.body_length)
        texts = (self.federation, self.sender, self.key_id, self.audience, self.encryption)
        fits = digests <= {0, 32} and min(counts) >= 0 and max(counts) < 1 << 53 and max(map(len, texts)) <= 128 and "".join(texts).isprintable()
        if not fits or len(self.nonce) > 32:
            self._refuse()

    def _refuse(self) -> None:
        """Say which field does not fit."""
        for name in ("policy", "vocabulary", "previous", "seen_broadcast", "ledger_digest", "body_digest"):
            if len(getattr(self, name)) not in (0, 32):
                raise SchemaError(f"{name} has {len(getattr(self, name))} bytes, not 32 or none", subject="header")
        for name in ("round", "sequence", "ledger_sequence", "body_length"):
            if not 0 <= getattr(self, name) < 1 << 53:
                raise SchemaError(f"{name} is {getattr(self, name)}, outside [0, 2**53)", subject="header")
        for name in ("federation", "sender", "key_id", "audience", "encryption"):
            if len(getattr(self, name)) > 128 or not getattr(self, name).isprintable():
                raise SchemaError(f"{name} is not a text of at most 128 printable characters", subject="header")
        if len(self.nonce) > 32:
            raise SchemaError(f"the nonce has {len(self.nonce)} bytes, at most 32 are allowed", subject="header")

    def to_bytes(self) -> bytes:
        return pack(to_record(self))


def pre_authentication_encoding(type_: str, payload: bytes | memoryview) -> bytes:
    """DSSEv1's PAE: what is signed. Source: DSSE v1.0.0, protocol.md, "Signature Definition"."""
    name = type_.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), bytes(payload))


def digest_of(type_: str, header_bytes: bytes | memoryview) -> bytes:
    """A packet's digest: SHA-256 over what is signed, 32 bytes."""
    return hashlib.sha256(pre_authentication_encoding(type_, header_bytes)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An envelope as received: taken apart, nothing believed. The body is a view of the received bytes."""

    type: str
    header_bytes: bytes
    signatures: tuple[tuple[str, bytes], ...]
    body: memoryview
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A verified envelope: its signature and its body's digest hold. `digest` names the packet, `signers` are the key ids that hold."""

    type: str
    header: Header
    header_bytes: bytes
    body: memoryview
    digest: bytes
    signers: tuple[str, ...]


def sign_envelope(type_: PacketType, header: Header, body: bytes | memoryview, signers: Sequence[KeyPair]) -> bytes:
    """The envelope of `body` under `header`, whose body fields must be those of the body (`bind_body` sets them)."""
    header_bytes = header.to_bytes()
    return assemble(type_, header_bytes, sorted((pair.key_id, pair.sign(pre_authentication_encoding(type_, header_bytes))) for pair in signers), body)


def assemble(type_: str, header_bytes: bytes, signatures: Sequence[tuple[str, bytes]], body: bytes | memoryview) -> bytes:
    """The envelope's bytes from its parts, as when signatures made in different places are merged."""
    return pack_around([_VERSION, str(type_), header_bytes, [[key_id, signature] for key_id, signature in signatures]], [body])


def open_envelope(data: bytes | memoryview, *, subject: str = "envelope") -> Envelope:
    """Take an envelope apart. Raises SchemaError, also for a newer version. Nothing in it is true before `verify_envelope`."""
    version = leading_int(data)
    if version is not None and version != _VERSION:
        raise SchemaError(f"envelope version {version}; this library reads version {_VERSION}", subject=subject, rule="R-12", remedy="Update hyperfed")
    try:
        parts = unpack_around(data, max_values=16 + 5 * MAX_SIGNATURES)
    except SchemaError as exc:
        raise SchemaError(exc.problem, subject=subject, rule=exc.rule, remedy="It is not a Hyperfed envelope, or was cut off on its way") from None
    if not is_array(parts, int, str, bytes, list, bytes):
        raise SchemaError("not [1, type, header, signatures, body]", subject=subject, rule="R-30")
    if len(parts[2]) > _MAX_HEADER_BYTES or not 1 <= len(parts[3]) <= MAX_SIGNATURES:
        raise SchemaError(f"a header has at most {_MAX_HEADER_BYTES} bytes, and 1 to {MAX_SIGNATURES} sign it", subject=subject, rule="R-30")
    signatures = tuple(_signature(item, subject) for item in parts[3])
    key_ids = [key_id for key_id, _ in signatures]
    if sorted(set(key_ids)) != key_ids:
        raise SchemaError("signatures must ascend by key id, one for each key", subject=subject, rule="R-30")
    return Envelope(type=parts[1], header_bytes=bytes(parts[2]), signatures=signatures, body=parts[4], size=len(data))


def _signature(item: Any, subject: str) -> tuple[str, bytes]:
    if not is_array(item, str, bytes) or len(item[1]) != 64:
        raise SchemaError("a signature is [key id, 64 bytes]", subject=subject, rule="R-30")
    return item[0], bytes(item[1])


def verify_envelope(
    envelope: Envelope, *, expect: PacketType | Sequence[PacketType], key_of: Callable[[str], bytes | None], threshold: int = 1, subject: str = "envelope"
) -> Signed:
    """What the envelope says, once at least `threshold` known keys have signed it and the body is the one they signed.

    key_of: the Ed25519 public key of a key id, or None where it is unknown. Raises SignatureError, SchemaError.
    """
    expected = [expect] if isinstance(expect, PacketType) else list(expect)
    if envelope.type not in expected:
        raise SignatureError(
            f"a {envelope.type!r:.60} where a {' or '.join(expected)} belongs", subject=subject, rule="R-30", remedy="Somebody put another object in its place"
        )
    message = pre_authentication_encoding(envelope.type, envelope.header_bytes)
    held = []
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
                remedy="The object was changed after it was signed, or signed with another key",
            ) from exc
        held.append(key_id)
    if len(held) < threshold:
        named = ", ".join(f"{key_id!r:.40}" for key_id, _ in envelope.signatures)
        raise SignatureError(
            f"{len(held)} of the {threshold} signatures needed are by keys known here (signed by {named})",
            subject=subject,
            rule="R-32",
            remedy="The sender's key is not in the registry, or no longer",
        )
    header_bytes = envelope.header_bytes
    try:
        header = from_record(Header, unpack(header_bytes), "header")
    except HyperfedError as exc:
        raise SchemaError(exc.problem, subject=f"{subject} {exc.subject}".strip(), rule=exc.rule or "R-11", remedy=exc.remedy) from None
    if header.body_length != len(envelope.body) or header.body_digest != hashlib.sha256(envelope.body).digest():
        raise SignatureError(
            "the body is not the one that was signed", subject=subject, rule="R-33", remedy="It was changed or cut off on its way; send it again"
        )
    if header.key_id and header.key_id not in held:
        raise SignatureError(
            f"the header names key {header.key_id!r:.40}, which did not sign", subject=subject, rule="R-32", remedy="A header names the key it is signed with"
        )
    return Signed(
        type=envelope.type, header=header, header_bytes=header_bytes, body=envelope.body, digest=hashlib.sha256(message).digest(), signers=tuple(held)
    )
