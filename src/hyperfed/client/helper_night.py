"""Help to open sums: publish keys, confirm boxes, answer manifests, erase keys (R-169 to R-175).

A helper runs whenever its timer says, and does all that is due:

1. It publishes a key for the running round and the next ones.
2. Once a round's window is over it opens the boxes of its clients and compares seeds with
   commitments. It confirms once what opened and matched (R-171).
3. Once the round has a manifest, it checks that freeze, reserve and cohort follow (R-172), that its
   marks allow it (R-173), and that no sums before it leave a small class (R-174, R-212). Then it
   answers with sums of masks. Otherwise it refuses, and the signed reason names the earlier cohort
   where there is one (R-175). Where the coordinator is to add noise, the answer is sealed (R-206).
4. It erases the keys of rounds that have ended, or are past their `close_by`. However late that
   is, it keeps no key for longer than the registry bounds it, or 7 windows (R-198).

It trusts neither bucket nor coordinator: an honest helper that answered something other than what
it confirmed would open single messages.

What it does not do: wait, or see anybody's numbers.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from hyperfed.client.checks import check_registered
from hyperfed.client.earlier_sums import earlier_cohorts
from hyperfed.client.helper_memory import HelperMemory
from hyperfed.client.opening import Opening
from hyperfed.client.own_slots import written
from hyperfed.client.reserve_checks import why_not_reserved
from hyperfed.client.session import ClientSession
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.nights import why_not_opened
from hyperfed.dropbox.opening_objects import (
    Confirmation,
    HelperKey,
    HelperRefusal,
    MaskBoxes,
    OpeningSums,
    RoundManifest,
    as_reason,
)
from hyperfed.dropbox.openings import (
    OpeningReader,
    checked_recipients,
    secure_sums_of,
    signed_part,
)
from hyperfed.dropbox.reader import Stored
from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    HyperfedError,
    PacketError,
    RefusedError,
    RegistryError,
    RoundError,
)
from hyperfed.protocol.documents import end_of
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze
from hyperfed.protocol.plan_checks import check_help_ends, check_helpers_stand
from hyperfed.registry.secure_sums import counted_organisations
from hyperfed.secure_aggregation import (
    add_masks,
    box_digest,
    check_seeds,
    complete_blocks,
    open_box,
)
from hyperfed.secure_aggregation.boxes import Seeds, public_round_key
from hyperfed.secure_aggregation.statistics_vector import numbers_of
from hyperfed.storage.clock import check_clock

__all__ = ["AHEAD", "HelperNight", "HelperVisit", "helper_visit", "not_following"]

AHEAD = 2
"""For how many rounds after the running one a helper publishes its key."""


@dataclass(slots=True, kw_only=True)
class HelperVisit:
    """Says what one visit did."""

    helper: str
    """The helper's client id."""
    published: list[int] = field(default_factory=list)
    """Rounds for which a key was published."""
    confirmed: dict[int, int] = field(default_factory=dict)
    """How many clients were confirmed, by round."""
    unconfirmed: dict[str, str] = field(default_factory=dict)
    """Why clients were not confirmed."""
    answered: list[int] = field(default_factory=list)
    """Rounds whose manifest was answered."""
    refused: dict[int, str] = field(default_factory=dict)
    """Why a round's plan or manifest is refused."""
    told: list[int] = field(default_factory=list)
    """Rounds whose refusal this visit has written: the first one, which somebody should look at."""
    erased: list[int] = field(default_factory=list)
    """Rounds whose key was erased."""


def helper_visit(opening: Opening, *, now: datetime) -> HelperVisit:
    """Do what is due for the helper whose settings were opened. Raises as `HelperNight.visit`."""
    memory = HelperMemory(opening.helper_folder)
    return HelperNight(opening.session(signing=True), memory).visit(now=now)


class HelperNight:
    """Helps to open sums, as the client of a session.

    `memory` is the helper's own.
    """

    def __init__(self, session: ClientSession, memory: HelperMemory) -> None:
        self.session, self.memory, self.reader = session, memory, session.reader
        self.helper = session.client_id

    def visit(self, *, now: datetime) -> HelperVisit:
        """Do all that is due. Raises RegistryError for a client that is no helper, ConfigError for
        one that has lost the record of its answers, TransportError.

        What was done by then stays, and the next visit goes on.
        """
        self.reader.now = now
        registry, visit = self.reader.registry, HelperVisit(helper=self.helper)
        for round_id in self.memory.rounds():  # before anything that others write can stop it
            if now >= registry.help_ends(round_id):
                self._erase(round_id, visit)
        self.reader.check_fresh()
        check_clock(self.session.store, most_s=self.reader.limits.clock_skew_s)
        self.session.check_ledger()
        running = registry.windows.round_at(now)
        check_registered(registry, self.helper, self.session.key_pair, round_id=running)
        self._check_helper()
        self._check_marks(running)
        for round_id in range(running, running + AHEAD + 1):  # whatever lies in earlier rounds
            if self._publish(round_id, now=now):
                visit.published.append(round_id)
        for round_id in self.memory.rounds():
            plan = self.reader.plan(round_id, or_none=True) if round_id <= running else None
            if plan is None or plan.value.policy.aggregation != "secure-sum":
                self._erase_unopened(round_id, visit, now=now)
                continue
            openings = OpeningReader(self.reader, plan)
            end = end_of(self.reader.ledger(), round_id)
            if now >= plan.value.close_by or end is not None:
                committed = end is not None and end.entry.kind is EntryKind.COMMIT
                if committed and now < plan.value.close_by:
                    self._answer(openings, visit, now=now)  # so that audits can compare
                self._erase(round_id, visit)
                continue
            try:
                check_help_ends(plan.value, registry)
                check_helpers_stand(plan.value, openings.registry, registry)
            except RoundError as error:
                self._refuse(openings, plan.digest, error, visit, now=now)
                continue
            self._confirm(openings, visit, now=now)
            self._answer(openings, visit, now=now)
        return visit

    def _check_helper(self) -> None:
        registry = self.reader.registry
        records = {one.client_id: one for one in secure_sums_of(registry).helpers}
        if self.helper not in records:
            raise RegistryError(
                f"is no helper in registry version {registry.version}",
                subject=f"client {self.helper}",
                rule="R-168",
                remedy="Have the roots name it with `hyperfed registry helpers`",
            )
        self.memory.marks.first_round = records[self.helper].first_round

    def _check_marks(self, running: int) -> None:
        """Begin this helper's record of answers, or go on with it.

        Raises ConfigError where it had one that is gone, or has one of another federation (R-173).
        """
        federation = self.reader.registry.federation
        if self.memory.marks.begun:
            self.memory.marks.begin(federation)
            return
        first, ahead = self.memory.marks.first_round, running + AHEAD
        here = {round_id for round_id in self.memory.rounds() if round_id >= first}
        there = {n for n in range(max(first, running), ahead + 1) if self._lies_there(n)}
        if here | there:
            raise ConfigError(
                f"is gone, and {self.helper} has keys of rounds "
                f"{', '.join(map(str, sorted(here | there)))}: it cannot know what it has answered",
                subject=str(self.memory.marks.path),
                rule="R-173",
                remedy="Nothing was answered. Have the roots name this helper anew, for rounds to "
                f"come: `hyperfed registry helpers --helper {self.helper}@{ahead + 1}`, with all "
                "others",
            )
        for round_id in self.memory.rounds():  # of before it was named anew
            self.memory.erase(round_id)
        self.memory.marks.begin(federation)

    def _lies_there(self, round_id: int) -> bool:
        """Return whether its key of a round lies in the drop-box, as far as it may look."""
        try:
            return self.session.store.head(Keys.helper_key(round_id, self.helper)) is not None
        except AccessDenied:
            return False

    def _erase_unopened(self, round_id: int, visit: HelperVisit, *, now: datetime) -> None:
        if now >= self.reader.registry.windows.deadline(round_id + 1):
            self._erase(round_id, visit)

    def _erase(self, round_id: int, visit: HelperVisit) -> None:
        self.memory.erase(round_id)
        visit.erased.append(round_id)

    # -- ahead of a round --------------------------------------------------------------------------

    def _publish(self, round_id: int, *, now: datetime) -> bool:
        """Publish the round's key unless it is there, and return whether this call did."""
        if round_id < self.memory.marks.first_round or self._is_over(round_id, now=now):
            return False
        place = Keys.helper_key(round_id, self.helper)
        had = self.memory.key(round_id) is not None
        if had and self.session.store.head(place) is not None:
            return False
        secret = self.memory.new_key(round_id)  # the one that an earlier visit left unpublished
        key = HelperKey(
            federation=self.reader.registry.federation,
            round=round_id,
            helper=self.helper,
            sealing=public_round_key(secret),
        )
        data = self._signed(key, PacketType.HELPER_KEY, now=now)
        if not written(self.session.store, place, data):
            self.memory.erase(round_id)  # a key whose secret is lost lies there
            return False
        return True

    def _is_over(self, round_id: int, *, now: datetime) -> bool:
        if end_of(self.reader.ledger(), round_id) is not None:
            return True
        return now >= self.reader.registry.windows.deadline(round_id)

    # -- before the freeze -------------------------------------------------------------------------

    def _confirm(self, openings: OpeningReader, visit: HelperVisit, *, now: datetime) -> None:
        """Confirm what opened and matched, once its window is over or everyone is there."""
        plan, round_id = openings.plan.value, openings.round
        if openings.confirmation(self.helper) is not None or self.reader.freeze(round_id):
            return
        boxes = {client: openings.mask_boxes(client) for client in plan.cohort}
        if now < plan.deadline and not all(boxes.values()):
            return
        confirmed, refused = list[tuple[str, bytes]](), list[tuple[str, str]]()
        refused_boxes = list[tuple[str, bytes]]()
        for client, part in boxes.items():
            key = Keys.boxes(round_id, client)
            if part is None:
                if key in openings.why_not:
                    refused.append((client, as_reason(openings.why_not[key])))
                continue
            try:
                self._seeds_of(part.value, openings)
                confirmed.append((client, part.digest))
            except PacketError as error:
                refused.append((client, as_reason(error.problem)))
                refused_boxes.append((client, part.digest))
        value = Confirmation(
            federation=plan.federation,
            round=round_id,
            helper=self.helper,
            confirmed=tuple(confirmed),
            refused=tuple(refused),
            refused_boxes=tuple(refused_boxes),
        )
        data = self._signed(value, PacketType.CONFIRMATION, now=now)
        written(self.session.store, Keys.confirmation(round_id, self.helper), data)
        visit.confirmed[round_id] = len(confirmed)
        visit.unconfirmed |= dict(refused)

    def _seeds_of(self, boxes: MaskBoxes, openings: OpeningReader) -> Seeds:
        """Return the seeds that a client gave this helper.

        Raises SignatureError where the box does not open, RefusedError where a seed is not the one
        that the client committed to.
        """
        group, secret = openings.group, self.memory.key(openings.round)
        at = group.helpers.index(self.helper)
        if secret is None:
            raise RefusedError("the secret of this round's key is gone", subject=self.helper)
        if boxes.keys[at] != public_round_key(secret):
            raise RefusedError(
                "its box was sealed to another key"
                if boxes.keys[at]
                else "it has no box for this helper, whose key was not there yet",
                subject=boxes.client,
                rule="R-170",
                remedy="Nothing to do: the client sends again in the next round",
            )
        seeds = open_box(boxes.boxes[at], self.helper, group, secret)
        commitments = dict(zip(group.sets(), boxes.commitments, strict=True))
        wrong = check_seeds(seeds, commitments, boxes.context)
        if wrong:
            raise RefusedError(
                f"{len(wrong)} seeds of box {box_digest(boxes.boxes[at]).hex()[:16]} are not those "
                "that it committed to",
                subject=boxes.client,
                rule="R-170",
            )
        return seeds

    # -- after the reserve -------------------------------------------------------------------------

    def _answer(self, openings: OpeningReader, visit: HelperVisit, *, now: datetime) -> None:
        """Answer the round's manifest, or refuse it."""
        round_id, manifest = openings.round, openings.manifest()
        if manifest is None or openings.has_answered(self.helper):
            return
        try:
            frozen = self.reader.freeze(round_id)
            if frozen is None:
                raise RefusedError("has no freeze", subject=Keys.manifest(round_id), rule="R-172")
            recipients = checked_recipients(openings, frozen.value)
            opening = self._opening(openings, frozen, manifest.value)
        except RefusedError as error:
            digest = manifest.value.manifest.digest
            self._refuse(openings, digest, error, visit, now=now)
            return
        # the same sums whenever it is answered again, and the same bytes where nothing is sealed
        data = self._signed(
            opening, PacketType.OPENING, now=frozen.value.time, recipients=recipients
        )
        if written(self.session.store, Keys.opening(round_id, self.helper), data):
            visit.answered.append(round_id)

    def _refuse(
        self,
        openings: OpeningReader,
        digest: bytes,
        error: HyperfedError,
        visit: HelperVisit,
        *,
        now: datetime,
    ) -> None:
        """Write why this helper does not help with a round, once: `digest` is what it refuses."""
        plan = openings.plan.value
        visit.refused[plan.round] = str(error)
        if openings.refusal(self.helper) is not None:
            return
        refusal = HelperRefusal.because(
            f"{error.subject}: {error.problem}",
            federation=plan.federation,
            round=plan.round,
            helper=self.helper,
            manifest=digest,
        )
        data = self._signed(refusal, PacketType.HELPER_REFUSAL, now=now)
        if written(self.session.store, Keys.helper_refusal(plan.round, self.helper), data):
            visit.told.append(plan.round)

    def _opening(
        self, openings: OpeningReader, frozen: Stored[Freeze], manifest: RoundManifest
    ) -> OpeningSums:
        """Return the sums of masks. Raises RefusedError where this helper does not answer."""
        problem = not_following(openings, frozen, manifest)
        ledger = self.session.check_ledger()
        problem = problem or why_not_reserved(self.reader, ledger, openings.plan.value, frozen)
        if problem:
            raise RefusedError(
                problem,
                subject=Keys.manifest(openings.round),
                rule="R-172",
                remedy="Nothing was answered. Run `hyperfed audit`, and tell the registry's roots",
            )
        own = openings.confirmation(self.helper)
        confirmed = {} if own is None else dict(own.value.confirmed)
        seeds, contexts = {}, {}
        for client, digest in manifest.messages:
            boxes = openings.mask_boxes(client)
            if boxes is None or not digest == boxes.digest == confirmed.get(client):
                raise RefusedError(
                    f"the manifest names it, and {self.helper} did not confirm these boxes",
                    subject=client,
                    rule="R-171",
                )
            seeds[client] = self._seeds_of(boxes.value, openings)
            contexts[client] = boxes.value.context
        document, marks = manifest.manifest, self.memory.marks
        classes = _classes_of(openings)
        if classes:
            earlier = earlier_cohorts(self.reader, ledger, but=(*marks.reserved, frozen.digest))
            marks.remember(earlier)
        marks.allow(document, **classes)
        opening = add_masks(
            document, manifest.payload, self.helper, openings.group, seeds, contexts
        )
        return OpeningSums(
            federation=manifest.federation,
            round=manifest.round,
            helper=self.helper,
            manifest=document.digest,
            payload=manifest.payload,
            sums=np.concatenate([opening.sums[names] for names in opening.sums]),
        )

    def _signed(self, value: object, type_: PacketType, **how: Any) -> bytes:
        return signed_part(value, type_, sender=self.helper, key_pair=self.session.key_pair, **how)


def not_following(openings: OpeningReader, frozen: Stored[Freeze], manifest: RoundManifest) -> str:
    """Return in words where freeze or manifest do not follow from the plan, or "" (R-172).

    Helpers ask before they answer, and audits afterwards.
    """
    plan, freeze, rules = openings.plan, frozen.value, openings.secure_sums
    counted = [counted.client for counted in freeze.counted]
    in_shares = plan.value.policy.privacy == "shares"
    blocks = complete_blocks(rules.blocks, set(counted))
    too_few = why_not_opened(openings.reader, plan.value, freeze)
    confirmations = {helper: openings.confirmation(helper) for helper in freeze.helpers}
    lacking = [
        f"{helper} did not confirm {client}"
        for helper, part in confirmations.items()
        for client, digest in manifest.messages
        if part is None or dict(part.value.confirmed).get(client) != digest
    ]
    wrong = {
        "the freeze is of another plan": freeze.plan != plan.digest,
        "the manifest is of another freeze": manifest.freeze != frozen.digest,
        "the manifest names other clients than the freeze": (
            [client for client, _ in manifest.messages] != counted
        ),
        "the freeze counts late messages or corrections": any(
            one.made_for != freeze.round or one.slot for one in freeze.counted
        ),
        "the freeze counts clients whom the plan does not invite": (
            not set(counted) <= set(plan.value.cohort)
        ),
        "the cohort is no union of complete blocks": (
            not in_shares and list(blocks.clients) != counted
        ),
        too_few: bool(too_few),
        "the cohort is below the quorum": len(counted) < plan.value.quorum,
        "the freeze names too few helpers": not openings.group.can_open(freeze.helpers),
        "the manifest sums something else than the plan": (
            manifest.length != numbers_of(plan.value)
        ),
        next(iter(lacking), ""): bool(lacking),
        "boxes name another update than the freeze": any(
            _update_of(openings, one.client) != one.digest for one in freeze.counted
        ),
    }
    return next((problem for problem, bad in wrong.items() if bad), "")


def _classes_of(openings: OpeningReader) -> dict[str, Any]:
    """Return by what marks look at classes of clients: nothing where noise is in shares (R-174)."""
    if openings.plan.value.policy.privacy == "shares":
        return {}
    rules = openings.secure_sums
    organisation_of: defaultdict[str, str] = defaultdict(str)  # who has left hides nobody
    newest = openings.reader.registry  # an older one is the choice of the coordinator's key
    for registry in (openings.registry, newest):
        organisation_of |= counted_organisations(registry.secure_sums or rules, registry.clients)
    return {
        "organisation_of": organisation_of,
        "placed": {client for block in rules.blocks for client in block},
        "smallest": rules.smallest,
    }


def _update_of(openings: OpeningReader, client: str) -> bytes:
    boxes = openings.mask_boxes(client)
    return b"" if boxes is None else boxes.value.update
