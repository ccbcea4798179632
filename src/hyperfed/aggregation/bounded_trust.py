"""Compute bounded trust: how much a client counts, from how far its votes contradict the others'.

1. The agreement of a client is the cosine of its votes with the leave-one-out weighted mean of the
   others' unit-norm votes, over the edges that it could measure. An edge that no other client could
   have voted on says nothing about the client and is left out of its norm. Where the others' votes
   cancel, what rounding leaves of them says nothing either: the cosine then falls to 0.
2. What is expected of a client is the median agreement, times what its data allow: the larger of
   the eighth root of its sample count and its sureness, each relative to the median's and at most
   1. Sureness is the mean |vote|, weighted by the squared votes: a client that says less, or says
      it less surely, is held to less and moves less. A client that casts no vote is not assessed:
      silence is no contradiction.
3. A weight is 1 down to what is expected. Below, it falls linearly to 0, which it reaches 3 spreads
   further down. The spread is MAD = 1.4826 * median absolute deviation + 0.02 of the shortfalls
   (of n < 8 clients 0.02 (8 / n)², as so few hardly show a spread), and the standard deviation of a
   chance cosine for the part that the client's data do not allow, sqrt((1 - allowed) sum vote⁴ /
   (sum vote²)²), added as squares. Where the median agreement is beyond chance, an agreement that
   only chance explains has no weight: weights reach 0 at 0, or at the client's own chance below it.
   There are eight iterations. With fewer than three clients that are assessed, all weights are 1.
4. Clients that vote too loudly for their sample count are not heard (`loudness`, ADR 0077). The
   iteration starts from each client's attention. A positive agreement is multiplied with the
   attention before it is weighed, and no weight exceeds the attention. The agreement that is
   reported is the cosine.
5. Groups (baskets) of three assessed clients are assessed among themselves: what a domain
   shares is no contradiction. Others are assessed among all.
6. At least half of the clients keep their whole attention in every iteration, and some of them are
   heard. So trust cannot collapse, and a minority below half cannot set the median.
7. A client that shares no measurable edge with others cannot be compared: it keeps weight 1 and
   does not enter the median.
8. Where organisation caps leave a client less than a whole share, it counts by its share in means
   and medians: many clients of one organisation count as one.

`trust_weights` is the same for vectors, which have no sample count and no sureness: a weight is 1
at or above the median agreement and falls to 0 at max(0, median - 3 MAD).

An iteration costs O(rows), on columns. With T = sum over clients of w u by key, the leave-one-out
mean of client i is (T - w_i u_i) / (W - w_i), where W is the voters' weight, so that only sum u_i T
by client and class of keys is needed. Sums run in client order.

The rule is this project's own (ADR 0077). What it does not do: it carries no privacy label, and it
does not detect a majority, or a group, that tells the same lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.loudness import attention, share_quantile
from hyperfed.errors import AggregationError
from hyperfed.merge.eligible_voters import EligibleVoters, PatternVoters, blocks, summed
from hyperfed.merge.ranges import UNITS, Agreement, Measure, Partial, Ranges, Squares
from hyperfed.merge.segments import ROWS_A_PART, distinct
from hyperfed.merge.tables import vote_ranges

__all__ = [
    "ITERATIONS",
    "Trust",
    "bounded_trust",
    "bounded_trust_dense",
    "trust_of",
    "trust_weights",
    "vote_weights",
]

ITERATIONS = 8
# agreements this close to the median are at it: rounding must not decide about a whole weight
_TIE = 1e-9
_MANY = 8  # clients from which their spread can be measured
_FEW = 8  # classes of keys whose terms are added for all clients at once
# the squared length of the others' mean, which is 1 where all agree and 1 / clients where nobody
# does: far below it, their votes cancel, and what is left says nothing
_NOTHING = 1e-12
# a summed weight at or below this is rounding: no other client with weight could vote
_NOBODY = 1e-9

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Votes:
    """Holds what a client's votes and its data let one expect of it. All columns are [clients]."""

    sureness: Floats
    """The mean |vote|, weighted by the squared votes, in [0, 1]; 0 where it casts none."""
    concentration: Floats
    """One over the number of equal votes that would be as uneven: sum vote⁴ / (sum vote²)²."""
    size: Floats
    """The eighth root of the sample count relative to the median's, 1 where it is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trust:
    """Holds how much each client counts, and why."""

    weight: Floats
    """The weight of each client, float64[clients] in [0, 1]."""
    agreement: Floats
    """The cosine of each client with the others, float64[clients] in [-1, 1], at the weights before
    the last step.
    """
    comparable: Bools
    """Whether anyone else could vote on an edge that the client could vote on, bool[clients]."""
    size: Floats
    """How loud each client's votes are (`loudness`, rule 1), float64[clients] >= 0. It is 1 where
    nobody was compared.
    """
    assessed: Bools
    """Whether the client's votes say anything about it, bool[clients].

    It casts some, and most of those that it is assessed among agree beyond chance, or are left
    without a weight because they contradict them by as much.
    """


def trust_weights(
    agreement: Floats, comparable: Bools | None = None, shares: Floats | None = None
) -> Floats:
    """Return the weights that follow from agreements of vectors, float64[clients] in [0, 1].

    `comparable` is bool[clients], all True where it is None. `shares` is float64[clients] > 0, how
    much each client counts in the medians (rule 8), 1 where it is None.
    """
    weight = np.ones(len(agreement))
    is_comparable = np.ones(len(agreement), dtype=bool) if comparable is None else comparable
    if is_comparable.sum() < 3:
        return weight
    part = None if shares is None else shares[is_comparable]
    median = share_quantile(agreement[is_comparable], 0.5, part)
    mad = 1.4826 * share_quantile(np.abs(agreement[is_comparable] - median), 0.5, part) + 0.02
    floor = max(0.0, median - 3.0 * mad)
    if median > floor + _TIE:
        weight[is_comparable] = np.clip(
            (agreement[is_comparable] - floor) / (median - floor), 0.0, 1.0
        )
    else:
        weight[is_comparable] = agreement[is_comparable] >= median - _TIE
    return weight


def vote_weights(
    agreement: Floats, votes: "Votes", assessed: Bools, shares: Floats | None = None
) -> tuple[Floats, bool]:
    """Return the weights that follow from agreements of votes (rules 2 and 3), in [0, 1].

    The second value says whether clients agree beyond chance: all but the lowest 35 % reach the
    standard deviation of a chance cosine. A client that is left without a weight because it
    contradicts the others by as much counts as one of them: many liars do not stop the others from
    being believed. Where a minority agrees with itself in noise, an agreement is evidence of
    nothing.

    `agreement` is float64[clients]. `assessed` is bool[clients], and `shares` is as in
    `trust_weights`. The weight of who is not assessed is 1.
    """
    if assessed.sum() < 3:
        return np.ones(len(agreement)), False
    part = None if shares is None else shares[assessed]

    def median(values: Floats) -> float:
        return share_quantile(values[assessed], 0.5, part)

    usual = median(agreement)
    allowed = np.minimum(np.maximum(votes.sureness / median(votes.sureness), votes.size), 1.0)
    expected = allowed * max(0.0, usual)
    short = agreement - expected
    centre = median(short)
    few = max(1.0, _MANY / int(assessed.sum()))
    mad = 1.4826 * median(np.abs(short - centre)) + 0.02 * few * few
    top = expected + min(centre, 0.0)
    chance = 3.0 * np.sqrt((1.0 - allowed) * votes.concentration)
    floor = expected + centre - np.sqrt(9.0 * mad * mad + chance * chance)
    beyond = min(max(2.0 * usual / float(np.sqrt(median(votes.concentration))) - 1.0, 0.0), 1.0)
    floor = floor + beyond * np.maximum(0.0, -chance - floor)
    wide = top > floor + _TIE
    fallen = np.clip((agreement - floor) / np.where(wide, top - floor, 1.0), 0.0, 1.0)
    weight = np.where(assessed, np.where(wide, fallen, agreement >= top - _TIE), 1.0)
    clear = np.where(weight > 0, agreement, np.abs(agreement))
    most = share_quantile(clear[assessed], 0.35, part)
    return weight, most >= float(np.sqrt(median(votes.concentration)))


def bounded_trust(
    keys: Sequence[npt.NDArray[np.uint64]],
    votes: Sequence[Floats],
    eligible_voters: EligibleVoters,
    *,
    shares: Floats | None = None,
    rows_a_range: int = ROWS_A_PART,
) -> Trust:
    """Return the trust in each client, from the clients' votes on keys.

    Not reporting a key is a vote of 0 by those who could have voted on it (`eligible_voters`).

    `keys` is for each client uint64[rows], strictly ascending. `votes` is for each client
    float64[rows], finite. `shares` is float64[clients] in (0, 1], what organisation caps leave of
    each client, 1 where it is None. Raises AggregationError where the numbers of clients differ.
    """
    clients = eligible_voters.clients
    if len(keys) != clients or len(votes) != clients:
        raise AggregationError(
            f"{len(keys)} clients' keys, {len(votes)} clients' votes, {clients} eligible voters",
            subject="bounded trust",
        )
    return trust_of(
        vote_ranges(keys, votes, eligible_voters, rows_a_range=rows_a_range), shares=shares
    )


def trust_of(
    ranges: Ranges,
    *,
    shares: Floats | None = None,
    samples: Floats | None = None,
    groups: Ints | None = None,
) -> Trust:
    """Return the same as `bounded_trust` from ranges of rows, wherever they lie.

    `shares` is as in `bounded_trust`. `samples` is float64[clients], each client's sample count, 0
    where it is unknown; None: all are alike. `groups` is int64[clients], the number of each
    client's group (rule 5); None: there is one.
    """
    clients = ranges.eligible_voters.clients
    measured = _Measured(clients=clients)
    for part in ranges.map(Measure()):
        measured.add(part)
    codes, _ = distinct(np.concatenate([np.zeros(0, np.int64), *measured.codes]))
    comparable, contested = _contested(ranges.eligible_voters, codes)
    if comparable.sum() < 3:
        return Trust(
            weight=np.ones(clients),
            agreement=np.zeros(clients),
            comparable=comparable,
            size=np.ones(clients),
            assessed=np.zeros(clients, dtype=bool),
        )
    ballot = _RoundBallot(ranges, codes, contested, measured)
    weight, agreement = np.ones(clients), np.zeros(clients)
    assessed = comparable & (ballot.sureness > 0)
    heard = np.ones(clients)
    whole = np.ones(clients) if shares is None else shares
    circles = _circles(assessed, groups)
    votes = []
    for inside, among in circles:
        compared = among & comparable
        more = _relative(samples, compared, shares)
        counts = None if shares is None else shares[compared]
        attentions = np.ones(clients)
        attentions[compared] = attention(ballot.size[compared], counts, np.sqrt(more[compared]))
        heard[inside] = attentions[inside]
        votes.append(
            Votes(
                sureness=ballot.sureness,
                concentration=ballot.concentration,
                size=np.sqrt(np.sqrt(np.sqrt(more))),
            )
        )
    weight = heard
    beyond = np.zeros(clients, dtype=bool)
    for _ in range(ITERATIONS):
        fresh = np.ones(clients)
        for (inside, among), cast in zip(circles, votes, strict=True):
            agrees = ballot.agreement(np.where(among, weight, 0.0) * whole)
            agreement[inside] = agrees[inside]
            weighed = np.where(agrees > 0, agrees * heard, agrees)
            fell, is_beyond = vote_weights(weighed, cast, assessed & among, shares)
            fresh[inside], beyond[inside] = fell[inside], is_beyond
        weight = np.minimum(fresh, heard)
    return Trust(
        weight=weight,
        agreement=agreement,
        comparable=comparable,
        size=ballot.size,
        assessed=assessed & beyond,
    )


def _circles(assessed: Bools, groups: Ints | None) -> list[tuple[Bools, Bools]]:
    """Return who is assessed together, and among whom: two bool[clients] each (rule 5)."""
    everyone = np.ones(len(assessed), dtype=bool)
    if groups is None:
        return [(everyone, everyone)]
    circles = [
        (groups == group, groups == group)
        for group in np.unique(groups).tolist()
        if (assessed & (groups == group)).sum() >= 3
    ]
    rest = everyone.copy()
    for inside, _ in circles:
        rest &= ~inside
    return [*circles, (rest, everyone)] if rest.any() else circles


def _relative(samples: Floats | None, among: Bools, shares: Floats | None) -> Floats:
    """Return float64[clients]: the sample counts relative to the median of those in `among`.

    It is 1 where a count is unknown.
    """
    if samples is None:
        return np.ones(len(among))
    has_samples = among & (samples > 0)
    if not has_samples.any():
        return np.ones(len(among))
    usual = share_quantile(
        samples[has_samples], 0.5, None if shares is None else shares[has_samples]
    )
    return np.where(samples > 0, samples / usual, 1.0)


def bounded_trust_dense(votes: Floats, measured: Bools | None = None) -> Trust:
    """Return the same as `bounded_trust` for a matrix of votes.

    `votes` is float64[clients, edges], finite. `measured` is bool[clients, edges], who could vote
    on what; where it is None, everybody could. Raises AggregationError where a shape differs, a
    vote is not finite, or a client votes on what it did not measure.
    """
    could = np.ones(votes.shape, dtype=bool) if measured is None else measured
    if (
        votes.ndim != 2
        or could.shape != votes.shape
        or not np.isfinite(votes).all()
        or (votes[~could] != 0).any()
    ):
        problem = (
            f"votes {votes.shape} and measured {could.shape} must be matrices of one "
            "shape, finite, with votes only where measured"
        )
        raise AggregationError(problem, subject="bounded trust")
    edges = np.arange(votes.shape[1], dtype=np.uint64)
    cast = [vote[row] for vote, row in zip(votes, could, strict=True)]
    return bounded_trust([edges[row] for row in could], cast, PatternVoters(could.T))


def _contested(eligible_voters: EligibleVoters, codes: Ints) -> tuple[Bools, Bools]:
    """Return which clients can be compared, and which classes of keys are contested.

    The arrays are bool[clients] and bool[codes]. A class is contested where at least two clients
    could vote on it. A client can be compared where it could vote on a contested class.
    """
    comparable, contested = (
        np.zeros(eligible_voters.clients, dtype=bool),
        np.zeros(len(codes), dtype=bool),
    )
    for at, members in blocks(eligible_voters, codes):
        contested[at] = members.sum(axis=0) >= 2
        comparable |= members[:, contested[at]].any(axis=1)
    return comparable, contested


@dataclass(slots=True, kw_only=True)
class _Measured:
    """Collects the partials that `Measure` gives for all ranges."""

    clients: int
    """The number of clients."""
    rows: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """How many rows each client has, int64[clients]."""
    peak: Floats = field(default_factory=lambda: np.zeros(0))
    """The largest |vote| of each client, float64[clients]."""
    codes: list[Ints] = field(default_factory=list)
    """The classes of each range."""
    pairs: list[tuple[npt.NDArray[Any], npt.NDArray[Any]] | None] = field(default_factory=list)
    """For each range, the pairs that have rows: the client, and the position of the class among the
    range's classes. It is None for a range of one class, where every client is a pair.
    """

    def __post_init__(self) -> None:
        self.rows, self.peak = np.zeros(self.clients, dtype=np.int64), np.zeros(self.clients)

    def add(self, part: Partial) -> None:
        """Add the partial of the next range."""
        self.rows += part["rows"]
        np.maximum(self.peak, part["peak"], out=self.peak)
        self.codes.append(part["codes"])
        self.pairs.append(None if len(part["codes"]) == 1 else (part["client"], part["place"]))


class _RoundBallot:
    """Holds what the iterations need of all ranges and what stays the same between them.

    It is held by the (client, class of keys) pairs that have rows.
    """

    def __init__(self, ranges: Ranges, codes: Ints, contested: Bools, measured: _Measured) -> None:
        self.ranges, self.codes, self.contested = ranges, codes, contested
        clients, classes = ranges.eligible_voters.clients, len(codes)
        rows, peak = measured.rows, measured.peak
        # of each range, its classes among all
        self.class_at = [np.searchsorted(codes, indices) for indices in measured.codes]
        self.pairs = np.arange(clients)
        # of each range, its pairs among all
        self.pair_at: list[Ints | slice] = [slice(None)] * len(self.class_at)
        if classes > 1:
            everyone, one = np.arange(clients), np.zeros(clients, dtype=np.int64)
            spread = ((everyone, one) if indices is None else indices for indices in measured.pairs)
            pairs = [
                client.astype(np.int64) * classes + at[place]
                for (client, place), at in zip(spread, self.class_at, strict=True)
            ]
            self.pairs = distinct(np.concatenate(pairs))[0]
            self.pair_at = [np.searchsorted(self.pairs, indices) for indices in pairs]
        self.pair_client, self.pair_class = np.divmod(self.pairs, classes)
        bits = int(rows.max(initial=0)).bit_length()
        bits += bits % 2
        unit = 2.0**bits / UNITS
        factor = np.where(peak > 0, 1.0 / (np.sqrt(unit) * np.where(peak > 0, peak, 1.0)), 0.0)
        units = np.zeros(len(self.pairs), dtype=np.int64)
        cube, fourth = (np.zeros(clients, dtype=np.int64) for _ in range(2))
        step = Squares(factor=factor, root=float(np.sqrt(unit)))
        for part, places in zip(ranges.map(step), self.pair_at, strict=True):
            units[places] += part["square"]
            cube += part["cube"]
            fourth += part["fourth"]
        square = units * unit * (peak * peak)[self.pair_client]
        norm = np.sqrt(np.bincount(self.pair_client, square, clients))
        of_peak = np.bincount(self.pair_client, units, clients)
        voted = of_peak > 0
        of_peak = np.where(voted, of_peak, 1.0)
        self.sureness = np.where(voted, np.minimum(peak * (cube / of_peak), 1.0), 0.0)
        self.concentration = np.where(voted, fourth / of_peak / of_peak / unit, 0.0)
        # the sum over a class's keys of the mean square vote of those who could vote
        usual = np.bincount(self.pair_class, square, classes)
        expected = np.zeros(clients)
        for at, members in blocks(ranges.eligible_voters, codes):
            of_class = usual[at] / np.maximum(members.sum(axis=0), 1)
            expected += np.cumsum(members * of_class, axis=1)[:, -1]
        # `loudness`, rule 1
        self.size = np.where(
            expected > 0, norm / np.sqrt(np.where(expected > 0, expected, 1.0)), 0.0
        )
        self.scale = np.where(norm > 0, 1.0 / np.where(norm > 0, norm, 1.0), 0.0)
        self.dot_units = UNITS / (clients * (float(norm.max(initial=0.0)) or 1.0))
        self.square_units = UNITS / clients**2
        self.own = square * (self.scale * self.scale)[self.pair_client]  # sum of u² by pair

    def agreement(self, weight: Floats) -> Floats:
        """Return each client's agreement at these weights (rule 1), float64[clients] in [-1, 1].

        It is 0 for a client without votes, and where the others have none.
        """
        clients, classes = len(weight), len(self.codes)
        dot_total = np.zeros(len(self.pairs), dtype=np.int64)
        square_total = np.zeros(classes, dtype=np.int64)
        step = Agreement(
            weight=weight,
            scale=self.scale,
            dot_units=self.dot_units,
            square_units=self.square_units,
        )
        for part, pair_at, class_at in zip(
            self.ranges.map(step), self.pair_at, self.class_at, strict=True
        ):
            dot_total[pair_at] += part["dot"]
            square_total[class_at] += part["square"]
        with_total = dot_total / self.dot_units * self.scale[self.pair_client]  # sum of u T by pair
        total_square = square_total / self.square_units  # sum of T² by class
        voters = np.zeros(classes)
        # of the leave-one-out mean; here from T alone, each client's own votes are taken out below
        square = np.zeros(clients)
        for at, members in blocks(self.ranges.eligible_voters, self.codes):
            voters[at] = summed(members, weight)
            of_contested = np.where(self.contested[at], total_square[at], 0.0)
            if len(of_contested) <= _FEW:
                others_weight = voters[at] - weight[:, None]
                others_weight[others_weight <= _NOBODY] = np.inf
                others_weight *= others_weight
                # a term of 0 adds nothing to a sum of what is not negative
                each = np.where(members, of_contested / others_weight, 0.0)
                square += np.cumsum(each, axis=1)[:, -1]
                continue
            # by the client's own weight, which most clients share: at least half have weight 1
            shares: dict[float, Floats] = {}
            for client, (member, own_weight) in enumerate(
                zip(members, weight.tolist(), strict=True)
            ):
                if own_weight not in shares:
                    others_weight = voters[at] - own_weight
                    others_weight[others_weight <= _NOBODY] = np.inf
                    others_weight *= others_weight
                    shares[own_weight] = of_contested / others_weight
                mine_only = shares[own_weight][member]
                # cumsum adds one after the other
                square[client] += np.cumsum(mine_only)[-1] if len(mine_only) else 0.0
        mine = weight[self.pair_client]
        others = voters[self.pair_class] - mine
        inverse = np.divide(
            1.0,
            others,
            out=np.zeros(len(others)),
            where=(others > _NOBODY) & self.contested[self.pair_class],
        )
        dot = np.bincount(self.pair_client, (with_total - mine * self.own) * inverse, clients)
        square += np.bincount(
            self.pair_client,
            (mine * self.own - 2.0 * with_total) * mine * inverse * inverse,
            clients,
        )
        return np.clip(dot / np.sqrt(np.maximum(square, 0.0) + _NOTHING), -1.0, 1.0)
