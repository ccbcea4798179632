"""Check what a client shares against the plan of the round.

It must be inside the plan's vocabulary (R-90), no more than the policy lets be shared (R-91), no
larger than can be merged (R-99), and of the plan's payload (`validator.statistics`). An edge below
the policy's `g_min` or `stability_min` may carry an estimate with its interval, and no vote:
confidence and stability 0. A private round takes no such edge. Clients check all this before they
send, and the validator afterwards.

What it does not do: look at headers, keys or clocks (`validator`).
"""

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError, RefusedError
from hyperfed.packets import CausalSemanticPack, PolicyPack, Update
from hyperfed.packets.knowledge import forbidden_edges
from hyperfed.packets.update import intervened_of
from hyperfed.privacy.slots import slot_count
from hyperfed.protocol.objects import Plan
from hyperfed.tables.columns import check_size, first_outside
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.validator.content_limits import MAX_INTERVENTIONS, NOT_NOISED
from hyperfed.validator.statistics import check_statistics

__all__ = ["check_against_policy"]

_MAX_INTERVENTION_CHARACTERS = 1 << 16


def check_against_policy(update: Update, plan: Plan, *, subject: str) -> None:
    """Check that an update stays inside vocabulary, policy and what can be merged.

    The rules are R-90, R-91 and R-99. Raises BoundsError or RefusedError, which names `subject`.
    """
    policy, variables = plan.policy, len(plan.vocabulary)
    if len(update.measured) and int(update.measured[-1]) >= variables:
        raise BoundsError(
            f"variable {int(update.measured[-1])} in a vocabulary of {variables}",
            subject=subject,
            rule="R-90",
            remedy="Pull the round's plan and submit again",
        )
    if update.semantic is not None and any(c >= variables for c in update.semantic.confounders):
        raise BoundsError(
            f"a confounder outside the vocabulary of {variables}",
            subject=subject,
            rule="R-90",
            remedy="Pull the round's plan and submit again",
        )
    _check_semantic(update.semantic, policy, subject=subject)
    _check_private(update, plan, subject=subject)
    check_statistics(update, plan, subject=subject)
    stray = next((lag for lag in update.lags or () if lag not in policy.allowed_lags), None)
    if stray is not None:
        raise BoundsError(
            f"looked at lag {stray}; {_said(policy)}",
            subject=subject,
            rule="R-90",
            remedy="Look at the plan's lags only",
        )
    for name in ("edges", "deltas", "hyperedges"):
        table = getattr(update, name)
        if table is None or not len(table):
            continue
        outside = first_outside(table.lag, np.array(policy.allowed_lags, dtype=np.uint32))
        if outside is not None:
            raise BoundsError(
                f"{name} with lag {outside}; {_said(policy)}",
                subject=subject,
                rule="R-90",
                remedy="Share edges at the plan's lags only",
            )
    for name in ("edges", "hyperedges"):
        table = getattr(update, name)
        if table is None or not len(table):
            continue
        _check_size(table, name, secret=policy.privacy != "none", subject=subject)
        if len(table) > policy.n_proposals:
            raise RefusedError(
                f"{len(table)} {name}; the policy allows {policy.n_proposals}",
                subject=subject,
                rule="R-91",
                remedy="Share only the strongest",
            )
        if isinstance(table, EdgeTable):
            _check_known(table, plan, subject=subject)
        _check_intervened(table.target, update, plan, subject=subject)
        if not policy.g_min and np.minimum.reduce(table.stability) >= policy.stability_min:
            continue
        weak = (np.abs(table.effect) < policy.g_min) | (table.stability < policy.stability_min)
        if policy.privacy == "none":
            weak &= ~_estimates(table)
        if weak.any():
            row = int(np.argmax(weak))
            numbers = (
                f"|effect| {abs(float(table.effect[row])):g} and stability "
                f"{float(table.stability[row]):g}"
            )
            raise RefusedError(
                f"{name} row {row} has "
                f"{numbers if policy.privacy == 'none' else 'an |effect| or a stability below'}; "
                f"the policy wants at least {policy.g_min:g} and {policy.stability_min:g}"
                + (" of a row that votes" if policy.privacy == "none" else ""),
                subject=subject,
                rule="R-91",
                remedy="FederationClientAgent leaves such rows out"
                if policy.privacy != "none"
                else "FederationClientAgent sends such a row as an estimate: an interval, and "
                "confidence and stability 0",
            )


def _said(policy: PolicyPack) -> str:
    """Return which lags a policy allows, in words."""
    if not policy.lags:
        return f"the policy allows up to {policy.max_lag}"
    return f"the policy names {', '.join(map(str, policy.lags))}"


def _estimates(table: EdgeTable | HyperedgeTable) -> npt.NDArray[np.bool_]:
    """Return bool[rows]: which rows carry an estimate with its interval, and no vote."""
    silent = (table.confidence == 0) & (table.stability == 0)
    low, high = getattr(table, "ci_low", None), getattr(table, "ci_high", None)
    return np.asarray(silent & (high > low)) if low is not None else np.zeros(len(table), bool)


def _check_known(table: EdgeTable, plan: Plan, *, subject: str) -> None:
    """Check that no edge is one that the plan's knowledge forbids (R-91).

    A noised message has every possible edge, whatever is known of it.
    """
    if plan.policy.privacy == "local":
        return
    names = plan.vocabulary.names
    forbidden = forbidden_edges(plan.policy.knowledge, names, table.source, table.target)
    if forbidden.any():
        row = int(np.argmax(forbidden))
        edge = f"{names[int(table.source[row])]!r:.80} -> {names[int(table.target[row])]!r:.80}"
        raise RefusedError(
            f"has the edge {edge}, which the plan's knowledge forbids",
            subject=subject,
            rule="R-91",
            remedy="FederationClientAgent leaves such edges out; ask the operator where the "
            "knowledge is wrong",
        )


def _check_intervened(
    target: npt.NDArray[np.uint32], update: Update, plan: Plan, *, subject: str
) -> None:
    """Check that no edge runs into a variable that the client's experiment set (R-91)."""
    intervened = intervened_of(update)
    if not intervened:
        return
    into = np.isin(target, np.array(intervened, dtype=np.uint32))
    if into.any():
        name = plan.vocabulary.names[int(target[int(np.argmax(into))])]
        raise RefusedError(
            f"has an edge into {name!r:.80}, which it says an experiment set",
            subject=subject,
            rule="R-91",
            remedy=(
                "The experiment cut what acts on it: leave such edges out, as "
                "FederationClientAgent does"
            ),
        )


def _check_size(
    table: EdgeTable | HyperedgeTable, name: str, *, secret: bool, subject: str
) -> None:
    """Check that every number of a table can be merged (R-99).

    With `secret` the refusal, which others may read, does not say the number.
    """
    try:
        check_size(table, name)
    except BoundsError as exc:
        problem = (
            "holds a number beyond what effects and their intervals may be"
            if secret
            else f"{exc.subject}: {exc.problem}"
        )
        raise BoundsError(
            problem,
            subject=subject,
            rule="R-99",
            remedy="Give the variable a unit in which its effects are of ordinary size",
        ) from exc


def _check_private(update: Update, plan: Plan, *, subject: str) -> None:
    """Check R-91 of private rounds.

    A local message is a noised one and nothing else. A record's attested influence is within the
    policy's.
    """
    policy = plan.policy
    if policy.privacy == "local":
        slots = slot_count(len(plan.vocabulary), policy.allowed_lags)
        if policy.payload != "edges":
            slots = 0  # its noise is on its statistics
        is_whole = update.edges is not None and len(update.edges) == slots
        if (
            not is_whole
            or update.hyperedges is not None
            or update.semantic is not None
            or update.claims.loss is not None
        ):
            raise RefusedError(
                NOT_NOISED,
                subject=subject,
                rule="R-91",
                remedy="Submit with `hyperfed submit`, which adds the noise before it sends",
            )
    bound = update.claims.record_bound
    if (
        policy.privacy != "none"
        and policy.record_bound > 0
        and (bound is None or bound > policy.record_bound)
    ):
        raise RefusedError(
            f"attests a record bound of {bound}; the policy protects records that move a "
            f"client's effects by at most {policy.record_bound:g}",
            subject=subject,
            rule="R-91",
            remedy="Attest what holds for your data ([client] record_bound, or "
            "Claims.record_bound), or ask the operator for a larger one",
        )


def _check_semantic(
    semantic: CausalSemanticPack | None, policy: PolicyPack, *, subject: str
) -> None:
    """Check R-91 of semantic packs.

    Interventions, which are published as they are, stay small. There are at most as many votes as
    edges.
    """
    if semantic is None:
        return
    characters = sum(
        len(name) + (len(entry) if isinstance(entry, str) else 8)
        for act in semantic.interventions
        for name, entry in act.items()
    )
    for count, most, what in (
        (len(semantic.dag_edges), policy.n_proposals, "dag edges"),
        (len(semantic.interventions), MAX_INTERVENTIONS, "interventions"),
        (characters, _MAX_INTERVENTION_CHARACTERS, "characters of interventions"),
    ):
        if count > most:
            raise RefusedError(
                f"{count} {what}; at most {most} are taken",
                subject=subject,
                rule="R-91",
                remedy="Share only the most important",
            )
