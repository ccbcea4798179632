"""Admit what may count of a batch of updates, and record what was refused and why.

One update for each client and round may count (R-92, R-93).

1. Every refusal names its object, rule and remedy, also where the error that led to it had none.
2. Where one sequence stands on two different updates, both are refused (R-92). Otherwise the
   highest sequence counts, and lower ones are superseded (R-93).
3. Of the objects that lie where no honest client writes, at most 64 are kept: whoever may write
   there must not be able to fill a freeze.

What it does not do: judge a packet (`validator`).
"""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import Header, Signed
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import BoundsError, HyperfedError, RefusedError, SchemaError
from hyperfed.packets import Update
from hyperfed.protocol.object_keys import parse_inbox_key
from hyperfed.protocol.objects import Plan, Refused
from hyperfed.registry.registry import Registry

__all__ = [
    "Admission",
    "Admitted",
    "Arrival",
    "BaseOf",
    "RoundContext",
    "cap_misplaced",
    "joined",
    "one_each",
    "refused_as",
    "with_remedy",
]

_MAX_MISPLACED = 64
_MAX_REASON = 500

# (client, digest) -> the client's last counted update, None where it has another digest
BaseOf = Callable[[str, bytes], Update | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Holds an object of the inbox as it was listed and read."""

    key: str
    """The object's key."""
    size: int
    """Its listed size in bytes."""
    data: bytes | None = None
    """Its bytes, or None where it was not read."""
    error: HyperfedError | None = None
    """Why it could not be read, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundContext:
    """Holds everything that admission depends on besides the bytes."""

    registry: Registry
    """The list of clients and keys."""
    plan: Plan
    """The plan of the round that is being gathered."""
    now: datetime
    """The one instant at which every update is judged."""
    policies: Mapping[int, bytes] = field(default_factory=dict)
    """Policy digest of each earlier round, by round."""
    highest: Mapping[str, int] = field(default_factory=dict)
    """Highest counted sequence, by key id (R-129)."""
    key_pair: KeyPair | None = None
    """The key pair that opens sealed bodies, or None where they are not opened."""
    base_of: BaseOf | None = None
    """A function that returns a client's last counted update, for updates that carry changes
    against it.
    """
    limits: Limits = DEFAULT_LIMITS
    """Limits of sizes and clocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Holds an update that may count, and what its header says."""

    key: str
    """The inbox key that it lay at."""
    client: str
    """The client that sent it."""
    made_for: int
    """The round that it was made for."""
    sequence: int
    """The sequence that its header states."""
    digest: bytes
    """Its packet digest, 32 bytes."""
    claim_sequence: int
    """Number of the newest ledger entry that its sender has seen, 0 for none."""
    claim_digest: bytes
    """Digest of that entry."""
    header: Header | None = None
    """Its header, or None where that is not kept."""
    update: Update | None = None
    """Its content, or None where that is not kept."""
    data: bytes | None = None
    """Its raw bytes, or None where they are not kept."""
    pack: bytes = b""
    """Digest of the pack that it was copied into, empty before."""
    key_id: str = ""
    """The id of the key that signed it."""
    key_place: int = 0
    """The place of that key among its client's keys in the registry: a later key has a higher one.
    """

    def kept(self, *, update: Update | None = None, pack: bytes = b"") -> "Admitted":
        """Return a copy without the raw bytes, with the given content and pack."""
        return Admitted(
            key=self.key,
            client=self.client,
            made_for=self.made_for,
            sequence=self.sequence,
            digest=self.digest,
            claim_sequence=self.claim_sequence,
            claim_digest=self.claim_digest,
            update=update,
            pack=pack,
            key_id=self.key_id,
            key_place=self.key_place,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Holds what a batch came to."""

    admitted: tuple[Admitted, ...]
    """The updates that may count, ascending by client and round, one for each."""
    refused: tuple[Refused, ...]
    """The objects that were refused, ascending by key."""


def joined(parts: Iterable[Admission]) -> Admission:
    """Return one admission made of several, each of which judged whole clients."""
    admitted: list[Admitted] = []
    refused: list[Refused] = []
    for part in parts:
        admitted += part.admitted
        refused += part.refused
    return Admission(
        admitted=tuple(sorted(admitted, key=lambda a: (a.client, a.made_for))),
        refused=tuple(sorted(refused, key=lambda r: r.key)),
    )


def cap_misplaced(refused: list[Refused]) -> list[Refused]:
    """Return at most 64 of the refused objects that lie where no honest client writes.

    Whoever may write there must not be able to fill a freeze. The last one says how many were left
    out.
    """
    named = refused[:_MAX_MISPLACED]
    if len(refused) > len(named):
        named[-1] = replace(
            named[-1], reason=f"{named[-1].reason}; and {len(refused) - len(named)} more like it"
        )
    return named


def one_each(
    good: list[Admitted], refused: list[Refused], equivocal: Set[tuple[str, int]]
) -> Admission:
    """Return the admission of a batch's verified updates, one for each client (R-92, R-93).

    `equivocal` holds each (key id, sequence) that stands on two different updates, for whatever
    rounds. Of updates under different keys of a client, the later key's counts. New refusals are
    also added to `refused`.
    """
    by_client: dict[tuple[str, int], list[Admitted]] = {}
    for item in good:
        if (item.key_id, item.sequence) in equivocal:
            error = RefusedError(
                f"{item.client} signed two different updates with sequence {item.sequence}: "
                "both are refused",
                subject=item.key,
                rule="R-92",
                remedy="Submit a corrected one with a higher sequence; the operator is told",
            )
            refused.append(refused_as(item.key, error, item))
        else:
            by_client.setdefault((item.client, item.made_for), []).append(item)
    admitted: list[Admitted] = []
    for _, items in sorted(by_client.items()):
        chosen = max(items, key=lambda i: (i.key_place, i.sequence))
        admitted.append(chosen)
        for item in items:
            if item is not chosen:
                error = RefusedError(
                    f"superseded by sequence {chosen.sequence}",
                    subject=item.key,
                    rule="R-93",
                    remedy="Nothing to do: the client corrected itself",
                )
                refused.append(refused_as(item.key, error, item))
    return Admission(admitted=tuple(admitted), refused=tuple(sorted(refused, key=lambda r: r.key)))


def refused_as(key: str, error: HyperfedError, item: Admitted | Signed | None) -> Refused:
    """Return a refusal as it is recorded.

    It states sequence and digest of `item`, where the object came as far as a verified header. A
    key that no client writes is kept only in a form that can be shown.
    """
    sequence, digest = (
        (-1, b"")
        if item is None
        else (item.header.sequence if isinstance(item, Signed) else item.sequence, item.digest)
    )
    try:
        made_for, client, _ = parse_inbox_key(key)
    except SchemaError:
        made_for, client = 0, ""
        key = key if len(key) <= 200 and key.isascii() and key.isprintable() else ascii(key)[:200]
    reason = error.problem if error.subject in ("", key) else f"{error.subject}: {error.problem}"
    return Refused(
        key=key,
        client=client,
        made_for=made_for,
        sequence=sequence,
        digest=digest,
        rule=error.rule or "R-11",
        reason=reason[:_MAX_REASON],
        remedy=with_remedy(error).remedy,
    )


def with_remedy(error: HyperfedError) -> HyperfedError:
    """Return the error, with the remedy of its kind where it has none of its own.

    So nobody is refused without a remedy.
    """
    if error.remedy:
        return error
    bounds = isinstance(error, BoundsError)
    remedy = (
        "Correct the value and submit again"
        if bounds
        else "Write it with this library (`hyperfed submit`, PayloadCodec) and send it again"
    )
    return type(error)(
        error.problem, subject=error.subject, rule=error.rule or "R-11", remedy=remedy
    )
