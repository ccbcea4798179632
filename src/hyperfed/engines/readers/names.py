"""Match the names in a header with the variables of a round.

1. A name is compared in NFC and without the blanks around it. A unit after it is no part of it:
   `output [kEUR]`, `output (kEUR)`.
2. A column that differs from a variable only by case, blanks, quotes, underscores or hyphens is
   refused, and the error names the variable. Left out in silence, it would read as "not measured
   here", which is another vote than the data give.
3. Columns that nobody asks for may have any name, or none, or the same.
"""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hyperfed.engines.readers.numbers import NotANumber, plain_number
from hyperfed.engines.readers.sheet import clean_name, listed
from hyperfed.engines.time_formats import is_date
from hyperfed.errors import EngineError

__all__ = ["Header", "check_known", "folded"]

_COMPARED = 10_000  # the most pairs of names that are compared
_WITH_UNIT = re.compile(r"(.+?)\s*(?:\[([^\[\]]+)\]|\(([^()]+)\))")


@dataclass(frozen=True, slots=True)
class Header:
    """Finds columns by their names. Raises EngineError, which names the column."""

    subject: str
    """The name that errors use for the source."""
    names: Sequence[str]
    """The columns' names, cleaned."""
    place: str
    """Where the names stand: "line 1"."""
    _at: dict[str, list[int]] = field(init=False, default_factory=dict)
    _units: dict[int, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for at, name in enumerate(self.names):
            self._at.setdefault(name, []).append(at)
        named = set(self._at)
        for at, name in enumerate(self.names):
            match = _WITH_UNIT.fullmatch(name)
            if match is not None:
                self._units[at] = (match[2] or match[3]).strip()
                if match[1] not in named:
                    self._at.setdefault(match[1], []).append(at)

    def unit(self, at: int) -> str:
        """Return the unit that a column's name states, or an empty text."""
        return self._units.get(at, "")

    def position(self, name: str) -> int:
        """Return the position of a column. Raises EngineError where it is missing or ambiguous."""
        cleaned_name = clean_name(name)
        positions = self._at.get(cleaned_name, [])
        if len(positions) > 1 or not cleaned_name:
            raise EngineError(
                f"{self.place}: column "
                f"{repr(name)[:80] + ' is named twice' if cleaned_name else 'without a name'}",
                subject=self.subject,
                remedy="Rename one of them, or take it out",
            )
        if not positions:
            raise EngineError(
                f"has no column {name!r:.80}",
                subject=self.subject,
                remedy=f"{_meant(name, self.names)}It has: {listed(self.names)}",
            )
        return positions[0]

    def variables(self, vocabulary_names: Sequence[str]) -> dict[str, int]:
        """Return the variables of the round that the source has, with their columns, in its order.

        Raises EngineError for a column that is nearly a variable, and where there is no variable.
        """
        position_of = {
            name: self.position(name) for name in vocabulary_names if clean_name(name) in self._at
        }
        position_of = dict(sorted(position_of.items(), key=lambda one: one[1]))
        used_columns = set(position_of.values())
        missing = {folded(name): name for name in vocabulary_names if name not in position_of}
        for at, cell in enumerate(self.names):
            meant = missing.get(folded(cell)) if at not in used_columns else None
            if meant is not None:
                raise EngineError(
                    f"{self.place}: column {cell!r:.80} is no variable of the round; did you mean "
                    f"{meant!r:.80}?",
                    subject=self.subject,
                    remedy=f"Rename it in {self.place}; or name the columns to use with "
                    "--columns, and it is left out",
                )
        if not position_of:
            hint = "Is that a title? It belongs into no file. " if len(self.names) == 1 else ""
            if all(is_date(name) or _is_number(name) for name in self.names):
                hint = "Names belong there, not data. "
            raise EngineError(
                "no column is a variable of the round",
                subject=self.subject,
                remedy=f"{self.place.capitalize()} has: {listed(self.names)}. {hint}The round's "
                f"vocabulary has: {listed(vocabulary_names)}",
            )
        return position_of

    def left_out(self, columns: Sequence[int], missing: Sequence[str]) -> tuple[str, ...]:
        """Return how the other columns are reported, with the variables they may stand for."""
        used = set(columns)
        if len(missing) * len(self.names) > _COMPARED:
            missing = []
        return tuple(
            self._reported(name, at, missing)
            for at, name in enumerate(self.names)
            if at not in used
        )

    def _reported(self, name: str, at: int, missing: Sequence[str]) -> str:
        if not name:
            return f"column {at + 1}, without a name"
        close = _close(name, missing)
        return (
            name
            if close is None or clean_name(close) == name
            else f"{name} (did you mean {close!r:.80}?)"
        )


def check_known(names: Sequence[str], vocabulary: Sequence[str], option: str) -> None:
    """Raise EngineError where the user names something that is no variable of the round."""
    there = set(vocabulary)
    for name in names:
        if name not in there:
            raise EngineError(
                "unknown variable",
                subject=f"{option} {name!r:.80}",
                remedy=f"{_meant(name, vocabulary)}"
                f"The round's vocabulary has: {listed(vocabulary)}",
            )
    twice = [name for name, count in Counter(map(clean_name, vocabulary)).items() if count > 1]
    if twice:
        raise EngineError(
            f"has two variables that read {twice[0]!r:.80} without the blanks around them",
            subject="the round's vocabulary",
            remedy="Tell the operator: a file cannot say which is meant",
        )


def _is_number(text: str) -> bool:
    try:
        plain_number(text)
    except NotANumber:
        return False
    return True


def folded(name: str) -> str:
    """Return a name without what people and programs often change in it.

    That is case, blanks, quotes, underscores, hyphens, dots, and invisible characters.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    return (
        "".join(
            c
            for c in text
            if not c.isspace()
            and unicodedata.category(c) not in ("Cf", "Pi", "Pf", "Pd")
            and c not in "\"'`_."
        )
        or name
    )


def _close(name: str, among: Sequence[str]) -> str | None:
    """Return the name among these that is most similar, or None."""
    others = {folded(other): other for other in among}
    close = difflib.get_close_matches(folded(name), others, n=1, cutoff=0.8)
    return others[close[0]] if close else None


def _meant(name: str, among: Sequence[str]) -> str:
    """Return "Did you mean ...? " with the most similar name, or an empty text."""
    close = _close(name, among) if len(among) <= _COMPARED else None
    return "" if close is None else f"Did you mean {close!r:.80}? "
