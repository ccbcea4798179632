"""The rows of a round's view: plain values, one type a table of its page.

What it does not do: assemble them (`view`).
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from hyperfed.protocol.objects import EntryKind, Fate

__all__ = ["BudgetView", "Burnt", "CountedRow", "EdgeRow", "HyperedgeRow", "LedgerRow", "Outcome", "RefusedRow", "SuppressedRow", "TrustRow"]


class Outcome(StrEnum):
    """How far the round has come."""

    COMMITTED = "committed"
    VOID = "void"
    OPEN = "open"
    FROZEN = "frozen"
    RELEASED = "released"
    NOT_OPENED = "not opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedRow:
    """A counted update. late: rounds it came late; staleness: the factor of its weight for that."""

    client: str
    made_for: int
    late: int
    staleness: float
    sequence: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """An object of the inbox that does not count, and why."""

    key: str
    client: str
    made_for: int
    rule: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRow:
    """One client. before, after: its reputation in (0, 1) (after: None unless the round is committed); weight, agreement: of the merge (None: not in it).

    weight_before: in the last committed round, if it was counted there. barred: with this reputation the next round leaves the client out (R-95).
    """

    client: str
    organisation: str
    fate: Fate
    before: float
    after: float | None
    weight: float | None
    agreement: float | None
    weight_before: float | None
    rounds_seen: int
    rounds_missed: int
    barred: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Burnt:
    """How much of the budget, in [0, 1], was spent after a charged round."""

    round: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """The privacy budget after the round. cost_epsilon, cost_delta: what its reserve asks for and no void refunds; refunded: whether one did.

    composition: how the ledger's charges add up ("rdp", "basic", "nothing spent"); share: of the budget that is spent, in [0, 1]; nights_left: more nights
    like the round's (None: it cost nothing), nights_left_pld the same for continuous noise, a report; burnt: each charged round until this one.
    """

    epsilon: Decimal
    delta: Decimal
    unit: str
    spent_epsilon: Decimal
    spent_delta: Decimal
    cost_epsilon: Decimal
    cost_delta: Decimal
    refunded: bool
    composition: str = "nothing spent"
    share: float = 0.0
    nights_left: int | None = None
    nights_left_pld: int | None = None
    burnt: tuple[Burnt, ...] = ()

    @property
    def left_share(self) -> float:
        """Of the budget, in [0, 1]: by the filter where noise is added up by RDP, else of epsilon or delta, whichever is less."""
        if self.composition == "rdp":
            return max(0.0, 1 - self.share)
        shares = [left / whole for left, whole in ((self.left_epsilon, self.epsilon), (self.left_delta, self.delta)) if whole]
        return float(min(shares, default=Decimal(0)))

    @property
    def left_words(self) -> tuple[str, str]:
        """What is left, of epsilon and of delta. Where noise is added up by RDP, epsilons do not subtract: the filter's share is what is left."""
        if self.composition == "rdp":
            return f"{100 * self.left_share:.1f} % of the filter", ""
        return str(self.left_epsilon), str(self.left_delta)

    @property
    def left_epsilon(self) -> Decimal:
        return self.epsilon - self.spent_epsilon

    @property
    def left_delta(self) -> Decimal:
        return self.delta - self.spent_delta

    @property
    def noise(self) -> bool:
        """Whether the round paid for any."""
        return bool(self.cost_epsilon or self.cost_delta)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRow:
    """A merged edge with its evidence (`hypergraph.Evidence`). None: a count that a private release keeps to itself."""

    source: str
    target: str
    lag: int
    effect: float
    ci_low: float | None
    ci_high: float | None
    vote: float
    support: int | None
    reporting: int | None
    measured_by: int
    samples: int | None
    i2: float | None

    @property
    def support_words(self) -> str:
        """ "3 of 5", or what a private release says instead."""
        return f"{self.support} of {self.measured_by}" if self.support is not None else f"not released, of {self.measured_by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressedRow:
    """An edge that too few clients stand behind: named, without values."""

    source: str
    target: str
    lag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HyperedgeRow:
    """Several sources acting together."""

    sources: tuple[str, ...]
    target: str
    lag: int
    effect: float
    vote: float
    support: int
    measured_by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """An entry of the round."""

    sequence: int
    kind: EntryKind
    digest: bytes
    time: datetime
