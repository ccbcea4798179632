"""Packets check themselves when made: wherever they come from, what exists is good."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from hyperfed.config import MAX_VARIABLES
from hyperfed.errors import BoundsError
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import MAX_LAG, DeltaTable, EdgeTable

GOOD: dict[type, dict[str, Any]] = {
    PathPack: {
        "source_idx": 0,
        "target_idx": 1,
        "lag": 1,
        "effect": 0.5,
        "confidence": 0.5,
        "stability": 0.5,
    },
    EdgeDelta: {
        "source_id": 0,
        "target_id": 1,
        "weight_delta": 0.5,
        "ci_delta": (0.0, 0.0),
        "hits_delta": 1,
    },
    PolicyPack: {},
    CausalSemanticPack: {},
    Claims: {},
}
NAN, INF, HUGE = float("nan"), float("inf"), 10**400
BAD: list[tuple[type, str, Any]] = [
    *(
        (PathPack, "source_idx", v)
        for v in (-1, MAX_VARIABLES, 1.0, "0", None, True, HUGE, np.float64(0), np.bool_(True))
    ),
    *((PathPack, "lag", v) for v in (-1, MAX_LAG + 1, 0.5, None)),
    *(
        (PathPack, "effect", v)
        for v in (NAN, INF, -INF, None, "1", True, HUGE, np.float64("nan"), 1j)
    ),
    *((PathPack, "confidence", v) for v in (-1e-9, 1 + 1e-9, NAN, 2, True)),
    *((PathPack, "stability", v) for v in (-0.1, 1.1, INF)),
    *(
        (EdgeDelta, "ci_delta", v)
        for v in (0.0, (0.0,), (0.0, 0.0, 0.0), (NAN, 0.0), (0.0, None), "ab", None, {0.0, 1.0})
    ),
    *((EdgeDelta, "hits_delta", v) for v in (2**31, -(2**31) - 1, 1.0, True)),
    *((EdgeDelta, "target_id", v) for v in (-1, MAX_VARIABLES, 0)),
    *((PolicyPack, "g_min", v) for v in (-0.1, NAN, INF, True, "0")),
    *(
        (PolicyPack, n, v)
        for n in ("stability_min", "vote_min", "trust_min", "staleness_decay")
        for v in (-0.1, 1.1, NAN)
    ),
    (PolicyPack, "staleness_decay", 1e-4),
    *(
        (PolicyPack, n, -1)
        for n in ("n_proposals", "max_lag", "trust_nights", "max_staleness", "n_cap")
    ),
    *((PolicyPack, "max_staleness", v) for v in (367, 1.5, True)),
    *((PolicyPack, "sealed", v) for v in (1, None, "yes")),
    *((PolicyPack, "strategy", v) for v in ("median", "", None, "x" * 10_000)),
    *(
        (PolicyPack, "lags", v)
        for v in ((1, 1), (2, 1), (-1,), (1.0,), (True,), (0, 65), (MAX_LAG + 1,), 1, "12", None)
    ),
    *((PolicyPack, "privacy", v) for v in ("secret", "", None)),
    *(
        (CausalSemanticPack, "dag_edges", [v])
        for v in ((0, 1), (0, 1, NAN), (1, 1, 0.5), (-1, 0, 0.5), 5, "abc", None, (0, 1, "x"))
    ),
    (CausalSemanticPack, "dag_edges", [(0, 1, 0.5), (0, 1, 0.25)]),
    *(
        (CausalSemanticPack, "confounders", v)
        for v in ([1, 1], [-1], [MAX_VARIABLES], [True], [1.0])
    ),
    *(
        (CausalSemanticPack, "interventions", [v])
        for v in (
            5,
            {1: 2},
            {"a": []},
            {"a": NAN},
            {"a": HUGE},
            {"x" * 201: 1},
            {"a": "x" * 2001},
            {"a": b"b"},
        )
    ),
    *((Claims, n, v) for n in ("clip_norm", "loss") for v in (-0.1, NAN, INF, True, "x")),
]


@pytest.mark.parametrize(
    ("kind", "name", "value"), BAD, ids=[f"{k.__name__}.{n}={v!r:.20}" for k, n, v in BAD]
)
def test_a_value_outside_its_field_is_refused(kind: type, name: str, value: Any) -> None:
    kind(**GOOD[kind])
    with pytest.raises(BoundsError) as caught:
        kind(**(GOOD[kind] | {name: value}))
    assert caught.value.subject == kind.__name__
    assert len(str(caught.value)) < 400


def test_source_and_target_differ_at_lag_zero() -> None:
    for kind, source, target in (
        (PathPack, "source_idx", "target_idx"),
        (EdgeDelta, "source_id", "target_id"),
    ):
        with pytest.raises(BoundsError, match="differ"):
            kind(**(GOOD[kind] | {source: 3, target: 3, "lag": 0}))
        assert kind(**(GOOD[kind] | {source: 3, target: 3, "lag": 1})).lag == 1


def test_numbers_take_their_one_form() -> None:
    path = PathPack(np.uint8(1), np.int64(2), np.int16(3), 1, np.float32(0.5), -0.0)  # type: ignore[arg-type]
    assert dataclasses.astuple(path) == (1, 2, 3, 1.0, 0.5, 0.0)
    assert [type(v) for v in dataclasses.astuple(path)] == [int] * 3 + [float] * 3
    assert str(path.stability) == "0.0"
    delta = EdgeDelta(0, 1, 1, [np.float64(-0.0), 1], np.int8(-1))  # type: ignore[arg-type]
    assert delta.ci_delta == (0.0, 1.0)
    assert str(delta.ci_delta[0]) == "0.0"
    semantic = CausalSemanticPack(
        [(np.int64(1), 0, 1)], [np.int64(3)], [{"a": np.float64(-0.0), "b": np.int64(2), "c": True}]
    )
    assert semantic.dag_edges == [(1, 0, 1.0)]
    assert [type(v) for v in semantic.interventions[0].values()] == [float, int, bool]
    assert str(semantic.interventions[0]["a"]) == "0.0"
    assert type(PolicyPack(g_min=0, n_proposals=np.int64(5)).n_proposals) is int


def test_a_policy_allows_the_lags_that_it_names_or_all_up_to_the_longest() -> None:
    assert PolicyPack(lags=[1, 12]).lags == PolicyPack(lags=[1, 12]).allowed_lags == (1, 12)  # type: ignore[arg-type]
    assert (PolicyPack(max_lag=2).lags, [*PolicyPack(max_lag=2).allowed_lags]) == ((), [0, 1, 2])


def test_what_a_pack_was_given_can_change_without_changing_it() -> None:
    acts, edges = [{"do": 1}], [(0, 1, 0.5)]
    pack = CausalSemanticPack(edges, [1], acts)
    acts[0]["do"] = 2
    edges.clear()
    assert pack.interventions == [{"do": 1}]
    assert pack.dag_edges == [(0, 1, 0.5)]


# -- update ----------------------------------------------------------------------------------------


TABLE = EdgeTable(
    source=np.array([0, 1], np.uint32),
    target=np.array([1, 2], np.uint32),
    lag=np.array([1, 1], np.uint16),
    effect=np.array([0.5, -0.5]),
    confidence=np.array([0.5, 1.0]),
    stability=np.array([0.0, 1.0]),
    hits=np.array([1, 2], np.uint32),
    n=np.array([1, 2], np.uint64),
)


@pytest.mark.parametrize(
    "fields",
    [
        {"measured": [1, 0, 2]},
        {"measured": [0, 1, 1, 2]},
        {"measured": [0.0, 1.0, 2.0]},
        {"measured": [-1, 0, 1, 2]},
        {"measured": [0, 1, 2, MAX_VARIABLES]},
        {"measured": [0, 1, 2, 1 << 33]},
        {"measured": [[0, 1, 2]]},
        {"measured": 5},
        {"measured": None},
        {"measured": [0, 1]},
        {"measured": []},
        {"edges": None},
        {"edges": [1, 2]},
        {"base": b"x" * 32},
        {"deltas": TABLE},
        {"edges": None, "base": b"x" * 32},
        {"semantic": {}},
        {"claims": None},
        {"hyperedges": TABLE},
        {"semantic": CausalSemanticPack(dag_edges=[(0, 5, 1.0)])},
        {"lags": ()},
        {"lags": (0, 2)},
        {"lags": (2, 1)},
        {"lags": (1, 1)},
        {"lags": (1, 65536)},
        {"lags": (-1, 1)},
        {"lags": (1.0,)},
        {"lags": (True,)},
        {"lags": 1},
    ],
)
def test_an_update_hangs_together(fields: dict[str, Any]) -> None:
    Update(measured=[0, 1, 2], edges=TABLE)
    with pytest.raises(BoundsError) as caught:
        Update(**({"measured": [0, 1, 2], "edges": TABLE} | fields))
    assert "Update" in caught.value.subject


def test_a_lag_that_was_not_looked_at_is_named() -> None:
    assert Update(measured=[0, 1, 2], edges=TABLE, lags=[1, 3]).lags == (1, 3)
    assert Update(measured=[0, 1, 2], edges=TABLE, lags=(1,)).parted()[1].lags == (1,)
    assert Update(measured=[0], edges=EdgeTable.empty(), lags=()).lags == ()
    with pytest.raises(BoundsError, match="edges has lag 1, which the client did not look at"):
        Update(measured=[0, 1, 2], edges=TABLE, lags=(2,))
    looked, all_of_them = (Update(measured=[0, 1, 2], edges=TABLE, lags=x) for x in ((1,), None))
    assert looked != all_of_them


def test_an_end_that_was_not_measured_is_named() -> None:
    with pytest.raises(BoundsError, match="edges uses variable 2"):
        Update(measured=[0, 1, 3], edges=TABLE)
    table = HyperedgeTable(
        sources=[0, 7],
        offsets=[0, 2],
        target=[1],
        lag=[1],
        effect=[1.0],
        confidence=[1.0],
        stability=[1.0],
        hits=[1],
        n=[1],
    )
    with pytest.raises(BoundsError, match="hyperedges uses variable 7"):
        Update(measured=[0, 1, 2], edges=TABLE, hyperedges=table)


@pytest.mark.parametrize("base", [b"", b"x" * 31, "x" * 32])
def test_changes_name_their_base_by_its_digest(base: Any) -> None:
    table = DeltaTable(
        source=[0],
        target=[1],
        lag=[0],
        weight_delta=[0.5],
        ci_low_delta=[0.0],
        ci_high_delta=[0.0],
        hits_delta=[-1],
    )
    with pytest.raises(BoundsError):
        Update(measured=[0, 1], deltas=table, base=base)
    assert Update(measured=[0, 1], deltas=table, base=b"x" * 32).edges is None


def test_an_update_is_made_of_paths_in_any_order() -> None:
    paths = [PathPack(1, 2, 0, 0.5, 0.5, 0.5), PathPack(0, 1, 3, -1, 1, 1)]
    update = Update.from_paths(paths, measured=[2, 0, 1], n=7)
    assert update == Update.from_paths(paths[::-1], measured=range(3), n=7)
    assert update.edges is not None
    assert update.edges.n.tolist() == [7, 7]
    assert len(Update.from_paths([], measured=[]).edges or ()) == 0
    with pytest.raises(BoundsError, match="twice"):
        Update.from_paths([paths[0], paths[0]], measured=range(3))


# -- vocabulary ------------------------------------------------------------------------------------
