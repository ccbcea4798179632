"""The budget as a drop-box has it: which registry versions speak about it, and what its ledger has spent.

1. The budget in force is what the registry names; a version that loosens it after the first charged reserve was frozen (a larger epsilon or delta, another
   unit, less support) is refused: no private round is opened, charged or found right under it (`privacy.accountant.running_budget`, R-72).
2. Before anything is charged, today's registry decides.

What it does not do: append (`runner`), show (`cli.budget`, `report`).
"""

from collections.abc import Sequence

from hyperfed.dropbox import DropBoxReader
from hyperfed.privacy.accountant import PrivacyAccountant, running_budget
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import EntryKind
from hyperfed.registry import Budget

__all__ = ["accountant_of", "budget_in_force"]


def budget_in_force(reader: DropBoxReader, ledger: Sequence[Chained], *, version: int | None = None) -> Budget:
    """The budget that holds at registry `version` (the newest, where None). Raises PrivacyError where it was loosened since the first charge."""
    newest = reader.registry.version if version is None else version
    refunded = {c.entry.id for c in ledger if c.entry.kind is EntryKind.VOID}
    charged = [c.entry for c in ledger if c.entry.kind is EntryKind.RESERVE and c.entry.mechanisms and c.entry.id not in refunded]
    frozen = reader.freeze(charged[0].round) if charged else None
    first = min(frozen.value.registry_version, newest) if frozen is not None else newest
    return running_budget([reader.registry_at(v).budget for v in range(first, newest + 1)])


def accountant_of(reader: DropBoxReader, ledger: Sequence[Chained], *, version: int | None = None) -> PrivacyAccountant:
    """The accountant of a verified ledger, or of a prefix of it."""
    return PrivacyAccountant.of_ledger(ledger, budget_in_force(reader, ledger, version=version))
