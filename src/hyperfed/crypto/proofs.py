"""Show that somebody signed an object, without its body: the signed header and the signatures.

1. What a proof shows is a packet's digest and header: both are signed, whatever the body is (R-34).
2. Signatures are verified as those of an envelope, by keys of the registry (R-32).

What it does not do: say what follows from it (`dropbox.claims`).
"""

from collections.abc import Callable

import nacl.bindings
import nacl.exceptions

from hyperfed.crypto.envelope import (
    Header,
    PacketType,
    assemble,
    digest_of,
    open_envelope,
    pre_authentication_encoding,
)
from hyperfed.errors import HyperfedError

__all__ = ["MAX_PROOF_BYTES", "proof_of", "proven"]

MAX_PROOF_BYTES = 1536
"""Length of the longest proof that a header carries; its own size is bounded."""


def proof_of(envelope: bytes | memoryview) -> bytes:
    """Return an envelope without its body, as a proof of it; empty where that is too long.

    Raises SchemaError where the bytes are no envelope.
    """
    parts = open_envelope(envelope)
    proof = assemble(parts.type, parts.header_bytes, parts.signatures, b"")
    return proof if len(proof) <= MAX_PROOF_BYTES else b""


def proven(
    proof: bytes, *, expect: PacketType, key_of: Callable[[str], bytes | None], threshold: int = 1
) -> tuple[bytes, Header] | None:
    """Return the digest and the header that a proof shows to be signed.

    Returns None where it is no proof or of another type, where a signature does not hold, or where
    fewer than `threshold` known keys signed.
    """
    try:
        parts = open_envelope(proof, subject="proof")
        message = pre_authentication_encoding(parts.type, parts.header_bytes)
        signers = 0
        for key_id, signature in parts.signatures:
            key = key_of(key_id)
            if key is not None:
                nacl.bindings.crypto_sign_open(signature + message, key)
                signers += 1
        if parts.type != expect or signers < threshold:
            return None
        return digest_of(parts.type, parts.header_bytes), Header.from_bytes(parts.header_bytes)
    except (HyperfedError, nacl.exceptions.CryptoError, ValueError):
        return None
