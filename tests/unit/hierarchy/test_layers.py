"""Baskets, influence, the buffer, and two layers: what forms, what counts late, what a group
weighs, what is refused.
"""

import numpy as np
import pytest

from hyperfed.errors import AggregationError, BoundsError, BreakdownError, ConfigError, RefusedError
from hyperfed.hierarchy.buffer import UpdateBuffer, staleness_weight
from hyperfed.hierarchy.layers import LayerRules, merge_layers
from hyperfed.hierarchy.weight_caps import capped_shares, organisation_weights
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.protocol.baskets import Basket, BasketPhase, BasketRules, groups_of, next_baskets
from hyperfed.protocol.objects import ClientState, RoundState
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.unit

RULES = BasketRules(minimum=2, maximum=4, stale_after=2, disband_after=4)


def _next(
    previous: tuple[Basket, ...],
    assigned: dict[str, str],
    *,
    round_id: int,
    counted: set[str] | None,
) -> dict[str, Basket]:
    return {
        b.name: b
        for b in next_baskets(previous, assigned, round_id=round_id, counted=counted, rules=RULES)
    }


def test_a_basket_forms_goes_stale_comes_back_and_disbands() -> None:
    one = _next((), {"a": "banks"}, round_id=1, counted=None)
    assert one["banks"].phase is BasketPhase.FORMING
    both = {"a": "banks", "b": "banks"}
    now = _next(tuple(one.values()), both, round_id=2, counted={"a"})
    assert (now["banks"].phase, now["banks"].since, now["banks"].quiet) == (
        BasketPhase.ACTIVE,
        2,
        0,
    )
    seen = []
    for round_id, counted in enumerate(
        [{"a"}, {"a"}, {"a", "b"}, {"a"}, set(), set(), set(), {"a", "b"}], 3
    ):
        now = _next(tuple(now.values()), both, round_id=round_id, counted=counted)
        seen.append((now["banks"].phase.value, now["banks"].quiet))
    assert seen == [
        ("active", 1),
        ("stale", 2),
        ("active", 0),
        ("active", 1),
        ("stale", 2),
        ("stale", 3),
        ("disbanded", 4),
        ("disbanded", 4),
    ]
    assert now["banks"].since == 9
    assert groups_of(now.values(), ["a", "b"]) == {"": ("a", "b")}
    assert (
        _next(
            tuple(_next((), both, round_id=1, counted=None).values()), {}, round_id=2, counted=set()
        )["banks"].phase
        is BasketPhase.DISBANDED
    )


def test_a_large_basket_is_split_evenly_and_by_nobodys_choice() -> None:
    clients = {f"c{i:02d}": "banks" for i in range(10)}
    baskets = _next((), clients, round_id=1, counted=None)
    assert sorted(baskets) == ["banks/1", "banks/2", "banks/3"]
    assert sorted(len(b.members) for b in baskets.values()) == [3, 3, 4]
    assert sorted(c for b in baskets.values() for c in b.members) == sorted(clients)
    assert baskets == _next((), dict(reversed(clients.items())), round_id=1, counted=None)


def test_a_client_moves_with_the_next_plan_and_nobody_is_in_two_groups() -> None:
    before = _next((), {"a": "x", "b": "x", "c": "y", "d": "y"}, round_id=1, counted=None)
    after = _next(
        tuple(before.values()),
        {"a": "x", "b": "y", "c": "y", "d": "y"},
        round_id=2,
        counted={"a", "b", "c", "d"},
    )
    assert after["y"].members == ("b", "c", "d")
    assert after["x"].phase is BasketPhase.FORMING
    assert groups_of(after.values(), ["a", "b", "c"]) == {"": ("a",), "y": ("b", "c")}


def test_bad_baskets_are_refused() -> None:
    with pytest.raises(BoundsError):
        BasketRules(minimum=3, maximum=4)
    with pytest.raises(BoundsError):
        BasketRules(stale_after=3, disband_after=3)
    with pytest.raises(BoundsError):
        Basket(name="x", members=("b", "a"))
    with pytest.raises(BoundsError):
        Basket(name="", members=())


def test_an_organisation_weighs_no_more_for_being_many() -> None:
    names = {"a": "one", "b": "two", "b2": "two", "b3": "two"}
    assert organisation_weights(["a", "b", "b2", "b3", "z"], names, cap=1).tolist() == [
        1,
        1 / 3,
        1 / 3,
        1 / 3,
        1,
    ]
    assert organisation_weights(["a", "b"], names, cap=1).tolist() == [1, 1]
    assert organisation_weights(["a", "b", "b2"], names, cap=0).tolist() == [1, 1, 1]
    with pytest.raises(AggregationError):
        organisation_weights(["a"], names, cap=-1)


def test_no_share_is_above_the_cap() -> None:
    np.testing.assert_allclose(capped_shares([8, 1, 1], cap=0.5), [0.5, 0.25, 0.25])
    np.testing.assert_allclose(capped_shares([90, 50, 10], cap=0.4), [0.4, 0.4, 0.2])
    np.testing.assert_allclose(capped_shares([9, 1], cap=0.1), [0.5, 0.5])
    np.testing.assert_allclose(capped_shares([3, 1, 0], cap=1.0), [0.75, 0.25, 0])
    for bad in ([], [0, 0], [np.nan, 1], [-1, 2]):
        with pytest.raises(AggregationError):
            capped_shares(bad, cap=0.5)


# -- the buffer ------------------------------------------------------------------------------------


def test_late_updates_count_less_once_and_the_freshest_only() -> None:
    buffer = UpdateBuffer(max_staleness=2)
    buffer.add("a", "old", made_for=3, now=5, sequence=1)
    buffer.add("b", "late", made_for=4, now=5, sequence=7)
    buffer.add("a", "new", made_for=5, now=5, sequence=2)
    ready = buffer.ready(5)
    assert [(u.client, u.content, u.weight) for u in ready] == [
        ("a", "new", 1.0),
        ("b", "late", pytest.approx(0.9)),
    ]
    buffer.counted(ready, 5)
    assert [(u.client, u.content, u.weight) for u in buffer.ready(6)] == []
    with pytest.raises(RefusedError, match="already counted") as refused:
        buffer.add("a", "again", made_for=5, now=6, sequence=3)
    assert refused.value.rule == "R-94"


def test_what_the_buffer_refuses() -> None:
    buffer = UpdateBuffer(max_staleness=3, slots=2)
    for made_for in (1, 6):
        with pytest.raises(RefusedError) as refused:
            buffer.add("a", "x", made_for=made_for, now=5, sequence=1)
        assert refused.value.rule == "R-84"
    buffer.add("a", "x", made_for=5, now=5, sequence=5, digest=b"d")
    for sequence, digest in ((5, b"e"), (4, b"f"), (6, b"d")):
        with pytest.raises(RefusedError) as refused:
            buffer.add("a", "x", made_for=5, now=5, sequence=sequence, digest=digest)
        assert refused.value.rule == "R-89"
    assert buffer.slots_left("a", 5) == 1
    buffer.add("a", "y", made_for=5, now=5, sequence=6)
    with pytest.raises(RefusedError, match="2 slots"):
        buffer.add("a", "z", made_for=5, now=5, sequence=7)
    assert [u.content for u in buffer.ready(5)] == ["y"]
    with pytest.raises(ConfigError):
        UpdateBuffer(decay=0.0)
    assert staleness_weight(3, decay=0.9, max_staleness=3) == pytest.approx(0.729)


def test_a_buffer_starts_from_a_rounds_state() -> None:
    client = ClientState(
        client="a",
        highest_sequence=4,
        windows=(3, 5),
        last_round=5,
        last_digest=b"d" * 32,
        alpha=0,
        beta=0,
        rounds_seen=2,
        rounds_missed=0,
        weight=1,
        agreement=0,
    )
    state = RoundState(
        federation="f", round=5, freeze=b"", result=b"", base_state=b"", clients=(client,)
    )
    buffer = UpdateBuffer.from_state(state)
    for sequence, made_for in ((4, 6), (5, 5)):
        with pytest.raises(RefusedError):
            buffer.add("a", "x", made_for=made_for, now=6, sequence=sequence)
    buffer.add("a", "late", made_for=4, now=6, sequence=5)
    assert buffer.ready(6)[0].weight == pytest.approx(0.81)


# -- layers ----------------------------------------------------------------------------------------


def _graph(*effects: float | None, n: int = 100) -> HypergraphStore:
    there = [k for k, e in enumerate(effects) if e is not None]
    edges = EdgeTable.build(
        source=[0] * len(there),
        target=[k + 1 for k in there],
        lag=[1] * len(there),
        effect=[effects[k] for k in there],
        confidence=0.9,
        stability=0.9,
        n=n,
    )
    return HypergraphStore(edges=edges, measured=range(len(effects) + 1))


def _layers(
    graphs: dict[str, HypergraphStore],
    groups: dict[str, list[str]],
    *,
    rule: str = "bounded-trust",
    f: int = 0,
    **rules: object,
):
    return merge_layers(
        StoreReconciler(rule=rule, f=f),
        graphs,
        groups,
        base_weights=dict.fromkeys(graphs, 1.0),
        rules=LayerRules(**{"minimum": 2, **rules}),  # type: ignore[arg-type]
    )


def test_a_large_basket_does_not_decide_alone() -> None:
    graphs = (
        {f"a{i}": _graph(0.5, 0.8) for i in range(20)}
        | {f"b{i}": _graph(0.5, None) for i in range(3)}
        | {f"c{i}": _graph(0.5, None) for i in range(3)}
    )
    groups = {name: [c for c in graphs if c[0] == name] for name in "abc"}
    layered = _layers(graphs, groups, influence_cap=0.34)
    flat = StoreReconciler().reconcile(graphs.values())
    assert flat.edges.target.tolist() == [1, 2]
    assert [g.share for g in layered.groups] == pytest.approx([0.34, 0.33, 0.33])
    assert layered.merged.graph.edges.target.tolist() == [1]
    by_name = {g.name: g.graph.edges.target.tolist() for g in layered.groups}
    assert by_name == {"a": [1, 2], "b": [1], "c": [1]}
    assert layered.merged.graph.evidence is not None
    assert layered.merged.graph.evidence.edges.support.tolist() == [26]
    assert layered.merged.graph.evidence.edges.samples.tolist() == [2600]


@pytest.mark.parametrize(
    ("weights", "expected"), [("size", [0.6, 0.4]), ("equal", [0.5, 0.5]), ("trust", [0.6, 0.4])]
)
def test_group_weights(weights: str, expected: list[float]) -> None:
    graphs = {f"a{i}": _graph(0.5) for i in range(3)} | {f"b{i}": _graph(0.4) for i in range(2)}
    layered = _layers(
        graphs, {"a": ["a0", "a1", "a2"], "b": ["b0", "b1"]}, weights=weights, influence_cap=1.0
    )
    assert [g.share for g in layered.groups] == pytest.approx(expected)
    assert layered.merged.weight.tolist() == [1.0] * 5


def test_liars_inside_a_basket_are_met_there() -> None:
    graphs = (
        {f"a{i}": _graph(0.5 + 0.01 * i, 0.3) for i in range(5)}
        | {f"b{i}": _graph(0.5, 0.3) for i in range(5)}
        | {"a5": _graph(-9.0, -9.0), "a6": _graph(-9.0, -9.0)}
    )
    layered = _layers(
        graphs,
        {"a": [c for c in graphs if c[0] == "a"], "b": [c for c in graphs if c[0] == "b"]},
        rule="multi-krum",
        f=2,
    )
    assert (layered.merged.graph.edges.effect > 0.2).all()
    assert layered.merged.weight[layered.merged.clients.index("a6")] == 0


def test_groups_that_are_too_small_are_left_out_and_said() -> None:
    graphs = {f"a{i}": _graph(0.5) for i in range(5)} | {"b0": _graph(0.4)}
    groups = {"a": [c for c in graphs if c[0] == "a"], "b": ["b0"]}
    layered = _layers(graphs, groups)
    assert layered.left_out == (("b", "1 counted clients, 2 are needed"),)
    assert [g.name for g in layered.groups] == ["a"]
    assert layered.merged.weight[layered.merged.clients.index("b0")] == 0
    with pytest.raises(BreakdownError, match="1 of 2 groups"):
        _layers(graphs, groups, minimum_groups=2)
    with pytest.raises(BreakdownError, match="0 of 2 groups"):
        _layers(graphs, groups, rule="krum", f=2)


def test_one_group_is_the_plain_merge() -> None:
    graphs = {f"a{i}": _graph(0.5 + 0.1 * i, -0.2, 0.1 * i if i else None) for i in range(6)}
    layered = _layers(graphs, {"": list(graphs)})
    plain = StoreReconciler().merge(graphs.values(), client_ids=list(graphs))
    assert layered.merged.graph == plain.graph
    assert layered.merged.weight.tolist() == plain.weight.tolist()


def test_bad_layer_rules_are_refused() -> None:
    for bad in ({"weights": "magic"}, {"minimum": 0}, {"influence_cap": 0.0}):
        with pytest.raises(AggregationError):
            LayerRules(**bad)  # type: ignore[arg-type]
