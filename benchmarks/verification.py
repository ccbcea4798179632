"""Verifying updates of 300 KB on one core: our envelope (a signed header with the body's digest)
beside whole-message Ed25519, and what bounds both.
"""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import nacl.signing
from measure import best_of

from hyperfed.crypto.envelope import (
    Header,
    PacketType,
    open_envelope,
    sign_envelope,
    verify_envelope,
)
from hyperfed.crypto.sealing import bind_body
from hyperfed.testing.federation import key_of

BODY_BYTES = 300_000
BATCH = 100


def run(*, quick: bool) -> dict[str, Any]:
    """Updates a second by name."""
    now, pair, body = datetime(2026, 1, 1, tzinfo=UTC), key_of("bench"), os.urandom(BODY_BYTES)
    header = Header(
        federation="bench",
        round=1,
        sender="site-01",
        key_id=pair.key_id,
        audience="coordinator",
        sequence=1,
        nonce=bytes(16),
        created=now,
        expires=now + timedelta(days=1),
    )
    data = sign_envelope(PacketType.UPDATE, bind_body(header, body), body, [pair])
    whole = nacl.signing.SigningKey.generate()
    message, key = bytes(whole.sign(body)), whole.verify_key
    public = pair.public.signing

    def ours() -> None:
        for _ in range(BATCH):
            verify_envelope(open_envelope(data), expect=PacketType.UPDATE, key_of=lambda _: public)

    def theirs() -> None:
        for _ in range(BATCH):
            key.verify(message)

    def digest() -> None:
        for _ in range(BATCH):
            hashlib.sha256(body).digest()

    seconds = best_of(
        {
            "hyperfed envelope": ours,
            "PyNaCl, whole message": theirs,
            "limit: SHA-256 of the body": digest,
        },
        repeats=3 if quick else 9,
    )
    return {name: BATCH / s for name, s in seconds.items()}


def show(result: dict[str, Any]) -> str:
    base = result["PyNaCl, whole message"]
    return "\n".join(
        [
            "| updates of 300 KB | a second | x PyNaCl |",
            "|---|---|---|",
            *(f"| {n} | {v:,.0f} | {v / base:.2f} |" for n, v in result.items()),
        ]
    )
