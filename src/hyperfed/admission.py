"""What a batch of updates comes to: what arrived, what may count, what was refused and why; one update a client and round (R-92, R-93).

1. Every refusal names its object, rule and remedy, also where the error that led to it had none.
2. One sequence on two different updates: both are refused (R-92). Else the highest sequence counts, and lower ones are superseded (R-93).
3. Of the objects that lie where no honest client writes, at most 64 are kept: whoever may write there must not be able to fill a freeze.

What it does not do: judge a packet (`validator`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.errors import BoundsError, HyperfedError, RefusedError, SchemaError
from hyperfed.keys import KeyPair
from hyperfed.packets import Update
from hyperfed.protocol.objects import Plan, Refused
from hyperfed.registry import Registry
from hyperfed.rounds import SLOTS, Keys
from hyperfed.signing import Signed

__all__ = ["Admission", "Admitted", "Arrival", "BaseOf", "RoundContext", "few_strays", "joined", "one_each", "parse_inbox_key", "refused_as", "with_remedy"]

_INBOX_KEY = re.compile(r"inbox/([0-9]{8,15})/([a-z0-9][a-z0-9-]{2,31})/([0-9])")
_MAX_STRAYS = 64
_MAX_REASON = 500

BaseOf = Callable[[str, bytes], Update | None]  # (client, digest) -> its last counted update, if that is the one


@lru_cache(maxsize=64)
def parse_inbox_key(key: str) -> tuple[int, str, int]:
    """(round, client, slot) of an inbox key, asked several times while its object is judged. Raises SchemaError for a key that no honest client writes."""
    found = _INBOX_KEY.fullmatch(key)
    if found is not None:
        round_id, client, slot = int(found[1]), found[2], int(found[3])
        if Keys.inbox(round_id, client, slot) == key and slot < SLOTS and round_id > 0:
            return round_id, client, slot
    raise SchemaError("not an inbox key", subject=ascii(key)[:120], rule="R-82", remedy=f"inbox/{{round:08d}}/{{client}}/{{slot}} with slot 0 to {SLOTS - 1}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An object of the inbox as listed and, once read, its bytes; or why it could not be read."""

    key: str
    size: int
    data: bytes | None = None
    error: HyperfedError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundContext:
    """Everything admission depends on besides the bytes. policies: policy digest by round; highest: counted sequence by client; now: one
    instant; keys: open sealed bodies; base_of: a client's last counted update, for those that carry changes against it."""

    registry: Registry
    plan: Plan
    now: datetime
    policies: Mapping[int, bytes] = field(default_factory=dict)
    highest: Mapping[str, int] = field(default_factory=dict)
    keys: KeyPair | None = None
    base_of: BaseOf | None = None
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An update that may count: where it lay, whose, for which round, and what its header says. `update` is its content; pack: the digest of the pack that
    it was copied in, once it was."""

    key: str
    client: str
    made_for: int
    sequence: int
    digest: bytes
    claim_sequence: int
    claim_digest: bytes
    update: Update | None = None
    data: bytes | None = None
    pack: bytes = b""

    def kept(self, *, update: Update | None = None, pack: bytes = b"") -> "Admitted":
        """It without its bytes, with what is kept of its content."""
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
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A batch, judged: admitted ascend by client and round, one for each; refused by key."""

    admitted: tuple[Admitted, ...]
    refused: tuple[Refused, ...]


def joined(parts: Iterable[Admission]) -> Admission:
    """What was judged in parts, each of whole clients, as one admission."""
    admitted: list[Admitted] = []
    refused: list[Refused] = []
    for part in parts:
        admitted += part.admitted
        refused += part.refused
    return Admission(admitted=tuple(sorted(admitted, key=lambda a: (a.client, a.made_for))), refused=tuple(sorted(refused, key=lambda r: r.key)))


def few_strays(strays: list[Refused]) -> list[Refused]:
    """At most 64 of the objects that lie where no honest client writes: whoever may write there must not be able to fill a freeze."""
    kept = strays[:_MAX_STRAYS]
    if len(strays) > len(kept):
        kept[-1] = replace(kept[-1], reason=f"{kept[-1].reason}; and {len(strays) - len(kept)} more like it")
    return kept


def one_each(good: list[Admitted], refused: list[Refused], equivocal: Set[tuple[str, int]]) -> Admission:
    """R-92 and R-93 over the verified updates of a batch. equivocal: (client, sequence) that stand on two different updates, for whatever rounds."""
    by_client: dict[tuple[str, int], list[Admitted]] = {}
    for item in good:
        if (item.client, item.sequence) in equivocal:
            error = RefusedError(
                f"{item.client} signed two different updates with sequence {item.sequence}: both are refused",
                subject=item.key,
                rule="R-92",
                remedy="Submit a corrected one with a higher sequence; the operator is told",
            )
            refused.append(refused_as(item.key, error, item))
        else:
            by_client.setdefault((item.client, item.made_for), []).append(item)
    admitted: list[Admitted] = []
    for _, items in sorted(by_client.items()):
        chosen = max(items, key=lambda i: i.sequence)
        admitted.append(chosen)
        for item in items:
            if item is not chosen:
                error = RefusedError(
                    f"superseded by sequence {chosen.sequence}", subject=item.key, rule="R-93", remedy="Nothing to do: the client corrected itself"
                )
                refused.append(refused_as(item.key, error, item))
    return Admission(admitted=tuple(admitted), refused=tuple(sorted(refused, key=lambda r: r.key)))


def refused_as(key: str, error: HyperfedError, item: Admitted | Signed | None) -> Refused:
    """A refusal as it is recorded; with what a verified header says, where it came that far. A key no client writes is kept only as it can be shown."""
    sequence, digest = (-1, b"") if item is None else (item.header.sequence if isinstance(item, Signed) else item.sequence, item.digest)
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
    """The error, with the remedy of its kind where it has none of its own: nobody is refused without being told what to do."""
    if error.remedy:
        return error
    bounds = isinstance(error, BoundsError)
    remedy = "Correct the value and submit again" if bounds else "Write it with this library (`hyperfed submit`, PayloadCodec) and send it again"
    return type(error)(error.problem, subject=error.subject, rule=error.rule or "R-11", remedy=remedy)
