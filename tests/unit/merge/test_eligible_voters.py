"""Eligible voters: who measured both ends of an edge and looked at its lag."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.merge import PairVoters
from hyperfed.merge.eligible_voters import class_weights
from hyperfed.tables.tables import pack_keys

clients = st.lists(
    st.tuples(
        st.sets(st.integers(0, 6)), st.none() | st.sets(st.sampled_from([0, 1, 2, 12, 65535]))
    ),
    min_size=1,
    max_size=6,
)
edges = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8), st.sampled_from([0, 1, 2, 3, 12, 65535])),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(clients, edges)
def test_a_voter_measured_both_ends_and_looked_at_the_lag(
    cohort: list[tuple[set[int], set[int] | None]], rows: list[tuple[int, int, int]]
) -> None:
    eligible_voters = PairVoters(
        [np.array(sorted(measured), dtype=np.uint32) for measured, _ in cohort],
        [None if lags is None else tuple(sorted(lags)) for _, lags in cohort],
    )
    keys = pack_keys(*(np.array(column) for column in zip(*rows, strict=True)))
    members = eligible_voters.members(eligible_voters.classes(keys))
    expected = [
        [
            {source, target} <= measured and (lags is None or lag in lags)
            for source, target, lag in rows
        ]
        for measured, lags in cohort
    ]
    assert members.tolist() == expected


def test_where_all_looked_at_all_lags_the_lag_makes_no_class() -> None:
    measured = [np.arange(4, dtype=np.uint32)] * 3
    ends = np.zeros(3, np.uint32), np.ones(3, np.uint32)
    keys = pack_keys(*ends, np.array([1, 2, 40000]))
    for lags in (None, [None] * 3):
        assert len(set(PairVoters(measured, lags).classes(keys).tolist())) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sets(st.integers(0, 6)), st.sets(st.integers(0, 8))), min_size=1, max_size=6
    ),
    edges,
)
def test_nobody_votes_on_an_edge_into_what_its_experiment_set_and_doubly_out_of_it(
    cohort: list[tuple[set[int], set[int]]], rows: list[tuple[int, int, int]]
) -> None:
    voters_of = PairVoters(
        [np.array(sorted(measured), dtype=np.uint32) for measured, _ in cohort],
        intervened=[tuple(sorted(own)) for _, own in cohort],
    )
    keys = pack_keys(*(np.array(column) for column in zip(*rows, strict=True)))
    codes = voters_of.classes(keys)
    could = [[{s, t} <= measured and t not in own for s, t, _ in rows] for measured, own in cohort]
    assert voters_of.members(codes).tolist() == could
    doubled = voters_of.doubled(codes)
    twice = [
        [s in own and c for (s, _, _), c in zip(rows, cs, strict=True)]
        for (_, own), cs in zip(cohort, could, strict=True)
    ]
    if doubled is None:
        assert not any(map(any, twice))
    else:
        assert (doubled & np.array(could)).tolist() == twice
    weights = np.arange(1.0, len(cohort) + 1)
    total, count, every = class_weights(voters_of, codes, weights)
    factor = np.array(could) * (1 + np.array(twice))
    assert np.allclose(total, (weights[:, None] * factor).sum(axis=0))
    assert count.tolist() == every.tolist() == np.array(could).sum(axis=0).tolist()
