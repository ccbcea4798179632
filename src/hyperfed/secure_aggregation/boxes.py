"""Give each helper its seeds, so that nobody else reads them and nobody takes another's blame.

1. A box holds, for one helper, the seeds of the sets that it is not in, in the order of the sets.
   It is sealed to the helper's key of this round. The helper erases that key when the round has
   ended; otherwise a later theft of q keys would open all history.
2. A box has the form of libsodium's SealedBox: an ephemeral public key, and a ciphertext under a
   nonce that follows from both public keys. The client keeps the ephemeral secret until its message
   is written.
3. What the client signs beside its message holds the boxes and the commitment to each seed. A
   helper that cannot open its box, or finds a seed that does not match, says so before the freeze,
   and the freeze counts only clients that all of its helpers confirmed.
4. A client that is accused may publish the ephemeral secrets of at most t boxes. Everyone can then
   open these boxes and see who was right; the seeds of t helpers open nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import nacl.bindings
import nacl.exceptions

from hyperfed.errors import RefusedError, SignatureError
from hyperfed.registry.helper_group import HelperGroup, HelperSet
from hyperfed.secure_aggregation.streams import SEED_BYTES, MaskContext, commitment

__all__ = [
    "SealedSeeds",
    "Seeds",
    "box_digest",
    "check_keys",
    "check_seeds",
    "is_round_key",
    "new_round_key",
    "open_box",
    "open_published_box",
    "public_round_key",
    "seal_seeds",
]

Seeds = Mapping[HelperSet, bytes]
"""A seed of 32 bytes for each set of helpers that lack it."""

_KEY_BYTES, _MAC_BYTES, _NONCE_BYTES = 32, 16, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSeeds:
    """Holds what a client sends with its masked numbers, and what it keeps for an accusation."""

    boxes: Mapping[str, bytes]
    """The sealed seeds of each helper that has a key."""
    commitments: Mapping[HelperSet, bytes]
    """The commitment to each seed, 32 bytes."""
    ephemeral_keys: Mapping[str, bytes]
    """The ephemeral secret of each box, 32 bytes. It is never sent, except by an accused client,
    and then for at most t helpers.
    """


def _nonce(ephemeral: bytes, helper_key: bytes) -> bytes:
    return hashlib.blake2b(ephemeral + helper_key, digest_size=_NONCE_BYTES).digest()


def new_round_key() -> bytes:
    """Return the secret of a helper's key of one round, X25519, 32 bytes."""
    return nacl.bindings.crypto_box_keypair()[1]


def public_round_key(secret: bytes) -> bytes:
    """Return the public half of a helper's key of one round, 32 bytes."""
    return nacl.bindings.crypto_scalarmult_base(secret)


def is_round_key(public: bytes) -> bool:
    """Return whether boxes can be sealed to a public key: 32 bytes, and no point of small order.

    Whoever publishes another one would have every client fail that seals a box to it.
    """
    if len(public) != _KEY_BYTES:
        return False
    try:
        nacl.bindings.crypto_scalarmult(bytes(range(_KEY_BYTES)), public)
    except nacl.exceptions.CryptoError:
        return False
    return True


def box_digest(box: bytes) -> bytes:
    """Return the digest of a box as the client's header names it, SHA-256."""
    return hashlib.sha256(box).digest()


def check_keys(group: HelperGroup, helper_keys: Mapping[str, bytes]) -> None:
    """Raise RefusedError where fewer than q helpers have published a key for the round (R-169)."""
    if not group.can_open(list(helper_keys)):
        raise RefusedError(
            f"have published no key for this round, and {group.quorum} helpers open a sum",
            subject=", ".join(helper for helper in group.helpers if helper not in helper_keys),
            rule="R-169",
            remedy="Nothing was sent. Submit again once their `hyperfed helper night` has run, or "
            "ask the operator to replace them in the registry",
        )


def seal_seeds(
    seeds: Seeds, group: HelperGroup, helper_keys: Mapping[str, bytes], context: MaskContext
) -> SealedSeeds:
    """Return boxes and commitments for one message.

    `helper_keys` are the helpers' X25519 public keys of this round, 32 bytes each. A helper without
    one has no box, and does not open this round. Raises RefusedError where fewer than q have a key.
    """
    boxes, ephemeral_keys = {}, {}
    check_keys(group, helper_keys)
    for helper in group.helpers:
        if helper not in helper_keys:
            continue
        plain = b"".join(seeds[names] for names in group.held_by(helper))
        public, secret = nacl.bindings.crypto_box_keypair()
        nonce = _nonce(public, helper_keys[helper])
        boxes[helper] = public + nacl.bindings.crypto_box(plain, nonce, helper_keys[helper], secret)
        ephemeral_keys[helper] = secret
    return SealedSeeds(
        boxes=boxes,
        commitments={names: commitment(seeds[names], context, names) for names in group.sets()},
        ephemeral_keys=ephemeral_keys,
    )


def open_box(
    box: bytes, helper: str, group: HelperGroup, secret_key: bytes
) -> dict[HelperSet, bytes]:
    """Return the seeds in a helper's box.

    `secret_key` is the helper's X25519 secret of this round. Raises SignatureError where the box
    was not sealed to it, or holds something else than this helper's seeds.
    """
    public = nacl.bindings.crypto_scalarmult_base(secret_key)
    ephemeral = box[:_KEY_BYTES]
    return _opened(box, helper, group, ephemeral, secret_key, _nonce(ephemeral, public))


def open_published_box(
    box: bytes, helper: str, group: HelperGroup, helper_key: bytes, ephemeral_key: bytes
) -> dict[HelperSet, bytes]:
    """Return the seeds in a box whose ephemeral secret the accused client has published.

    `helper_key` is the helper's public key. Raises SignatureError where the secret is not that of
    the box, or where the box holds something else than this helper's seeds.
    """
    ephemeral = nacl.bindings.crypto_scalarmult_base(ephemeral_key)
    if ephemeral != box[:_KEY_BYTES]:
        raise SignatureError(
            "the key that was published is not that of the box", subject=f"box of {helper}"
        )
    return _opened(box, helper, group, helper_key, ephemeral_key, _nonce(ephemeral, helper_key))


def _opened(
    box: bytes, helper: str, group: HelperGroup, public: bytes, secret: bytes, nonce: bytes
) -> dict[HelperSet, bytes]:
    pairs = group.held_by(helper)
    try:
        if len(box) != _KEY_BYTES + _MAC_BYTES + SEED_BYTES * len(pairs):
            raise ValueError("another length")
        plain = nacl.bindings.crypto_box_open(box[_KEY_BYTES:], nonce, public, secret)
    except (nacl.exceptions.CryptoError, ValueError) as exc:
        raise SignatureError(
            f"does not open with the key of {helper}, or does not hold its {len(pairs)} seeds",
            subject=f"box of {helper}",
            remedy=(
                "Nothing to do: the freeze leaves its sender out, and it sends again in the next "
                "round"
            ),
        ) from exc
    return {names: plain[SEED_BYTES * i : SEED_BYTES * (i + 1)] for i, names in enumerate(pairs)}


def check_seeds(
    seeds: Seeds, commitments: Mapping[HelperSet, bytes], context: MaskContext
) -> Sequence[HelperSet]:
    """Return the sets whose seed does not match the commitment in the client's header."""
    return [
        names
        for names, seed in seeds.items()
        if commitments.get(names) != commitment(seed, context, names)
    ]
