"""Define receipts as values: one client's receipt, a sealed one, and a page of them."""

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import StrEnum

from hyperfed.codec.versions import since
from hyperfed.errors import SchemaError

__all__ = ["Fate", "Receipt", "ReceiptPage", "SealedReceipt", "Weighing"]


class Fate(StrEnum):
    """Says what became of a client's update in a round."""

    COUNTED = "counted"
    LATE = "late"
    """It is counted, but was made for an earlier round."""
    REFUSED = "refused"
    EXCLUDED = "excluded"
    """It is not counted because its client's trust is too low (R-95)."""
    NOT_SEEN = "not seen"
    """No update of the client was there at the freeze."""
    VOID = "void"
    """The round has no result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """Holds how a round weighed one client.

    Raises SchemaError where a number is out of its range.
    """

    agreement: float | None
    """Agreement of its votes with the others', in [-1, 1]; None where it is not computed or not
    told.
    """
    weight: float
    """Its weight in the merge, in [0, 1]: what the policy's rule gives, less what lateness takes.
    """
    trust: float
    """Its trust after the round, in [0, 1] (`trust_scorer`)."""

    def __post_init__(self) -> None:
        agreement = 0.0 if self.agreement is None else self.agreement
        if not (-1 <= agreement <= 1 and 0 <= self.weight <= 1 and 0 <= self.trust <= 1):
            raise SchemaError("agreement, weight and trust are shares", subject="weighing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Says what became of one client's update.

    `index`, `size` and `path` are the Merkle proof that `leaf` lies under `merkle_head`.
    """

    federation: str
    """The federation's name."""
    round: int
    """The round that the receipt is about."""
    client: str
    """The client's id."""
    fate: Fate
    """What became of the update."""
    made_for: int
    """The round that the update was made for; `round` where there was no update."""
    sequence: int
    """The update's sequence, 0 where there is none."""
    digest: bytes
    """The update's packet digest, empty where there is none."""
    rule: str
    """Id of the rule that decided, empty where none had to."""
    reason: str
    """Why, in words."""
    remedy: str
    """What the client can do."""
    leaf: bytes
    """The leaf of the Merkle tree, empty where the freeze names no update of the client."""
    index: int
    """The leaf's place in the tree, from 0."""
    size: int
    """Number of the tree's leaves."""
    path: tuple[bytes, ...]
    """The leaf's audit path, from the bottom up."""
    merkle_head: bytes
    """The head that the ledger entry `ledger_sequence` carries."""
    ledger_sequence: int
    """Number of the ledger entry that ended the round."""
    ledger_digest: bytes
    """Packet digest of that entry."""
    result: bytes
    """Packet digest of the round's result or tombstone."""
    weighing: Weighing | None = field(default=None, metadata=since(2))
    """How the round weighed the client; None where it did not, and in receipts of schema version 1.
    """
    padding: bytes = field(default=b"", metadata=since(2))
    """Zeros that make receipts of one length; empty in pages, where padding is outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedReceipt:
    """Holds a receipt that only its own client can open."""

    client: str
    """The client's id."""
    boxes: tuple[tuple[str, bytes], ...]
    """(key id, SealedBox of the receipt's key), ascending."""
    commitment: bytes
    """The commitment to that key and the nonce."""
    sealed: bytes
    """Nonce and ciphertext."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptPage:
    """Holds some clients' receipts of one round (`receipt_pages`).

    Raises SchemaError where clients do not ascend.
    """

    federation: str
    """The federation's name."""
    round: int
    """The round's number."""
    page: int
    """The page's number, 0 to 255."""
    boxes: tuple[tuple[str, bytes], ...]
    """(key id, SealedBox of the page's key) of coordinators and auditors, ascending."""
    receipts: tuple[SealedReceipt, ...]
    """The sealed receipts, ascending by client."""

    def __post_init__(self) -> None:
        clients = [r.client for r in self.receipts]
        if sorted(set(clients)) != clients:
            raise SchemaError(
                "clients ascend, each once",
                subject=f"receipt page {self.page} of round {self.round}",
                rule="R-44",
            )

    def of(self, client: str) -> SealedReceipt | None:
        """Return a client's sealed receipt, or None where the page has none."""
        at = bisect_left(self.receipts, client, key=lambda r: r.client)
        return (
            self.receipts[at]
            if at < len(self.receipts) and self.receipts[at].client == client
            else None
        )
