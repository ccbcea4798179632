"""Have a round's sum opened: write the manifest, read the answers, open (R-165 to R-167).

1. The manifest follows from the freeze and the boxes that it counts; one that exists is adopted.
2. Answers to another manifest count as none. An answer that differs from another's stops the round.
3. Until the helpers' time is used up every seed's sum must be checked by t + 1 helpers; after that
   q answers do, and the result lists what is unchecked.

What it does not do: decide when (`protocol.machine`), or find a model (`opened_model`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hyperfed.coordinator.signed_writes import SignedWrites
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.opening_objects import RoundManifest
from hyperfed.dropbox.openings import PAYLOAD, OpeningReader
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import (
    RESTORE_BUCKET,
    AggregationError,
    BreakdownError,
    QuorumMissed,
    QuorumPending,
    RoundError,
)
from hyperfed.protocol.commands import OpeningsView, WriteOutcome
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan
from hyperfed.secure_aggregation import OpenedSum, check_openings, open_sum
from hyperfed.secure_aggregation.opening import Opening
from hyperfed.secure_aggregation.statistics_vector import numbers_of
from hyperfed.secure_aggregation.streams import Words

__all__ = ["OpenedSums", "await_helpers", "manifest_of", "opened_total"]


def manifest_of(openings: OpeningReader, frozen: Stored[Freeze]) -> RoundManifest:
    """Return the manifest that follows from a freeze. Raises RoundError where boxes are gone."""
    plan, messages = openings.plan.value, list[tuple[str, bytes]]()
    for counted in frozen.value.counted:
        boxes = openings.mask_boxes(counted.client)
        if boxes is None or boxes.value.update != counted.digest:
            raise RoundError(
                "is gone, or names another update than was frozen",
                subject=Keys.boxes(plan.round, counted.client),
                rule="R-66",
                remedy=RESTORE_BUCKET,
            )
        messages.append((counted.client, boxes.digest))
    return RoundManifest(
        federation=plan.federation,
        round=plan.round,
        freeze=frozen.digest,
        payload=PAYLOAD,
        length=numbers_of(plan),
        messages=tuple(messages),
    )


def answers_of(openings: OpeningReader, manifest: RoundManifest) -> list[Opening]:
    """Return the helpers' answers to this manifest, ascending by helper."""
    answers = (openings.opening(helper, manifest.length) for helper in openings.group.helpers)
    wanted = (manifest.manifest.digest, manifest.payload)
    return [
        answer
        for answer in answers
        if answer is not None and (answer.manifest_digest, answer.payload) == wanted
    ]


def opened_total(
    openings: OpeningReader,
    manifest: RoundManifest,
    messages: Mapping[str, Words],
    *,
    deadline_past: bool = True,
) -> OpenedSum:
    """Return the sum of a manifest's messages. Raises BreakdownError, AggregationError."""
    return open_sum(
        manifest.manifest,
        manifest.payload,
        openings.group,
        messages,
        answers_of(openings, manifest),
        deadline_past=deadline_past,
    )


@dataclass(slots=True, kw_only=True)
class OpenedSums:
    """Writes manifests and reads openings, for one coordinator at one instant."""

    writes: SignedWrites
    """Makes the writes."""
    deadline_past: bool = False
    """Whether q answers do, though not every seed's sum is checked by t + 1 helpers."""
    problem: str = ""
    """What the last look at openings found wrong, in words."""

    @property
    def reader(self) -> DropBoxReader:
        return self.writes.reader

    def is_named(self, plan: Stored[Plan], frozen: Stored[Freeze]) -> bool:
        """Return whether the round's manifest exists.

        Raises RoundError for another one.
        """
        openings = OpeningReader(self.reader, plan)
        stored = openings.manifest()
        if stored is not None and stored.value != manifest_of(openings, frozen):
            raise RoundError(
                "does not follow from the round's freeze",
                subject=stored.key,
                rule="R-165",
                remedy="Somebody has the coordinator's key, or boxes were changed: run `hyperfed "
                "audit`",
            )
        return stored is not None

    def name(self, plan: Stored[Plan], frozen: Stored[Freeze]) -> WriteOutcome:
        """Create the round's manifest."""
        write = sign_object(
            Keys.manifest(plan.value.round),
            PacketType.MANIFEST,
            manifest_of(OpeningReader(self.reader, plan), frozen),
            key_pair=self.writes.key_pair,
            time=frozen.value.time,
        )
        return self.writes.create(write, plan.value.round)

    def view(self, plan: Stored[Plan], frozen: Stored[Freeze]) -> OpeningsView:
        """Return what the helpers' answers come to."""
        openings = OpeningReader(self.reader, plan, self.writes.key_pair)
        manifest = manifest_of(openings, frozen)
        answers = answers_of(openings, manifest)
        try:
            check_openings(
                manifest.manifest,
                manifest.payload,
                openings.group,
                answers,
                deadline_past=self.deadline_past,
            )
        except BreakdownError as error:
            refusals = [openings.refusal(helper) for helper in openings.group.helpers]
            told = [f"{one.helper} refuses: {one.reason}" for one in refusals if one is not None]
            folder = Keys.opening(openings.round, "")
            told += [f"{key}: {why}" for key, why in openings.why_not.items() if folder in key]
            self.problem = "; ".join([error.problem, error.remedy, *told])
            return OpeningsView.MISSING
        except AggregationError as error:
            self.problem = error.problem
            return OpeningsView.DISPUTED
        self.problem = ""
        return OpeningsView.OPEN


def await_helpers(
    round_id: int, problem: str, *, waited_s: float, delay_s: float, poll_s: float
) -> None:
    """Raise QuorumPending while helpers are awaited, QuorumMissed once the delay is used up."""
    if waited_s < delay_s:
        raise QuorumPending(
            f"waiting for helpers: {problem}",
            subject=f"round {round_id}",
            remedy=f"looking again in {poll_s:g} s",
        )
    raise QuorumMissed(
        problem,
        subject=f"round {round_id}",
        rule="R-166",
        remedy="Have each missing helper run `hyperfed helper night`; then `hyperfed round retry "
        f"{round_id}`. After close_by the round is void, and its messages count in no other",
    )
