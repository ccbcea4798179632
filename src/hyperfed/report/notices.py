"""What an operator is told of a round without asking: void, low budget, a client that stays away, equivocation, a budget that is used up.

1. A notice is a fact of the round's own objects; the same round says the same notices again, and only a round that has ended says any.
2. A client that stays away is told of when it was not counted for `ABSENT` rounds in a row, and again every `AGAIN` rounds, not every night.
3. Low budget: less than `LOW` of what the ledger's composition lets be spent is left.

What it does not do: send (an automation does, where one is configured: docs/operations.md).
"""

from dataclasses import dataclass
from decimal import Decimal

from hyperfed.dropbox import DropBoxReader
from hyperfed.report.rows import Outcome
from hyperfed.report.summary import budget_words, headline
from hyperfed.report.view import RoundView

__all__ = ["ABSENT", "AGAIN", "KINDS", "LOW", "Notice", "notices"]

ABSENT, AGAIN = 3, 7
LOW = Decimal("0.2")
KINDS = ("hyperfed.round.void", "hyperfed.budget.low", "hyperfed.client.absent", "hyperfed.client.equivocated")
_ENDED = (Outcome.COMMITTED, Outcome.VOID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """kind: one of `KINDS`; about: the round or the client; text: one line for people."""

    kind: str
    about: str
    text: str


def notices(view: RoundView, reader: DropBoxReader) -> list[Notice]:
    """The notices of a round that has ended, worst first; none of one that has not."""
    if view.outcome not in _ENDED:
        return []
    out = [
        Notice(kind="hyperfed.client.equivocated", about=client, text=f"Round {view.round}: {client} signed two different updates with one sequence: {reason}")
        for client, reason in sorted({row.client: row.reason for row in view.refused if row.rule == "R-92"}.items())
    ]
    if view.outcome is Outcome.VOID:
        out.append(Notice(kind="hyperfed.round.void", about=f"round {view.round}", text=headline(view)))
    budget = view.budget
    if budget.left_share < LOW:
        out.append(Notice(kind="hyperfed.budget.low", about=view.federation, text=f"After round {view.round}: {budget_words(view)}"))
    state = reader.state(view.round) if view.outcome is Outcome.COMMITTED else None
    for client in state.value.clients if state else ():
        absent = view.round - max(client.last_round, 0)
        if client.client in view.cohort and absent >= ABSENT and (absent - ABSENT) % AGAIN == 0:
            last = f"the last was round {client.last_round}" if client.last_round else "it never was"
            text = f"{client.client} was not counted in the last {absent} rounds ({last})"
            out.append(Notice(kind="hyperfed.client.absent", about=client.client, text=text))
    return out
