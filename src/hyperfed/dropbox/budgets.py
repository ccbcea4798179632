"""Read the privacy budget that is in force, and what a ledger has spent of it.

1. The budget in force is what the registry names. A version that loosens it (a larger epsilon or
   delta, another unit, less support) after the first charged reserve was frozen is refused. No
   private round is opened, charged, answered by helpers or audited as right under it
   (`privacy.accountant.running_budget`, R-72).
2. Reserves that no plan asks for are no charges (`charges`).

What it does not do: decide what a round costs (`nights`), or append to the ledger.
"""

from collections.abc import Sequence

from hyperfed.dropbox.charges import charging
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.privacy.accountant import PrivacyAccountant, running_budget
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.ledger import Chained, as_signed
from hyperfed.registry.registry import Budget

__all__ = ["accountant_of", "budget_in_force"]


def budget_in_force(
    reader: DropBoxReader, ledger: Sequence[Chained], *, version: int | None = None
) -> Budget:
    """Return the budget that holds at a version of the registry.

    ledger: the verified ledger. version: the version of the registry; None: the newest. Raises
    PrivacyError where the budget was loosened since the first charge (R-72).
    """
    newest = reader.registry.version if version is None else version
    ledger = charging(reader, ledger, version=newest)
    refunded = {c.entry.id for c in ledger if c.entry.kind is EntryKind.VOID}
    charged = [
        as_signed(c)
        for c in ledger
        if c.entry.kind is EntryKind.RESERVE and c.entry.mechanisms and c.entry.id not in refunded
    ]
    freezes = (reader.freeze(entry.round) for entry in charged)
    frozen = next((freeze for freeze in freezes if freeze is not None), None)
    first = min(frozen.value.registry_version, newest) if frozen is not None else newest
    return running_budget([reader.registry_at(v).budget for v in range(first, newest + 1)])


def accountant_of(
    reader: DropBoxReader, ledger: Sequence[Chained], *, version: int | None = None
) -> PrivacyAccountant:
    """Return the accountant of a verified ledger, or of a prefix of it.

    version: the version of the registry that names the budget; None: the newest. Raises
    PrivacyError where the budget was loosened since the first charge (R-72).
    """
    charges = charging(reader, ledger, version=version)
    return PrivacyAccountant.of_ledger(charges, budget_in_force(reader, charges, version=version))
