"""Plan, before the first round, what private rounds of statistics cost, and what can be seen.

1. The noise is that of a policy, by the same formula as in a round (`moments.plan_moments`). Where
   a number of nights is asked for, the policy gets the largest epsilon with which the enforced
   filter admits so many; where an epsilon is given, the filter says how many nights it admits.
2. With noise in shares, a night is charged for as few shares as the policy counts on. So is each
   client's own record, always; the federation's ledger charges less where more come.
3. Noise on a correlation of 0 is that on a moment, over what n rows of one variance add up to
   (`statistics.noise`). Nobody knows the variance here: unless it is said, it is the largest that
   rows of the clip can have, and the noise is then the least there can be.
4. A correlation can be seen where it is above `cut`: sampling and noise together, over all pairs of
   columns (`release.noise_cut`). A plan in which none can be seen is called useless.

What it does not do: know anybody's data, or which organisations may collude
(`registry.noise_shares` counts the shares that a real cohort leaves).
"""

import math
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Context, Decimal

import numpy as np

from hyperfed.errors import PrivacyError
from hyperfed.packets import PolicyPack
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.moments import moment_count, plan_moments
from hyperfed.privacy.planning import check_counted_on, lasting_epsilon, night_multiplier
from hyperfed.privacy.policy import sum_noise_std
from hyperfed.privacy.release import noise_cut
from hyperfed.statistics.noise import partial_noise
from hyperfed.statistics.record import block_lags

__all__ = ["SUMS_VISIBLE", "SumsPlan", "plan_sums"]

SUMS_VISIBLE = 0.3
"""The correlation that a plan has to show to be called useful."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SumsPlan:
    """Describes a number of equal rounds of statistics, their noise, and what can be seen."""

    policy: PolicyPack
    """The policy of the rounds, with the epsilon that is planned."""
    release: PlannedRelease
    """One of the nights."""
    nights: int
    """How many nights the budget admits."""
    variables: int
    """How many variables the vocabulary has."""
    clients: int
    """How many clients are summed each night."""
    rows: int
    """How many rows they have together."""
    pairs: int
    """How many pairs of columns there are."""
    noise_std: float
    """Standard deviation of the noise on each moment of the sum, in squared public units."""
    correlation_noise_std: float
    """Standard deviation of the noise on a correlation of 0."""
    correlation_std: float
    """The same with that of sampling."""
    cut: float
    """Smallest |correlation| that stands out, over all pairs."""
    rows_needed: int
    """With how many rows a correlation of `SUMS_VISIBLE` stands out."""

    @property
    def moments(self) -> int:
        """How many moments get noise."""
        return moment_count(self.variables, self.policy.lags)

    @property
    def useful(self) -> bool:
        """Whether any correlation can be seen."""
        return self.cut < 1

    @property
    def verdict(self) -> str:
        """The verdict in plain words: whether the plan is worth it."""
        need = f"A correlation of {SUMS_VISIBLE:g} needs {self.rows_needed:,} rows."
        if not self.useful:
            return (
                f"Useless: in {self.rows:,} rows the noise hides every correlation. {need} More "
                "rows, fewer nights, a larger budget, fewer variables or shares instead of local "
                "noise would help."
            )
        seen = f"correlations of at least {self.cut:.2g} can be told from noise"
        if self.cut > SUMS_VISIBLE:
            return f"Barely useful: {seen}. {need}"
        return f"Useful: {seen}."


def plan_sums(
    policy: PolicyPack,
    *,
    epsilon: Decimal,
    delta: Decimal,
    variables: int,
    clients: int,
    rows: int,
    nights: int | None,
    spread: float | None = None,
) -> SumsPlan:
    """Return the plan of equal rounds with this policy inside (epsilon, delta).

    nights: how many there must be; None: as many as fit with the policy's own epsilon. spread: the
    standard deviation of a variable, in public units; None: the largest that the clip allows.
    Raises PrivacyError where no grid is fine enough, or where no night fits.
    """
    check_counted_on(policy.noise_shares, clients)
    empty = PrivacyAccountant(epsilon=epsilon, delta=delta)
    if nights is not None:
        largest = Context(prec=3, rounding=ROUND_FLOOR).create_decimal(999)

        def night(asked: Decimal) -> PlannedRelease:
            return plan_moments(replace(policy, privacy_epsilon=min(asked, largest)), variables)

        multiplier = night_multiplier(nights, epsilon, delta)
        asked = lasting_epsilon(night, empty, nights, multiplier, policy.privacy_delta)
        policy = replace(policy, privacy_epsilon=min(asked, largest))
    planned = plan_moments(policy, variables)
    fit = empty.nights_left(planned.mechanisms)
    if not fit:
        raise PrivacyError(
            f"no night of epsilon {planned.epsilon} fits into the budget of {epsilon}",
            subject="budget plan",
            remedy="Ask for a smaller epsilon each night: it is charged with about a tenth more",
        )
    width = variables * len(block_lags(policy.lags))
    pairs = width * (width - 1) // 2
    std = sum_noise_std(policy, planned, clients)
    clip = policy.statistics.row_norm
    variance = clip * clip / variables
    if spread is not None:
        variance = min(variance, spread * spread)
    per_row = std / variance  # over the rows, it is the noise on a correlation
    noise = math.sqrt(partial_noise(np.eye(2), np.full((2, 2), per_row / rows)))
    whole = math.hypot(noise, 1 / math.sqrt(rows))
    share = (SUMS_VISIBLE / noise_cut(1.0, pairs)) ** 2
    return SumsPlan(
        policy=policy,
        release=planned,
        nights=fit,
        variables=variables,
        clients=clients,
        rows=rows,
        pairs=pairs,
        noise_std=std,
        correlation_noise_std=noise,
        correlation_std=whole,
        cut=noise_cut(whole, pairs),
        # share n^2 - n - per_row^2 = 0
        rows_needed=math.ceil((1 + math.sqrt(1 + 4 * share * per_row**2)) / (2 * share)),
    )
