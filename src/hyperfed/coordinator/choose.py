"""Choose which admitted updates a round counts.

It is a pure function of admission, base state and plan (DESIGN section 3, "Late updates").

1. A client's update for a later round beats one for an earlier round. The one that loses is
   superseded, not lost (R-93).
2. A late update counts if no committed round has counted its client for the window it was made for
   (R-94).
3. Clients whose trust in the base state is below `trust_min`, after `trust_nights` observed nights
   or more, are excluded before the freeze (R-95).
4. Only clients of the plan's cohort count (R-96).

What it does not do: it does not verify (`validator`), nor weigh (the merge applies staleness).
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from hyperfed.coordinator.reputation import excluded_of
from hyperfed.protocol.object_keys import parse_inbox_key
from hyperfed.protocol.objects import REMEMBERED, Counted, Plan, Refused, RoundState
from hyperfed.validator.admission import Admission, Admitted

__all__ = ["Choice", "choose", "refusal_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Holds what a round counts, with the reasons for what it does not count."""

    counted: tuple[Counted, ...]
    """The updates that count, ascending by client: one each."""
    refused: tuple[Refused, ...]
    """The objects that do not count, ascending by key, with reasons."""
    excluded: tuple[str, ...]
    """The clients of the cohort that are excluded for their trust."""
    claim_sequence: int
    """The highest ledger entry that an admitted update claims to have seen; 0: none."""
    claim_digest: bytes
    """That entry's digest."""


def choose(admission: Admission, *, base: RoundState | None, plan: Plan) -> Choice:
    """Return which of the admitted updates the round counts, by the rules of this module.

    admission: holds at most one admitted update for each client and round. base: the state that the
    round begins with; None: there is none yet.
    """
    refused = list(admission.refused)
    distrusted = (
        excluded_of(base, plan.policy, organisations=dict(plan.organisations))
        if base is not None
        else {}
    )
    cohort = frozenset(plan.cohort)
    best: dict[str, Admitted] = {}
    for item in sorted(admission.admitted, key=lambda a: (a.client, -a.made_for)):
        why = _why_not(
            item,
            base=base,
            plan=plan,
            cohort=cohort,
            distrusted=distrusted,
            better=best.get(item.client),
        )
        if why is None:
            best[item.client] = item
        else:
            refused.append(refusal_of(item, *why))
    chosen = [best[client] for client in sorted(best)]
    claim = max(((a.claim_sequence, a.claim_digest) for a in admission.admitted), default=(0, b""))
    return Choice(
        counted=tuple(
            Counted(
                client=a.client,
                made_for=a.made_for,
                slot=parse_inbox_key(a.key)[2],
                sequence=a.sequence,
                digest=a.digest,
            )
            for a in chosen
        ),
        refused=tuple(sorted(refused, key=lambda r: r.key)),
        excluded=tuple(c for c in plan.cohort if c in distrusted),
        claim_sequence=claim[0],
        claim_digest=claim[1],
    )


def _why_not(
    item: Admitted,
    *,
    base: RoundState | None,
    plan: Plan,
    cohort: Set[str],
    distrusted: Mapping[str, float],
    better: Admitted | None,
) -> tuple[str, str, str] | None:
    """Return (rule, reason, remedy), or None where the update counts.

    distrusted: the trust of each excluded client. better: the client's update for a later round,
    where there is one.
    """
    if item.client not in cohort:
        return (
            "R-96",
            f"{item.client} is not in the round's cohort",
            "It takes part from the next plan on",
        )
    if item.client in distrusted:
        return (
            "R-95",
            f"trust {distrusted[item.client]:.2f} is below {plan.policy.trust_min:g}",
            "Trust comes back while the client's updates agree with the others' or are absent; "
            "ask the operator",
        )
    if better is not None:
        return (
            "R-93",
            f"superseded by the update for round {better.made_for}",
            "Nothing to do: the client has a fresher one",
        )
    if base is not None and item.made_for <= base.round - REMEMBERED:
        return (
            "R-94",
            f"whom round {item.made_for} counted is no longer remembered",
            "Nothing to do: it is too old to be counted once for certain",
        )
    state = base.of(item.client) if base is not None else None
    if state is not None and item.made_for in state.windows:
        return (
            "R-94",
            f"{item.client} was already counted for round {item.made_for}",
            "Nothing to do: each client counts once a window",
        )
    return None


def refusal_of(item: Admitted | Counted, rule: str, reason: str, remedy: str) -> Refused:
    """Return the refusal of an update that would otherwise count."""
    return Refused(
        key=item.key,
        client=item.client,
        made_for=item.made_for,
        sequence=item.sequence,
        digest=item.digest,
        rule=rule,
        reason=reason,
        remedy=remedy,
    )
