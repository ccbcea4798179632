"""Write a discovery as a file of edges, and read what such a file says beside its rows.

1. A file of `hyperfed discover` is a CSV that `EdgesFile` reads. What is no edge stands in lines
   before the header, each with its title:

       # measured: dose,heat,outcome
       # lags: 0
       # units: dose=mg
       # intervened: dose
       # shared cause: heat,outcome,0.83
       # interaction: outcome,0,1.5,0.99,0.7,0.1,70,200,dose,heat
       # note: 3 of 200 rows lack a value and were left out

   Of an interaction these are target, lag, effect, confidence, stability, standard error (empty
   where it is not known), hits, n, and two or more sources. Cells are quoted as CSV's are.
2. Numbers are written so that reading them again gives the same numbers: what is submitted from the
   file has the same bytes as what is submitted at once.
3. Lines with other titles are ignored. A line with one of these titles that cannot be read is
   refused, and never half understood.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperfed.config import MAX_SAMPLES
from hyperfed.engines.base import Discovery
from hyperfed.engines.readers.numbers import NotANumber, plain_number
from hyperfed.engines.readers.sheet import clean_name, listed
from hyperfed.engines.structure import Interaction
from hyperfed.errors import EngineError

__all__ = ["Remarks", "edges_text"]

_COLUMNS = (
    *("source", "target", "lag", "effect", "confidence", "stability", "hits", "n"),
    *("ci_low", "ci_high"),
)
_LARGEST_LAG = (1 << 16) - 1
_LARGEST_HITS = (1 << 32) - 1
_OF_INTERACTION = 8  # cells before its sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Remarks:
    """Holds what a file of edges says beside them, with the round's names."""

    measured: tuple[str, ...] | None = None
    """The variables that were measured; None where the file does not say."""
    lags: tuple[int, ...] | None = None
    """The lags that were looked at; None where the file does not say."""
    units: Mapping[str, str] = field(default_factory=dict)
    """The unit of a variable, by its cleaned name."""
    intervened: tuple[str, ...] = ()
    """The variables that an experiment set."""
    bidirected: tuple[tuple[str, str, float], ...] = ()
    """Pairs that share a cause which nobody measured, as `Discovery` has them."""
    interactions: tuple[Interaction, ...] = ()
    """Effects that need several causes at once."""
    notes: tuple[str, ...] = ()
    """What people should know of the run."""

    @classmethod
    def read(
        cls, comments: Sequence[str], *, subject: str, variables: Mapping[str, str]
    ) -> "Remarks":
        """Return what the lines before a header say.

        `comments` are these lines without their #. `variables` are the round's, by their cleaned
        names. Raises EngineError where a line cannot be read, or names no variable of the round.
        """
        reader = _Reader(subject, variables)
        for comment in comments:
            title, colon, text = comment.partition(":")
            if colon and title in _TITLES:
                _TITLES[title](reader, text.strip())
        return cls(**reader.found)


class _Reader:
    """Gathers what the lines say, as fields of `Remarks`."""

    def __init__(self, subject: str, variables: Mapping[str, str]) -> None:
        self.subject, self.variables, self.found = subject, variables, dict[str, Any]()

    def measured(self, text: str) -> None:
        self.found["measured"] = tuple(map(self._name, _cells(text)))

    def lags(self, text: str) -> None:
        self.found["lags"] = tuple(
            self._whole(lag, "lags", _LARGEST_LAG, text) for lag in _cells(text)
        )

    def units(self, text: str) -> None:
        unit_of = self.found.setdefault("units", {})
        for one in _cells(text):
            name, equals, unit = one.rpartition("=")
            if equals:
                unit_of[clean_name(name)] = unit.strip()

    def intervened(self, text: str) -> None:
        self.found["intervened"] = tuple(map(self._name, _cells(text)))

    def shared_cause(self, text: str) -> None:
        cells = _cells(text)
        if len(cells) != 3:
            raise self._unreadable("shared cause", text, "two variables and a share")
        pair = (self._name(cells[0]), self._name(cells[1]))
        share = self._number(cells[2], "shared cause", text)
        self.found["bidirected"] = (*self.found.get("bidirected", ()), (*pair, share))

    def interaction(self, text: str) -> None:
        cells = _cells(text)
        what = "interaction"
        if len(cells) < _OF_INTERACTION + 2:
            raise self._unreadable(what, text, "its eight cells and two or more sources")
        target, lag, effect, confidence, stability, error, hits, n, *sources = cells
        one = Interaction(
            sources=tuple(map(self._name, sources)),
            target=self._name(target),
            lag=self._whole(lag, what, _LARGEST_LAG, text),
            effect=self._number(effect, what, text),
            confidence=self._number(confidence, what, text),
            stability=self._number(stability, what, text),
            std_error=self._number(error, what, text) if error else None,
            hits=self._whole(hits, what, _LARGEST_HITS, text),
            n=self._whole(n, what, MAX_SAMPLES, text),
        )
        self.found["interactions"] = (*self.found.get("interactions", ()), one)

    def note(self, text: str) -> None:
        self.found["notes"] = (*self.found.get("notes", ()), text)

    def _name(self, name: str) -> str:
        if clean_name(name) not in self.variables:
            raise EngineError(
                f"says that {name!r:.80} was measured, which is no variable of the round",
                subject=self.subject,
                remedy="Discover with --columns. The round's vocabulary has: "
                f"{listed(tuple(self.variables.values()))}",
            )
        return self.variables[clean_name(name)]

    def _number(self, cell: str, title: str, text: str) -> float:
        try:
            return plain_number(cell)
        except NotANumber as exc:
            raise self._unreadable(title, text, f"numbers; {cell!r:.40} is none") from exc

    def _whole(self, cell: str, title: str, largest: int, text: str) -> int:
        if not (cell.isascii() and cell.isdigit()) or len(cell) > 16 or int(cell) > largest:
            raise self._unreadable(title, text, f"whole numbers from 0 to {largest}")
        return int(cell)

    def _unreadable(self, title: str, text: str, needed: str) -> EngineError:
        return EngineError(
            f"has the line '# {title}: {text:.80}', which needs {needed}",
            subject=self.subject,
            remedy="Take the file as `hyperfed discover` wrote it; nothing was sent",
        )


_TITLES = {
    "measured": _Reader.measured,
    "lags": _Reader.lags,
    "units": _Reader.units,
    "intervened": _Reader.intervened,
    "shared cause": _Reader.shared_cause,
    "interaction": _Reader.interaction,
    "note": _Reader.note,
}


def _cells(text: str) -> list[str]:
    """Return the cells of a line of CSV, without the blanks around them."""
    return [cell.strip() for cell in next(csv.reader([text], skipinitialspace=True), [])]


def edges_text(discovery: Discovery, *, units: Mapping[str, str], notes: Sequence[str] = ()) -> str:
    """Return a discovery as the CSV that `EdgesFile` reads, with all that it has to say.

    `units` are those of the data, by variable, as far as they are known. `notes` are what people
    should know of the data, beside the discovery's own.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")

    def remark(title: str, cells: Sequence[object]) -> None:
        stream.write(f"# {title}: ")
        writer.writerow(cells)

    for title, entries in (
        ("measured", list(discovery.variables)),
        ("lags", list(discovery.lags or ())),
        ("units", [f"{name}={unit}" for name, unit in units.items()]),
        ("intervened", list(discovery.intervened)),
    ):
        if entries:
            remark(title, entries)
    for pair in discovery.bidirected:
        remark("shared cause", pair)
    for one in discovery.interactions:
        error = "" if one.std_error is None else one.std_error
        numbers = (one.lag, one.effect, one.confidence, one.stability, error, one.hits, one.n)
        remark("interaction", (one.target, *numbers, *one.sources))
    for note in (*notes, *discovery.notes):
        stream.write(f"# note: {' '.join(note.split())}\n")
    columns = (*_COLUMNS, *(() if discovery.endpoints is None else ("endpoints",)))
    writer.writerow(columns)
    for row in discovery.rows():
        writer.writerow(["" if row[name] is None else row[name] for name in columns])
    return stream.getvalue()
