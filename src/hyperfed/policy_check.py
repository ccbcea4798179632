"""What a client shares, held to the round's plan: inside its vocabulary (R-90), and no more than its policy lets be shared (R-91).

Clients ask it before they send, the validator after. What it does not do: look at headers, keys or clocks (`validator`).
"""

import numpy as np

from hyperfed.errors import BoundsError, RefusedError
from hyperfed.packets import CausalSemanticPack, PolicyPack, Update
from hyperfed.privacy.slots import slot_count
from hyperfed.protocol.objects import Plan

__all__ = ["check_against_policy"]

_MAX_INTERVENTIONS = 256  # an update; they are published as they are
_MAX_INTERVENTION_CHARACTERS = 1 << 16


def check_against_policy(update: Update, plan: Plan, *, subject: str) -> None:
    """R-90 and R-91: what is shared stays inside the vocabulary and the policy. Raises BoundsError, RefusedError."""
    policy, variables = plan.policy, len(plan.vocabulary)
    if len(update.measured) and int(update.measured[-1]) >= variables:
        raise BoundsError(
            f"variable {int(update.measured[-1])} in a vocabulary of {variables}", subject=subject, rule="R-90", remedy="Pull the round's plan and submit again"
        )
    if update.semantic is not None and any(c >= variables for c in update.semantic.confounders):
        raise BoundsError(f"a confounder outside the vocabulary of {variables}", subject=subject, rule="R-90", remedy="Pull the round's plan and submit again")
    _check_semantic(update.semantic, policy, subject=subject)
    _check_private(update, plan, subject=subject)
    for name in ("edges", "deltas", "hyperedges"):
        table = getattr(update, name)
        if table is None or not len(table):
            continue
        longest = int(np.maximum.reduce(table.lag))
        if longest > policy.max_lag:
            raise BoundsError(f"{name} with lag {longest}; the policy allows {policy.max_lag}", subject=subject, rule="R-90", remedy="Share shorter lags")
    for name in ("edges", "hyperedges"):
        table = getattr(update, name)
        if table is None or not len(table):
            continue
        if len(table) > policy.n_proposals:
            raise RefusedError(f"{len(table)} {name}; the policy allows {policy.n_proposals}", subject=subject, rule="R-91", remedy="Share only the strongest")
        if not policy.g_min and np.minimum.reduce(table.stability) >= policy.stability_min:
            continue
        weak = (np.abs(table.effect) < policy.g_min) | (table.stability < policy.stability_min)
        if weak.any():
            row = int(np.argmax(weak))
            found = f"|effect| {abs(float(table.effect[row])):g} and stability {float(table.stability[row]):g}"
            raise RefusedError(
                f"{name} row {row} has {found if policy.privacy == 'none' else 'an |effect| or a stability below'}; "
                f"the policy wants at least {policy.g_min:g} and {policy.stability_min:g}",
                subject=subject,
                rule="R-91",
                remedy="FederationClientAgent leaves such rows out",
            )


def _check_private(update: Update, plan: Plan, *, subject: str) -> None:
    """R-91 of private rounds: local messages are noised ones and nothing else; a record's attested influence is within the policy's."""
    policy = plan.policy
    if policy.privacy == "local":
        whole = update.edges is not None and len(update.edges) == slot_count(len(plan.vocabulary), policy.max_lag)
        if not whole or update.hyperedges is not None or update.semantic is not None or update.claims.loss is not None:
            raise RefusedError(
                "is not a noised message: one effect for every possible edge, and nothing else",
                subject=subject,
                rule="R-91",
                remedy="`hyperfed submit` noises before it sends",
            )
    bound = update.claims.record_bound
    if policy.privacy != "none" and policy.record_bound > 0 and (bound is None or bound > policy.record_bound):
        raise RefusedError(
            f"attests a record bound of {bound}; the policy protects records that move a client's effects by at most {policy.record_bound:g}",
            subject=subject,
            rule="R-91",
            remedy="Attest what holds for your data ([client] record_bound, or Claims.record_bound), or ask the operator for a larger one",
        )


def _check_semantic(semantic: CausalSemanticPack | None, policy: PolicyPack, *, subject: str) -> None:
    """R-91: what is published as it is stays small; votes are as many as edges may be."""
    if semantic is None:
        return
    characters = sum(len(name) + (len(entry) if isinstance(entry, str) else 8) for act in semantic.interventions for name, entry in act.items())
    for count, most, what in (
        (len(semantic.dag_edges), policy.n_proposals, "dag edges"),
        (len(semantic.interventions), _MAX_INTERVENTIONS, "interventions"),
        (characters, _MAX_INTERVENTION_CHARACTERS, "characters of interventions"),
    ):
        if count > most:
            raise RefusedError(f"{count} {what}; at most {most} are taken", subject=subject, rule="R-91", remedy="Share only the most important")
