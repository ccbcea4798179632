"""Name what the round's machine reads of the drop-box, and what it asks for.

Each command is one read, or one create-only write; `coordinator.handlers` executes them. Of an
object, the values hold only what decisions need.

What it does not do: decide what comes next (`machine`).
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hyperfed.protocol.entries import EntryKind

__all__ = [
    "Append",
    "Command",
    "Gather",
    "Halt",
    "Line",
    "NoiseView",
    "OpeningsView",
    "PlanView",
    "PutFreeze",
    "PutManifest",
    "PutNoise",
    "PutReceipts",
    "PutState",
    "PutTombstone",
    "ReadFreeze",
    "ReadLedger",
    "ReadManifest",
    "ReadNoise",
    "ReadOpenings",
    "ReadPlan",
    "ReadResult",
    "Release",
    "ResultView",
    "Why",
    "WriteOutcome",
]


@dataclass(frozen=True, slots=True)
class Line:
    """Holds what the machine needs to know of a ledger entry."""

    kind: EntryKind
    """The entry's kind."""
    round: int
    """The round that the entry is about."""
    ref: Hashable = None
    """In a reserve its id; in a commit the result's digest; in a void the id of the reserve it
    refunds, or None.
    """
    noise: Hashable = None
    """In a reserve the digest of the round's noise, or None where the coordinator adds none."""
    charged: bool = False
    """In a reserve, whether it takes something from the budget."""
    annulled: bool = False
    """Whether the registry's roots have annulled the entry: it reserves and ends no round."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """Describes a round that was opened."""

    closed: bool
    """Whether its `close_by` is past."""
    begun: bool = True
    """Whether its window has begun."""


@dataclass(frozen=True, slots=True)
class ResultView:
    """Describes what stands at `result`: a result or a tombstone."""

    digest: Hashable
    """Its digest."""
    tombstone: bool
    """Whether it is a tombstone."""
    reserve: Hashable = None
    """The id of the reserve that a result's freeze asks for; None in a tombstone."""


@dataclass(frozen=True, slots=True)
class NoiseView:
    """Describes what stands at `noise`."""

    digest: Hashable
    """Its digest."""
    opens: bool
    """Whether it is a coordinator's, of this round and freeze, and this coordinator can open it."""


class OpeningsView(Enum):
    """Describes what the helpers' answers to a round's manifest come to."""

    OPEN = "open"
    """They open the sum, and as much of it is checked as this run asks for."""
    MISSING = "missing"
    """Too few helpers have answered so far."""
    DISPUTED = "disputed"
    """Two helpers gave different sums of one seed."""


class WriteOutcome(Enum):
    """Says how a create-only write ended."""

    CREATED = "created"
    EXISTS = "exists"
    UNKNOWN = "unknown"
    IMPOSSIBLE = "impossible"
    """There is nothing to write: no result can be computed from the freeze."""


class Why(Enum):
    """Says why the machine halts."""

    COMMITTED = "committed"
    VOID = "void"
    NOT_OPENED = "not opened"
    NOT_BEGUN = "has not begun"
    PREDECESSOR_OPEN = "an earlier round is still open"
    BELOW_QUORUM = "below quorum"
    IMPOSSIBLE = "has no result"
    AWAITING_HELPERS = "waits for its helpers"
    DISPUTED = "its helpers contradict each other"
    SKIPPED = "a later round has ended"


@dataclass(frozen=True, slots=True)
class ReadLedger:
    """Read the whole ledger. The answer is tuple[Line, ...]."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """Read the round's plan. The answer is a PlanView, or None where the round was not opened."""

    round: int
    """The round whose plan is read."""


@dataclass(frozen=True, slots=True)
class ReadFreeze:
    """Read the round's freeze. The answer is the freeze (anything hashable) or None."""

    round: int
    """The round whose freeze is read."""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Read the round's result. The answer is a ResultView or None."""

    round: int
    """The round whose result is read."""


@dataclass(frozen=True, slots=True)
class Gather:
    """List, verify and choose updates, and copy them to `accepted/`.

    The answer is a freeze to create, or None below quorum.
    """

    round: int
    """The round whose updates are gathered."""


@dataclass(frozen=True, slots=True)
class PutFreeze:
    """Create the round's freeze. The answer is a WriteOutcome."""

    round: int
    """The round of the freeze."""
    freeze: Any
    """The freeze to create, as `Gather` answered."""


@dataclass(frozen=True, slots=True)
class ReadNoise:
    """Read the round's noise. The answer is a NoiseView or None."""

    round: int
    """The round whose noise is read."""


@dataclass(frozen=True, slots=True)
class PutNoise:
    """Draw the seed of the round's noise, and create it. The answer is a WriteOutcome."""

    round: int
    """The round of the noise."""
    freeze: Any
    """The round's freeze, which the seed is bound to."""


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """Read the round's manifest. The answer is whether there is one."""

    round: int
    """The round whose manifest is read."""


@dataclass(frozen=True, slots=True)
class PutManifest:
    """Create the round's manifest, which follows from its freeze. The answer is a WriteOutcome."""

    round: int
    """The round of the manifest."""
    freeze: Any
    """The round's freeze, whose cohort it names."""


@dataclass(frozen=True, slots=True)
class ReadOpenings:
    """Read the helpers' answers to the round's manifest. The answer is an OpeningsView."""

    round: int
    """The round whose sum is to be opened."""
    freeze: Any
    """The round's freeze."""


@dataclass(frozen=True, slots=True)
class Append:
    """Create a ledger entry. The answer is a WriteOutcome."""

    at: int
    """The entry's number, from 1."""
    line: Line
    """What the entry says."""


@dataclass(frozen=True, slots=True)
class Release:
    """Compute the result from `freeze` and create it, in one step. The answer is a WriteOutcome.

    It is IMPOSSIBLE where nothing can be computed from the freeze, now or later.
    """

    round: int
    """The round of the result."""
    freeze: Any
    """The round's freeze."""
    noise: Hashable = None
    """The digest of the noise that the reserve names, or None where the coordinator adds none."""


@dataclass(frozen=True, slots=True)
class PutTombstone:
    """Create a tombstone as the round's result. The answer is a WriteOutcome."""

    round: int
    """The round that ends without a result."""
    rule: str
    """The id of the rule by which it ends."""


@dataclass(frozen=True, slots=True)
class PutState:
    """Create the round's state.

    The answer may be anything. Where the command raises, it is tried again later.
    """

    round: int
    """The round of the state."""


@dataclass(frozen=True, slots=True)
class PutReceipts:
    """Create the round's receipts. The answer may be anything."""

    round: int
    """The round of the receipts."""


@dataclass(frozen=True, slots=True)
class Halt:
    """Do nothing more for the round that the machine was started for."""

    round: int
    """The round that the machine was started for."""
    why: Why
    """Why there is nothing more to do."""


Command = (
    ReadLedger
    | ReadPlan
    | ReadFreeze
    | ReadResult
    | Gather
    | PutFreeze
    | ReadNoise
    | PutNoise
    | ReadManifest
    | PutManifest
    | ReadOpenings
    | Append
    | Release
    | PutTombstone
    | PutState
    | PutReceipts
    | Halt
)
