"""Compare, before a client acts, what it is shown with what it has seen.

1. A plan names the newest commit at its time; a ledger without that commit is an old one (R-50).
2. A ledger that is shorter than the one seen before, or different, is a rollback (R-50).
3. A broadcast is believed only if the ledger commits to it, it is not older than what was pulled
   before and has not expired (R-50, R-51).
4. A receipt is shown only if its leaf says what the receipt says, and lies under the head that the
   round's commit or void carries (R-70).

Every check raises RoundError or RegistryError, which says what to do. Nothing is read or sent here.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from hyperfed.client.memory import Marks
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.reader import Stored
from hyperfed.errors import RegistryError, RoundError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.protocol.entries import (
    EntryKind,
    LedgerEntry,
)
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import (
    Plan,
    Tombstone,
)
from hyperfed.protocol.receipt_objects import (
    Receipt,
)
from hyperfed.protocol.receipts import receipt_holds
from hyperfed.registry.registry import Registry

__all__ = ["check_ledger", "check_plan", "check_receipt", "check_registered", "check_result"]


def check_registered(
    registry: Registry, client_id: str, key_pair: KeyPair, *, round_id: int
) -> None:
    """Raise RegistryError where the client's key is not registered for the round (R-81)."""
    record = registry.client(client_id)
    if not any(r.keys == key_pair.public and r.valid_in(round_id) for r in record.keys):
        raise RegistryError(
            f"key {key_pair.key_id} is not registered for round {round_id}",
            subject=f"client {client_id}",
            rule="R-81",
            remedy=f"Registry version {registry.version} names other keys or rounds; enrol "
            "this key with the operator",
        )


def check_plan(plan: Stored[Plan], ledger: Sequence[Chained]) -> None:
    """Raise RoundError where the ledger lacks the newest commit that the plan names (R-50)."""
    if plan.value.newest_commit and not any(c.digest == plan.value.newest_commit for c in ledger):
        raise RoundError(
            f"names the commit of round {plan.value.newest_commit_round}, which the ledger "
            "does not hold",
            subject=plan.key,
            rule="R-50",
            remedy="Somebody shows an old ledger: tell the operator. Nothing was sent",
        )


def check_ledger(ledger: Sequence[Chained], marks: Marks, registry: Registry) -> bool:
    """Return whether the ledger continues what the client has seen (R-50).

    It does not where the client has seen a branch that the roots have abandoned (R-124). Raises
    RoundError where nobody has said so.
    """
    marked_head = (marks.ledger_sequence, marks.ledger_digest)
    abandoned = {(a.sequence, a.digest.hex()) for a in registry.annulled}
    here = {
        (c.entry.sequence, c.digest.hex())
        for c in ledger[max(0, marked_head[0] - 1) : marked_head[0]]
    }
    if marked_head in abandoned - here:
        return False
    if len(ledger) < marks.ledger_sequence or (
        marks.ledger_sequence
        and ledger[marks.ledger_sequence - 1].digest.hex() != marks.ledger_digest
    ):
        raise RoundError(
            f"does not hold entry {marks.ledger_sequence} as this client has seen it",
            subject="ledger",
            rule="R-50",
            remedy="The drop-box was rolled back or split: tell the operator, submit nothing",
        )
    return True


def check_result(
    stored: Stored[GlobalModel] | Stored[Tombstone] | None,
    entry: LedgerEntry,
    *,
    marks: Marks,
    now: datetime,
    skew_s: float,
) -> Stored[GlobalModel]:
    """Return the model that the ledger commits to in `entry`.

    Raises RoundError for any other object, for one older than what was pulled before, and for one
    that has expired (R-50, R-51).
    """
    key = Keys.result(entry.round)
    if (
        stored is None
        or not isinstance(stored.value, GlobalModel)
        or stored.digest != entry.result
        or stored.value.freeze != entry.freeze
    ):
        raise RoundError(
            "is not the result that the ledger commits to",
            subject=key,
            rule="R-51",
            remedy="Somebody mixes rounds: tell the operator",
        )
    if entry.round < marks.broadcast_round:
        raise RoundError(
            f"is older than round {marks.broadcast_round}, which was pulled before",
            subject=key,
            rule="R-50",
            remedy="The drop-box was rolled back: tell the operator",
        )
    skew = timedelta(seconds=skew_s)
    if stored.signed.header.expires <= now - skew:
        raise RoundError(
            f"expired at {stored.signed.header.expires.isoformat()}",
            subject=key,
            rule="R-50",
            remedy="No round was committed since, or somebody holds newer ones back: ask "
            "the operator",
        )
    return stored


def check_receipt(stored: Stored[Receipt], ledger: Sequence[Chained], *, round_id: int) -> None:
    """Raise RoundError where the ledger or the proof does not support the receipt (R-70)."""
    receipt = stored.value
    named = (
        ledger[receipt.ledger_sequence - 1].entry
        if 0 < receipt.ledger_sequence <= len(ledger)
        else None
    )
    if (
        named is None
        or named.kind is EntryKind.RESERVE
        or ledger[receipt.ledger_sequence - 1].digest != receipt.ledger_digest
        or (named.round, named.merkle_head, named.result)
        != (round_id, receipt.merkle_head, receipt.result)
    ):
        raise RoundError(
            "names a ledger entry that is not there",
            subject=stored.key,
            rule="R-70",
            remedy="Two views of the round exist: tell the operator",
        )
    if not receipt_holds(receipt, voided=named.kind is EntryKind.VOID):
        raise RoundError(
            "does not prove what it says",
            subject=stored.key,
            rule="R-70",
            remedy="Tell the operator",
        )
