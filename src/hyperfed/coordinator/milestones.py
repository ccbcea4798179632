"""Name how far a round has come, as milestones, and say which command works towards which.

A stage of the flow drives the round's machine from its start to the stage's milestone. What is
done already is read on the way and not done again, so each stage may be run by itself, any number
of times. Source: DESIGN section 3, "The round, step by step".
"""

from dataclasses import dataclass
from enum import IntEnum

from hyperfed.protocol import machine as mc
from hyperfed.protocol.entries import (
    EntryKind,
)

__all__ = ["Milestone", "Stage", "milestone_of"]


class Milestone(IntEnum):
    """Names a point that a round has reached once a stage has returned, in protocol order."""

    COLLECTED = 1
    """The inbox is listed, and nothing is decided (step 2)."""
    FROZEN = 2
    """The freeze says which updates count (step 3)."""
    RESERVED = 3
    """The ledger holds what the round will spend (step 4)."""
    OPENED = 4
    """Helpers have opened the sum, in a round of secure sums (step 4)."""
    RELEASED = 5
    """The result is readable (step 5)."""
    ENDED = 6
    """State, commit or void, and receipts are written (steps 6 and 7)."""


_TOWARDS: dict[type[mc.Command], Milestone] = {
    mc.Gather: Milestone.FROZEN,
    mc.PutFreeze: Milestone.FROZEN,
    mc.Append: Milestone.RESERVED,
    mc.PutManifest: Milestone.OPENED,
    mc.ReadOpenings: Milestone.OPENED,
    mc.Release: Milestone.RELEASED,
    mc.PutState: Milestone.ENDED,
}


def milestone_of(command: mc.Command) -> Milestone | None:
    """Return the milestone that a command works towards, or None where any stage may execute it.

    Any stage may execute reads, and the writes that end a round: tombstones, commits, voids and
    receipts.
    """
    if isinstance(command, mc.Append) and command.line.kind is not EntryKind.RESERVE:
        return None
    return _TOWARDS.get(type(command))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Says how far a round has come, as a stage of the flow returns it."""

    round: int
    """The number of the round."""
    why: mc.Why | None
    """Why the round has ended or cannot go on; None where the next stage has work."""
    counted: int = 0
    """How many updates the freeze counts; 0 where there is no freeze."""
    refused: int = 0
    """How many objects the freeze refuses."""
    result: bytes = b""
    """The digest of the result that the ledger names; empty before the round has ended."""
