"""Bounded trust: how much a client counts, from how far it agrees with the others.

1. Agreement of a client: the cosine, over the edges it could measure, of its votes with the leave-one-out weighted mean of the others'
   unit-norm votes. An edge that no other client could have voted on says nothing about it and is left out of its norm.
2. Weight 1 at or above the median agreement, falling linearly to 0 at max(0, median - 3 * MAD), MAD = 1.4826 * median absolute deviation
   + 0.02. Eight iterations. Fewer than three clients that can be compared: all 1. Who shouts is not heard (ADR 0013): the iteration starts from
   `loudness.attention`, and a positive agreement is multiplied with it before it is weighed. What is reported is the cosine.
3. At least half of the clients keep weight 1 in every iteration: it cannot collapse, and a minority below half cannot set the median.
4. A client that shares no measurable edge with others cannot be compared: it keeps weight 1 and does not enter the median.
5. Where organisation caps leave a client less than a whole share, it counts by its share in means and medians: many clients of one are one.

O(rows) an iteration, on columns: with T = sum over clients of w u by key, the leave-one-out mean of client i is (T - w_i u_i) / (W - w_i), W the
voters' weight, so that only sum u_i T by client and class of keys is needed. Sums run in client order.

Source: DESIGN section 5. It carries no privacy label (DESIGN section 6), and it does not detect a majority that lies alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.loudness import attention, share_quantile
from hyperfed.errors import AggregationError
from hyperfed.merge.electorate import Electorate, PatternElectorate, blocks, summed
from hyperfed.merge.ranges import UNITS, Agreement, Measure, Partial, Ranges, Squares
from hyperfed.merge.segments import ROWS_A_PART, distinct
from hyperfed.merge.tables import vote_ranges

__all__ = ["ITERATIONS", "Trust", "bounded_trust", "bounded_trust_dense", "trust_of", "trust_weights"]

ITERATIONS = 8
_TIE = 1e-9  # agreements this close to the median are at it: rounding must not decide about a whole weight
_FEW = 8  # classes of keys whose terms are added for all clients at once
_NOBODY = 1e-9  # a summed weight at or below this is rounding: no other client with weight could vote

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trust:
    """weight: float64[clients] in [0, 1]; agreement: float64[clients] in [-1, 1], the cosine with the others at the last weights but one;
    comparable: bool[clients], whether anyone else could vote on an edge that the client could vote on; size: float64[clients] >= 0, how loud its votes are
    (`loudness`, rule 1), 1 where nobody was compared."""

    weight: Floats
    agreement: Floats
    comparable: Bools
    size: Floats


def trust_weights(agreement: Floats, comparable: Bools | None = None, shares: Floats | None = None) -> Floats:
    """float64[clients] in [0, 1] from agreements (rule 2 above); `comparable`: bool[clients], all True where None; shares: float64[clients] > 0, how much
    each counts in the medians (rule 5), 1 where None."""
    weight = np.ones(len(agreement))
    known = np.ones(len(agreement), dtype=bool) if comparable is None else comparable
    if known.sum() < 3:
        return weight
    part = None if shares is None else shares[known]
    median = share_quantile(agreement[known], 0.5, part)
    mad = 1.4826 * share_quantile(np.abs(agreement[known] - median), 0.5, part) + 0.02
    floor = max(0.0, median - 3.0 * mad)
    if median > floor + _TIE:
        weight[known] = np.clip((agreement[known] - floor) / (median - floor), 0.0, 1.0)
    else:
        weight[known] = agreement[known] >= median - _TIE
    return weight


def bounded_trust(
    keys: Sequence[npt.NDArray[np.uint64]], votes: Sequence[Floats], electorate: Electorate, *, shares: Floats | None = None, rows_a_range: int = ROWS_A_PART
) -> Trust:
    """The clients' weights from their votes on keys; not reporting a key is a vote of 0 by those who, says `electorate`, could have.

    keys: for each client uint64[rows], strictly ascending; votes: for each client float64[rows], finite;
    shares: float64[clients] in (0, 1], what organisation caps leave of each client, 1 where None.
    Raises AggregationError where the numbers of clients differ.
    """
    clients = electorate.clients
    if len(keys) != clients or len(votes) != clients:
        raise AggregationError(f"{len(keys)} clients' keys, {len(votes)} clients' votes, an electorate of {clients}", subject="bounded trust")
    return trust_of(vote_ranges(keys, votes, electorate, rows_a_range=rows_a_range), shares=shares)


def trust_of(ranges: Ranges, *, shares: Floats | None = None) -> Trust:
    """The same from ranges of rows, wherever they lie. shares: as in `bounded_trust`."""
    clients = ranges.electorate.clients
    measured = _Measured(clients=clients)
    for part in ranges.map(Measure()):
        measured.add(part)
    codes, _ = distinct(np.concatenate([np.zeros(0, np.int64), *measured.codes]))
    comparable, contested = _contested(ranges.electorate, codes)
    if comparable.sum() < 3:
        return Trust(weight=np.ones(clients), agreement=np.zeros(clients), comparable=comparable, size=np.ones(clients))
    ballot = _Ballot(ranges, codes, contested, measured)
    heard = np.ones(clients)
    heard[comparable] = attention(ballot.size[comparable], None if shares is None else shares[comparable])
    weight = heard
    agreement = np.zeros(clients)
    for _ in range(ITERATIONS):
        agreement = ballot.agreement(weight if shares is None else weight * shares)
        weight = trust_weights(np.where(agreement > 0, agreement * heard, agreement), comparable, shares)
    return Trust(weight=weight, agreement=agreement, comparable=comparable, size=ballot.size)


def bounded_trust_dense(votes: Floats, measured: Bools | None = None) -> Trust:
    """The same for a matrix. votes: float64[clients, edges], finite; measured: bool[clients, edges], who could vote (None: all). Raises AggregationError."""
    could = np.ones(votes.shape, dtype=bool) if measured is None else measured
    if votes.ndim != 2 or could.shape != votes.shape or not np.isfinite(votes).all() or (votes[~could] != 0).any():
        problem = f"votes {votes.shape} and measured {could.shape} must be matrices of one shape, finite, with votes only where measured"
        raise AggregationError(problem, subject="bounded trust")
    edges = np.arange(votes.shape[1], dtype=np.uint64)
    cast = [vote[row] for vote, row in zip(votes, could, strict=True)]
    return bounded_trust([edges[row] for row in could], cast, PatternElectorate(could.T))


def _contested(electorate: Electorate, codes: Ints) -> tuple[Bools, Bools]:
    """(bool[clients]: could vote on something that another could vote on, bool[codes]: at least two could vote)."""
    comparable, contested = np.zeros(electorate.clients, dtype=bool), np.zeros(len(codes), dtype=bool)
    for at, members in blocks(electorate, codes):
        contested[at] = members.sum(axis=0) >= 2
        comparable |= members[:, contested[at]].any(axis=1)
    return comparable, contested


@dataclass(slots=True, kw_only=True)
class _Measured:
    """What `Measure` says of all ranges. rows: int64[clients]; peak: float64[clients]; of each range its codes, and the pairs that have rows (client, place of
    the class among its codes), None where it has one class: then every client is one."""

    clients: int
    rows: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    peak: Floats = field(default_factory=lambda: np.zeros(0))
    codes: list[Ints] = field(default_factory=list)
    pairs: list[tuple[npt.NDArray[Any], npt.NDArray[Any]] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows, self.peak = np.zeros(self.clients, dtype=np.int64), np.zeros(self.clients)

    def add(self, part: Partial) -> None:
        self.rows += part["rows"]
        np.maximum(self.peak, part["peak"], out=self.peak)
        self.codes.append(part["codes"])
        self.pairs.append(None if len(part["codes"]) == 1 else (part["client"], part["place"]))


class _Ballot:
    """What the iterations need of all ranges, by (client, class of keys) pairs that have rows, and what does not change between them."""

    def __init__(self, ranges: Ranges, codes: Ints, contested: Bools, measured: _Measured) -> None:
        self.ranges, self.codes, self.contested = ranges, codes, contested
        clients, classes = ranges.electorate.clients, len(codes)
        rows, peak = measured.rows, measured.peak
        self.class_at = [np.searchsorted(codes, own) for own in measured.codes]  # of each range, its classes among all
        self.pairs = np.arange(clients)
        self.pair_at: list[Ints | slice] = [slice(None)] * len(self.class_at)  # of each range, its pairs among all
        if classes > 1:
            everyone, one = np.arange(clients), np.zeros(clients, dtype=np.int64)
            spread = ((everyone, one) if own is None else own for own in measured.pairs)
            pairs = [client.astype(np.int64) * classes + at[place] for (client, place), at in zip(spread, self.class_at, strict=True)]
            self.pairs = distinct(np.concatenate(pairs))[0]
            self.pair_at = [np.searchsorted(self.pairs, own) for own in pairs]
        self.pair_client, self.pair_class = np.divmod(self.pairs, classes)
        bits = int(rows.max(initial=0)).bit_length()
        bits += bits % 2
        unit = 2.0**bits / UNITS
        factor = np.where(peak > 0, 1.0 / (np.sqrt(unit) * np.where(peak > 0, peak, 1.0)), 0.0)
        units = np.zeros(len(self.pairs), dtype=np.int64)
        for part, places in zip(ranges.map(Squares(factor=factor)), self.pair_at, strict=True):
            units[places] += part["square"]
        square = units * unit * (peak * peak)[self.pair_client]
        norm = np.sqrt(np.bincount(self.pair_client, square, clients))
        usual = np.bincount(self.pair_class, square, classes)  # the sum over a class's keys of the mean square vote of those who could vote
        expected = np.zeros(clients)
        for at, members in blocks(ranges.electorate, codes):
            of_class = usual[at] / np.maximum(members.sum(axis=0), 1)
            expected += np.cumsum(members * of_class, axis=1)[:, -1]
        self.size = np.where(expected > 0, norm / np.sqrt(np.where(expected > 0, expected, 1.0)), 0.0)  # `loudness`, rule 1
        self.scale = np.where(norm > 0, 1.0 / np.where(norm > 0, norm, 1.0), 0.0)
        self.dot_units = UNITS / (clients * (float(norm.max(initial=0.0)) or 1.0))
        self.square_units = UNITS / clients**2
        self.own = square * (self.scale * self.scale)[self.pair_client]  # sum of u² by pair

    def agreement(self, weight: Floats) -> Floats:
        """float64[clients] in [-1, 1]: rule 1 at these weights; 0 for a client without votes or where the others have none."""
        clients, classes = len(weight), len(self.codes)
        dot_total, square_total = np.zeros(len(self.pairs), dtype=np.int64), np.zeros(classes, dtype=np.int64)
        step = Agreement(weight=weight, scale=self.scale, dot_units=self.dot_units, square_units=self.square_units)
        for part, pair_at, class_at in zip(self.ranges.map(step), self.pair_at, self.class_at, strict=True):
            dot_total[pair_at] += part["dot"]
            square_total[class_at] += part["square"]
        with_total = dot_total / self.dot_units * self.scale[self.pair_client]  # sum of u T by pair
        total_square = square_total / self.square_units  # sum of T² by class
        voters = np.zeros(classes)
        square = np.zeros(clients)  # of the leave-one-out mean; here from T alone, each client's own votes are taken out below
        for at, members in blocks(self.ranges.electorate, self.codes):
            voters[at] = summed(members, weight)
            of_contested = np.where(self.contested[at], total_square[at], 0.0)
            if len(of_contested) <= _FEW:
                left = voters[at] - weight[:, None]
                left[left <= _NOBODY] = np.inf
                left *= left
                each = np.where(members, of_contested / left, 0.0)  # a term of 0 adds nothing to a sum of what is not negative
                square += np.cumsum(each, axis=1)[:, -1]
                continue
            shares: dict[float, Floats] = {}  # by the client's own weight: at least half of the clients have weight 1
            for client, (member, own) in enumerate(zip(members, weight.tolist(), strict=True)):
                if own not in shares:
                    left = voters[at] - own
                    left[left <= _NOBODY] = np.inf
                    left *= left
                    shares[own] = of_contested / left
                mine_only = shares[own][member]
                square[client] += np.cumsum(mine_only)[-1] if len(mine_only) else 0.0  # cumsum adds one after the other
        rounding = 1e-12 * square
        mine = weight[self.pair_client]
        others = voters[self.pair_class] - mine
        inverse = np.divide(1.0, others, out=np.zeros(len(others)), where=(others > _NOBODY) & self.contested[self.pair_class])
        dot = np.bincount(self.pair_client, (with_total - mine * self.own) * inverse, clients)
        square += np.bincount(self.pair_client, (mine * self.own - 2.0 * with_total) * mine * inverse * inverse, clients)
        known = square > rounding
        return np.clip(np.where(known, dot / np.sqrt(np.where(known, square, 1.0)), 0.0), -1.0, 1.0)
