"""Sum up a round in words: every page begins with one headline and a few sentences.

1. The headline says the outcome. A round that did not end well says why, and what happens next.
2. The sentences name clients and counts, and begin with what is most urgent. What was not done (no
   noise, no trust weights) is said as plainly as what was.
3. The texts are plain. Ids and reasons in them come from outside, and each renderer escapes them.

What it does not do: draw tables or pictures.
"""

from collections.abc import Sequence

from hyperfed.hypergraph.change import NOTICEABLE, Change, Turn
from hyperfed.hypergraph.privacy_statement import PrivacyStatement
from hyperfed.report.rows import Outcome, TrustRow
from hyperfed.report.view import RoundView
from hyperfed.report.wording import and_more, count, when

__all__ = [
    "budget_words",
    "change_words",
    "headline",
    "noise_words",
    "sentences",
    "suppressed_words",
    "uncounted_rows",
]


def headline(view: RoundView) -> str:
    """Return one line, such as "Round 3 is committed: 48 of 48 clients counted, 6 edges"."""
    name, cohort = f"Round {view.round}", len(view.cohort)
    match view.outcome:
        case Outcome.COMMITTED:
            return (
                f"{name} is committed: {len(view.counted)} of {count(cohort, 'client')} "
                f"counted, {count(view.edge_count, 'edge')}"
            )
        case Outcome.VOID:
            return f"{name} is void: {view.reason}"
        case Outcome.RELEASED:
            what = (
                "will be void, which the ledger does not say yet"
                if view.reason
                else "has a result that is not committed yet"
            )
            return f"{name} {what}"
        case Outcome.FROZEN:
            return (
                f"{name} is frozen and not finished: {len(view.counted)} of "
                f"{count(cohort, 'client')} count"
            )
        case Outcome.OPEN:
            return f"{name} is open: {len(view.arrived)} of {count(cohort, 'update')} are there"
        case _:
            return f"{name} was never opened"


def sentences(view: RoundView) -> list[str]:
    """Return what an operator should know, the most urgent first."""
    out = _next_step(view) + _people(view) + _trust(view)
    if view.change is not None:
        out.append(change_words(view.change))
    if view.suppressed or view.few:
        out.append(suppressed_words(view))
    if view.privacy is not None and view.outcome is Outcome.COMMITTED:
        out.append(noise_words(view.privacy, view.edge_count))
    if view.outcome is not Outcome.NOT_OPENED:
        out.append(budget_words(view))
    return out


def _next_step(view: RoundView) -> list[str]:
    until = f" until {when(view.close_by)}" if view.close_by is not None else ""
    match view.outcome:
        case Outcome.NOT_OPENED:
            return [
                "There is no plan for it: nobody could submit. Its window is "
                f"{when(view.opens)} to {when(view.deadline)}."
            ]
        case Outcome.OPEN:
            return [
                f"Nothing is decided. Clients submit until {when(view.deadline)}; the round "
                f"needs {view.quorum} and may be retried{until}."
            ]
        case Outcome.FROZEN | Outcome.RELEASED:
            return ["Run the round again: it goes on where it stopped, and decides nothing anew."]
        case Outcome.VOID:
            there = (
                f" {count(len(view.arrived), 'client')} had submitted, {view.quorum} were needed."
                if view.rule == "R-62"
                else ""
            )
            late = (
                " Updates made for it may still count in a later round."
                if view.policy is not None and view.policy.max_staleness
                else ""
            )
            return [
                f"There is no result of it [{view.rule}], and the one before stays in "
                f"force.{there}{late}"
            ]
        case _:
            return []


def _people(view: RoundView) -> list[str]:
    out = []
    waits = view.outcome is Outcome.OPEN
    if view.refused:
        out.append(
            f"{count(len(view.refused), 'object')} in the inbox refused, each with its reason "
            "below."
        )
    if view.missing:
        what = "Nothing yet from" if waits else "No update from"
        out.append(f"{what} {count(len(view.missing), 'client')}: {and_more(view.missing)}.")
    if view.excluded:
        out.append(f"Left out for their trust: {and_more(view.excluded)}.")
    if view.delayed:
        whose = [f"{row.client} (by {count(row.late, 'round')})" for row in view.delayed]
        out.append(f"Counted late, at a lower weight: {and_more(whose)}.")
    if view.late:
        out.append(
            "Arrived after it was decided who counts, and may count in the next round: "
            f"{and_more(view.late)}."
        )
    return out


def _trust(view: RoundView) -> list[str]:
    rows = [row for row in view.trust if row.client in set(view.silenced)]
    differ = [row for row in rows if (row.agreement or 0.0) <= 0]
    unheard = [row for row in rows if row not in differ]
    out = []
    if differ:
        does = "does" if len(differ) == 1 else "do"
        out.append(
            f"{count(len(differ), 'counted client')} {does} not agree with the others and had no "
            f"weight in the merge: {_silenced(view, differ)}"
        )
    if unheard:
        out.append(
            f"{count(len(unheard), 'counted client')} had no weight without contradicting the "
            "others, because of votes that are surer than most, or agree less than the data "
            f"allow: {_silenced(view, unheard)}"
        )
    if view.barred and view.policy is not None:
        out.append(
            f"Trust below {view.policy.trust_min:g}, so that the next round will leave them "
            f"out: {and_more(view.barred)}."
        )
    if view.outcome is Outcome.COMMITTED and not view.weighed and view.policy is not None:
        why = (
            "with fewer than three clients nobody can be outvoted"
            if view.policy.strategy == "consensus"
            else f"the strategy is {view.policy.strategy}"
        )
        out.append(f"Clients were not weighed by their agreement: {why}.")
    return out


def _silenced(view: RoundView, rows: Sequence[TrustRow]) -> str:
    heard = sum((row.weight_before or 0.0) > 0 for row in rows)
    before = f" {heard} of them had weight in round {view.base_round}." if heard else ""
    return f"{and_more([row.client for row in rows])}.{before}"


def uncounted_rows(view: RoundView) -> list[tuple[str, str, str]]:
    """Return (client, what, why) of each client of the round that is not counted."""
    why = "nothing yet" if view.outcome is Outcome.OPEN else "no update"
    rows = [(client, "missing", why) for client in view.missing]
    rows += [(client, "left out", "trust too low") for client in view.excluded]
    rows += [(client, "after the freeze", "may count in the next round") for client in view.late]
    return rows


def change_words(change: Change) -> str:
    """Return the changes in words, such as "Since round 2: 1 edge new, 2 weaker."."""
    if not change.base_round:
        return "The first committed round: there is nothing to compare it with."
    differences = [
        (number, turn)
        for turn in Turn
        if turn is not Turn.SAME and (number := change.counts.get(turn, 0))
    ]
    if not differences:
        return (
            f"Nothing changed since round {change.base_round} (by {NOTICEABLE:g} of a vote "
            "or more)."
        )
    first, *rest = differences
    return (
        f"Since round {change.base_round}: "
        + ", ".join(
            [
                f"{count(first[0], 'edge')} {first[1].value}",
                *(f"{n:,} {turn.value}" for n, turn in rest),
            ]
        )
        + "."
    )


def suppressed_words(view: RoundView) -> str:
    """Return what was held back, in words. They say that it is neither absent nor unmeasured."""
    out = []
    if view.suppressed:
        stay = "stays" if len(view.suppressed) == 1 else "stay"
        out.append(
            f"{count(len(view.suppressed), 'edge')} {stay} in the merge with fewer than "
            f"{view.minimum_support} clients behind it: not absent, but not released."
        )
    if view.few:
        out.append(
            f"Measured by fewer than {view.minimum_support} clients, so that nothing is said "
            f"about them: {and_more(view.few)}."
        )
    return " ".join(out)


def noise_words(privacy: PrivacyStatement, edges: int) -> str:
    """Return in words what can be seen through the noise, and say so where it hides everything.

    `edges` is the number of edges that the release shows.
    """
    if privacy.released == "moments":
        shown = "Nothing" if not edges else "Shown is what"
        return (
            f"{shown} stands out in the noised sums: each has noise of standard deviation "
            f"{privacy.noise_std:.3g}, which tests and intervals count. What is not shown may be "
            "there."
        )
    shown = f"means below {privacy.cut:.3g} are not shown"
    if privacy.clients_needed > privacy.clients:
        return (
            "Too few clients for so much noise: it hides everything, even an edge on which all "
            f"{privacy.clients} spend their whole clip of "
            f"{privacy.clip_norm:g} ({shown}). One such edge needs "
            f"{count(privacy.clients_needed, 'client')}."
        )
    if not edges:
        return (
            f"Nothing stands out of the noise: {shown}, and a client's whole clip is "
            f"{privacy.clip_norm:g}. That says neither that there are edges nor "
            "that there are none."
        )
    return (
        f"Shown is what stands out of the noise: {shown}, and by chance alone something is "
        "in one night of twenty."
    )


def budget_words(view: RoundView) -> str:
    """Return in words what the round cost and what is left."""
    budget = view.budget
    what_is_left = (
        f"{budget.left_epsilon} of {budget.epsilon} epsilon and {budget.left_delta} of "
        f"{budget.delta} delta are left"
    )
    if budget.composition == "rdp":
        more = (
            ""
            if budget.nights_left is None
            else f", which is {count(budget.nights_left, 'more night')} like this one"
        )
        if more and budget.nights_left_pld is not None:
            more += f" ({budget.nights_left_pld} if noise were continuous, by its exact curve)"
        what_is_left = (
            f"{100 * (1 - budget.share):.1f} % of the budget of {budget.epsilon} epsilon and "
            f"{budget.delta} delta are left by the RDP filter{more}"
        )
    if budget.noise:
        if view.outcome is Outcome.VOID:
            return (
                f"It has no result, and the {budget.cost_epsilon} epsilon that it had reserved "
                f"stay charged, because somebody may have seen a value; {what_is_left}."
            )
        verb = "cost" if view.outcome is Outcome.COMMITTED else "has reserved"
        return (
            f"It {verb} {budget.cost_epsilon} epsilon and {budget.cost_delta} delta for each "
            f"{budget.unit}; {what_is_left}."
        )
    if budget.refunded:
        return f"What it had reserved was given back; {what_is_left}."
    if view.outcome is not Outcome.COMMITTED:
        return f"Nothing is spent on it; {what_is_left}."
    return (
        "No noise was added: nothing was spent, and no differential privacy is claimed; "
        f"{what_is_left}."
    )
