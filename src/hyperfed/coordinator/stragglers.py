"""Decide without a clock whether a round waits for stragglers.

It is a pure function of what has arrived and how long was waited (DESIGN section 4).

1. When everyone is there, the round goes on at once. Otherwise it waits for the rest until the
   delay is used up; then it goes on if the quorum is there.
2. Below quorum when the delay is used up, the round fails, and the error names who is missing. A
   late update, made for an earlier round, counts toward the quorum, as it does in the freeze.
3. A round that is decided or whose `close_by` is past waits for nobody.
"""

from collections import Counter
from collections.abc import Sequence

from hyperfed.dropbox.inbox import Arrivals
from hyperfed.errors import QuorumMissed, QuorumPending
from hyperfed.protocol.object_keys import client_of
from hyperfed.protocol.objects import Refused

__all__ = [
    "await_stragglers",
    "below_quorum",
    "named",
    "poll_every",
    "polls",
    "refusals_in_words",
    "waiting",
]


def polls(*, delay_s: float, poll_s: float) -> int:
    """Return how many times to list again so that `delay_s` is used up in steps of `poll_s`."""
    return max(0, -int(-delay_s // poll_s)) if poll_s > 0 else 0


def poll_every(*, delay_s: float, poll_s: float) -> float:
    """Return after how many seconds to list the inbox again: `poll_s`, at most `delay_s`.

    So the inbox is listed at least once more in the stragglers' time.
    """
    return min(poll_s, delay_s) if delay_s else poll_s


def named(clients: tuple[str, ...], most: int = 10) -> str:
    """Return the clients as text, at most `most` of them by name."""
    return ", ".join(clients[:most]) + (
        f" and {len(clients) - most} more" if len(clients) > most else ""
    )


def waiting(arrivals: Arrivals, *, waited_s: float, delay_s: float) -> str | None:
    """Return in words what the round waits for, or None where it does not wait.

    It waits while a client is missing, until `delay_s` is used up; a round that is decided or
    closed does not wait. Whether the quorum is there makes no difference here: below it
    `await_stragglers` refuses. Source: DESIGN section 4.
    """
    if arrivals.decided or arrivals.closed or not arrivals.missing or waited_s >= delay_s:
        return None
    missing, cohort = len(arrivals.missing), len(arrivals.present) + len(arrivals.missing)
    return (
        f"waiting for {missing} of {cohort} clients (quorum {arrivals.quorum}): "
        f"{named(arrivals.missing)}"
    )


def below_quorum(round_id: int) -> str:
    """Return the remedy for a round that is below quorum.

    Clients that are missing can submit for it, and then it is run again.
    """
    return (
        "Nothing was decided. Until the round's close_by each of them can run `hyperfed submit "
        f"--round {round_id} --data FILE`; "
        f"then `hyperfed round retry {round_id}` (without a Prefect server: `round run "
        f"{round_id}`). After close_by the round is void, and its updates are late for the next"
    )


def refusals_in_words(refused: Sequence[Refused]) -> str:
    """Return how many objects were refused, and the most frequent reason; "" for none."""
    if not refused:
        return ""
    (rule, reason), count = Counter((r.rule, r.reason) for r in refused).most_common(1)[0]
    words = "1 object was refused" if len(refused) == 1 else f"{len(refused)} objects were refused"
    often = "" if len(refused) == 1 else f", {count} of them"
    return f"; {words}{often} by {rule}: {reason}"


def await_stragglers(
    arrivals: Arrivals, *, waited_s: float, delay_s: float, poll_s: float = 0.0
) -> Arrivals:
    """Return the arrivals where the round goes on with them.

    waited_s: how long was waited so far. delay_s: how long stragglers are awaited. poll_s: after
    how many seconds the caller lists again, for the error's text. Raises QuorumPending where the
    round waits, QuorumMissed below quorum once the delay is used up (R-62).
    """
    why = waiting(arrivals, waited_s=waited_s, delay_s=delay_s)
    if why is not None:
        raise QuorumPending(
            why, subject=f"round {arrivals.round}", remedy=f"looking again in {poll_s:g} s"
        )
    # late updates count too, but only of this round's cohort
    here = {client_of(key) for key, _ in arrivals.keys} & {*arrivals.present, *arrivals.missing}
    if not arrivals.decided and not arrivals.closed and len(here) < arrivals.quorum:
        raise QuorumMissed(
            f"{len(here)} of the {arrivals.quorum} clients needed have an update here; missing: "
            f"{named(arrivals.missing)}",
            subject=f"round {arrivals.round}",
            rule="R-62",
            remedy=below_quorum(arrivals.round),
        )
    return arrivals
