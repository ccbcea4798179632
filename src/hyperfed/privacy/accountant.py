"""Add up what mechanisms cost, and decide whether one more fits into the budget.

1. The first charge of a ledger decides for good how the ledger is composed. It is made before
   anything private has been seen, so the choice is a constant:
   - "rdp": the first charge was noise we know. A filter at one order, which the budget fixes
     (`rdp.rdp_filter`), is valid even when one round depends on the result of the round before.
   - "basic": the first charge was known only as (epsilon, delta). Everything, noise included, is
     then added as (epsilon, delta), exactly (Dwork and Roth 2014, Theorem 3.16).
2. In an rdp ledger a pure epsilon costs what an epsilon-DP mechanism costs at the filter's order,
   min(epsilon, alpha epsilon^2 / 2) (Bun and Steinke 2016, Proposition 1.4). A delta beyond noise
   is added up against half of the budget's delta. That half is set aside only if the first charge
   has such a delta; otherwise nothing is set aside, and the mechanism is refused.
3. All sums are exact rationals: two coordinators never differ about the last remainder.
4. An accountant is immutable; `charged` returns a new one.
5. Loosening is refused: the budget of a ledger is what its registry names, and no later version may
   loosen it after the first charge (`running_budget`).

What it does not do: compose by itself what dp-accounting composes (`rdp`), read ledgers from a
store, or add noise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from hyperfed.errors import PrivacyBudgetExhausted, PrivacyError
from hyperfed.privacy.rdp import Filter, pld_epsilon, rdp_epsilon, rdp_filter
from hyperfed.protocol.entries import (
    EntryKind,
    Mechanism,
)
from hyperfed.protocol.ledger import Chained, exact_sum
from hyperfed.registry.registry import Budget

__all__ = [
    "Composition",
    "PrivacyAccountant",
    "Total",
    "charges_of",
    "cost_of",
    "rho_of",
    "running_budget",
]

_MANY_NIGHTS = 10**6


class Composition(StrEnum):
    """Names how a ledger's mechanisms are composed."""

    NOTHING = "nothing spent"
    BASIC = "basic"
    RDP = "rdp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Says what was spent: epsilon at delta."""

    composition: Composition
    """How the ledger's mechanisms are composed."""
    epsilon: Decimal
    """Epsilon by basic composition, or by RDP at the best order. The latter is true for noise that
    was fixed in advance; whatever the noise depended on, the filter keeps the budget.
    """
    delta: Decimal
    """The delta at which `epsilon` holds."""
    pld: Decimal | None
    """Epsilon if the noise were continuous, or None where the ledger holds anything but noise."""
    share: float
    """Share of the budget that is spent, in [0, 1]."""


def rho_of(mechanism: Mechanism) -> Fraction:
    """Return sensitivity^2 / (2 sigma^2), 0 without noise.

    RDP of order alpha is alpha times this.
    """
    return (
        Fraction(mechanism.sensitivity**2, 2 * mechanism.sigma**2)
        if mechanism.sigma
        else Fraction(0)
    )


def cost_of(mechanisms: Sequence[Mechanism]) -> tuple[Decimal, Decimal]:
    """Return (epsilon, delta) of one round's mechanisms together, as its statement gives it.

    The sum is by RDP where all mechanisms are noise, else by basic composition.
    """
    delta = exact_sum(m.delta for m in mechanisms)
    if not mechanisms or not all(m.kind == "gaussian" for m in mechanisms):
        return exact_sum(m.epsilon for m in mechanisms), delta
    for_noise = exact_sum([delta, *(m.selection_delta.copy_negate() for m in mechanisms)])
    return rdp_epsilon(sum((rho_of(m) for m in mechanisms), Fraction(0)), for_noise), delta


def charges_of(entries: Sequence[Chained]) -> list[tuple[int, Mechanism]]:
    """Return (round, mechanism) of every reserve that no void refunds (R-72).

    They are in the ledger's order.
    """
    refunded = {c.entry.id for c in entries if c.entry.kind is EntryKind.VOID}
    return [
        (c.entry.round, m)
        for c in entries
        if c.entry.kind is EntryKind.RESERVE and c.entry.id not in refunded
        for m in c.entry.mechanisms
    ]


def running_budget(budgets: Sequence[Budget]) -> Budget:
    """Return the budget that rounds may spend, of those named since the first charge.

    `budgets` are ordered oldest first. The last one holds, without gossip's share, because each
    must be as tight as those before. Raises PrivacyError where one raises epsilon or delta of the
    rounds or of gossip, changes the unit or lowers the minimum support: what was promised yesterday
    is promised for good.
    """
    first = budgets[0]
    for later in budgets[1:]:
        changed = [
            f"{name} from {before} to {now}"
            for name, before, now in (
                ("epsilon", first.rounds.epsilon, later.rounds.epsilon),
                ("delta", first.rounds.delta, later.rounds.delta),
                ("gossip's epsilon", first.gossip_epsilon, later.gossip_epsilon),
                ("gossip's delta", first.gossip_delta, later.gossip_delta),
            )
            if now > before
        ]
        if later.unit != first.unit:
            changed.append(f"the unit from {first.unit} to {later.unit}")
        if later.minimum_support < first.minimum_support:
            changed.append(
                f"the minimum support from {first.minimum_support} to {later.minimum_support}"
            )
        if changed:
            raise PrivacyError(
                f"the registry loosens the running budget: {', '.join(changed)}",
                subject="privacy budget",
                rule="R-72",
                remedy="Sign a registry that keeps them; another promise needs another federation",
            )
        first = later
    return first.rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyAccountant:
    """Holds a budget and the mechanisms charged to it, in order."""

    epsilon: Decimal
    """Epsilon of the whole budget."""
    delta: Decimal
    """Delta of the whole budget."""
    mechanisms: tuple[Mechanism, ...] = ()
    """The mechanisms that were charged, in order."""

    @classmethod
    def of_ledger(cls, entries: Sequence[Chained], budget: Budget) -> "PrivacyAccountant":
        """Return the accountant of a verified ledger. So a new machine knows what was spent."""
        return cls(
            epsilon=budget.epsilon,
            delta=budget.delta,
            mechanisms=tuple(m for _, m in charges_of(entries)),
        )

    @property
    def composition(self) -> Composition:
        """The way the mechanisms are composed, which the first charge decides."""
        for m in self.mechanisms:
            if m.epsilon or m.delta or m.sigma:
                return Composition.RDP if m.kind == "gaussian" else Composition.BASIC
        return Composition.NOTHING

    @property
    def filter(self) -> Filter:
        """The filter's order and threshold, from the budget and the first charge.

        Raises PrivacyError where the budget has no delta for it.
        """
        return rdp_filter(self.epsilon, self._delta_for_noise)

    @property
    def _delta_for_noise(self) -> Decimal:
        first = next((m for m in self.mechanisms if m.kind == "gaussian"), None)
        return self.delta / 2 if first is not None and first.selection_delta else self.delta

    @property
    def rho(self) -> Fraction:
        """The rho that is spent in an rdp ledger, with pure epsilons at the filter's order."""
        order = Fraction(self.filter.order)
        total = Fraction(0)
        for m in self.mechanisms:
            epsilon = Fraction(m.epsilon)
            total += rho_of(m) if m.kind == "gaussian" else min(epsilon / order, epsilon**2 / 2)
        return total

    def _extra_delta(self) -> Decimal:
        return exact_sum(
            m.selection_delta if m.kind == "gaussian" else m.delta for m in self.mechanisms
        )

    def why_not(self, mechanisms: Iterable[Mechanism]) -> str | None:
        """Return why these mechanisms do not fit into what is left, or None where they do.

        They are charged all together.
        """
        more = tuple(mechanisms)
        charged = replace(self, mechanisms=self.mechanisms + more)
        if not any(m.epsilon or m.delta or m.sigma for m in more):
            return None
        if charged.composition is Composition.BASIC:
            epsilon, delta = (
                exact_sum(m.epsilon for m in charged.mechanisms),
                exact_sum(m.delta for m in charged.mechanisms),
            )
            if epsilon <= self.epsilon and delta <= self.delta:
                return None
            return (
                f"epsilon {epsilon} and delta {delta} would be spent, of {self.epsilon} and "
                f"{self.delta} (basic composition)"
            )
        if not self.delta:
            return "the budget has no delta, and noise needs one"
        extra, aside = charged._extra_delta(), self.delta - charged._delta_for_noise
        if extra > aside:
            return f"a delta of {extra} beyond noise would be spent, {aside} is set aside for it"
        if charged.rho <= charged.filter.rho:
            return None
        return (
            f"{float(charged.rho / charged.filter.rho):.4f} of the budget of epsilon "
            f"{self.epsilon} and delta {self.delta} would be spent "
            f"(RDP filter of order {charged.filter.order})"
        )

    def fits(self, mechanisms: Iterable[Mechanism]) -> bool:
        """Return whether these mechanisms, all together, fit into what is left."""
        return self.why_not(mechanisms) is None

    def charged(self, mechanisms: Iterable[Mechanism]) -> "PrivacyAccountant":
        """Return an accountant with these mechanisms charged too.

        Raises PrivacyBudgetExhausted where they do not fit, and then charges none.
        """
        more = tuple(mechanisms)
        why = self.why_not(more)
        if why is not None:
            raise PrivacyBudgetExhausted(
                why,
                subject="privacy budget",
                rule="R-72",
                remedy=(
                    "Nothing was spent; choose a smaller ratio of clip to noise, which costs "
                    "less a round"
                ),
            )
        return replace(self, mechanisms=self.mechanisms + more)

    @property
    def share(self) -> float:
        """The share of the budget that is spent, in [0, 1].

        In an rdp ledger it is the share of the filter or of the delta set aside beside it,
        whichever is more. In a basic ledger it is the share of epsilon or of delta, whichever is
        more.
        """
        how = self.composition
        if how is Composition.NOTHING:
            return 0.0
        if how is Composition.RDP:
            aside = self.delta - self._delta_for_noise
            return max(
                float(self.rho / self.filter.rho),
                float(self._extra_delta() / aside) if aside else 0.0,
            )
        epsilon, delta = (
            exact_sum(m.epsilon for m in self.mechanisms),
            exact_sum(m.delta for m in self.mechanisms),
        )
        return max(float(epsilon / self.epsilon), float(delta / self.delta) if self.delta else 0.0)

    @property
    def total(self) -> Total:
        """The total of what was spent so far."""
        how = self.composition
        if how is Composition.NOTHING:
            return Total(
                composition=how, epsilon=Decimal(0), delta=Decimal(0), pld=Decimal(0), share=0.0
            )
        if how is Composition.BASIC:
            epsilon, delta = (
                exact_sum(m.epsilon for m in self.mechanisms),
                exact_sum(m.delta for m in self.mechanisms),
            )
            return Total(composition=how, epsilon=epsilon, delta=delta, pld=None, share=self.share)
        rho, for_noise = self.rho, self._delta_for_noise
        extra = self._extra_delta()
        pure = all(m.kind == "gaussian" and not m.selection_delta for m in self.mechanisms)
        return Total(
            composition=how,
            epsilon=min(self.epsilon, self._rdp_epsilon(rho, for_noise)),
            delta=for_noise + extra,
            pld=pld_epsilon(rho, for_noise) if pure else None,
            share=self.share,
        )

    def _rdp_epsilon(self, rho: Fraction, delta: Decimal) -> Decimal:
        """Return epsilon at the best order where the ledger holds noise alone.

        With pure epsilons in the ledger it is at the filter's order, by whose price they were
        charged.
        """
        if all(m.kind == "gaussian" for m in self.mechanisms):
            return rdp_epsilon(rho, delta)
        return Decimal(float(Fraction(self.filter.order) * rho)) + self.filter.overhead

    def nights_left(self, mechanisms: Iterable[Mechanism]) -> int:
        """Return how many more rounds like this fit, at most a million."""
        night = tuple(mechanisms)
        charged = replace(self, mechanisms=self.mechanisms + night)
        if not night or charged.composition is Composition.NOTHING:
            return _MANY_NIGHTS
        if not self.fits(night):
            return 0
        low, high = 1, 2  # bisection over repeated nights is exact for every ledger
        while high < _MANY_NIGHTS and self._fits_times(night, high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits_times(night, middle) else (low, middle)
        return min(low, _MANY_NIGHTS)

    def _fits_times(self, night: tuple[Mechanism, ...], times: int) -> bool:
        with_night = replace(self, mechanisms=self.mechanisms + night)
        if with_night.composition is Composition.BASIC:
            epsilon, delta = (
                exact_sum(
                    [
                        exact_sum(getattr(m, n) for m in self.mechanisms),
                        times * exact_sum(getattr(m, n) for m in night),
                    ]
                )
                for n in ("epsilon", "delta")
            )
            return epsilon <= self.epsilon and delta <= self.delta
        without_night = replace(with_night, mechanisms=self.mechanisms or night)
        spent = without_night.rho if self.mechanisms else Fraction(0)
        extra = self._extra_delta() if self.mechanisms else Decimal(0)
        more = with_night._extra_delta() - extra
        return (
            spent + times * (with_night.rho - spent) <= with_night.filter.rho
            and extra + times * more <= self.delta - with_night._delta_for_noise
        )

    def nights_left_pld(self, mechanism: Mechanism) -> int | None:
        """Return how many more rounds fit by the exact curve of continuous noise. It is a report.

        The result is None where the ledger holds anything but noise.
        """
        total = self.total
        night = rho_of(mechanism)
        if total.pld is None or not night or mechanism.selection_delta or not self.delta:
            return None
        spent = self.rho if self.mechanisms else Fraction(0)
        low, high = -1, 1
        while high < _MANY_NIGHTS and pld_epsilon(spent + high * night, self.delta) <= self.epsilon:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (
                (middle, high)
                if pld_epsilon(spent + middle * night, self.delta) <= self.epsilon
                else (low, middle)
            )
        return max(0, low)
