"""A plan's privacy, checked before anything is spent: the night that a policy asks for, and every reason why it cannot be had.

1. The unit comes from the registry's budget, which the online key may not change; noise and clip come from the policy.
2. A night that exceeds the whole budget, or what is left of it, is refused when the round is opened, not when its updates are there.
3. Local messages speak about every possible edge: a policy that lets clients share fewer rows, or only strong ones, contradicts that.

What it does not do: charge (`accountant`), noise (`release`).
"""

from typing import Any

from hyperfed.errors import PrivacyBudgetExhausted, PrivacyError
from hyperfed.packets import PolicyPack
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.groups import Grouped
from hyperfed.privacy.mechanisms import Night, plan_night
from hyperfed.privacy.slots import check_slots, slot_count
from hyperfed.privacy.statement import NOT_COVERED, PrivacyStatement
from hyperfed.registry import Budget
from hyperfed.vocabulary import Vocabulary

__all__ = ["check_private_plan", "misstated", "night_of", "statement_of"]


def night_of(policy: PolicyPack, vocabulary: Vocabulary, budget: Budget) -> Night | None:
    """The night a policy asks for; None where it asks for no privacy. Raises PrivacyError where it cannot be had."""
    if policy.privacy == "none":
        return None
    selected = policy.discovery == "selected"
    slots = slot_count(len(vocabulary), policy.max_lag) if selected else check_slots(len(vocabulary), policy.max_lag)
    return plan_night(
        epsilon=policy.privacy_epsilon,
        delta=policy.privacy_delta,
        clip_norm=policy.clip_norm,
        slots=slots,
        place=policy.privacy,
        unit=budget.unit,
        record_bound=policy.record_bound,
        edges_per_client=policy.edges_per_client if selected else 0,
    )


def check_private_plan(policy: PolicyPack, vocabulary: Vocabulary, accountant: PrivacyAccountant, budget: Budget) -> None:
    """Raises PrivacyError, PrivacyBudgetExhausted where a round with this policy could not be released as private. accountant: of the ledger as it is."""
    night = night_of(policy, vocabulary, budget)
    if night is None:
        return
    if policy.privacy == "local":
        slots = slot_count(len(vocabulary), policy.max_lag)
        if policy.n_proposals < slots or policy.g_min > 0:
            raise PrivacyError(
                f"local messages speak about all {slots} possible edges; the policy allows {policy.n_proposals} rows with |effect| >= {policy.g_min:g}",
                subject="privacy policy",
                remedy=f"n_proposals of at least {slots}, and g_min = 0",
            )
    why = accountant.why_not(night.mechanisms)
    if why is not None:
        raise PrivacyBudgetExhausted(
            f"tonight does not fit: {why}",
            subject="privacy budget",
            rule="R-72",
            remedy="Nothing was spent. Ask for less a night (privacy_epsilon), or end the private rounds: what was released stays private",
        )


def statement_of(policy: PolicyPack, night: Night, *, vocabulary: Vocabulary, released: Grouped, after: PrivacyAccountant) -> PrivacyStatement:
    """The statement of a release. after: the accountant with tonight charged."""
    whole = released.whole
    return PrivacyStatement(
        **_promised(policy, night, vocabulary=vocabulary, after=after),
        slots=len(whole.keys),
        clients=whole.clients,
        noise_std=whole.std,
        group_noise_std=tuple(group.released.std for group in released.groups) if policy.basket_minimum else (),
        cut=whole.cut,
    )


def misstated(said: PrivacyStatement, policy: PolicyPack, night: Night, *, vocabulary: Vocabulary, after: PrivacyAccountant) -> list[str]:
    """Which fields of a statement are not what plan, registry and ledger give: what anybody can check without a key."""
    return [name for name, value in _promised(policy, night, vocabulary=vocabulary, after=after).items() if getattr(said, name) != value]


def _promised(policy: PolicyPack, night: Night, *, vocabulary: Vocabulary, after: PrivacyAccountant) -> dict[str, Any]:
    """The fields that need no look at the release."""
    total, noise = after.total, night.mechanism
    return {
        "place": noise.place,
        "unit": noise.unit,
        "relation": noise.relation,
        "discovery": policy.discovery,
        "vocabulary": vocabulary.digest,
        "clip_norm": night.clip_norm,
        "record_bound": policy.record_bound if noise.unit == "record" else 0.0,
        "mechanism": "discrete Gaussian",
        "sigma": noise.sigma,
        "sensitivity": noise.sensitivity,
        "grid": night.bound,
        "threshold": night.selection.clients_needed if night.selection else 0.0,
        "epsilon": night.epsilon,
        "delta": night.delta,
        "total_epsilon": total.epsilon,
        "total_delta": total.delta,
        "composition": total.composition.value,
        "budget_epsilon": after.epsilon,
        "budget_delta": after.delta,
        "not_covered": NOT_COVERED[noise.place],
    }
