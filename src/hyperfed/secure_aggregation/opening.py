"""Open the sum of a cohort from the answers of q helpers.

1. The coordinator's manifest names the cohort. A helper adds, for each set whose seed it holds, the
   masks of all clients of the cohort: one vector a set.
2. The sum of the masked messages less one vector for each set is the sum of the clients' numbers,
   exactly, modulo 2^64.
3. Fewer than q helpers lack at least one set, and what they hold says nothing about the sum.
4. A set's vector is *checked* where t + 1 helpers gave the same one: one of them is honest. Where
   two helpers differ nothing is released, and both are named.
5. The round waits until every set is checked, or all helpers have answered. At its deadline q
   answers that do not differ are enough. The result lists what is unchecked: where fewer than t + 1
   helpers hold a seed at all (`HelperGroup.checkable`) that is every set, and t who collude could
   shift such a sum, though they learn nothing.

What it does not do: judge the numbers. Any client can set a masked sum, so robust weights,
leave-one-out and I2 do not exist here; bounds of the whole sum are all that can be checked.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hyperfed.codec import pack
from hyperfed.errors import AggregationError, BreakdownError, RefusedError
from hyperfed.registry.helper_group import HelperGroup, HelperSet
from hyperfed.secure_aggregation.boxes import Seeds
from hyperfed.secure_aggregation.streams import MaskContext, Words, mask

__all__ = [
    "Cohort",
    "Manifest",
    "OpenedSum",
    "Opening",
    "add_masks",
    "check_openings",
    "open_sum",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Names the messages of one sum."""

    payload: str
    """What is summed, such as "statistics", or "statistics/finance" for one basket."""
    length: int
    """How many numbers each message has."""
    messages: Mapping[str, bytes]
    """SHA-256 of the signed header of each client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Names everything that is to be opened in a round, as freeze and reserve bind it."""

    round: int
    """The round that is opened."""
    freeze_digest: bytes
    """SHA-256 of the signed freeze, 32 bytes."""
    cohorts: tuple[Cohort, ...]
    """One for each sum: of a payload, and of a basket where there are several."""

    def __post_init__(self) -> None:
        payloads = [cohort.payload for cohort in self.cohorts]
        if not payloads or len(set(payloads)) != len(payloads):
            raise AggregationError(
                "names no sum, or one payload twice", subject=f"manifest of round {self.round}"
            )

    @property
    def digest(self) -> bytes:
        """Return SHA-256 over the manifest's canonical bytes."""
        cohorts = [
            [
                cohort.payload,
                cohort.length,
                [[name, cohort.messages[name]] for name in sorted(cohort.messages)],
            ]
            for cohort in sorted(self.cohorts, key=lambda cohort: cohort.payload)
        ]
        return hashlib.sha256(pack([self.round, self.freeze_digest, cohorts])).digest()

    @property
    def clients(self) -> tuple[str, ...]:
        """Return the clients of all cohorts, in ascending order."""
        return tuple(sorted({name for cohort in self.cohorts for name in cohort.messages}))

    def cohort(self, payload: str) -> Cohort:
        """Return the cohort of one payload. Raises AggregationError where there is none."""
        for cohort in self.cohorts:
            if cohort.payload == payload:
                return cohort
        raise AggregationError(
            f"names no sum of {payload}", subject=f"manifest of round {self.round}"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opening:
    """Holds a helper's answer to one cohort of a manifest."""

    helper: str
    """Who answers."""
    manifest_digest: bytes
    """The manifest that it answers."""
    payload: str
    """Which of its sums."""
    sums: Mapping[HelperSet, Words]
    """For each set whose seed the helper holds, the sum of the cohort's masks, uint64[length]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenedSum:
    """Holds the sum of a cohort, and how far it was checked."""

    total: Words
    """The sum of the clients' numbers modulo 2^64, uint64[length]."""
    helpers: tuple[str, ...]
    """Whose answers were used, in ascending order."""
    unchecked: tuple[HelperSet, ...]
    """The sets for which fewer than t + 1 helpers gave the same vector."""


def add_masks(
    manifest: Manifest,
    payload: str,
    helper: str,
    group: HelperGroup,
    seeds: Mapping[str, Seeds],
    contexts: Mapping[str, MaskContext],
) -> Opening:
    """Return a helper's answer to one cohort of `manifest`.

    `seeds` and `contexts` hold, for each client, what its box held and what its signed header says.
    Raises RefusedError where the manifest names a client whose box did not open here, or another
    round or payload than a client's header does.
    """
    pairs, cohort = group.held_by(helper), manifest.cohort(payload)
    sums = {names: np.zeros(cohort.length, dtype=np.uint64) for names in pairs}
    for client in sorted(cohort.messages):
        context = contexts.get(client)
        if context is None or client not in seeds:
            raise RefusedError(
                f"the manifest names it, and {helper} did not confirm its box",
                subject=client,
                remedy="Freeze only clients that every helper confirmed",
            )
        if (context.client, context.round, context.payload) != (
            client,
            manifest.round,
            payload,
        ):
            raise RefusedError(
                "its signed header names another client, round or payload than the manifest",
                subject=client,
            )
        for names in pairs:
            np.add(
                sums[names],
                mask(seeds[client][names], context, names, cohort.length),
                out=sums[names],
            )
    return Opening(helper=helper, manifest_digest=manifest.digest, payload=payload, sums=sums)


def open_sum(
    manifest: Manifest,
    payload: str,
    group: HelperGroup,
    messages: Mapping[str, Words],
    openings: Sequence[Opening],
    *,
    deadline_past: bool,
) -> OpenedSum:
    """Return the sum of one cohort of the manifest.

    `messages` are the masked numbers of each client, uint64[length]. Raises BreakdownError where
    fewer than q helpers answered, or where a set is unchecked before the deadline while a helper is
    awaited; AggregationError where helpers differ, naming them, and where an answer or a message is
    not what the manifest asks for.
    """
    unchecked = check_openings(manifest, payload, group, openings, deadline_past=deadline_past)
    cohort = manifest.cohort(payload)
    by_helper = {opening.helper: opening for opening in openings}
    total = _masked_total(cohort, messages)
    for names in group.sets():
        holder = next(helper for helper in group.holders(names) if helper in by_helper)
        np.subtract(total, by_helper[holder].sums[names], out=total)
    return OpenedSum(total=total, helpers=tuple(sorted(by_helper)), unchecked=unchecked)


def check_openings(
    manifest: Manifest,
    payload: str,
    group: HelperGroup,
    openings: Sequence[Opening],
    *,
    deadline_past: bool,
) -> tuple[HelperSet, ...]:
    """Return the sets for which fewer than t + 1 helpers gave the same vector.

    Raises what `open_sum` raises, except for messages.
    """
    cohort = manifest.cohort(payload)
    by_helper = _answers(manifest, cohort, group, openings)
    answering = tuple(sorted(by_helper))
    if not group.can_open(answering):
        raise BreakdownError(
            f"{len(answering)} of {len(group.helpers)} helpers have answered, and {group.quorum} "
            "open a sum",
            subject=f"openings of round {manifest.round}",
            remedy=f"Wait for {', '.join(h for h in group.helpers if h not in by_helper)}",
        )
    unchecked = []
    for names in group.sets():
        holders = [helper for helper in group.holders(names) if helper in by_helper]
        vector = by_helper[holders[0]].sums[names]
        if any(not np.array_equal(by_helper[other].sums[names], vector) for other in holders[1:]):
            raise AggregationError(
                f"the helpers {', '.join(holders)} gave different sums of one seed",
                subject=f"openings of round {manifest.round}",
                remedy="Nothing is released; one of them is wrong, and the roots can name other "
                "helpers: `hyperfed registry helpers`",
            )
        if len(holders) <= group.colluding_helpers:
            unchecked.append(names)
    awaited = [helper for helper in group.helpers if helper not in by_helper]
    if unchecked and awaited and not deadline_past:
        raise BreakdownError(
            f"{len(unchecked)} of {group.seeds} sums are confirmed by fewer than "
            f"{group.colluding_helpers + 1} helpers",
            subject=f"openings of round {manifest.round}",
            remedy=f"Wait for {', '.join(awaited)} until the deadline",
        )
    return tuple(unchecked)


def _answers(
    manifest: Manifest, cohort: Cohort, group: HelperGroup, openings: Sequence[Opening]
) -> dict[str, Opening]:
    """Return the openings by helper. Raises AggregationError for one of another question."""
    by_helper: dict[str, Opening] = {}
    for opening in openings:
        group.check(opening.helper)
        right = (
            opening.manifest_digest == manifest.digest
            and opening.payload == cohort.payload
            and set(opening.sums) == set(group.held_by(opening.helper))
            and all(sums.shape == (cohort.length,) for sums in opening.sums.values())
            and opening.helper not in by_helper
        )
        if not right:
            raise AggregationError(
                "answers another manifest, or not with one sum for each seed that it holds, or "
                "stands twice",
                subject=f"opening of {opening.helper}",
            )
        by_helper[opening.helper] = opening
    return by_helper


def _masked_total(cohort: Cohort, messages: Mapping[str, Words]) -> Words:
    """Return the sum of the masked messages modulo 2^64."""
    total = np.zeros(cohort.length, dtype=np.uint64)
    for client in sorted(cohort.messages):
        values = messages.get(client)
        if values is None or values.shape != (cohort.length,) or values.dtype != np.uint64:
            raise AggregationError(
                f"its masked message is missing, or is not {cohort.length} numbers of 64 bits",
                subject=client,
            )
        np.add(total, values, out=total)
    return total
