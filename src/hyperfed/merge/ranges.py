"""The rows of a merge in disjoint key ranges, wherever they lie, and what is computed on each.

1. A key lies in one range whole, with its rows in client order. `Ranges.map(step)` gives one `Partial` a range, in ascending order of keys.
   `RangeWork.do(step)` is the work on one range; it knows nothing of where its rows came from (`RangeRows`: tables in memory, packed records, another
   machine's objects).
2. Nothing depends on where ranges are cut, nor on how many there are, on threads or on machines. A sum by key is a sum of float64 in client order within one
   range. A sum that crosses ranges (by client, or by client and class of keys) is one of whole numbers: every addend is rounded to a multiple of its
   unit before it is added, and no sum of theirs exceeds 2**52 units, so float64 adds them exactly, in any order. The units:
   - squares of a client's votes: its peak vote squared, times 2**(b - 52), 2**b > the rows of the largest client;
   - a client's votes times all clients' summed unit votes: 2**-52 of (clients * the largest norm of a client's votes), which bounds their sum (Cauchy-Schwarz);
   - squared totals of a class of keys: 2**-52 of clients**2, which bounds theirs.
3. The ballots of a range (numbered keys and votes) are kept between steps where its owner says so (`keep`) and has `room`, else put on its `shelf`. Where
   there is none, its numbers alone are kept if there is room for them: votes are cast again from its rows; else everything is made again.

What it does not do: cut (`segments.cuts`), decide how clients are weighed (`aggregation.bounded_trust` drives the steps).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hyperfed.merge.ballots import agreement, by_client, class_squares, exact, peaks
from hyperfed.merge.electorate import Electorate
from hyperfed.merge.rows import MergeRule, merged_rows
from hyperfed.merge.segments import distinct, number, over
from hyperfed.merge.shelf import Place, Room, Shelf

__all__ = [
    "BALLOT_BYTES",
    "UNITS",
    "Agreement",
    "InnerProducts",
    "LocalRanges",
    "Measure",
    "Merge",
    "Partial",
    "RangeRows",
    "RangeWork",
    "Ranges",
    "Squares",
    "Step",
]

UNITS = 2.0**52  # what any exact sum stays below
BALLOT_BYTES = 16  # a row's kept ballot: position of its key, vote, and pair
_CELLS = 1 << 20  # clients x keys held at once
_GRID = 2.0**20  # a vote is a whole number of its steps and, of what is left, one of its squared steps: products of two, added over a block, stay below UNITS
_BLOCK = 1 << 11  # keys, so that they do

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Segments = npt.NDArray[np.int32] | npt.NDArray[np.uint16]
Partial = dict[str, Array]


class RangeRows(Protocol):
    """The rows of all clients in one key range, one client after the other, each client's keys ascending.

    rows: int64[clients], how many each client has. `column` takes effect, confidence, stability, n, hits: [rows], of any numeric type.
    """

    @property
    def rows(self) -> Ints: ...

    def keys(self) -> npt.NDArray[np.uint64]:
        """uint64[rows]."""
        ...

    def votes(self) -> Floats:
        """float64[rows], finite; a new array."""
        ...

    def column(self, name: str) -> Array: ...

    def widths(self) -> Floats | None:
        """float64[rows]: ci_high - ci_low, 0 where unknown; None where no row of the range has an interval."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Gives codes: int64[classes of the range] ascending; rows: int64[clients]; peak: float64[clients], the largest |vote| on keys that two could vote on;
    client, place: int32[pairs], the (client, position in codes) pairs that have rows, ascending; every client where there is one class."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Squares:
    """Gives square: int64[pairs of the range], the votes' squares in units. factor: float64[clients], what makes a vote the root of units."""

    factor: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Agreement:
    """Gives dot: int64[pairs of the range], sum of vote * total, and square: int64[classes of the range], sum of total**2, in units;
    total: by key, the sum of weight * scale * vote. weight, scale: float64[clients], scale makes votes unit-norm; dot_units, square_units: how many units
    a total, and a squared one, are."""

    weight: Floats
    scale: Floats
    dot_units: float
    square_units: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerProducts:
    """Gives inner, finer, own, joint: int64[clients, clients], keys: int64[1]. inner in 2**-40 and finer in 2**-60 are the votes' products; own, in 2**-40:
    squares of the row's client where the column's could vote; joint: keys on which both could. For votes in [-1, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Merge:
    """Gives the merged columns of the range, `merge.rows.COLUMNS`. weight: float64[clients] >= 0. It is a range's last step: its ballots go."""

    rule: MergeRule
    weight: Floats


Step = Measure | Squares | Agreement | InnerProducts | Merge


class Ranges(Protocol):
    """The ranges of a merge. electorate: who could have voted on which key."""

    @property
    def electorate(self) -> Electorate: ...

    def map(self, step: Step) -> Iterator[Partial]:
        """One partial a range that has rows, in ascending order of keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ballot:
    """keys: uint64[keys] distinct, ascending; segment: uint16[rows], int32 where there are more keys; rows: int64[clients]; codes: int64[classes] ascending;
    place: [keys], each key's class, of the smallest type; vote: float64[rows], 0 on keys that fewer than two could vote on, of no rows where it is to be cast
    again; pair: int32[rows] the row's (client, class), None where there is one class; client, class_: int32[pairs]; contested: whether two could vote on
    every key."""

    keys: npt.NDArray[np.uint64]
    segment: Segments
    rows: Ints
    codes: Ints
    place: npt.NDArray[Any]
    vote: Floats
    pair: npt.NDArray[np.int32] | None
    client: npt.NDArray[np.int32]
    class_: npt.NDArray[np.int32]
    contested: bool

    @property
    def numbers_bytes(self) -> int:
        """Of what is there beside the votes."""
        return sum(array.nbytes for array in (self.keys, self.segment, self.place, self.pair, self.client, self.class_) if array is not None)


@dataclass(slots=True, kw_only=True, eq=False)
class RangeWork:
    """One range. load: reads its rows; keep: whether its ballots may stay in memory between steps; room: for all ranges' ballots, None: as much as they need;
    numbers: room for the numbers of those that did not fit; shelf: where ballots lie that do not fit."""

    load: Callable[[], RangeRows]
    electorate: Electorate
    keep: bool = True
    room: Room | None = None
    numbers: Room | None = None
    shelf: Shelf | None = None
    _ballot: _Ballot | None = field(default=None)
    _shelved: tuple[_Ballot, dict[str, Place]] | None = field(default=None)

    def do(self, step: Step) -> Partial:
        """What the step gives of this range: a pure function of its rows, the electorate and the step."""
        if isinstance(step, Merge):
            rows = self.load()
            ballot = self._ballot or self._fetched("keys", "segment")
            self._ballot = self._shelved = None
            keys, segment = number(rows.keys()) if ballot is None else (ballot.keys, ballot.segment.astype(np.int32, copy=False))
            return merged_rows(step.rule, rows, keys, segment, self.electorate, step.weight)
        ballot = self._ballot or self._fetched()
        if ballot is None:
            ballot = self._cast()
            self._put_away(ballot)
        elif len(ballot.vote) < len(ballot.segment):
            ballot = replace(ballot, vote=self._votes(self.load(), ballot))
        if isinstance(step, Measure):
            peak = peaks(ballot.vote, ballot.rows)
            return {"codes": ballot.codes, "rows": ballot.rows, "peak": peak, "client": ballot.client, "place": ballot.class_}
        if isinstance(step, Squares):
            units = ballot.vote * np.repeat(step.factor, ballot.rows)
            units *= units
            return {"square": self._by_pair(ballot, np.rint(units, out=units))}
        if isinstance(step, Agreement):
            factor, pairs = step.weight * step.scale, len(ballot.client)
            total, dot = agreement(ballot.segment, ballot.vote, ballot.rows, factor, len(ballot.keys), step.dot_units, ballot.pair, pairs)
            square = class_squares(total, ballot.place, len(ballot.codes), step.square_units)
            return {"dot": dot, "square": exact(square)}
        return _inner_products(ballot, ballot.vote if ballot.contested else self.load().votes(), self.electorate)

    def forget_votes(self) -> None:
        """Let go of what a merge does not need."""
        if self._ballot is not None:
            self._ballot = replace(self._ballot, vote=np.zeros(0))

    def _put_away(self, ballot: _Ballot) -> None:
        numbers = ballot.numbers_bytes
        if self.keep and (self.room is None or self.room.take(numbers + ballot.vote.nbytes)):
            self._ballot = ballot
        elif self.shelf is not None:
            large = [name for name in ("keys", "segment", "place", "vote", "pair") if getattr(ballot, name) is not None]
            nothing: dict[str, Any] = dict.fromkeys(large, np.zeros(0))
            places = self.shelf.put([getattr(ballot, name) for name in large])
            self._shelved = (replace(ballot, **nothing), dict(zip(large, places, strict=True)))
        elif self.numbers is not None and self.numbers.take(numbers):
            self._ballot = replace(ballot, vote=np.zeros(0))

    def _fetched(self, *names: str) -> _Ballot | None:
        """From the shelf, if it lies there: these of its arrays, or all."""
        if self._shelved is None or self.shelf is None:
            return None
        small, places = self._shelved
        wanted = names or tuple(places)
        large: dict[str, Any] = dict(zip(wanted, self.shelf.get([places[name] for name in wanted]), strict=True))
        return replace(small, **large)

    def _votes(self, rows: RangeRows, ballot: _Ballot) -> Floats:
        """float64[rows], 0 on keys that fewer than two could vote on."""
        vote = rows.votes()
        if not ballot.contested:
            contested = self.electorate.members(ballot.codes).sum(axis=0) >= 2
            vote[~contested[ballot.place][ballot.segment]] = 0.0
        return vote

    @staticmethod
    def _by_pair(ballot: _Ballot, units: Floats) -> Ints:
        """int64[pairs]: whole numbers, summed by pair."""
        if ballot.pair is None:
            return exact(by_client(units, ballot.rows))
        return exact(np.asarray(np.bincount(ballot.pair, units, len(ballot.client)), dtype=np.float64))

    def _cast(self) -> _Ballot:
        rows = self.load()
        counts = rows.rows
        keys, numbered = number(rows.keys())
        segment = numbered.astype(np.uint16) if len(keys) <= 1 << 16 else numbered
        codes, place = distinct(self.electorate.classes(keys))
        everywhere = bool((self.electorate.members(codes).sum(axis=0) >= 2).all())
        clients = np.arange(len(counts), dtype=np.int32)
        pair, client, class_ = None, clients, np.zeros_like(clients)
        if len(codes) > 1:
            pairs, of_row = distinct(np.repeat(clients.astype(np.int64) * len(codes), counts) + place[numbered])
            pair = of_row.astype(np.int32)
            client, class_ = (part.astype(np.int32) for part in np.divmod(pairs, len(codes)))
        numbers = _Ballot(
            keys=keys,
            segment=segment,
            rows=counts,
            codes=codes,
            place=place.astype(np.min_scalar_type(max(len(codes) - 1, 0))),
            vote=np.zeros(0),
            pair=pair,
            client=client,
            class_=class_,
            contested=everywhere,
        )
        return replace(numbers, vote=self._votes(rows, numbers))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalRanges:
    """Ranges of this process, two at a time. works: by ascending keys."""

    works: Sequence[RangeWork]
    electorate: Electorate

    def map(self, step: Step) -> Iterator[Partial]:
        if isinstance(step, Merge):
            for work in self.works:
                work.forget_votes()
        return over(lambda work: work.do(step), self.works)


def _inner_products(ballot: _Ballot, vote: Floats, electorate: Electorate) -> Partial:
    n = electorate.clients
    sums = {name: np.zeros((n, n), dtype=np.int64) for name in ("inner", "finer", "own", "joint")}
    client = np.repeat(np.arange(n), ballot.rows)
    step = min(_BLOCK, max(1, _CELLS // n))
    order = np.argsort(ballot.segment, kind="stable")
    ends = np.searchsorted(ballot.segment[order], np.arange(0, len(ballot.keys) + step, step))
    for i, first in enumerate(range(0, len(ballot.keys), step)):
        last = min(first + step, len(ballot.keys))
        rows = order[ends[i] : ends[i + 1]]
        block = np.zeros((n, last - first))
        block[client[rows], ballot.segment[rows] - first] = vote[rows]
        could = electorate.members(ballot.codes[ballot.place[first:last]]).astype(np.float64)
        coarse = np.rint(block * _GRID)
        cross = coarse @ np.rint((block * _GRID - coarse) * _GRID).T
        sums["inner"] += exact(coarse @ coarse.T)
        sums["finer"] += exact(cross + cross.T)
        sums["own"] += exact(np.rint(block * block * _GRID * _GRID) @ could.T)
        sums["joint"] += exact(could @ could.T)
    return sums | {"keys": np.array([len(ballot.keys)])}
