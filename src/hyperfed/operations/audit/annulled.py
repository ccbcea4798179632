"""Say what the registry's roots have annulled, and leave its rounds alone (R-123, R-124)."""

from hyperfed.operations.audit.context import AuditContext
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.heads import annulled_in_words

__all__ = ["is_annulled", "remark_annulled"]


def remark_annulled(context: AuditContext) -> None:
    """Add a remark for each annulled entry, and for each one of an abandoned branch."""
    annulled = context.reader.registry.annulled
    context.remarks.extend(annulled_in_words(annulled, context.ledger))


def is_annulled(context: AuditContext, round_id: int) -> bool:
    """Return whether all entries of a round are annulled, or its commit; adds a remark then.

    What lies in its folder decides nothing.
    """
    entries_of_round = [c for c in context.ledger if (c.original or c.entry).round == round_id]
    burnt = any(c.original and c.original.kind is EntryKind.COMMIT for c in entries_of_round)
    if not entries_of_round or not (burnt or all(c.original for c in entries_of_round)):
        return False
    context.remarks.append(
        f"round {round_id}: the roots have annulled its entries, and its objects decide nothing"
    )
    return True
