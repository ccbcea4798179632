"""Define the rows of a round's view: plain values, with one type for each table of the page.

What it does not do: assemble them (`view`).
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.receipt_objects import (
    Fate,
)

__all__ = [
    "BudgetView",
    "Burnt",
    "CountedRow",
    "EdgeRow",
    "HyperedgeRow",
    "LedgerRow",
    "Outcome",
    "RefusedRow",
    "SuppressedRow",
    "TrustRow",
]


class Outcome(StrEnum):
    """Says how far the round has come."""

    COMMITTED = "committed"
    VOID = "void"
    OPEN = "open"
    FROZEN = "frozen"
    RELEASED = "released"
    NOT_OPENED = "not opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedRow:
    """Describes a counted update."""

    client: str
    """The client that sent it."""
    made_for: int
    """The round that it was made for."""
    late: int
    """The number of rounds by which it came late; 0 where it is of the round itself."""
    staleness: float
    """The factor, in (0, 1], by which lateness lowers its weight."""
    sequence: int
    """The client's sequence number of it."""
    digest: bytes
    """Its packet digest, 32 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """Describes an object of the inbox that does not count."""

    key: str
    """Its key."""
    client: str
    """The client whose folder it lies in; empty where no client writes there."""
    made_for: int
    """The round whose folder it lies in; 0 where no client writes there."""
    rule: str
    """The id of the rule that it breaks, such as "R-92"."""
    reason: str
    """Why it does not count."""
    remedy: str
    """What its sender or the operator can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRow:
    """Describes a client's part in the round, and its trust."""

    client: str
    """Its id."""
    organisation: str
    """Its organisation's name."""
    fate: Fate
    """What became of its update."""
    before: float
    """Its trust before the round, in (0, 1)."""
    after: float | None
    """Its trust after the round, in (0, 1); None unless the round is committed."""
    weight: float | None
    """Its weight in the merge, in [0, 1]; None where the merge does not hold it."""
    agreement: float | None
    """How far its votes agree with the others', in [-1, 1]; None where the merge does not hold it.
    """
    weight_before: float | None
    """Its weight in the committed round before; None where that round did not count it."""
    rounds_seen: int
    """The number of rounds in which it was observed."""
    rounds_missed: int
    """The number of rounds in which it was absent."""
    barred: bool
    """Whether the next round leaves it out for its trust (R-95)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burnt:
    """Says how much of the budget was spent after a charged round."""

    round: int
    """The round."""
    share: float
    """The share of the budget that was spent by then, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """Shows the privacy budget after the round."""

    epsilon: Decimal
    """The whole budget's epsilon."""
    delta: Decimal
    """The whole budget's delta."""
    unit: str
    """Whom the budget protects: a client or a record."""
    spent_epsilon: Decimal
    """The epsilon that the ledger has spent."""
    spent_delta: Decimal
    """The delta that the ledger has spent."""
    cost_epsilon: Decimal
    """The epsilon that the round's reserve asks for and that no void refunds."""
    cost_delta: Decimal
    """The delta that the round's reserve asks for and that no void refunds."""
    refunded: bool
    """Whether a void refunded what the round had reserved."""
    composition: str = "nothing spent"
    """How the ledger's charges add up: "rdp", "basic" or "nothing spent"."""
    share: float = 0.0
    """The share of the budget that is spent, in [0, 1]."""
    nights_left: int | None = None
    """How many more rounds like this one the budget pays for; None where this one cost nothing."""
    nights_left_pld: int | None = None
    """The same number by the exact curve of continuous noise, which decides nothing.

    It is None where the round cost nothing, or where the ledger holds anything but noise.
    """
    burnt: tuple[Burnt, ...] = ()
    """Every charged round up to this one."""

    @property
    def left_share(self) -> float:
        """The share of the budget that is left, in [0, 1].

        The filter says it where noise is added up by RDP. Otherwise it is the smaller of the shares
        that are left of epsilon and of delta.
        """
        if self.composition == "rdp":
            return max(0.0, 1 - self.share)
        shares = [
            amount_left / whole
            for amount_left, whole in (
                (self.left_epsilon, self.epsilon),
                (self.left_delta, self.delta),
            )
            if whole
        ]
        return float(min(shares, default=Decimal(0)))

    @property
    def left_words(self) -> tuple[str, str]:
        """What is left of epsilon and of delta, in words.

        Where noise is added up by RDP, one epsilon cannot be subtracted from another. Then the
        first text is the share that is left of the filter, and the second is empty.
        """
        if self.composition == "rdp":
            return f"{100 * self.left_share:.1f} % of the filter", ""
        return str(self.left_epsilon), str(self.left_delta)

    @property
    def left_epsilon(self) -> Decimal:
        """The epsilon that is left, by subtraction."""
        return self.epsilon - self.spent_epsilon

    @property
    def left_delta(self) -> Decimal:
        """The delta that is left, by subtraction."""
        return self.delta - self.spent_delta

    @property
    def noise(self) -> bool:
        """Whether the round paid for noise."""
        return bool(self.cost_epsilon or self.cost_delta)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRow:
    """Describes a merged edge with its evidence (`hypergraph.evidence.Evidence`).

    A field is None where the value is not known, or where a private release does not publish it.
    """

    source: str
    """The variable that acts."""
    target: str
    """The variable that it acts on."""
    lag: int
    """The number of steps after which it acts."""
    effect: float
    """The merged effect."""
    ci_low: float | None
    """The lower end of its 95 % interval."""
    ci_high: float | None
    """The upper end of its 95 % interval."""
    vote: float
    """The weighted mean vote, in [-1, 1]."""
    support: int | None
    """The number of clients that report the edge with the vote's sign."""
    reporting: int | None
    """The number of clients that report the edge with either sign."""
    measured_by: int
    """The number of clients that measured both ends."""
    samples: int | None
    """The sum of the reporting clients' sample counts."""
    i2: float | None
    """The share of variation that comes from differences between clients, in [0, 1]."""
    std_error: float | None = None
    """The standard error of the merged effect."""
    tau2: float | None = None
    """The variance of the effect between clients."""
    q: float | None = None
    """The q-value, in [0, 1]."""
    predict_low: float | None = None
    """The lower end of the 95 % prediction interval."""
    predict_high: float | None = None
    """Its upper end."""
    without_low: float | None = None
    """The smallest effect without one client."""
    without_high: float | None = None
    """The largest effect without one client."""
    positive: int | None = None
    """The number of clients whose effect is above 0."""
    negative: int | None = None
    """The number of clients whose effect is below 0."""
    direction: float = 1.0
    """The share of the votes on this pair that run this way, in [0, 1]."""
    notes: str = ""
    """What must be known of the edge beside its numbers."""

    @property
    def q_words(self) -> str:
        """The q-value with two digits, or "" where it is not known."""
        if self.q is None:
            return ""
        return "<0.0001" if self.q < 0.0001 else f"{self.q:.2g}"

    @property
    def support_words(self) -> str:
        """The support in words, such as "3 of 5", or what a private release says instead."""
        return (
            f"{self.support} of {self.measured_by}"
            if self.support is not None
            else f"not released, of {self.measured_by}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressedRow:
    """Describes an edge that too few clients stand behind.

    It is named, and its values are not.
    """

    source: str
    """The variable that acts."""
    target: str
    """The variable that it acts on."""
    lag: int
    """The number of steps after which it acts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HyperedgeRow:
    """Describes a merged hyperedge: several variables that act together on one."""

    sources: tuple[str, ...]
    """The variables that act."""
    target: str
    """The variable that they act on."""
    lag: int
    """The number of steps after which they act."""
    effect: float
    """The merged effect."""
    vote: float
    """The weighted mean vote, in [-1, 1]."""
    support: int
    """The number of clients that report the hyperedge with the vote's sign."""
    measured_by: int
    """The number of clients that measured all its variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """Describes a ledger entry of the round."""

    sequence: int
    """Its number in the ledger, from 1."""
    kind: EntryKind
    """Whether it reserves, commits or voids."""
    digest: bytes
    """Its packet digest, 32 bytes."""
    time: datetime
    """When it was written."""
