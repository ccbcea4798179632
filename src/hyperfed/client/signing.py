"""Make of an update the envelope that its client sends: numbered, sealed and signed.

1. The sequence is taken from the client's memory first, and is on disk before it is used: a crash
   costs a number, never a repeat (R-89).
2. The header states what this client has seen: its last update, the newest broadcast, and ledger
   and registry with what was signed of them.
3. The body is sealed to the coordinator where the policy says so, and bound to the header
   otherwise.
4. An envelope that is larger than what is read is refused here, before it is sent (R-80).

What it does not do: it does not check the update (`session`), or write it (`own_slots`).
"""

import secrets
from datetime import datetime, timedelta

from hyperfed.client.memory import ClientMemory
from hyperfed.codec import PayloadCodec
from hyperfed.config import Limits
from hyperfed.crypto.envelope import Header, PacketType, digest_of, sign_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import bind_body, seal_body
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import RefusedError
from hyperfed.packets import Update
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import Plan

__all__ = ["signed_update"]


def signed_update(
    update: Update,
    plan: Plan,
    *,
    client_id: str,
    key_pair: KeyPair,
    reader: DropBoxReader,
    memory: ClientMemory,
    ledger: list[Chained],
    limits: Limits,
    now: datetime,
) -> tuple[bytes, int, str]:
    """Return the envelope, its sequence, and its digest in hexadecimal.

    `ledger` is stated where `reader` has verified no entries. Raises RefusedError where the
    envelope is larger than what is read; its sequence is used up then.
    """
    sequence = memory.take_sequence()
    ledger = reader.verified_entries() or ledger
    registry, marks = reader.registry, memory.marks
    header = Header(
        federation=plan.federation,
        round=plan.round,
        sender=client_id,
        key_id=key_pair.key_id,
        audience="coordinator",
        sequence=sequence,
        nonce=secrets.token_bytes(16),
        created=now,
        expires=now
        + timedelta(
            seconds=max(
                limits.update_lifetime_s, registry.window_s * (plan.policy.max_staleness + 2)
            )
        ),
        policy=policy_digest(plan.policy),
        vocabulary=plan.vocabulary.digest,
        previous=bytes.fromhex(marks.previous),
        seen_broadcast=bytes.fromhex(marks.broadcast),
        ledger_sequence=len(ledger),
        ledger_digest=ledger[-1].digest if ledger else b"",
        ledger_proof=reader.ledger_proof,
        registry_version=registry.version,
        registry_digest=reader.registry_digest,
        registry_proof=reader.registry_proof,
    )
    body = PayloadCodec(compression="zstd").encode(update)
    if plan.policy.sealed:
        header, body = seal_body(header, body, registry.sealing_keys(plan.round))
    else:
        header = bind_body(header, body)
    data = sign_envelope(PacketType.UPDATE, header, body, [key_pair])
    if len(data) > limits.max_update_bytes:
        raise RefusedError(
            f"{len(data)} bytes; at most {limits.max_update_bytes} are read",
            subject=f"update of {client_id} for round {plan.round}",
            rule="R-80",
            remedy="Share fewer edges",
        )
    return data, sequence, digest_of(PacketType.UPDATE, header.to_bytes()).hex()
