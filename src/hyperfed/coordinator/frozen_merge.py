"""Merge what a freeze counts: in this process, or in key ranges on other machines.

1. A merge is made once for each freeze, and kept until the round's state is written: the state uses
   what the release has read. A release always begins anew, so that nothing stale is ever signed
   (R-66).
2. A rehearsal (`shadow`) holds the whole frozen set in this process and writes nothing.
"""

from collections.abc import Callable
from functools import partial

from hyperfed.coordinator.elsewhere import may_lie_elsewhere
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.coordinator.remote.shuffle import Shuffle
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import RESTORE_BUCKET, RoundError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
)
from hyperfed.trust_scorer import ACCURACY_ROUNDS

__all__ = ["FrozenMerge", "MergeElsewhere"]

MergeElsewhere = Callable[[FederationCoordinator, Shuffle], FederationCoordinator]
"""Gives an empty coordinator the small parts of a shuffle's frozen set, and its remote ranges.

`coordinator.remote.remote.merging` makes one.
"""


class FrozenMerge:
    """Makes the merges of one coordinator at one instant, and keeps the last one."""

    def __init__(
        self, frozen_sets: FrozenSets, *, reader: DropBoxReader, key_pair: KeyPair
    ) -> None:
        self.frozen_sets, self.reader, self.key_pair = frozen_sets, reader, key_pair
        self.merges_elsewhere: MergeElsewhere | None = None
        """Merges the rounds that may be shuffled on other machines; None: they are merged here."""
        self.code = ""
        """The digest of the code that other machines must run."""
        self._merged: dict[int, FederationCoordinator] = {}

    def of(
        self, plan: Plan, frozen: Stored[Freeze], *, fresh: bool = False
    ) -> FederationCoordinator:
        """Return a coordinator that holds the frozen set, ready to merge.

        fresh: whether the frozen set is read again; otherwise the coordinator that this process has
        made of the same freeze is returned. Raises RoundError where an update is gone or changed
        (R-66).
        """
        merged = self._merged.get(plan.round)
        if fresh or merged is None or merged.freeze != frozen.digest:
            self._merged = {plan.round: self._made(plan, frozen)}
        return self._merged[plan.round]

    def _made(self, plan: Plan, frozen: Stored[Freeze]) -> FederationCoordinator:
        """Return a new coordinator that holds the frozen set."""
        if self.merges_elsewhere is not None and may_lie_elsewhere(plan.policy):
            empty = self.frozen_sets.coordinator(plan, frozen, key_pair=self.key_pair, empty=True)
            return self.merges_elsewhere(empty, self.shuffle(plan.round))
        models = partial(self.last_models, frozen.value.base_round)
        return self.frozen_sets.coordinator(plan, frozen, key_pair=self.key_pair, models=models)

    def forget(self) -> None:
        """Let go of what was merged, once the round's state is written."""
        self._merged.clear()

    def shadow(self, plan: Plan) -> FederationCoordinator:
        """Return a coordinator that holds the frozen set whole, for rehearsals; nothing is written.

        Raises RoundError where nothing is frozen, PrivacyError in a private round.
        """
        coordinator = self.frozen_sets.coordinator(
            plan, self._freeze(plan.round), key_pair=self.key_pair
        )
        coordinator.check_rehearsable()
        return coordinator

    def shuffle(self, round_id: int) -> Shuffle:
        """Return the shuffle of a frozen round, for the code that `code` names.

        Raises RoundError where nothing is frozen.
        """
        frozen = self._freeze(round_id)
        models = partial(self.last_models, frozen.value.base_round)
        return Shuffle(
            self.frozen_sets, frozen, key_pair=self.key_pair, code=self.code, models=models
        )

    def is_due_elsewhere(self, plan: Plan) -> bool:
        """Return whether the round is frozen, may be shuffled, and has no state yet."""
        frozen, state = self.reader.freeze(plan.round), self.reader.state(plan.round)
        return frozen is not None and may_lie_elsewhere(plan.policy) and state is None

    def last_models(self, round_id: int) -> list[GlobalModel]:
        """Return the committed models up to a round, newest first.

        Each freeze names the round before by its base round. At most `ACCURACY_ROUNDS` models are
        returned. Raises RoundError where one is gone, or is not the one that the ledger names
        (R-61).
        """
        entries = self.reader.verified_entries() or self.reader.ledger()
        commits = [c.entry for c in entries if c.entry.kind is EntryKind.COMMIT]
        named = {entry.round: (entry.result, entry.freeze) for entry in commits}
        models: list[GlobalModel] = []
        while round_id and len(models) < ACCURACY_ROUNDS:
            model, frozen = self.reader.result(round_id), self.reader.freeze(round_id)
            if (
                model is None
                or frozen is None
                or not isinstance(model.value, GlobalModel)
                or (model.digest, frozen.digest) != named.get(round_id)
            ):
                raise RoundError(
                    "or its freeze is not the one that the ledger names",
                    subject=Keys.result(round_id),
                    rule="R-61",
                    remedy=RESTORE_BUCKET,
                )
            models.append(model.value)
            round_id = frozen.value.base_round
        return models

    def _freeze(self, round_id: int) -> Stored[Freeze]:
        """Return the round's freeze. Raises RoundError where there is none."""
        frozen = self.reader.freeze(round_id)
        if frozen is None:
            raise RoundError(
                "is not frozen yet", subject=f"round {round_id}", remedy="Run the round first"
            )
        return frozen
