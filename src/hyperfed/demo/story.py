"""Tell in plain words what a night of the demonstration came to.

1. The story says who lied and what weights they got, what the graph is, and what a plain mean would
   have made of the same updates.
2. Honest clients that had no weight, or that the next round leaves out, are named with the reason.
   They are the price, and nobody but the demonstration knows that they are honest.
3. One word stands for one number, as in the glossary: counted, weight (tonight's), trust (the
   past's).

What it does not do: read a store, or draw tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hyperfed.demo.figures import Votes
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.report.rows import TrustRow
from hyperfed.report.wording import count, fixed, signed

__all__ = ["NightFacts", "story", "striking"]


_LIES = (
    "Each turned the sign of every effect that it had found",
    "Each made its statistics of data in which every second variable is upside down",
)
_PLAIN = ("mean", "sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class NightFacts:
    """Holds a night, and what is known of it."""

    night: int
    """Number of the night, from 1."""
    rows: Sequence[TrustRow]
    """One row for each client, as the round's page has them."""
    liars: frozenset[str]
    """The clients that lied in this night."""
    silent: Mapping[str, int]
    """Client -> in how many nights so far it was counted without weight."""
    lies: Mapping[str, int]
    """Client -> in how many nights so far it lied."""
    before: Votes | None
    """Votes of the night before; None in the first night."""
    now: Votes
    """Votes of this night."""
    plain: Votes
    """Votes of the same updates by their plain mean."""
    cut: float
    """The least |vote| of an edge in the graph."""
    trust_min: float
    """The trust below which the next round leaves a client out."""
    payload: str = "edges"
    """What the states sent: "edges", "statistics" or "both"."""


def striking(facts: NightFacts) -> list[TrustRow]:
    """Return the rows that need a word: liars, clients without weight, and those left out."""
    return [r for r in facts.rows if r.client in facts.liars or not r.weight or r.barred]


def story(facts: NightFacts) -> list[str]:
    """Return the story's paragraphs, in order."""
    return [*_lie(facts), *_graph(facts), *_honest(facts), *_caught(facts)]


def _lie(facts: NightFacts) -> list[str]:
    if not facts.liars:
        return [
            f"Nobody lied in night {facts.night}; in this demonstration 14 states lie from the "
            "third night on."
        ]
    heard = [r for r in facts.rows if r.client in facts.liars and r.weight is not None]
    out = sorted(
        r.client for r in facts.rows if r.client in facts.liars and r.fate is Fate.EXCLUDED
    )
    others = [r.weight for r in facts.rows if r.client not in facts.liars and r.weight is not None]
    text = (
        f"In night {facts.night}, {len(facts.liars)} of {len(facts.rows)} states lied: "
        f"{_names(facts.liars)}. "
        f"{_LIES[facts.payload != 'edges']}, signed it and sent it."
    )
    if heard:
        weights = [r.weight or 0.0 for r in heard]
        all_of_them = (
            "Each of these updates"
            if len(heard) == len(facts.liars)
            else f"{len(heard)} of these updates"
        )
        text += (
            f" {all_of_them} was counted, since nothing is wrong with a signature. But what it "
            "says does not"
            f" agree with the others: {sum(w <= 0 for w in weights)} of {len(heard)} had no "
            "weight in the"
            f" merge, and the most that one of them had is {fixed(max(weights))}."
        )
    if others:
        text += f" The other states had a weight of {fixed(sum(others) / len(others))} on average."
    if out:
        text += f" Left out of this night for their trust: {_names(out)}."
    return [text]


def _strong(votes: Votes, cut: float) -> Votes:
    return {edge: vote for edge, vote in votes.items() if abs(vote) >= cut}


def _graph(facts: NightFacts) -> list[str]:
    now, plain = _strong(facts.now, facts.cut), _strong(facts.plain, facts.cut)
    if facts.before is None:
        return [
            f"The graph has {count(len(now), 'edge')}, those with |vote| of {facts.cut:g} or more."
        ]
    before = _strong(facts.before, facts.cut)
    edges_kept, kept_plain = (
        sum(v.get(e, 0.0) * vote > 0 for e, vote in before.items()) for v in (now, plain)
    )
    turned = sum(plain.get(e, 0.0) * vote < 0 for e, vote in before.items())
    text = (
        f"The graph has {count(len(now), 'edge')}. Of the {len(before)} of the night before it "
        f"keeps {edges_kept} with the same sign. A plain {_PLAIN[facts.payload != 'edges']} of "
        "the very same updates would have "
        f"{count(len(plain), 'edge')} and keep {kept_plain} of those {len(before)}"
    )
    return [text + (f", with {turned} turned around." if turned else ".")]


def _honest(facts: NightFacts) -> list[str]:
    honest = [r for r in facts.rows if r.client not in facts.liars]
    silent = [r for r in honest if r.weight is not None and r.weight <= 0]
    leaving = [r for r in honest if r.barred]
    out = []
    if silent:
        who = ", ".join(f"{r.client} (agreement {signed(r.agreement or 0.0)})" for r in silent)
        too = " either" if facts.liars else ""
        out.append(
            f"{count(len(silent), 'honest state')} had no weight in night {facts.night}{too}: "
            f"{who}.{_why_silent(silent)}"
        )
    if leaving:
        they = "they" if len(leaving) > 1 else "it"
        out.append(
            f"{count(len(leaving), 'honest state')} will be left out of the next round, though "
            f"{they} never lied:"
            f" {'; '.join(_standing(facts, r) for r in leaving)}. Their data contradict the "
            "others night after"
            f" night, so that their trust fell below {facts.trust_min:g}. This is the price: by "
            "what it sends, an"
            " unusual state cannot be told from a liar. A federation that will not pay it sets "
            "trust_min = 0, which leaves"
            " nobody out."
        )
    return out


def _why_silent(rows: Sequence[TrustRow]) -> str:
    text = ""
    if any((row.agreement or 0.0) <= 0 for row in rows):
        text += " Below 0, the data contradict those of the others."
    if any((row.agreement or 0.0) > 0 for row in rows):
        text += " Above 0, the votes are surer than most, or agree less than the data allow."
    return text


def _standing(facts: NightFacts, row: TrustRow) -> str:
    nights = f"no weight in {facts.silent.get(row.client, 0)} of {facts.night} nights"
    # three digits: 0.149 is below a bound of 0.15
    return f"{row.client}, trust {fixed(row.after or 0.0, 3)}, {nights}"


def _caught(facts: NightFacts) -> list[str]:
    """Say what becomes of the liars: their trust falls slowly, their weight at once."""
    mine = [r for r in facts.rows if r.client in facts.liars and r.fate is not Fate.EXCLUDED]
    out = []
    for row in (r for r in mine if r.barred):
        out.append(
            f"Of the liars {_standing(facts, row)}, will be left out as well; it lied in "
            f"{facts.lies.get(row.client, 0)} of these nights."
        )
    stay = [r.after or 0.0 for r in mine if not r.barred]
    if stay:
        out.append(
            f"{len(stay)} of the {len(facts.liars)} liars will be invited again: trust is what "
            "many nights add up"
            f" to, and theirs stands at {fixed(min(stay))} to {fixed(max(stay))}. Until it has "
            "fallen, their"
            " weight, night by night, is what protects the graph."
        )
    return [" ".join(out)] if out else []


def _names(clients: frozenset[str] | Sequence[str]) -> str:
    return ", ".join(sorted(clients))
