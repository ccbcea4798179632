"""Compute the digest by which plans and headers name a policy."""

import hashlib

from hyperfed.codec import PayloadCodec
from hyperfed.packets import PolicyPack

__all__ = ["policy_digest"]


def policy_digest(policy: PolicyPack) -> bytes:
    """Return the SHA-256 of the policy's document, 32 bytes. An update's header names it."""
    return hashlib.sha256(PayloadCodec().encode(policy)).digest()
