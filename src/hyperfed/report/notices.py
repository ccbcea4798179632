"""Notify an operator of what went wrong in a round.

A notice says that the round is void, that the budget is low or used up, that a client stays away,
or that a client equivocated. One more says that the round's figures or pages could not be written.

1. `notices` are facts of the round's own objects: the same round gives the same notices every time.
   Only a round that has ended gives any.
2. A client that stays away is reported when it was not counted for `ABSENT` rounds in a row, and
   from then on every `AGAIN` rounds, not every round.
3. The budget is low where less than the share `LOW` of it is left, by the ledger's composition.

What it does not do: send them. An automation does, where one is configured (docs/operations.md).
"""

from dataclasses import dataclass
from decimal import Decimal

from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import HyperfedError
from hyperfed.report.rows import Outcome
from hyperfed.report.summary import budget_words, headline
from hyperfed.report.view import RoundView

__all__ = ["ABSENT", "AGAIN", "KINDS", "LOW", "Notice", "notices", "unwritten_notice"]

ABSENT, AGAIN = 3, 7
"""Rounds in a row without a client before the first notice, and rounds between later ones."""
LOW = Decimal("0.2")
"""The share of the budget below which it is low."""
KINDS = (
    "hyperfed.round.void",
    "hyperfed.budget.low",
    "hyperfed.client.absent",
    "hyperfed.client.equivocated",
    "hyperfed.files.unwritten",
)
"""Every kind of notice, by the name of its event."""
_ENDED = (Outcome.COMMITTED, Outcome.VOID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Holds one thing that an operator should know."""

    kind: str
    """One of `KINDS`."""
    about: str
    """The round, the federation or the client that it is about."""
    text: str
    """One line for people."""


def notices(view: RoundView, reader: DropBoxReader) -> list[Notice]:
    """Return the notices of a round that has ended, the worst first.

    A round that has not ended has none.
    """
    if view.outcome not in _ENDED:
        return []
    out = [
        Notice(
            kind="hyperfed.client.equivocated",
            about=client,
            text=f"Round {view.round}: {client} signed two different updates with one sequence: "
            f"{reason}",
        )
        for client, reason in sorted(
            {row.client: row.reason for row in view.refused if row.rule == "R-92"}.items()
        )
    ]
    if view.outcome is Outcome.VOID:
        out.append(
            Notice(kind="hyperfed.round.void", about=f"round {view.round}", text=headline(view))
        )
    budget = view.budget
    if budget.left_share < LOW:
        out.append(
            Notice(
                kind="hyperfed.budget.low",
                about=view.federation,
                text=f"After round {view.round}: {budget_words(view)}",
            )
        )
    state = reader.state(view.round) if view.outcome is Outcome.COMMITTED else None
    for client in state.value.clients if state else ():
        absent = view.round - max(client.last_round, 0)
        if client.client in view.cohort and absent >= ABSENT and (absent - ABSENT) % AGAIN == 0:
            last = (
                f"the last was round {client.last_round}" if client.last_round else "it never was"
            )
            text = f"{client.client} was not counted in the last {absent} rounds ({last})"
            out.append(Notice(kind="hyperfed.client.absent", about=client.client, text=text))
    return out


def unwritten_notice(round_id: int, error: HyperfedError) -> Notice:
    """Return the notice that a file of a round's report could not be written, and what to do."""
    return Notice(
        kind="hyperfed.files.unwritten",
        about="files",
        text=f"Round {round_id}: {error.subject} {error.problem}. {error.remedy}".strip(),
    )
