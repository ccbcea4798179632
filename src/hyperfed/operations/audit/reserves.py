"""Check that each reserve follows from its round's plan and freeze (R-119).

What does not follow was written by somebody with the coordinator's key, and charges nothing unless
its round was committed.
"""

from hyperfed.dropbox.charges import is_alien
from hyperfed.operations.audit.context import AuditContext, require
from hyperfed.protocol.entries import LedgerEntry
from hyperfed.protocol.object_keys import Keys

__all__ = ["audit_reserve"]


def audit_reserve(context: AuditContext, entry: LedgerEntry) -> None:
    """Check a reserve against the plan and the freeze of its round. Raises RoundError."""
    key, frozen = Keys.ledger(entry.sequence), context.reader.freeze(entry.round)
    require(
        not is_alien(context.reader, entry),
        key,
        f"asks for something else than the plan of round {entry.round}",
        "R-119",
    )
    require(
        frozen is None or frozen.digest == entry.freeze,
        key,
        f"is of another freeze than round {entry.round} has",
        "R-119",
    )
