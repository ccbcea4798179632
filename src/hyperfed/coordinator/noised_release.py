"""Release a round's result with the one noise that its seed gives (R-110, R-111).

1. The seed is created before the reserve, or the one that is there is adopted.
2. A coordinator notes on its own disk what it is about to show, before it shows it
   (`release_marks`).
3. A round that an earlier version reserved has no seed: its noise is drawn now, and shown once.

What it does not do: decide when (`protocol.machine`), or compute (`private_round`).
"""

import logging
from collections.abc import Hashable
from dataclasses import dataclass, replace

from hyperfed.coordinator.frozen_merge import FrozenMerge
from hyperfed.coordinator.opened_sums import manifest_of, opened_total
from hyperfed.coordinator.release_marks import ReleaseMark, ReleaseMarks
from hyperfed.coordinator.signed_writes import SignedWrites
from hyperfed.crypto.sealing import new_key
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.dropbox.reader import Stored
from hyperfed.errors import RESTORE_BUCKET, AggregationError, PacketError, RoundError
from hyperfed.privacy.noise_source import SeededNoise
from hyperfed.protocol.commands import NoiseView, WriteOutcome
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan
from hyperfed.protocol.round_noise import draw_noise, open_seed
from hyperfed.secure_aggregation import OpenedSum
from hyperfed.secure_aggregation.streams import Words

__all__ = ["NoisedRelease"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisedRelease:
    """Reads and draws the seeds of one coordinator, and makes its releases."""

    writes: SignedWrites
    """Makes the writes, and has the drop-box's reader and the coordinator's key pair."""
    merge: FrozenMerge
    """Merges what a freeze counts."""
    marks: ReleaseMarks
    """Which private values this machine has shown."""

    def read(self, round_id: int, frozen: Stored[Freeze]) -> NoiseView | None:
        """Return what stands at the round's noise, or None where nothing does."""
        try:
            sealed_noise = self.writes.reader.noise(round_id)
            if sealed_noise is not None:
                open_seed(sealed_noise.value, frozen.digest, self.writes.key_pair)
        except (PacketError, RoundError) as error:
            log.warning("%s: %s", Keys.noise(round_id), error)
            return NoiseView(None, False)
        return None if sealed_noise is None else NoiseView(sealed_noise.digest, True)

    def draw(self, round_id: int, frozen: Stored[Freeze]) -> WriteOutcome:
        """Draw a seed, and create it."""
        registry = self.writes.reader.registry_at(frozen.value.registry_version)
        write = draw_noise(
            frozen.value, frozen.digest, registry=registry, key_pair=self.writes.key_pair
        )
        return self.writes.create(write, round_id)

    def release(self, plan: Plan, frozen: Stored[Freeze], named: Hashable) -> WriteOutcome:
        """Compute the result and create it.

        named: the digest of the noise that the reserve names; None: it names none. Raises
        RoundError where that seed is gone, or where another value of the round was shown from here.
        """
        coordinator = self.merge.of(plan, frozen, fresh=True)
        if plan.policy.aggregation == "secure-sum":
            coordinator.opened = self._opened(plan, frozen, coordinator.masked())
        noise = self._noise_of(frozen, named) if plan.policy.privacy == "central" else None
        if noise is not None:
            coordinator.noise = noise
        try:
            (write,) = coordinator.broadcast(coordinator.aggregate())
        except AggregationError:  # that no rows have a noised sum shows something of it, too
            if plan.policy.aggregation == "secure-sum":
                self._note(plan.round, frozen, named, noise)
            raise
        self._note(plan.round, frozen, named, noise)
        if coordinator.reconciliation is not None:  # the state needs no byte for edge and client
            coordinator.reconciliation = replace(coordinator.reconciliation, supporters=None)
        return self.writes.create(write, plan.round)

    def _note(
        self, round_id: int, frozen: Stored[Freeze], named: Hashable, noise: SeededNoise | None
    ) -> None:
        """Note what is about to be shown, where noise was drawn for it.

        Raises RoundError where something else was.
        """
        if noise is None or not noise.drawn:
            return
        mark = ReleaseMark(
            round=round_id,
            freeze=frozen.digest.hex(),
            noise=named.hex() if isinstance(named, bytes) else "",
            sums=noise.digest.hex(),
        )
        self.marks.note(mark)

    def _opened(self, plan: Plan, frozen: Stored[Freeze], messages: dict[str, Words]) -> OpenedSum:
        """Return the round's opened sum. Raises RoundError where the plan is gone."""
        stored = self.writes.reader.plan(plan.round)
        if stored is None:
            raise RoundError("is gone", subject=Keys.plan(plan.round), remedy=RESTORE_BUCKET)
        openings = OpeningReader(self.writes.reader, stored, self.writes.key_pair)
        return opened_total(openings, manifest_of(openings, frozen), messages)

    def _noise_of(self, frozen: Stored[Freeze], named: Hashable) -> SeededNoise:
        """Return the noise of a round, by the seed that its reserve names."""
        if named is None:
            return SeededNoise(new_key(), frozen.digest)
        sealed_noise = self.writes.reader.noise(frozen.value.round)
        if sealed_noise is None or sealed_noise.digest != named:
            raise RoundError(
                "is gone, or is not the one that the reserve names",
                subject=Keys.noise(frozen.value.round),
                rule="R-111",
                remedy="Run the round again: it ends without a result",
            )
        seed = open_seed(sealed_noise.value, frozen.digest, self.writes.key_pair)
        return SeededNoise(seed, frozen.digest)
