"""Writing a round's receipts: step 7, and what a coordinator that died before it has left undone.

What it does not do: say what a receipt is (`protocol.receipts`), decide when they are due (`protocol.machine`).
"""

from dataclasses import dataclass

from hyperfed.config import Limits
from hyperfed.dropbox import DropBoxReader
from hyperfed.errors import RoundError, TransportError
from hyperfed.keys import KeyPair
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import Plan, Tombstone
from hyperfed.protocol.receipts import is_paged, make_receipts, wanted_keys
from hyperfed.rounds import Keys
from hyperfed.store import ObjectStore

__all__ = ["Receipts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """The receipts of a coordinator's rounds. Arguments as `RoundRunner`'s."""

    store: ObjectStore
    reader: DropBoxReader
    keys: KeyPair
    limits: Limits

    def are_there(self, plan: Plan) -> bool:
        """Whether all of the round's cohort have been told."""
        return self._there(plan) >= wanted_keys(plan, limits=self.limits)

    def put(self, plan: Plan, end: Chained) -> None:
        """R-68: write what is missing. A freeze that the ledger does not name was written after the round had been voided, and decides nothing.
        end: the round's commit or void. Raises RoundError, TransportError."""
        result = self.reader.result(plan.round)
        frozen = self.reader.freeze(plan.round) if end.entry.freeze else None
        state = self.reader.state(plan.round) if end.entry.state else None
        found = {
            Keys.result(plan.round): (result.digest if result else b"", end.entry.result),
            Keys.freeze(plan.round): (frozen.digest if frozen else b"", end.entry.freeze),
            Keys.state(plan.round): (state.digest if state else b"", end.entry.state),
        }
        for key, (digest, named) in found.items():
            if digest != named:
                raise RoundError(
                    "is not the one the ledger names", subject=key, rule="R-61", remedy="Restore the bucket from its versions; run `hyperfed audit`"
                )
        missing = make_receipts(
            plan,
            frozen.value if frozen else None,
            end,
            tombstone=result.value if result is not None and isinstance(result.value, Tombstone) else None,
            keys=self.keys,
            registry=self.reader.registry,
            there=self._there(plan),
            limits=self.limits,
        )
        for _, answer in self.store.put_many((write.key, write.data) for write in missing):
            if isinstance(answer, TransportError):
                raise answer

    def _there(self, plan: Plan) -> set[str]:
        folder = Keys.receipt_page(plan.round) if is_paged(plan, limits=self.limits) else Keys.receipt(plan.round, "")
        return {info.key for info in self.store.list(folder)}
