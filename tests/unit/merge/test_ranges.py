"""Ranges: the same bytes wherever they are cut, however many ballots are kept, and in whatever
order clients come.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.aggregation.bounded_trust import bounded_trust, trust_of
from hyperfed.aggregation.edge_weights import edge_weights
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge import PairVoters
from hyperfed.merge.ranges import LocalRanges, Merge, RangeWork
from hyperfed.merge.rows import MergeRule
from hyperfed.merge.spill_file import Room
from hyperfed.merge.tables import table_ranges, vote_ranges
from hyperfed.tables.tables import EdgeTable

RULE = MergeRule(strategy="consensus", vote_min=0.3, bounded=True, rule="bounded-trust", f=0)


def crowd(
    seed: int, clients: int = 9, edges: int = 400, *, gaps: bool = True
) -> list[HypergraphStore]:
    """Clients that measured different variables, with and without intervals."""
    rng = np.random.default_rng(seed)
    graphs = []
    for client in range(clients):
        measured = np.sort(
            rng.choice(30, 30 if not gaps else int(rng.integers(18, 31)), replace=False)
        ).astype(np.uint32)
        pairs = np.unique(rng.choice(len(measured) ** 2, edges))
        source, target = measured[pairs // len(measured)], measured[pairs % len(measured)]
        rows = len(source)
        effect = np.sin(source + 3.0 * target) + 0.3 * rng.normal(size=rows)
        ends = (
            {}
            if client % 3 == 0
            else {"ci_low": effect - 0.2, "ci_high": effect + 0.1 + rng.random(rows)}
        )
        table = EdgeTable(
            source=source,
            target=target,
            lag=np.ones(rows, np.uint16),
            effect=effect,
            confidence=rng.random(rows),
            stability=rng.random(rows),
            hits=np.ones(rows, np.uint32),
            n=np.full(rows, 10 + client, np.uint64),
            **ends,
        )
        graphs.append(HypergraphStore(edges=table, measured=measured))
    return graphs


def alone() -> HypergraphStore:
    """A client that alone measured its variables: two could vote on none of its edges."""
    ends = np.arange(100, 120, dtype=np.uint32)
    rng, rows = np.random.default_rng(0), len(ends) - 1
    table = EdgeTable(
        source=ends[:-1],
        target=ends[1:],
        lag=np.ones(rows, np.uint16),
        effect=rng.normal(size=rows),
        confidence=rng.random(rows),
        stability=rng.random(rows),
        hits=np.ones(rows, np.uint32),
        n=np.full(rows, 10, np.uint64),
    )
    return HypergraphStore(edges=table, measured=ends)


def ranges_of(
    graphs: list[HypergraphStore], rows_a_range: int, *, keep: bool = True
) -> LocalRanges:
    made = table_ranges(
        [s.edges for s in graphs],
        PairVoters([s.measured for s in graphs]),
        rows_a_range=rows_a_range,
    )
    works = [
        RangeWork(load=work.load, eligible_voters=work.eligible_voters, keep=keep)
        for work in made.works
    ]
    return LocalRanges(works=works, eligible_voters=made.eligible_voters)


def merged_bytes(ranges: LocalRanges) -> tuple[bytes, ...]:
    trust = trust_of(ranges)
    parts = list(ranges.map(Merge(rule=RULE, weight=trust.weight, whole=trust.weight)))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return tuple(
        a.tobytes() for a in (trust.weight, trust.agreement, trust.size, *columns.values())
    )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 900), keep=st.booleans(), gaps=st.booleans()
)
def test_the_bytes_do_not_depend_on_the_cuts(seed: int, rows: int, keep: bool, gaps: bool) -> None:
    graphs = crowd(seed, gaps=gaps)
    assert merged_bytes(ranges_of(graphs, rows, keep=keep)) == merged_bytes(
        ranges_of(graphs, 1 << 30)
    )


@pytest.mark.parametrize(
    "name", ["multi-krum", "geometric-median", "centered-clipping", "bulyan", "median"]
)
def test_nor_does_any_rule(name: str) -> None:
    graphs = crowd(5, clients=11)
    few, many = (
        edge_weights(name, 1, ranges_of(graphs, rows), losses=[]) for rows in (1 << 30, 150)
    )
    assert few.weight.tobytes() == many.weight.tobytes()
    assert few.agreement.tobytes() == many.agreement.tobytes()


def test_ballots_that_are_not_kept_are_made_again_and_a_merge_lets_go() -> None:
    loads = [0]
    (work,) = ranges_of(crowd(1), 1 << 30).works
    rows = work.load()

    def load():
        loads[0] += 1
        return rows

    eligible_voters = work.eligible_voters
    for keep, expected in ((True, 2), (False, 11)):
        loads[0] = 0
        ranges = LocalRanges(
            works=[RangeWork(load=load, eligible_voters=eligible_voters, keep=keep)],
            eligible_voters=eligible_voters,
        )
        merged_bytes(ranges)
        assert loads[0] == expected
        assert ranges.works[0]._ballot is None


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    room=st.integers(0, 40_000),
    numbers=st.integers(0, 15_000),
    gaps=st.booleans(),
)
def test_the_bytes_do_not_depend_on_what_there_is_room_for(
    seed: int, room: int, numbers: int, gaps: bool
) -> None:
    """Ballots that are kept, ballots whose votes are cast again, ballots that are made again: also
    where some keys are not contested.
    """
    graphs = [*crowd(seed, clients=4, gaps=gaps), alone()]
    made = ranges_of(graphs, 120)
    both = {"room": Room(room), "numbers": Room(numbers)}
    works = [
        RangeWork(load=work.load, eligible_voters=work.eligible_voters, **both)
        for work in made.works
    ]
    ranges = LocalRanges(works=works, eligible_voters=made.eligible_voters)
    assert merged_bytes(ranges) == merged_bytes(ranges_of(graphs, 1 << 30))
    assert both["room"].left >= 0
    assert both["numbers"].left >= 0


def test_ballots_take_no_more_than_their_room() -> None:
    made = ranges_of(crowd(1, gaps=False), 150)
    room, numbers = Room(9000), Room(2500)
    works = [
        RangeWork(load=work.load, eligible_voters=work.eligible_voters, room=room, numbers=numbers)
        for work in made.works
    ]
    ranges = LocalRanges(works=works, eligible_voters=made.eligible_voters)
    trust_of(ranges)
    kept = [work._ballot for work in works]
    whole = [ballot for ballot in kept if ballot is not None and len(ballot.vote)]
    small = [ballot for ballot in kept if ballot is not None and not len(ballot.vote)]
    assert whole
    assert small
    assert None in kept
    assert sum(ballot.vote.nbytes + ballot.numbers_bytes for ballot in whole) == 9000 - room.left
    assert sum(ballot.numbers_bytes for ballot in small) == 2500 - numbers.left
    assert {ballot.segment.dtype for ballot in whole} == {np.dtype(np.uint16)}, "two bytes a row"
    merging = ranges.map(Merge(rule=RULE, weight=np.ones(9), whole=np.ones(9)))
    next(merging)
    assert not any(work._ballot is not None and len(work._ballot.vote) for work in works), (
        "a merge needs no votes"
    )


def test_a_range_of_more_keys_than_two_bytes_count() -> None:
    """Few clients of many edges: a range has nearly as many keys as rows."""
    rng = np.random.default_rng(2)
    keys = [np.sort(rng.choice(90_000, 70_000, replace=False)).astype(np.uint64) for _ in range(4)]
    votes = [np.sin(own.astype(np.float64)) + 0.3 * rng.normal(size=70_000) for own in keys]
    # lag, and the lowest bit of the target
    eligible_voters = PairVoters([np.array([0, 1], np.uint32)] * 4)
    (one,) = vote_ranges(keys, votes, eligible_voters, rows_a_range=1 << 20).works
    whole, cut = (
        bounded_trust(keys, votes, eligible_voters, rows_a_range=rows)
        for rows in (1 << 20, 1 << 15)
    )
    assert one._cast().segment.dtype == np.int32
    assert whole.agreement.tobytes() == cut.agreement.tobytes()
    assert whole.agreement.min() > 0.5


@pytest.mark.parametrize("power", [-40, 0, 30])
def test_the_units_fit_votes_of_any_size(power: int) -> None:
    """Trust in the votes' directions, however small or large all votes are."""
    rng = np.random.default_rng(3)
    votes = np.sign(rng.normal(size=500)) * rng.random(500) + 0.5 * rng.normal(size=(7, 500))
    votes[0] *= -1
    eligible_voters = PairVoters([np.array([0], np.uint32)] * 7)
    ranked = np.arange(500, dtype=np.uint64)  # lag alone: all ends are variable 0
    plain, scaled = (
        bounded_trust([ranked] * 7, list(votes * factor), eligible_voters)
        for factor in (1.0, 2.0**power)
    )
    np.testing.assert_allclose(scaled.agreement, plain.agreement, atol=1e-12)
    assert plain.weight[0] == 0
    unit = votes / np.linalg.norm(votes, axis=1)[:, None]
    ends = plain.weight
    for i in (1, 4):  # a fixed point of the definition, up to how far the last iteration moved
        others = np.delete(unit, i, 0).T @ np.delete(ends, i)
        assert plain.agreement[i] == pytest.approx(
            unit[i] @ others / np.linalg.norm(others), abs=1e-6
        )
