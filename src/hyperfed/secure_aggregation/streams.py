"""Stretch a seed to a mask, as long as a client's numbers.

1. A mask is the key stream of ChaCha20, cut into chunks of 65,536 numbers of 64 bits. The library
   gives it as ChaCha20-Poly1305 (RFC 8439) over zeros, without the tag; each key serves once.
2. A chunk's key is BLAKE2b with the seed as its key, over everything the sum depends on:
   federation, registry version, round, plan, client, the sorted helpers that lack the seed, the
   payload and the number of the chunk. A seed that is used twice gives unrelated masks.
3. Whoever computes a mask takes these values from the client's signed header and the plan, never
   from a message of somebody else.
4. A commitment is BLAKE2b of the same values under another personalisation. It reveals nothing of a
   seed of 32 random bytes, and no second seed gives it.
"""

import hashlib
from dataclasses import dataclass

import nacl.bindings
import numpy as np
import numpy.typing as npt

from hyperfed.codec import pack
from hyperfed.errors import SchemaError
from hyperfed.registry.helper_group import HelperSet

__all__ = ["SEED_BYTES", "MaskContext", "Words", "commitment", "mask"]

Words = npt.NDArray[np.uint64]
"""Numbers modulo 2^64."""

SEED_BYTES = 32
_CHUNK = 1 << 16  # numbers; one key each
_NONCE = bytes(12)
_TAG_BYTES = 16
_STREAM, _COMMIT = b"hyperfed/stream1", b"hyperfed/commit1"  # personalisations of BLAKE2b, 16 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskContext:
    """Names the message that a mask belongs to, as its signed header and the plan do."""

    federation: str
    """The federation's id."""
    registry_version: int
    """The version of the registry that the plan names."""
    round: int
    """The round of the client's header, which is the plan's."""
    plan_digest: bytes
    """SHA-256 of the signed plan, 32 bytes."""
    client: str
    """The sender's id."""
    payload: str
    """What is summed, such as "statistics" or "effects/finance"."""

    def bound(self, names: HelperSet, chunk: int | None = None) -> bytes:
        """Return the canonical bytes of everything that a key or a commitment depends on."""
        return pack(
            [
                self.federation,
                self.registry_version,
                self.round,
                self.plan_digest,
                self.client,
                list(names),
                self.payload,
                chunk,
            ]
        )


def _check_seed(seed: bytes) -> None:
    if len(seed) != SEED_BYTES:
        raise SchemaError(f"a seed has {len(seed)} bytes, not {SEED_BYTES}", subject="seed")


def mask(seed: bytes, context: MaskContext, names: HelperSet, length: int) -> Words:
    """Return the mask of one seed, uint64[length].

    `names` are the helpers that lack the seed. Raises SchemaError for a seed of another length.
    """
    _check_seed(seed)
    words = np.empty(length, dtype=np.uint64)
    for chunk, start in enumerate(range(0, length, _CHUNK)):
        count = min(_CHUNK, length - start)
        key = hashlib.blake2b(
            context.bound(names, chunk), key=seed, digest_size=32, person=_STREAM
        ).digest()
        stream = nacl.bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
            bytes(8 * count), None, _NONCE, key
        )
        words[start : start + count] = np.frombuffer(stream[:-_TAG_BYTES], dtype="<u8")
    return words


def commitment(seed: bytes, context: MaskContext, names: HelperSet) -> bytes:
    """Return the commitment to one seed, 32 bytes. Raises SchemaError for another length."""
    _check_seed(seed)
    return hashlib.blake2b(context.bound(names), key=seed, digest_size=32, person=_COMMIT).digest()
