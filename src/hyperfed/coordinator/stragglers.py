"""Waiting for stragglers, decided without a clock: a pure function of what has arrived and how long was waited (DESIGN section 4).

1. Everyone there: go on at once. Quorum there: wait for the rest until the delay is used up, then go on.
2. Below quorum when it is used up: fail, naming who is missing. An update that comes late for this round but is made for an earlier one counts
   toward the quorum, as in the freeze.
3. A round that is decided or whose `close_by` is past waits for nobody.
"""

from hyperfed.coordinator.inbox import Arrivals
from hyperfed.errors import QuorumMissed, QuorumPending

__all__ = ["await_stragglers", "named", "polls", "waiting"]


def polls(*, delay_s: float, poll_s: float) -> int:
    """How many times to look again so that `delay_s` is used up in steps of `poll_s`."""
    return max(0, -int(-delay_s // poll_s)) if poll_s > 0 else 0


def named(clients: tuple[str, ...], most: int = 10) -> str:
    """The clients as text, at most `most` of them."""
    return ", ".join(clients[:most]) + (f" and {len(clients) - most} more" if len(clients) > most else "")


def waiting(arrivals: Arrivals, *, waited_s: float, delay_s: float) -> str | None:
    """What to wait for, or None to go on: everyone there, at once; quorum there, when `delay_s` is used up; below it, the same: then the freeze refuses.

    Source: DESIGN section 4.
    """
    if arrivals.decided or arrivals.closed or not arrivals.missing or waited_s >= delay_s:
        return None
    return (
        f"{len(arrivals.present)} of {len(arrivals.present) + len(arrivals.missing)} are there, quorum {arrivals.quorum}; waiting for {named(arrivals.missing)}"
    )


def await_stragglers(arrivals: Arrivals, *, waited_s: float, delay_s: float) -> Arrivals:
    """The arrivals, when the round shall go on with them. Raises QuorumPending to look again later, QuorumMissed below quorum at the end."""
    why = waiting(arrivals, waited_s=waited_s, delay_s=delay_s)
    if why is not None:
        raise QuorumPending(why, subject=f"round {arrivals.round}", remedy="Collect looks again by itself")
    here = {key.split("/")[2] for key, _ in arrivals.keys}
    if not arrivals.decided and not arrivals.closed and len(here) < arrivals.quorum:
        raise QuorumMissed(
            f"{len(here)} of the {arrivals.quorum} clients needed have an update here; missing: {named(arrivals.missing)}",
            subject=f"round {arrivals.round}",
            rule="R-62",
            remedy="Nothing was decided. Retry when they have submitted; after close_by the round is void and its updates are late for the next",
        )
    return arrivals
