"""Receipt pages: the receipts of a large round, many an object, each readable by its own client only (R-44, ADR 0022).

1. A client's page is the first byte of the SHA-256 of its id (`rounds.page_of`): who may read which page is known before there is one, and stays.
2. A page has a fresh key, which lies in one SealedBox for each coordinator and auditor: they open all of it. From it follows a key for each receipt, which lies
   in one SealedBox for each of its client's keys that holds in the round or later. A client that has none left has a receipt that only the others can open.
3. A receipt is sealed under its own key (XChaCha20-Poly1305) with federation, round and client as associated data, and commits to that key (R-42): client and
   auditor read the same. It is padded to a multiple of 1,536 bytes, more than nearly all of them need: its length does not tell those who share the page
   what it says.
4. The page is signed like every object of the coordinator's. Whose receipts it holds may be read by all: the plan names them too.

What it does not do: write, say what became of an update (`receipts`).
"""

import hashlib
from collections.abc import Mapping, Sequence

from hyperfed.codec import PayloadCodec
from hyperfed.encryption import box_key, new_key, open_committed, seal_committed, unbox_key
from hyperfed.errors import RoundError, SchemaError
from hyperfed.keys import KeyPair, PublicKeys
from hyperfed.protocol.objects import Receipt, ReceiptPage, SealedReceipt
from hyperfed.registry import Registry

__all__ = ["open_page", "open_receipt", "seal_page"]

_PADDED = 1536  # bytes
_PERSON = b"hyperfed-receipt"


def seal_page(number: int, receipts: Sequence[Receipt], *, registry: Registry) -> ReceiptPage:
    """The page of some receipts of one round, ascending by client. registry: whose keys it is sealed to."""
    first, key, codec = receipts[0], new_key(), PayloadCodec()
    sealed = []
    for receipt in receipts:
        own = _own_key(key, receipt.client)
        commitment, data = seal_committed(own, _padded(codec.encode(receipt)), about=_about(receipt.federation, receipt.round, receipt.client))
        boxes = box_key(own, _recipients(registry, receipt.client, receipt.round))
        sealed.append(SealedReceipt(client=receipt.client, boxes=boxes, commitment=commitment, sealed=data))
    return ReceiptPage(
        federation=first.federation, round=first.round, page=number, boxes=box_key(key, registry.sealing_keys(first.round)), receipts=tuple(sealed)
    )


def open_receipt(page: ReceiptPage, client: str, keys: KeyPair, *, subject: str) -> Receipt | None:
    """A client's own receipt, opened with its keys; None where the page has none for it.

    Raises SignatureError where it does not open, SchemaError and BoundsError where it holds no receipt, RoundError where it is not this client's."""
    entry = page.of(client)
    return None if entry is None else _opened(page, entry, unbox_key(dict(entry.boxes), keys, subject=subject), subject)


def open_page(page: ReceiptPage, keys: KeyPair, *, subject: str) -> Mapping[str, Receipt]:
    """client -> receipt, opened with a coordinator's or an auditor's keys. Raises as `open_receipt`."""
    key = unbox_key(dict(page.boxes), keys, subject=subject)
    return {entry.client: _opened(page, entry, _own_key(key, entry.client), subject) for entry in page.receipts}


def _opened(page: ReceiptPage, entry: SealedReceipt, key: bytes, subject: str) -> Receipt:
    about = _about(page.federation, page.round, entry.client)
    receipt = PayloadCodec().decode(_unpadded(open_committed(key, entry.sealed, entry.commitment, about=about, subject=subject), subject), Receipt)
    if (receipt.federation, receipt.round, receipt.client) != (page.federation, page.round, entry.client):
        raise RoundError(f"holds a receipt for {receipt.client!r:.40} as {entry.client}'s", subject=subject, rule="R-51", remedy="Tell the operator")
    return receipt


def _padded(data: bytes) -> bytes:
    """Its length in four bytes, itself, and zeros."""
    framed = len(data).to_bytes(4, "big") + data
    return framed + bytes(-len(framed) % _PADDED)


def _unpadded(framed: bytes, subject: str) -> bytes:
    data = framed[4 : 4 + int.from_bytes(framed[:4], "big")]
    if _padded(data) != framed:
        raise SchemaError("is not a receipt and its padding", subject=subject, rule="R-44", remedy="Tell the operator")
    return data


def _own_key(page_key: bytes, client: str) -> bytes:
    """The key of one receipt, 32 bytes. Source: RFC 7693, keyed BLAKE2b."""
    return hashlib.blake2b(client.encode(), key=page_key, digest_size=32, person=_PERSON).digest()


def _about(federation: str, round_id: int, client: str) -> bytes:
    return f"hyperfed/receipt/{federation}/{round_id}/{client}".encode()


def _recipients(registry: Registry, client: str, round_id: int) -> Sequence[PublicKeys]:
    """A client's keys that hold in the round or later: what was replaced before it, or taken away, opens nothing any more."""
    return [record.keys for record in registry.keys_of(client) if record.valid_until >= round_id]
