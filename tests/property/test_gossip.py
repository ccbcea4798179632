"""Gossip keeps its sums whatever order, delay, restart or repetition its shares come in."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.gossip import GossipPlan, GossipState, Share
from hyperfed.gossip.messages import decode_share, encode_share
from tests.unit.gossip.noised import LENGTH, plan_of, vector

MOVES = ("push", "read", "again", "save")
FINITE = st.floats(-1e6, 1e6)


def states_of(plan: GossipPlan, seed: int) -> dict[str, GossipState]:
    rng = np.random.default_rng(seed)
    return {c: GossipState(plan, c, vector(rng.normal(0, 1, LENGTH))) for c in plan.clients}


@settings(deadline=None)
@given(
    count=st.integers(2, 9),
    seed=st.integers(0, 2**32 - 1),
    moves=st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from(["push", "read", "again", "save"]))
    ),
)
def test_no_weight_and_no_number_is_lost_or_made(
    count: int, seed: int, moves: list[tuple[int, str]]
) -> None:
    plan = plan_of(count, degree=2, norm_bound=1e3)
    states = states_of(plan, seed)
    wanted = np.sum([s.average for s in states.values()], axis=0)
    waiting: dict[str, list[Share]] = {client: [] for client in plan.clients}
    read: dict[str, list[Share]] = {client: [] for client in plan.clients}
    for who, move in moves:
        client = plan.clients[who % count]
        state = states[client]
        if move == "push" and state.epoch < plan.epochs:
            for peer, share in state.push().items():
                waiting[peer].append(decode_share(encode_share(share)))
        elif move == "read" and waiting[client]:
            share = waiting[client].pop(who % len(waiting[client]))
            assert state.add(share)
            read[client].append(share)
        elif move == "again" and read[client]:
            assert not state.add(read[client][who % len(read[client])])  # counts once
        elif move == "save":
            states[client] = GossipState.restored(plan, state.saved())
    on_the_way = [share for shares in waiting.values() for share in shares]
    weight = sum(s.weight for s in states.values()) + sum(s.weight for s in on_the_way)
    numbers = np.sum([s.average * s.weight for s in states.values()], axis=0)
    numbers = numbers + np.sum([s.values for s in on_the_way] or [np.zeros(LENGTH)], axis=0)
    assert np.isclose(weight, count, rtol=1e-12)
    assert np.allclose(numbers, wanted, rtol=1e-9, atol=1e-9)


@given(
    epoch=st.integers(0, 99),
    weight=FINITE.map(abs),  # a weight is never below 0
    values=st.lists(FINITE, min_size=1, max_size=9),
)
def test_a_share_comes_back_as_it_was_sent(epoch: int, weight: float, values: list[float]) -> None:
    share = Share(round=3, epoch=epoch, sender="site-01", weight=weight, values=np.array(values))
    back = decode_share(encode_share(share))
    assert (back.round, back.epoch, back.sender) == (3, epoch, "site-01")
    assert back.weight == share.weight
    assert np.array_equal(back.values, share.values)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), pushed=st.integers(0, 3))
def test_a_restored_state_goes_on_as_the_one_it_was_saved_of(seed: int, pushed: int) -> None:
    plan = plan_of(3)
    states = states_of(plan, seed)
    one, other = states[plan.clients[0]], states[plan.clients[1]]
    for _ in range(pushed):
        one.push()
    for share in other.push().values():
        one.add(share)
    again = GossipState.restored(plan, one.saved())
    assert again.saved() == one.saved()
    first, second = one.push(), again.push()
    assert list(first) == list(second)
    for peer, share in first.items():
        assert encode_share(share) == encode_share(second[peer])
