"""Check the opening of a round of secure sums (R-178).

Cohort and manifest follow from plan, freeze, blocks and confirmations (R-172); all helpers' answers
agree, late ones too (R-167); masked messages less the helpers' sums give the result (`states`),
which takes a key only where the messages are sealed (R-213). With central noise answers are sealed,
and without one of their keys only whose they are is looked at (R-206).
"""

from dataclasses import replace

from hyperfed.client.helper_night import not_following
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.opened_sums import answers_of, manifest_of
from hyperfed.dropbox.opening_objects import RoundManifest
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.dropbox.reader import Stored
from hyperfed.dropbox.rebuttals import verdicts_on
from hyperfed.errors import AggregationError, BreakdownError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit.context import AuditContext, require
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan
from hyperfed.secure_aggregation import check_openings, open_sum

__all__ = ["audit_opening", "can_open", "open_again", "remark_rebuttals", "remark_refusals"]


def audit_opening(
    context: AuditContext,
    plan: Stored[Plan],
    frozen: Stored[Freeze] | None,
    model: GlobalModel | None,
) -> None:
    """Check the opening of a round that has a manifest, or a `model`, which needs one."""
    key, openings = Keys.manifest(plan.value.round), _opened_by(context, plan)
    expected: RoundManifest | None = None
    with context.finding(key, "openings"):
        stored = openings.manifest()
        require(stored is not None, key, "is missing, and the round has a result", "R-165")
        require(frozen is not None, key, "names a cohort, and nothing is frozen", "R-165")
        if stored is None or frozen is None:
            return
        expected = manifest_of(openings, frozen)
        require(stored.value == expected, key, "does not follow from the round's freeze", "R-165")
        problem = not_following(openings, frozen, expected)
        require(not problem, key, problem, "R-172")
    if expected is not None and not openings.opens:
        there = [helper for helper in openings.group.helpers if openings.has_answered(helper)]
        context.remarks.append(
            f"round {openings.round}: the answers of {', '.join(there) or 'nobody'} are sealed to "
            "coordinators and auditors, and were not compared or added up"
        )
    elif expected is not None:
        with context.finding(key, "helpers' answers"):
            _compare(context, openings, expected, released=model is not None)
    if model is not None and model.unchecked:
        context.remarks.append(
            f"round {plan.value.round}: {len(model.unchecked)} seeds' sums were checked by fewer "
            f"than {openings.group.colluding_helpers + 1} helpers when it was released"
        )


def _compare(
    context: AuditContext, openings: OpeningReader, manifest: RoundManifest, *, released: bool
) -> None:
    """Compare all helpers' answers. Raises AggregationError where a released sum has others."""
    answers = answers_of(openings, manifest)
    try:
        check_openings(
            manifest.manifest, manifest.payload, openings.group, answers, deadline_past=True
        )
    except AggregationError as error:
        if released:
            raise
        if not isinstance(error, BreakdownError):  # too few answers are no dispute
            context.remarks.append(f"round {openings.round} has no result: {error.problem}")


def _opened_by(context: AuditContext, plan: Stored[Plan]) -> OpeningReader:
    """Return a reader of a round's openings that has the audit's key, if it was given one."""
    return OpeningReader(context.reader, plan, context.key_pair)


def can_open(context: AuditContext, plan: Plan) -> bool:
    """Return whether the audit's key opens the answers of a round, where there are sealed ones."""
    stored = context.reader.plan(plan.round) if plan.policy.aggregation == "secure-sum" else None
    return stored is None or _opened_by(context, stored).opens


def remark_refusals(context: AuditContext, plan: Stored[Plan]) -> None:
    """Add a remark for each helper that refused a round; most such rounds have no result."""
    openings = OpeningReader(context.reader, plan)
    for helper in openings.group.helpers:
        refusal = openings.refusal(helper)
        if refusal is not None:
            context.remarks.append(
                f"round {plan.value.round}: {helper} refused to open it: {refusal.reason}"
            )


def remark_rebuttals(context: AuditContext, plan: Stored[Plan]) -> None:
    """Add a remark for each box that an accused client has opened: who was wrong (R-199)."""
    openings, r = OpeningReader(context.reader, plan), plan.value.round
    for client in plan.value.cohort:
        for verdict in verdicts_on(openings, client):
            context.remarks.append(
                f"round {r}: {verdict.helper} refused {client}'s boxes, and {client} has "
                f"published the key of its box: {verdict.said}"
            )
        problem = openings.why_not.get(Keys.rebuttal(r, client))
        if problem is not None:
            context.remarks.append(f"round {r}: {client}'s rebuttal counts as none: {problem}")


def open_again(
    context: AuditContext,
    plan: Stored[Plan],
    frozen: Stored[Freeze],
    model: GlobalModel,
    coordinator: FederationCoordinator,
) -> None:
    """Give a coordinator that holds the frozen set the sum that the result was found in."""
    openings = _opened_by(context, plan)
    manifest = manifest_of(openings, frozen)
    answers = [one for one in answers_of(openings, manifest) if one.helper in model.opened_by]
    opened = open_sum(
        manifest.manifest,
        manifest.payload,
        openings.group,
        coordinator.masked(),
        answers,
        deadline_past=True,
    )
    coordinator.opened = replace(opened, helpers=model.opened_by)
    context.checked["sums added up without a key"] += context.key_pair is None
