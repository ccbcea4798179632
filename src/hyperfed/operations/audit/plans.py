"""Check the part of rule 3 of an audit that is about plans.

A plan follows from its registry, which the reader checks (R-52, R-125, R-126), and names none that
is older than what the rounds before it knew. The clients that its freeze excludes follow from the
base state.
"""

from hyperfed.coordinator.reputation import excluded_of
from hyperfed.dropbox.claims import is_of_abandoned_branch
from hyperfed.dropbox.reader import Stored
from hyperfed.merge.pooling import FORMULA
from hyperfed.operations.audit.context import AuditContext, require
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan

__all__ = ["audit_plan", "check_exclusions", "remember_registry"]


def audit_plan(context: AuditContext, round_id: int) -> Stored[Plan] | None:
    """Check the plan of a round, and return it where it follows from its registry."""
    key = Keys.plan(round_id)
    plan: Stored[Plan] | None = None
    with context.finding(key, "plans"):
        plan = context.reader.plan(round_id)
        require(plan is not None, key, "is missing", "R-60")
    if plan is None:
        return None
    if is_of_abandoned_branch(context.reader, plan.value):
        context.remarks.append(f"{key} is of an abandoned branch, and opens nothing here (R-152)")
        return None
    if not _names_a_commit(context, plan.value):
        context.broken(key, "names a newest commit that the ledger does not hold so", "R-126")
        return None
    named, version_before = plan.value.registry_version, context.history.registry_version
    if named < version_before:
        context.broken(
            key,
            f"names registry version {named}, and the rounds before it knew "
            f"version {version_before}",
            "R-126",
        )
        return None
    return plan


def _names_a_commit(context: AuditContext, plan: Plan) -> bool:
    """Return whether the ledger holds the newest commit that a plan names, if it names one.

    The roots may have annulled it since the round was opened (R-123).
    """
    if not plan.newest_commit:
        return plan.newest_commit_round == 0
    return any(
        c.digest == plan.newest_commit
        and (c.original or c.entry).kind is EntryKind.COMMIT
        and c.entry.round == plan.newest_commit_round < plan.round
        for c in context.ledger
    )


def check_exclusions(context: AuditContext, plan: Plan, freeze: Freeze) -> None:
    """Compute again whom a freeze excludes for its trust, by the base state (R-95).

    Where a freeze names another formula than today's, a difference is a remark. Raises RoundError.
    """
    base = context.history.states.get(freeze.base_round)
    if freeze.base_round and base is None:
        return  # a missing state is a finding already
    distrusted = (
        excluded_of(base.value, plan.policy, organisations=dict(plan.organisations)) if base else {}
    )
    expected = tuple(client for client in plan.cohort if client in distrusted)
    wrong = sorted(set(freeze.excluded) ^ set(expected))
    problem = f"excludes others than the base state gives: {', '.join(wrong[:12])}"
    same = freeze.excluded == expected
    if not same and freeze.formula != FORMULA:
        context.remarks.append(
            f"round {freeze.round}, frozen under formula {freeze.formula}, {problem}"
        )
        return
    require(same, Keys.freeze(freeze.round), problem, "R-95")


def remember_registry(context: AuditContext, plan: Plan, freeze: Freeze | None) -> None:
    """Keep the newest registry version that a round names, for the rounds after it."""
    named = max(plan.registry_version, freeze.registry_version if freeze is not None else 0)
    context.history.registry_version = max(context.history.registry_version, named)
