"""Check a plan's privacy before anything is spent.

This module gives the release that a policy asks for, and every reason why it cannot be had.

1. The unit comes from the registry's budget, which the online key may not change. Noise and clip
   come from the policy.
2. A round that exceeds the whole budget, or what is left of it, is refused when it is opened, not
   when its updates are there.
3. Local messages speak about every possible edge. A policy that lets clients share fewer rows, or
   only strong ones, contradicts that.

What it does not do: charge (`accountant`), or add noise (`release`).
"""

from typing import Any

from hyperfed.errors import PrivacyBudgetExhausted, PrivacyError
from hyperfed.hypergraph.privacy_statement import PrivacyStatement, not_covered
from hyperfed.packets import PolicyPack
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.groups import Grouped
from hyperfed.privacy.mechanisms import PlannedRelease, plan_release
from hyperfed.privacy.moments import moment_count, plan_moments
from hyperfed.privacy.slots import check_slots, slot_count
from hyperfed.registry.registry import Budget
from hyperfed.tables.vocabulary import Vocabulary

__all__ = [
    "check_private_plan",
    "misstated",
    "release_of",
    "statement_of",
    "statement_of_moments",
    "sum_noise_std",
]


def release_of(
    policy: PolicyPack, vocabulary: Vocabulary, budget: Budget, *, shares: int = 0
) -> PlannedRelease | None:
    """Return the release that a policy asks for, or None where it asks for no privacy.

    shares: with noise in shares, how many protect each client by the freeze; 0: as many as the
    policy counts on. Raises PrivacyError where the night cannot be had.
    """
    if policy.privacy == "none":
        return None
    if policy.payload != "edges":
        if budget.unit != "record":
            raise PrivacyError(
                f"sums of statistics protect records, and the budget's unit is the {budget.unit}",
                subject="privacy policy",
                rule="R-185",
                remedy="Send edges: the unit is chosen with `hyperfed registry init` and stays",
            )
        return plan_moments(policy, len(vocabulary), shares=shares)
    selected = policy.discovery == "selected"
    slots = (
        slot_count(len(vocabulary), policy.allowed_lags)
        if selected
        else check_slots(len(vocabulary), policy.allowed_lags)
    )
    return plan_release(
        epsilon=policy.privacy_epsilon,
        delta=policy.privacy_delta,
        clip_norm=policy.clip_norm,
        slots=slots,
        place=policy.privacy,
        unit=budget.unit,
        record_bound=policy.record_bound,
        edges_per_client=policy.edges_per_client if selected else 0,
        noise_shares=policy.noise_shares,
        shares=shares,
    )


def check_private_plan(
    policy: PolicyPack, vocabulary: Vocabulary, accountant: PrivacyAccountant, budget: Budget
) -> None:
    """Check that a round with this policy can be released as private.

    `accountant` is that of the ledger as it is. Raises PrivacyError where the policy contradicts
    itself, and PrivacyBudgetExhausted where the night does not fit into what is left.
    """
    planned = release_of(policy, vocabulary, budget)
    if planned is None:
        return
    if policy.privacy == "local" and policy.payload == "edges":
        slots = slot_count(len(vocabulary), policy.allowed_lags)
        if policy.n_proposals < slots or policy.g_min > 0:
            raise PrivacyError(
                f"local messages speak about all {slots} possible edges; the policy allows "
                f"{policy.n_proposals} rows with |effect| >= {policy.g_min:g}",
                subject="privacy policy",
                remedy=f"Set n_proposals to at least {slots}, and g_min to 0",
            )
    why = accountant.why_not(planned.mechanisms)
    if why is not None:
        raise PrivacyBudgetExhausted(
            f"tonight does not fit: {why}",
            subject="privacy budget",
            rule="R-72",
            remedy=(
                "Nothing was spent. Ask for less in each round (privacy_epsilon), or end the "
                "private rounds: what was released stays private"
            ),
        )


def statement_of(
    policy: PolicyPack,
    planned: PlannedRelease,
    *,
    vocabulary: Vocabulary,
    released: Grouped,
    after: PrivacyAccountant,
) -> PrivacyStatement:
    """Return the statement of a release. `after` is the accountant with this round charged."""
    means = released.whole
    return PrivacyStatement(
        **_promised(policy, planned, vocabulary=vocabulary, after=after),
        slots=len(means.keys),
        clients=means.clients,
        noise_std=means.std,
        group_noise_std=tuple(group.released.std for group in released.groups)
        if policy.basket_minimum
        else (),
        cut=means.cut,
    )


def sum_noise_std(policy: PolicyPack, planned: PlannedRelease, clients: int) -> float:
    """Return the standard deviation of the noise on each moment of the sum of so many clients."""
    return planned.noise_std * (clients**0.5 if policy.noised_by_clients else 1.0)


def statement_of_moments(
    policy: PolicyPack,
    planned: PlannedRelease,
    *,
    vocabulary: Vocabulary,
    clients: int,
    after: PrivacyAccountant,
) -> PrivacyStatement:
    """Return the statement of a released sum of moments, as `statement_of` does of means."""
    return PrivacyStatement(
        **_promised(policy, planned, vocabulary=vocabulary, after=after),
        slots=moment_count(len(vocabulary), policy.lags),
        clients=clients,
        noise_std=sum_noise_std(policy, planned, clients),
        group_noise_std=(),
        cut=0.0,
    )


def misstated(
    statement: PrivacyStatement,
    policy: PolicyPack,
    planned: PlannedRelease,
    *,
    vocabulary: Vocabulary,
    after: PrivacyAccountant,
) -> list[str]:
    """Return which fields of a statement are not what plan, registry and ledger give.

    Anybody can check these fields without a key.
    """
    return [
        name
        for name, value in _promised(policy, planned, vocabulary=vocabulary, after=after).items()
        if getattr(statement, name) != value
    ]


def _promised(
    policy: PolicyPack, planned: PlannedRelease, *, vocabulary: Vocabulary, after: PrivacyAccountant
) -> dict[str, Any]:
    """Return the fields of a statement that need no look at the release."""
    total, noise = after.total, planned.mechanism
    moments = policy.payload != "edges"
    about_moments = (
        {
            "released": "moments",
            "clip_norm": policy.statistics.row_norm,
            "record_bound": planned.record_bound,
        }
        if moments
        else {}
    )
    return {
        "place": noise.place,
        "unit": noise.unit,
        "relation": noise.relation,
        "discovery": policy.discovery,
        "vocabulary": vocabulary.digest,
        "clip_norm": planned.clip_norm,
        "record_bound": policy.record_bound if noise.unit == "record" else 0.0,
        "mechanism": "discrete Gaussian",
        "sigma": noise.sigma,
        "sensitivity": noise.sensitivity,
        "grid": planned.bound,
        "threshold": planned.selection.clients_needed if planned.selection else 0.0,
        "epsilon": planned.epsilon,
        "delta": planned.delta,
        "total_epsilon": total.epsilon,
        "total_delta": total.delta,
        "composition": total.composition.value,
        "budget_epsilon": after.epsilon,
        "budget_delta": after.delta,
        "not_covered": not_covered(
            noise.place, moments=moments, masked=policy.aggregation == "secure-sum"
        ),
        "shares": noise.shares,
    } | about_moments
