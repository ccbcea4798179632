"""Seal the receipts of a large round into pages, many in one object (R-44, ADR 0022).

Each receipt can be read by its own client, by coordinators and by auditors only.

1. A client's page is the first byte of the SHA-256 of its id (`object_keys.page_of`). Who may read
   which page is known before the page exists, and never changes.
2. A page has a fresh key, which lies in one SealedBox for each coordinator and auditor: they open
   all of it. From the page's key follows a key for each receipt, which lies in one SealedBox for
   each of its client's keys that holds in the round or later. Where a client has no such key left,
   only coordinators and auditors can open its receipt.
3. A receipt is sealed under its own key (XChaCha20-Poly1305) with federation, round and client as
   associated data, and commits to that key (R-42): client and auditor read the same. It is padded
   to a multiple of 1,536 bytes, more than nearly all receipts need, so that its length says nothing
   to those who share the page.
4. The page is signed like every object of the coordinator's. Everyone may read whose receipts it
   holds: the plan names these clients too.

What it does not do: write, or say what became of an update (`receipts`).
"""

import hashlib
from collections.abc import Mapping, Sequence

from hyperfed.codec import PayloadCodec
from hyperfed.crypto.keys import KeyPair, PublicKeys
from hyperfed.crypto.sealing import box_key, new_key, open_committed, seal_committed, unbox_key
from hyperfed.errors import RoundError, SchemaError
from hyperfed.protocol.receipt_objects import (
    Receipt,
    ReceiptPage,
    SealedReceipt,
)
from hyperfed.registry.registry import Registry

__all__ = ["open_page", "open_receipt", "seal_page"]

_PADDED = 1536  # bytes
_PERSON = b"hyperfed-receipt"


def seal_page(number: int, receipts: Sequence[Receipt], *, registry: Registry) -> ReceiptPage:
    """Return the page of some receipts of one round, which ascend by client.

    The page is sealed to the keys that `registry` names.
    """
    first, key, codec = receipts[0], new_key(), PayloadCodec()
    sealed = []
    for receipt in receipts:
        own_page_key = _own_key(key, receipt.client)
        commitment, data = seal_committed(
            own_page_key,
            _padded(codec.encode(receipt)),
            about=_about(receipt.federation, receipt.round, receipt.client),
        )
        boxes = box_key(own_page_key, _recipients(registry, receipt.client, receipt.round))
        sealed.append(
            SealedReceipt(client=receipt.client, boxes=boxes, commitment=commitment, sealed=data)
        )
    return ReceiptPage(
        federation=first.federation,
        round=first.round,
        page=number,
        boxes=box_key(key, registry.sealing_keys(first.round)),
        receipts=tuple(sealed),
    )


def open_receipt(
    page: ReceiptPage, client: str, key_pair: KeyPair, *, subject: str
) -> Receipt | None:
    """Return a client's own receipt, opened with its key pair, or None where the page has none.

    Raises SignatureError where it does not open, SchemaError or BoundsError where what opens is not
    a receipt, and RoundError where the receipt is another client's.
    """
    entry = page.of(client)
    return (
        None
        if entry is None
        else _opened(page, entry, unbox_key(dict(entry.boxes), key_pair, subject=subject), subject)
    )


def open_page(page: ReceiptPage, key_pair: KeyPair, *, subject: str) -> Mapping[str, Receipt]:
    """Return client -> receipt, opened with a coordinator's or an auditor's key pair.

    Raises the errors of `open_receipt`.
    """
    key = unbox_key(dict(page.boxes), key_pair, subject=subject)
    return {
        entry.client: _opened(page, entry, _own_key(key, entry.client), subject)
        for entry in page.receipts
    }


def _opened(page: ReceiptPage, entry: SealedReceipt, key: bytes, subject: str) -> Receipt:
    about = _about(page.federation, page.round, entry.client)
    receipt = PayloadCodec().decode(
        _unpadded(
            open_committed(key, entry.sealed, entry.commitment, about=about, subject=subject),
            subject,
        ),
        Receipt,
    )
    if (receipt.federation, receipt.round, receipt.client) != (
        page.federation,
        page.round,
        entry.client,
    ):
        raise RoundError(
            f"holds a receipt for {receipt.client!r:.40} as {entry.client}'s",
            subject=subject,
            rule="R-51",
            remedy="Tell the operator",
        )
    return receipt


def _padded(data: bytes) -> bytes:
    """Return the data after its length in four bytes, padded with zeros."""
    framed = len(data).to_bytes(4, "big") + data
    return framed + bytes(-len(framed) % _PADDED)


def _unpadded(framed: bytes, subject: str) -> bytes:
    data = framed[4 : 4 + int.from_bytes(framed[:4], "big")]
    if _padded(data) != framed:
        raise SchemaError(
            "is not a receipt and its padding",
            subject=subject,
            rule="R-44",
            remedy="Tell the operator",
        )
    return data


def _own_key(page_key: bytes, client: str) -> bytes:
    """Return the key of one receipt, 32 bytes. Source: RFC 7693, keyed BLAKE2b."""
    return hashlib.blake2b(client.encode(), key=page_key, digest_size=32, person=_PERSON).digest()


def _about(federation: str, round_id: int, client: str) -> bytes:
    return f"hyperfed/receipt/{federation}/{round_id}/{client}".encode()


def _recipients(registry: Registry, client: str, round_id: int) -> Sequence[PublicKeys]:
    """Return the client's keys that hold in the round or later.

    A key that was replaced or revoked before the round opens nothing any more.
    """
    return [record.keys for record in registry.keys_of(client) if record.valid_until >= round_id]
