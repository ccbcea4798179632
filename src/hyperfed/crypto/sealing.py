"""Seal and open bodies, so that the party that runs the bucket cannot read them.

A sealed body is the canonical array [1, [[key id, sealed data key]...], nonce, commitment,
ciphertext].

1. The body is encrypted with XChaCha20-Poly1305-IETF under a fresh data key. The data key lies in
   one SealedBox for each recipient (coordinator, auditor) (R-40).
2. The associated data is the header with its two body fields blank. Those fields describe the
   ciphertext, and bind it from outside (R-41).
3. The cipher does not commit to its key, so the body carries SHA-256 over (domain, data key,
   nonce), which is checked before opening (R-42). Source: Albertini et al., How to Abuse and Fix
   Authenticated Encryption Without Key Commitment, USENIX Security 2022, section 5.

What it does not do: sign; hide length, sender or time.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import nacl.bindings
import nacl.exceptions
import nacl.utils

from hyperfed.codec import is_array, leading_int, pack, to_record, unpack
from hyperfed.codec.versions import lowered
from hyperfed.crypto.envelope import NO_DIGEST, Header, Signed
from hyperfed.crypto.keys import KeyPair, PublicKeys
from hyperfed.errors import ConfigError, SchemaError, SignatureError

__all__ = [
    "NOT_SEALED",
    "SEALED",
    "bind_body",
    "box_key",
    "new_key",
    "open_body",
    "open_committed",
    "open_with",
    "seal_body",
    "seal_committed",
    "seal_with",
    "sealed_to",
    "unbox_key",
]

NOT_SEALED = "none"
SEALED = "xchacha20poly1305+sealedbox/1"
_VERSION = 1
_MAX_BOXES = 64
_NONCE_BYTES = 24
_BLANK = pack({"body_digest": NO_DIGEST, "body_length": 0})[1:]
_SEAL_AGAIN = "Seal and submit it again with `hyperfed submit`"


def bind_body(header: Header, body: bytes | memoryview) -> Header:
    """Return the header with the length and SHA-256 of `body` as it travels."""
    return replace(header, body_length=len(body), body_digest=hashlib.sha256(body).digest())


def _associated(header: Header) -> bytes:
    """Return the associated data of a body that is sealed under `header`."""
    blank: dict[str, Any] = {"body_length": 0, "body_digest": NO_DIGEST, "encryption": SEALED}
    return pack(lowered(Header, to_record(header) | blank)[1])


def _associated_as_signed(header: Header, header_bytes: bytes) -> bytes:
    """Return `_associated` of a sealed body's verified header, cut from the bytes that were signed.

    The bytes are canonical, and the two body fields stand side by side. Before them stands only one
    text, which cannot contain them: the first byte of a binary field and the length after it are
    not UTF-8.
    """
    body_fields = pack({"body_digest": header.body_digest, "body_length": header.body_length})[1:]
    bytes_before, has_body_fields, bytes_after = header_bytes.partition(body_fields)
    return (
        bytes_before + _BLANK + bytes_after
        if has_body_fields and header.encryption == SEALED
        else _associated(header)
    )


def _commitment(key: bytes, nonce: bytes) -> bytes:
    return hashlib.sha256(b"hyperfed/commitment\n" + key + nonce).digest()


def seal_body(
    header: Header, body: bytes | memoryview, recipients: Sequence[PublicKeys]
) -> tuple[Header, bytes]:
    """Return (header, sealed body); any of `recipients` can open the body.

    The returned header has its encryption and body fields set. The randomness comes fresh from the
    operating system. Raises ConfigError where there is no recipient, or more than 64.
    """
    if not 1 <= len(recipients) <= _MAX_BOXES:
        raise ConfigError(
            f"a body is sealed to 1 to {_MAX_BOXES} recipients, not {len(recipients)}",
            subject="registry",
            rule="R-40",
        )
    key, nonce = new_key(), nacl.utils.random(_NONCE_BYTES)
    ciphertext = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        bytes(body), _associated(header), nonce, key
    )
    boxes = box_key(key, recipients)
    sealed = pack([_VERSION, boxes, nonce, _commitment(key, nonce), ciphertext])
    return bind_body(replace(header, encryption=SEALED), sealed), sealed


def open_body(
    signed: Signed, key_pair: KeyPair | None, *, subject: str = "body"
) -> bytes | memoryview:
    """Return the body of a verified envelope, opened with `key_pair` where it is sealed.

    Raises SignatureError where it does not open with these keys, and SchemaError where its form or
    its scheme is unknown.
    """
    scheme = signed.header.encryption
    if scheme == NOT_SEALED:
        return signed.body
    if scheme != SEALED:
        raise SchemaError(
            f"encryption {scheme!r:.60} is unknown",
            subject=subject,
            rule="R-40",
            remedy=f"Use {SEALED!r}",
        )
    if key_pair is None:
        raise SignatureError(
            "the body is sealed and no key to open it was given",
            subject=subject,
            rule="R-40",
            remedy="Give the coordinator's or an auditor's key",
        )
    version = leading_int(signed.body)
    if version is not None and version != _VERSION:
        raise SchemaError(
            f"sealed body version {version}; this library reads version {_VERSION}",
            subject=subject,
            rule="R-12",
            remedy="Update hyperfed",
        )
    boxes, nonce, commitment, ciphertext = _parts(
        unpack(signed.body, max_values=16 + 5 * _MAX_BOXES), subject
    )
    box = _box_for(
        key_pair, boxes, subject=subject, remedy="Seal it to the keys in the newest registry"
    )
    try:
        key = key_pair.open_sealed(box)
        if not hmac.compare_digest(_commitment(key, nonce), commitment):
            raise SignatureError(
                "the data key is not the one the body commits to",
                subject=subject,
                rule="R-42",
                remedy=_SEAL_AGAIN,
            )
        return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            ciphertext, _associated_as_signed(signed.header, signed.header_bytes), nonce, key
        )
    except (nacl.exceptions.CryptoError, ValueError) as exc:
        problem = "the sealed body does not open: it was made for another header or key, or changed"
        raise SignatureError(problem, subject=subject, rule="R-41", remedy=_SEAL_AGAIN) from exc


def sealed_to(body: bytes | memoryview, *, subject: str) -> tuple[str, ...]:
    """Return the ids of the keys that a sealed body has boxes for, ascending.

    Whether they open is known to their holders only. Raises SchemaError for what is no sealed body.
    """
    return tuple(_parts(unpack(body, max_values=16 + 5 * _MAX_BOXES), subject)[0])


def _parts(value: Any, subject: str) -> tuple[dict[str, bytes], bytes, bytes, bytes]:
    if not is_array(value, int, list, bytes, bytes, bytes):
        raise SchemaError(
            "not [1, boxes, nonce, commitment, ciphertext]", subject=subject, rule="R-40"
        )
    boxes: dict[str, bytes] = {}
    for item in value[1]:
        if (
            not is_array(item, str, bytes)
            or len(item[1]) != 80
            or item[0] <= max(boxes, default="")
        ):
            raise SchemaError(
                "a box is [key id, 80 bytes], one for each recipient, ascending",
                subject=subject,
                rule="R-40",
            )
        boxes[item[0]] = bytes(item[1])
    if len(value[2]) != _NONCE_BYTES or len(value[3]) != 32:
        raise SchemaError("a nonce has 24 bytes and a commitment 32", subject=subject, rule="R-40")
    return boxes, bytes(value[2]), bytes(value[3]), bytes(value[4])


def new_key() -> bytes:
    """Return 32 bytes from the operating system's random source."""
    return nacl.utils.random(32)


def box_key(key: bytes, recipients: Sequence[PublicKeys]) -> tuple[tuple[str, bytes], ...]:
    """Return `key` in one SealedBox for each recipient: (key id, 80 bytes), ascending."""
    return tuple(
        sorted((r.key_id, nacl.bindings.crypto_box_seal(key, r.sealing)) for r in recipients)
    )


def unbox_key(boxes: Mapping[str, bytes], key_pair: KeyPair, *, subject: str) -> bytes:
    """Return the key that `box_key` sealed to `key_pair`.

    Raises SignatureError where it is not sealed to these keys, or does not open.
    """
    box = _box_for(key_pair, boxes, subject=subject, remedy="Open it with one of these keys")
    try:
        return key_pair.open_sealed(box)
    except (nacl.exceptions.CryptoError, nacl.exceptions.TypeError, ValueError) as exc:
        raise SignatureError(
            "the sealed key does not open",
            subject=subject,
            rule="R-41",
            remedy=(
                "It was made for another key, or changed: open it with the key that it was "
                "sealed to"
            ),
        ) from exc


def _box_for(key_pair: KeyPair, boxes: Mapping[str, bytes], *, subject: str, remedy: str) -> bytes:
    box = boxes.get(key_pair.key_id)
    if box is None:
        sealed_to = ", ".join(f"{b!r:.40}" for b in sorted(boxes)[:4]) or "nobody"
        raise SignatureError(
            f"sealed to {sealed_to}, not to key {key_pair.key_id}",
            subject=subject,
            rule="R-40",
            remedy=remedy,
        )
    return box


def seal_committed(key: bytes, data: bytes | memoryview, *, about: bytes) -> tuple[bytes, bytes]:
    """Return (commitment, nonce and ciphertext) of `data` under a 32-byte key.

    The commitment binds key and nonce. It is for a key that several parties were given in different
    ways: all of them read the same data (R-42).
    """
    sealed = seal_with(key, data, about=about)
    return _commitment(key, sealed[:_NONCE_BYTES]), sealed


def open_committed(
    key: bytes, sealed: bytes, commitment: bytes, *, about: bytes, subject: str
) -> bytes:
    """Return the data that `seal_committed` sealed.

    Raises SignatureError where the key, the commitment, `about` or a byte of `sealed` is another.
    """
    if len(key) != 32 or not hmac.compare_digest(
        _commitment(key, sealed[:_NONCE_BYTES]), commitment
    ):
        raise SignatureError(
            "the key is not the one it commits to",
            subject=subject,
            rule="R-42",
            remedy="It was changed, moved here, or sealed with another key: fetch it again",
        )
    return open_with(key, sealed, about=about, subject=subject)


def seal_with(key: bytes, data: bytes | memoryview, *, about: bytes) -> bytes:
    """Return nonce and ciphertext of `data` under the caller's 32-byte key (`KeyPair.derived`).

    The nonce is fresh; `about` must be the same when the data is opened. This is for objects that
    one holder of a key leaves for another: nobody else chose the key, so no commitment to it is
    needed (rule 3).
    """
    nonce = nacl.utils.random(_NONCE_BYTES)
    return nonce + nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        bytes(data), about, nonce, key
    )


def open_with(key: bytes, sealed: bytes, *, about: bytes, subject: str) -> bytes:
    """Return the data that `seal_with` sealed.

    Raises SignatureError where the key, `about` or a byte of `sealed` is another.
    """
    try:
        return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed[_NONCE_BYTES:], about, sealed[:_NONCE_BYTES], key
        )
    except (nacl.exceptions.CryptoError, nacl.exceptions.TypeError, ValueError) as exc:
        raise SignatureError(
            "does not open: it was changed, moved here, or sealed with another key",
            subject=subject,
            rule="R-43",
        ) from exc
