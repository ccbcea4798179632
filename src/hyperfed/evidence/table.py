"""Hold the edge-evidence table: one row for each edge, with all that is known of it.

1. The first columns are those of bnlearn's `bn.strength`: from, to, strength, direction. Strength
   is the share of the clients that measured an edge who report it, as a bootstrap's is the share of
   resamples. Direction is the share that runs this way, of those that have the edge at all.
2. `endpoints` are the marks at both ends, read from `from` to `to`. Two edges at lag 0 that run
   both ways are one pair: below `DISPUTED` the pair is `o-o`.
3. What is not known is None, and is left out of a file: never 0. A suppressed edge is a row with a
   status and no numbers.
4. A value is checked when a row is made, so that a file from elsewhere is checked like our own.

What it does not do: it reads and writes nothing (`catalogue`), and decides no vote.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

import hyperfed
from hyperfed.errors import BoundsError
from hyperfed.hypergraph.direction import DISPUTED
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.suppression import EdgeStatus

if TYPE_CHECKING:
    from hyperfed.engines import Discovery

__all__ = ["MARKS", "EdgeEvidence", "EvidenceRow", "JointEffect"]

MARKS = ("-->", "<--", "<->", "---", "o->", "<-o", "o-o", "o--", "--o")
"""The marks that an edge may have at its ends."""
_NAMES = {"source": "from", "target": "to"}  # `from` is no name in Python
_MOST = {"lag": (1 << 16) - 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRow:
    """Holds what is known of one edge. Raises BoundsError where a value is out of its bounds."""

    source: str
    """The variable that acts; in files, `from`."""
    target: str
    """The variable that it acts on; in files, `to`."""
    strength: float | None = None
    """The share of clients, or of resamples, that have the edge, in [0, 1]."""
    direction: float | None = None
    """The share that runs this way, of those that have the edge, in [0, 1]."""
    lag: int = 0
    """Time steps from cause to effect."""
    endpoints: str = "-->"
    """One of `MARKS`, read from source to target."""
    effect: float | None = None
    """The change of the target for each unit of the source."""
    ci_low: float | None = None
    """The lower end of the effect's 95 % interval."""
    ci_high: float | None = None
    """The upper end of it."""
    q: float | None = None
    """The q-value, in [0, 1]."""
    i2: float | None = None
    """The share of variation between clients, in [0, 1]."""
    vote: float | None = None
    """The weighted mean vote, in [-1, 1]."""
    support: int | None = None
    """The number of clients that report it with its sign."""
    measured: int | None = None
    """The number of clients that measured both ends."""
    positive: int | None = None
    """The number of clients whose effect is above 0."""
    negative: int | None = None
    """The number of clients whose effect is below 0."""
    samples: int | None = None
    """The number of samples behind it."""
    status: str = EdgeStatus.PRESENT.word
    """How it stands: "present" or "suppressed"."""
    engine: str = ""
    """What found it: the name of a library, or "hyperfed"."""
    version: str = ""
    """The version of that library."""

    def __post_init__(self) -> None:
        subject = f"edge {self.source!r:.80} -> {self.target!r:.80}"
        for name in _COUNTS:
            value = getattr(self, name)
            most = _MOST.get(name, 1 << 53)
            if value is not None and not (type(value) is int and 0 <= value <= most):
                raise BoundsError(
                    f"{name} is {value!r:.40}; a whole number from 0 to {most} is needed",
                    subject=subject,
                )
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise BoundsError(
                    f"{name} is {value!r:.40}, outside [{low:g}, {high:g}]", subject=subject
                )
        if self.endpoints not in MARKS:
            raise BoundsError(
                f"endpoints are {self.endpoints!r:.40}; one of {', '.join(MARKS)} is needed",
                subject=subject,
            )
        if not self.source or not self.target or (self.source == self.target and not self.lag):
            raise BoundsError("needs two names, which differ where the lag is 0", subject=subject)

    @property
    def known(self) -> dict[str, Any]:
        """What is known of the edge, by the names that files use."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {_NAMES.get(name, name): value for name, value in values if value not in (None, "")}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "EvidenceRow":
        """Return the row that a file's values make, each a text or a number.

        Names that no row has are ignored. Raises BoundsError where a value is no number.
        """
        row: dict[str, Any] = {}
        for field in fields(cls):
            value = values.get(_NAMES.get(field.name, field.name))
            if value is None or (value == "" and field.name not in ("source", "target")):
                continue
            row[field.name] = _parsed(field.name, value)
        for name in ("source", "target"):
            row.setdefault(name, "")
        return cls(**row)


_COUNTS = ("lag", "support", "measured", "positive", "negative", "samples")
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("strength", "direction", "q", "i2"), (0.0, 1.0)),
    "vote": (-1.0, 1.0),
    **dict.fromkeys(("effect", "ci_low", "ci_high"), (-math.inf, math.inf)),
}


def _parsed(name: str, value: Any) -> Any:
    """Return a field's value: a text, a whole number or a number. Raises BoundsError."""
    if name not in _COUNTS and name not in _RANGES:
        return str(value)
    try:
        if isinstance(value, bool):
            raise TypeError("a truth value")
        number = float(value)
        whole = int(value) if isinstance(value, str | int) and name in _COUNTS else int(number)
    except (TypeError, ValueError, OverflowError) as exc:
        raise BoundsError(f"{name} is {value!r:.40}, which is no number", subject="edge") from exc
    if name in _RANGES:
        return number
    return whole if whole == number else number  # a fraction is refused with its value


@dataclass(frozen=True, slots=True, kw_only=True)
class JointEffect:
    """Holds an effect that several variables have together, as a hyperedge."""

    sources: tuple[str, ...]
    """The variables that act together."""
    target: str
    """The variable that they act on."""
    lag: int = 0
    """Time steps from causes to effect."""
    effect: float | None = None
    """The effect of the product of the causes."""
    vote: float | None = None
    """The weighted mean vote, in [-1, 1]."""
    support: int | None = None
    """The number of clients that report it with its sign."""
    measured: int | None = None
    """The number of clients that measured all its variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeEvidence:
    """Holds a graph's edges with their evidence.

    Raises BoundsError where an edge joins what is no variable, or is there twice.
    """

    variables: tuple[str, ...]
    """The names of the variables, also of those without an edge."""
    rows: tuple[EvidenceRow, ...] = ()
    """The edges."""
    joint: tuple[JointEffect, ...] = ()
    """Effects that need several causes at once."""

    def __post_init__(self) -> None:
        for name in self.variables:
            if not name or len(name) > 200 or not name.isprintable():
                raise BoundsError(
                    "a name is a text of 1 to 200 printable characters",
                    subject=f"variable {name!r:.80}",
                )
        known = set(self.variables)
        if len(known) != len(self.variables):
            raise BoundsError("names a variable twice", subject="edge evidence")
        seen: set[tuple[str, str, int]] = set()
        for row in self.rows:
            key = (row.source, row.target, row.lag)
            outside = next((end for end in key[:2] if end not in known), None)
            if outside is not None or key in seen:
                what = (
                    f"joins {outside!r:.80}, which is no variable" if outside else "is there twice"
                )
                raise BoundsError(
                    what, subject=f"edge {row.source!r:.80} -> {row.target!r:.80}, lag {row.lag}"
                )
            seen.add(key)
        for one in self.joint:
            if not {*one.sources, one.target} <= known:
                raise BoundsError("joins what is no variable", subject="joint effect")

    @classmethod
    def of_rows(
        cls, rows: Iterator[EvidenceRow], variables: tuple[str, ...] = ()
    ) -> "EdgeEvidence":
        """Return a table of rows; variables that are not named are added in order of first use."""
        kept = tuple(rows)
        ends = (end for row in kept for end in (row.source, row.target))
        return cls(variables=tuple(dict.fromkeys((*variables, *ends))), rows=kept)

    @classmethod
    def of_model(cls, model: GlobalModel) -> "EdgeEvidence":
        """Return the evidence of a global model, strongest vote first."""
        version = hyperfed.__version__
        rows = model.rows()
        now = {(row["source"], row["target"]) for row in rows if row["lag"] == 0}
        listed = [
            EvidenceRow(
                source=row["source"],
                target=row["target"],
                strength=None
                if row["reporting"] is None or not row["measured_by"]
                else min(1.0, row["reporting"] / row["measured_by"]),
                direction=row["direction"],
                lag=row["lag"],
                endpoints=_mark(row, now),
                effect=row["effect"],
                measured=row["measured_by"],
                engine="hyperfed",
                version=version,
                **{name: row[name] for name in _SAME},
            )
            for row in rows
        ]
        listed += [
            EvidenceRow(
                **row, status=EdgeStatus.SUPPRESSED.word, engine="hyperfed", version=version
            )
            for row in model.suppressed_rows()
        ]
        return cls(
            variables=model.vocabulary.names, rows=tuple(listed), joint=_joint_effects(model)
        )

    @classmethod
    def of_discovery(
        cls, discovery: "Discovery", *, engine: str = "", version: str = ""
    ) -> "EdgeEvidence":
        """Return the evidence of one client's discovery: its strength is its stability."""
        count = len(discovery.source)
        low, high = discovery.ci_low, discovery.ci_high
        samples = np.broadcast_to(np.asarray(discovery.n), count).tolist()
        rows = []
        for i in range(count):
            ends = (None, None) if low is None else (_finite(low[i]), _finite(high[i]))
            marks = "" if discovery.endpoints is None else discovery.endpoints[i]
            rows.append(
                EvidenceRow(
                    source=str(discovery.source[i]),
                    target=str(discovery.target[i]),
                    strength=float(discovery.stability[i]),
                    lag=int(discovery.lag[i]),
                    endpoints=marks or "-->",
                    effect=float(discovery.effect[i]),
                    ci_low=ends[0],
                    ci_high=ends[1],
                    samples=int(samples[i]),
                    engine=engine,
                    version=version,
                )
            )
        return cls(variables=tuple(discovery.variables), rows=tuple(rows))

    @property
    def pairs(self) -> tuple[EvidenceRow, ...]:
        """The edges that are present, each pair of variables at lag 0 once: the stronger row."""
        best: dict[tuple[str, ...], EvidenceRow] = {}
        for row in self.rows:
            if row.status != EdgeStatus.PRESENT.word:
                continue
            ends = (row.source, row.target) if row.lag else tuple(sorted((row.source, row.target)))
            other = best.setdefault((*ends, str(row.lag)), row)
            if (row.direction or 0.0) > (other.direction or 0.0):
                best[*ends, str(row.lag)] = row
        return tuple(best.values())


_SAME = ("ci_low", "ci_high", "q", "i2", "vote", "support", "positive", "negative", "samples")


def _finite(value: Any) -> float | None:
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None


def _mark(row: Mapping[str, Any], now: set[tuple[str, str]]) -> str:
    """Return an edge's marks; at lag 0 they depend on the edge that runs the other way."""
    if row["lag"] or (row["target"], row["source"]) not in now:
        return "-->"
    if 1 - DISPUTED < row["direction"] < DISPUTED:
        return "o-o"
    return "-->" if row["direction"] >= DISPUTED else "<--"


def _joint_effects(model: GlobalModel) -> tuple[JointEffect, ...]:
    names, about = model.vocabulary.names, model.evidence.hyperedges
    if about is None:
        return ()
    table = model.hyperedges
    at = zip(table.offsets[:-1].tolist(), table.offsets[1:].tolist(), strict=True)
    return tuple(
        JointEffect(
            sources=tuple(names[j] for j in table.sources[low:high].tolist()),
            target=names[int(table.target[i])],
            lag=int(table.lag[i]),
            effect=float(table.effect[i]),
            vote=float(about.vote[i]),
            support=int(about.support[i]),
            measured=int(about.measured_by[i]),
        )
        for i, (low, high) in enumerate(at)
    )
