"""Write a round's receipts (step 7), also those that a coordinator left unwritten when it died.

What it does not do: it does not say what a receipt is (`protocol.receipts`), nor decide when
receipts are due (`protocol.machine`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hyperfed.config import Limits
from hyperfed.coordinator.weighings import weighings_of
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import RESTORE_BUCKET, RoundError, TransportError
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan, RoundState, Tombstone
from hyperfed.protocol.receipt_objects import Weighing
from hyperfed.protocol.receipts import is_paged, make_receipts, wanted_keys
from hyperfed.storage.store import ObjectStore

__all__ = ["Receipts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """Writes the receipts of a coordinator's rounds."""

    store: ObjectStore
    """The drop-box."""
    reader: DropBoxReader
    """Reads the drop-box and verifies what it reads."""
    key_pair: KeyPair
    """The coordinator's key pair, which signs the receipts."""
    limits: Limits
    """The limits of what is read and written."""

    def are_there(self, plan: Plan) -> bool:
        """Return whether the receipts of the round's whole cohort exist."""
        return self._there(plan) >= wanted_keys(plan, limits=self.limits)

    def put(self, plan: Plan, end: Chained) -> None:
        """Write the receipts that are missing (R-68).

        end: the round's commit or void. A freeze that it does not name was written after the round
        had been voided, and decides nothing. Raises RoundError where a result, freeze or state is
        not the one that the ledger names (R-61), TransportError where a write fails.
        """
        result = self.reader.result(plan.round)
        frozen = self.reader.freeze(plan.round) if end.entry.freeze else None
        state = self.reader.state(plan.round) if end.entry.state else None
        digests = {
            Keys.result(plan.round): (result.digest if result else b"", end.entry.result),
            Keys.freeze(plan.round): (frozen.digest if frozen else b"", end.entry.freeze),
            Keys.state(plan.round): (state.digest if state else b"", end.entry.state),
        }
        for key, (digest, named) in digests.items():
            if digest != named:
                raise RoundError(
                    "is not the one the ledger names",
                    subject=key,
                    rule="R-61",
                    remedy=RESTORE_BUCKET,
                )
        missing = make_receipts(
            plan,
            frozen.value if frozen else None,
            end,
            tombstone=result.value
            if result is not None and isinstance(result.value, Tombstone)
            else None,
            weighings=self.weighings(plan, frozen, state),
            key_pair=self.key_pair,
            registry=self.reader.registry,
            there=self._there(plan),
            limits=self.limits,
        )
        for _, answer in self.store.put_many((write.key, write.data) for write in missing):
            if isinstance(answer, TransportError):
                raise answer

    def weighings(
        self, plan: Plan, frozen: Stored[Freeze] | None, state: Stored[RoundState] | None
    ) -> Mapping[str, Weighing]:
        """Return what each client may learn of how it was weighed."""
        if frozen is None:
            return {}
        registry = self.reader.registry_at(frozen.value.registry_version)
        return weighings_of(
            plan,
            frozen.value,
            state.value if state else None,
            minimum_support=registry.budget.minimum_support,
        )

    def _there(self, plan: Plan) -> set[str]:
        """Return the keys of the round's receipts, or receipt pages, that exist."""
        folder = (
            Keys.receipt_page(plan.round)
            if is_paged(plan, limits=self.limits)
            else Keys.receipt(plan.round, "")
        )
        return {info.key for info in self.store.list(folder)}
