"""Sign and seal what a client leaves for its peers, and open what they left (R-147, R-148).

1. In epoch 0 the body is the client's noised message, as any round of local noise has it. A peer
   takes the same part of it that the sender gave away. In a later epoch the body is a share.
2. The header binds federation, round, sender and epoch (its sequence), and the policy and the
   vocabulary by which the message was noised. It is signed with the sender's key and sealed to the
   peers of that epoch and to the sender: neither the bucket nor another client reads it.
3. What is received is verified before it is opened, and opened before it is parsed. It counts where
   the plan has its sender push to the receiver in that epoch, and until the round's gossip expires.

What it does not do: read or write a store (`client.gossip`), or add what it opened (`mixing`).
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import (
    Header,
    PacketType,
    Signed,
    digest_of,
    open_envelope,
    sign_envelope,
    verify_envelope,
)
from hyperfed.crypto.keys import KeyPair, PublicKeys
from hyperfed.crypto.sealing import SEALED, open_body, seal_body
from hyperfed.errors import RefusedError, SchemaError
from hyperfed.gossip.messages import NoisedVector, Share, decode_share, encode_share
from hyperfed.gossip.terms import GossipTerms
from hyperfed.packets import Update
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Registry

__all__ = [
    "AUDIENCE",
    "Peers",
    "digest_of_envelope",
    "open_share",
    "seal_message",
    "seal_share",
    "verify_gossip",
]

AUDIENCE = "peers"
_MOST_BYTES = 64  # of a share beside its numbers and its sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """Holds what one client needs to speak with its peers in a round."""

    terms: GossipTerms
    """The terms of the round's gossip."""
    registry: Registry
    """The registry, which names everybody's keys."""
    client: str
    """The client's own id."""
    key_pair: KeyPair
    """The client's own key pair."""
    limits: Limits = DEFAULT_LIMITS
    """The sizes and times that this client accepts."""


def seal_message(message: bytes, peers: Peers, *, now: datetime) -> bytes:
    """Return the envelope of epoch 0. `message` is the noised message, encoded."""
    return _sealed(message, peers, epoch=0, previous=b"", now=now)


def seal_share(share: Share, peers: Peers, *, previous: bytes, now: datetime) -> bytes:
    """Return the envelope of a later epoch. `previous` is the digest of the one before."""
    return _sealed(encode_share(share), peers, epoch=share.epoch, previous=previous, now=now)


def _sealed(body: bytes, peers: Peers, *, epoch: int, previous: bytes, now: datetime) -> bytes:
    terms, registry = peers.terms, peers.registry
    header = Header(
        federation=registry.federation,
        round=terms.round,
        sender=peers.client,
        key_id=peers.key_pair.key_id,
        audience=AUDIENCE,
        sequence=epoch,
        nonce=secrets.token_bytes(16),
        created=now,
        expires=terms.expires,
        policy=terms.policy,
        vocabulary=terms.announced.vocabulary.digest,
        previous=previous,
    )
    readers = (*terms.plan.neighbours(epoch, peers.client), peers.client)
    header, sealed = seal_body(header, body, list(_keys_of(registry, readers, terms.round)))
    return sign_envelope(PacketType.GOSSIP, header, sealed, [peers.key_pair])


def _keys_of(registry: Registry, clients: Iterable[str], round_id: int) -> Iterable[PublicKeys]:
    for client in sorted(clients):
        for record in registry.keys_of(client):
            if record.valid_in(round_id):
                yield record.keys


def digest_of_envelope(data: bytes) -> bytes:
    """Return the packet digest of one of this client's own envelopes."""
    envelope = open_envelope(data)
    return digest_of(envelope.type, envelope.header_bytes)


def verify_gossip(
    data: bytes, *, registry: Registry, client: str, round_id: int, epoch: int
) -> Signed:
    """Return the verified envelope that lay at the key of a client, a round and an epoch.

    Raises SignatureError, SchemaError, or RefusedError where it speaks for another client, round,
    epoch or federation than it lies in.
    """
    key = Keys.gossip(round_id, epoch, client)
    signing_keys = registry.signing_keys(round_id)

    def key_of(key_id: str) -> bytes | None:
        owner, public = signing_keys.get(key_id, ("", b""))
        return public if owner == client else None

    signed = verify_envelope(
        open_envelope(data, subject=key), expect=PacketType.GOSSIP, key_of=key_of, subject=key
    )
    header = signed.header
    header_fields = (
        header.federation,
        header.audience,
        header.round,
        header.sender,
        header.sequence,
    )
    if header_fields != (registry.federation, AUDIENCE, round_id, client, epoch):
        raise RefusedError(
            f"is of {header.sender!r:.40} for {header.audience!r:.40}, epoch {header.sequence} of "
            f"round {header.round} of federation {header.federation!r:.40}",
            subject=key,
            rule="R-147",
            remedy="Nothing to do: it was moved from another place, and is left out",
        )
    if header.encryption != SEALED:
        raise SchemaError(
            "is not sealed", subject=key, rule="R-147", remedy="Seal gossip to its peers"
        )
    return signed


def open_share(data: bytes, peers: Peers, *, sender: str, epoch: int, now: datetime) -> Share:
    """Return a peer's share, verified and opened. `data` lay at the key of sender and epoch.

    Raises SignatureError, SchemaError, PrivacyError, or RefusedError where it is of other terms, or
    out of its time.
    """
    terms, skew = peers.terms, timedelta(seconds=peers.limits.clock_skew_s)
    signed = verify_gossip(
        data, registry=peers.registry, client=sender, round_id=terms.round, epoch=epoch
    )
    header, key = signed.header, Keys.gossip(terms.round, epoch, sender)
    vocabulary = terms.announced.vocabulary.digest
    if (header.policy, header.vocabulary) != (terms.policy, vocabulary):
        raise RefusedError(
            f"was noised under policy {header.policy.hex()[:16]} and vocabulary "
            f"{header.vocabulary.hex()[:16]}; the terms here are {terms.policy.hex()[:16]} and "
            f"{vocabulary.hex()[:16]}",
            subject=key,
            rule="R-148",
            remedy=(
                "Wait for the next round, which has one plan for all: another plan came in between"
            ),
        )
    if header.created > now + skew or header.expires <= now - skew:
        raise RefusedError(
            f"was made at {header.created.isoformat()} and holds until "
            f"{header.expires.isoformat()}",
            subject=key,
            rule="R-148",
            remedy="Check this machine's clock: it is too late, or a clock is wrong",
        )
    body = open_body(signed, peers.key_pair, subject=key)
    if epoch:
        if len(body) > 8 * terms.plan.length + len(sender) + _MOST_BYTES:
            raise SchemaError("is longer than a share", subject=key, rule="R-148")
        share = decode_share(bytes(body))
        if (share.sender, share.epoch, share.round) != (sender, epoch, terms.round):
            raise RefusedError(
                "says inside that it is of another client, epoch or round",
                subject=key,
                rule="R-148",
            )
        return share
    message = PayloadCodec(limits=peers.limits).decode(body, Update)
    vector = NoisedVector.of_message(
        message, variables=len(terms.announced.vocabulary), lags=terms.lags
    )
    part = 1.0 / (terms.plan.peers + 1)
    return Share(
        round=terms.round, epoch=0, sender=sender, weight=part, values=vector.values * part
    )
