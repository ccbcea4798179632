"""Compute on the rows of a merge in disjoint key ranges, wherever the rows lie.

1. All rows of a key lie in one range, in client order. `Ranges.map(step)` gives one `Partial` for
   each range, in ascending order of keys. `RangeWork.do(step)` is the work on one range. It does
   not know where its rows came from (`RangeRows`: tables in memory, packed records, another
   machine's objects).
2. Nothing depends on where ranges are cut, on how many there are, on threads or on machines. A sum
   by key is a sum of float64 in client order within one range. A sum that crosses ranges (by
   client, or by client and class of keys) is one of whole numbers. Every addend is rounded to a
   multiple of its unit before it is added, and no sum of them exceeds 2**52 units, so float64 adds
   them exactly, in any order. The units:
   - The unit of the squares of a client's votes is its peak vote squared, times 2**(b - 52), where
     2**b is above the number of rows of the largest client.
   - The unit of a client's votes times all clients' summed unit votes is 2**-52 of
     (clients * the largest norm of a client's votes), which bounds their sum (Cauchy-Schwarz).
   - The unit of the squared totals of a class of keys is 2**-52 of clients**2, which bounds their
     sum.
3. The ballots of a range (numbered keys and votes) are kept between steps where the range may keep
   them (`keep`) and there is `room`. Otherwise they are put into its `spill_file`. Without one,
   only the numbers are kept, if there is room for them, and votes are cast again from the rows.
   Otherwise everything is made again.

What it does not do: it neither cuts ranges (`segments.cuts`) nor decides how clients are weighed
(`aggregation.bounded_trust` drives the steps).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hyperfed.merge.ballots import agreement, by_client, class_squares, exact, peaks
from hyperfed.merge.eligible_voters import EligibleVoters
from hyperfed.merge.rows import MergeRule, merged_rows
from hyperfed.merge.segments import distinct, number, over
from hyperfed.merge.spill_file import Place, Room, SpillFile

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
# a vote is a whole number of its steps and, of what is left, one of its squared steps: products of
# two, added over a block, stay below UNITS
_GRID = 2.0**20
_BLOCK = 1 << 11  # keys, so that they do
# what grows with the rows or the clients of a range: of 100,000 clients the latter is more
_SPILLED = ("keys", "segment", "place", "vote", "pair", "rows", "client", "class_")

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Segments = npt.NDArray[np.int32] | npt.NDArray[np.uint16]
Partial = dict[str, Array]


class RangeRows(Protocol):
    """Gives the rows of all clients in one key range, one client after the other.

    Each client's keys ascend.
    """

    @property
    def rows(self) -> Ints:
        """The number of rows of each client, int64[clients]."""
        ...

    def keys(self) -> npt.NDArray[np.uint64]:
        """Return the key of each row, uint64[rows]."""
        ...

    def votes(self) -> Floats:
        """Return the vote of each row, float64[rows], finite, in a new array."""
        ...

    def column(self, name: str) -> Array:
        """Return one column, [rows], of any numeric type.

        `name` is effect, confidence, stability, n or hits.
        """
        ...

    def widths(self) -> Floats | None:
        """Return float64[rows]: ci_high - ci_low, 0 where it is unknown.

        The result is None where no row of the range has an interval.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Asks for the classes of a range, and for the rows and the peak vote of each client.

    The partial holds these arrays:

    - `codes` is int64[classes of the range], ascending.
    - `rows` is int64[clients], how many rows each has.
    - `peak` is float64[clients], the largest |vote| on keys that at least two clients could vote
      on.
    - `client` and `place` are int32[pairs], ascending: the pairs (client, position in `codes`) that
      have rows. Where there is one class, every client is a pair.
    """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Squares:
    """Asks for sums of powers of the votes, in units of whole numbers.

    The partial holds `square`, int64[pairs of the range], the squares summed by pair, and `cube`
    and `fourth`, int64[clients], the third and fourth powers of |vote| / peak.
    """

    factor: Floats
    """The factor of each client's votes, float64[clients], that puts their squares in units."""
    root: float
    """The square root of a unit: times `factor` it makes |vote| / peak of a vote."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Agreement:
    """Asks how far each client votes with the weighted totals of all.

    The total of a key is the sum of weight * scale * vote. The partial holds these arrays, in
    units:

    - `dot` is int64[pairs of the range], the sum of vote * total.
    - `square` is int64[classes of the range], the sum of total**2.
    """

    weight: Floats
    """How much each client counts, float64[clients]."""
    scale: Floats
    """What gives each client's votes a norm of 1, float64[clients]."""
    dot_units: float
    """How many units a total of 1 is, in `dot`."""
    square_units: float
    """How many units a squared total of 1 is, in `square`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerProducts:
    """Asks for the inner products of any two clients' votes, which must lie in [-1, 1].

    The partial holds `keys`, int64[1], the number of keys, and these of int64[clients, clients]:

    - `inner` in 2**-40 and `finer` in 2**-60 add up to the products of their votes.
    - `own`, in 2**-40, is the sum of the squared votes of the row's client on keys where the
      column's client could vote.
    - `joint` is the number of keys on which both could vote.
    """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Merge:
    """Asks for the merged columns of the range, `merge.rows.COLUMNS`.

    It is a range's last step, after which its ballots are dropped.
    """

    rule: MergeRule
    """What the merge keeps and computes."""
    weight: Floats
    """How much each client's votes count, float64[clients] >= 0."""
    whole: Floats
    """How much each client would count with its whole trust, float64[clients] >= `weight`."""


Step = Measure | Squares | Agreement | InnerProducts | Merge


class Ranges(Protocol):
    """Gives the ranges of a merge."""

    @property
    def eligible_voters(self) -> EligibleVoters:
        """The clients that could have voted on each key."""
        ...

    def map(self, step: Step) -> Iterator[Partial]:
        """Yield one partial for each range that has rows, in ascending order of keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _RangeBallot:
    """Holds the numbered keys and the votes of one range."""

    keys: npt.NDArray[np.uint64]
    """The distinct keys, uint64[keys], ascending."""
    segment: Segments
    """The position of each row's key, uint16[rows], or int32 where there are more keys."""
    rows: Ints
    """How many rows each client has, int64[clients]."""
    codes: Ints
    """The classes of the keys, int64[classes], ascending."""
    place: npt.NDArray[Any]
    """The position of each key's class in `codes`, [keys], of the smallest type."""
    vote: Floats
    """The vote of each row, float64[rows], 0 on keys that fewer than two could vote on. It has no
    rows where votes are to be cast again.
    """
    pair: npt.NDArray[np.int32] | None
    """The pair (client, class) of each row, int32[rows], or None where there is one class."""
    client: npt.NDArray[np.int32]
    """The client of each pair, int32[pairs]."""
    class_: npt.NDArray[np.int32]
    """The position of each pair's class in `codes`, int32[pairs]."""
    contested: bool
    """Whether at least two clients could vote on every key."""

    @property
    def numbers_bytes(self) -> int:
        """The bytes of all arrays but the votes."""
        return sum(
            array.nbytes
            for array in (getattr(self, name) for name in _SPILLED if name != "vote")
            if array is not None
        )


@dataclass(slots=True, kw_only=True, eq=False)
class RangeWork:
    """Does the work on one range, and keeps its ballots between steps."""

    load: Callable[[], RangeRows]
    """Reads the rows of the range."""
    eligible_voters: EligibleVoters
    """Who could have voted on which key."""
    keep: bool = True
    """Whether the ballots may stay in memory between steps."""
    room: Room | None = None
    """The memory for all ranges' ballots, or None where they may take as much as they need."""
    numbers: Room | None = None
    """The memory for the numbers of those ballots that did not fit, or None for no memory."""
    spill_file: SpillFile | None = None
    """Where ballots lie that do not fit, or None."""
    _ballot: _RangeBallot | None = field(default=None)
    _spilled: tuple[_RangeBallot, dict[str, Place]] | None = field(default=None)

    def do(self, step: Step) -> Partial:
        """Return what the step asks for of this range.

        The result is a pure function of the range's rows, the eligible voters and the step.
        """
        if isinstance(step, Merge):
            rows = self.load()
            ballot = self._ballot or self._fetched("keys", "segment")
            self._ballot = self._spilled = None
            keys, segment = (
                number(rows.keys())
                if ballot is None
                else (ballot.keys, ballot.segment.astype(np.int32, copy=False))
            )
            return merged_rows(
                step.rule, rows, keys, segment, self.eligible_voters, step.weight, step.whole
            )
        ballot = self._ballot or self._fetched()
        if ballot is None:
            ballot = self._cast()
            self._put_away(ballot)
        elif len(ballot.vote) < len(ballot.segment):
            ballot = replace(ballot, vote=self._votes(self.load(), ballot))
        if isinstance(step, Measure):
            peak = peaks(ballot.vote, ballot.rows)
            return {
                "codes": ballot.codes,
                "rows": ballot.rows,
                "peak": peak,
                "client": ballot.client,
                "place": ballot.class_,
            }
        if isinstance(step, Squares):
            units = ballot.vote * np.repeat(step.factor, ballot.rows)
            of_peak = np.abs(units) * step.root
            units *= units
            squares = self._by_pair(ballot, np.rint(units))
            units *= of_peak
            cubes = exact(by_client(np.rint(units), ballot.rows))
            units *= of_peak
            fourths = exact(by_client(np.rint(units, out=units), ballot.rows))
            return {"square": squares, "cube": cubes, "fourth": fourths}
        if isinstance(step, Agreement):
            factor, pairs = step.weight * step.scale, len(ballot.client)
            total, dot = agreement(
                ballot.segment,
                ballot.vote,
                ballot.rows,
                factor,
                len(ballot.keys),
                step.dot_units,
                ballot.pair,
                pairs,
            )
            square = class_squares(total, ballot.place, len(ballot.codes), step.square_units)
            return {"dot": dot, "square": exact(square)}
        return _inner_products(
            ballot, ballot.vote if ballot.contested else self.load().votes(), self.eligible_voters
        )

    def forget_votes(self) -> None:
        """Drop the votes, which a merge does not need."""
        if self._ballot is not None:
            self._ballot = replace(self._ballot, vote=np.zeros(0))

    def _put_away(self, ballot: _RangeBallot) -> None:
        """Keep the ballot in memory or in the spill file, only its numbers, or nothing (rule 3)."""
        numbers = ballot.numbers_bytes
        if self.keep and (self.room is None or self.room.take(numbers + ballot.vote.nbytes)):
            self._ballot = ballot
        elif self.spill_file is not None:
            large = [name for name in _SPILLED if getattr(ballot, name) is not None]
            nothing: dict[str, Any] = dict.fromkeys(large, np.zeros(0))
            places = self.spill_file.put([getattr(ballot, name) for name in large])
            self._spilled = (replace(ballot, **nothing), dict(zip(large, places, strict=True)))
        elif self.numbers is not None and self.numbers.take(numbers):
            self._ballot = replace(ballot, vote=np.zeros(0))

    def _fetched(self, *names: str) -> _RangeBallot | None:
        """Return the ballot from the spill file, with the named arrays or, without names, with all.

        The result is None where nothing was put there.
        """
        if self._spilled is None or self.spill_file is None:
            return None
        small, places = self._spilled
        columns = names or tuple(places)
        large: dict[str, Any] = dict(
            zip(columns, self.spill_file.get([places[name] for name in columns]), strict=True)
        )
        return replace(small, **large)

    def _votes(self, rows: RangeRows, ballot: _RangeBallot) -> Floats:
        """Return float64[rows]: the votes, 0 on keys that fewer than two could vote on."""
        vote = rows.votes()
        if not ballot.contested:
            contested = self.eligible_voters.members(ballot.codes).sum(axis=0) >= 2
            vote[~contested[ballot.place][ballot.segment]] = 0.0
        return vote

    @staticmethod
    def _by_pair(ballot: _RangeBallot, units: Floats) -> Ints:
        """Return int64[pairs]: whole numbers, summed by pair."""
        if ballot.pair is None:
            return exact(by_client(units, ballot.rows))
        return exact(
            np.asarray(np.bincount(ballot.pair, units, len(ballot.client)), dtype=np.float64)
        )

    def _cast(self) -> _RangeBallot:
        """Number the keys of the range and cast the votes of its rows."""
        rows = self.load()
        counts = rows.rows
        keys, numbered = number(rows.keys())
        segment = numbered.astype(np.uint16) if len(keys) <= 1 << 16 else numbered
        codes, place = distinct(self.eligible_voters.classes(keys))
        everywhere = bool((self.eligible_voters.members(codes).sum(axis=0) >= 2).all())
        clients = np.arange(len(counts), dtype=np.int32)
        pair, client, class_ = None, clients, np.zeros_like(clients)
        if len(codes) > 1:
            pairs, of_row = distinct(
                np.repeat(clients.astype(np.int64) * len(codes), counts) + place[numbered]
            )
            pair = of_row.astype(np.int32)
            client, class_ = (part.astype(np.int32) for part in np.divmod(pairs, len(codes)))
        numbers = _RangeBallot(
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
    """Works on the ranges of this process, two at a time."""

    works: Sequence[RangeWork]
    """The ranges, by ascending keys."""
    eligible_voters: EligibleVoters
    """Who could have voted on which key."""

    def map(self, step: Step) -> Iterator[Partial]:
        if isinstance(step, Merge):
            for work in self.works:
                work.forget_votes()
        return over(lambda work: work.do(step), self.works)


def _inner_products(ballot: _RangeBallot, vote: Floats, eligible_voters: EligibleVoters) -> Partial:
    """Return the partial of `InnerProducts`, from a block of keys at a time."""
    n = eligible_voters.clients
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
        could = eligible_voters.members(ballot.codes[ballot.place[first:last]]).astype(np.float64)
        coarse = np.rint(block * _GRID)
        cross = coarse @ np.rint((block * _GRID - coarse) * _GRID).T
        sums["inner"] += exact(coarse @ coarse.T)
        sums["finer"] += exact(cross + cross.T)
        sums["own"] += exact(np.rint(block * block * _GRID * _GRID) @ could.T)
        sums["joint"] += exact(could @ could.T)
    return sums | {"keys": np.array([len(ballot.keys)])}
