"""Choose which clients a round of secure sums counts: those that q helpers confirm (R-171).

1. A freeze names a set Q of helpers. It counts a client only if all of Q confirmed its boxes, and
   if these name the update that was admitted. So a client with unequal seeds cannot put the blame
   on anybody else.
2. Of what counts, only complete blocks of the registry stay (R-174).
3. Of all sets Q, the one that counts the most clients is chosen; among those the largest, and then
   the first in order. The cohort is thereby a function of what lies in the drop-box.
4. A client that is left out is refused with a reason, which its receipt shows.

What it does not do: judge updates (`validator`), or open boxes (helpers do).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from hyperfed.coordinator.choose import Choice, refusal_of
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Counted, Refused
from hyperfed.registry.blocks import BlockCohort, complete_blocks

__all__ = ["confirmed_choice", "rules_of_left_out", "unconfirmed_helpers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    helpers: tuple[str, ...]
    confirmed: frozenset[str]
    cohort: BlockCohort


def unconfirmed_helpers(openings: OpeningReader) -> tuple[str, ...]:
    """Return the helpers that have confirmed nothing yet, ascending."""
    return tuple(h for h in openings.group.helpers if openings.confirmation(h) is None)


def confirmed_choice(choice: Choice, openings: OpeningReader) -> tuple[Choice, tuple[str, ...]]:
    """Return the choice without clients that helpers do not confirm, and those helpers.

    The choice counts nobody where fewer than q helpers have confirmed anything.
    """
    counted = {one.client: one for one in choice.counted}
    confirmed = _confirmed_by(openings, counted)
    chosen = _best(openings, confirmed, frozenset(counted))
    refused = list(choice.refused)
    for client, one in counted.items():
        if client not in chosen.cohort.clients:
            refused.append(refusal_of(one, *_why_not(client, chosen, openings)))
    kept = tuple(one for one in choice.counted if one.client in chosen.cohort.clients)
    refused.sort(key=lambda one: one.key)
    return replace(choice, counted=kept, refused=tuple(refused)), chosen.helpers


def rules_of_left_out(
    openings: OpeningReader,
    admitted: Mapping[str, Counted | Refused],
    helpers: Collection[str],
) -> dict[str, str]:
    """Return by which rule each admitted client is left out that the helpers Q leave out.

    Audits ask for the Q that a freeze names: a helper may have confirmed after it.
    """
    confirmed = {
        helper: names
        for helper, names in _confirmed_by(openings, admitted).items()
        if helper in helpers
    }
    together = frozenset(admitted).intersection(*confirmed.values())
    cohort = complete_blocks(openings.secure_sums.blocks, together)
    return {
        client: "R-174" if client in together else "R-171"
        for client in admitted
        if client not in cohort.clients
    }


def _confirmed_by(
    openings: OpeningReader, counted: Mapping[str, Counted | Refused]
) -> dict[str, frozenset[str]]:
    """Return for each helper the clients whose boxes, of the admitted update, it has confirmed."""
    digests = {}
    for client, one in counted.items():
        boxes = openings.mask_boxes(client)
        if boxes is not None and boxes.value.update == one.digest:
            digests[client] = boxes.digest
    parts = {helper: openings.confirmation(helper) for helper in openings.group.helpers}
    return {
        helper: frozenset(
            client for client, digest in part.value.confirmed if digests.get(client) == digest
        )
        for helper, part in parts.items()
        if part is not None
    }


def _best(
    openings: OpeningReader, confirmed: Mapping[str, frozenset[str]], admitted: frozenset[str]
) -> _Chosen:
    """Return the set of helpers that counts the most clients, and whom it counts."""
    blocks, quorum = openings.secure_sums.blocks, openings.group.quorum
    best = _Chosen(helpers=(), confirmed=frozenset(), cohort=BlockCohort(clients=(), left_out={}))
    for size in range(len(confirmed), quorum - 1, -1):
        for helpers in combinations(sorted(confirmed), size):
            together = admitted.intersection(*(confirmed[helper] for helper in helpers))
            cohort = complete_blocks(blocks, together)
            if not best.helpers or len(cohort.clients) > len(best.cohort.clients):
                best = _Chosen(helpers=helpers, confirmed=together, cohort=cohort)
    return best


def _why_not(client: str, chosen: _Chosen, openings: OpeningReader) -> tuple[str, str, str]:
    """Return (rule, reason, remedy) of a client that is left out."""
    if not chosen.helpers:
        quorum = openings.group.quorum
        return (
            "R-171",
            f"fewer than {quorum} helpers have confirmed boxes",
            "Nothing to do: the round waits for its helpers until its close_by",
        )
    if client not in chosen.confirmed:
        reasons = {
            text
            for helper in chosen.helpers
            for name, text in _refusals(openings, helper)
            if name == client
        }
        key = Keys.boxes(openings.round, client)
        told = sorted(reasons) or [openings.why_not.get(key, "its boxes came late, or not at all")]
        return (
            "R-171",
            f"the helpers {', '.join(chosen.helpers)} did not all confirm its boxes: {told[0]}",
            "Nothing to do: `hyperfed submit` sends again in the next round",
        )
    missing = chosen.cohort.left_out.get(client)
    if missing is None:
        return (
            "R-174",
            "it stands in no block of the registry",
            "Ask the operator to add it to a block: `hyperfed registry helpers`",
        )
    return (
        "R-174",
        f"its block is not complete without {', '.join(missing)}",
        "Nothing to do: a block is counted whole or not at all, so that nobody in it can be told "
        "apart",
    )


def _refusals(openings: OpeningReader, helper: str) -> tuple[tuple[str, str], ...]:
    part = openings.confirmation(helper)
    return () if part is None else part.value.refused
