"""Packets, tables and the vocabulary check themselves when made: wherever they come from, what exists is good."""

import dataclasses
import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest

from hyperfed.codec import from_record, to_record
from hyperfed.columns import MAX_SAMPLES, as_column
from hyperfed.errors import BoundsError, PacketError
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.tables import MAX_LAG, DeltaTable, EdgeTable, HyperedgeTable, pack_keys, unpack_keys
from hyperfed.vocabulary import MAX_VARIABLES, Variable, Vocabulary

GOOD: dict[type, dict[str, Any]] = {
    PathPack: {"source_idx": 0, "target_idx": 1, "lag": 1, "effect": 0.5, "confidence": 0.5, "stability": 0.5},
    EdgeDelta: {"source_id": 0, "target_id": 1, "weight_delta": 0.5, "ci_delta": (0.0, 0.0), "hits_delta": 1},
    PolicyPack: {},
    CausalSemanticPack: {},
    Claims: {},
}
NAN, INF, HUGE = float("nan"), float("inf"), 10**400
BAD: list[tuple[type, str, Any]] = [
    *((PathPack, "source_idx", v) for v in (-1, MAX_VARIABLES, 1.0, "0", None, True, HUGE, np.float64(0), np.bool_(True))),
    *((PathPack, "lag", v) for v in (-1, MAX_LAG + 1, 0.5, None)),
    *((PathPack, "effect", v) for v in (NAN, INF, -INF, None, "1", True, HUGE, np.float64("nan"), 1j)),
    *((PathPack, "confidence", v) for v in (-1e-9, 1 + 1e-9, NAN, 2, True)),
    *((PathPack, "stability", v) for v in (-0.1, 1.1, INF)),
    *((EdgeDelta, "ci_delta", v) for v in (0.0, (0.0,), (0.0, 0.0, 0.0), (NAN, 0.0), (0.0, None), "ab", None, {0.0, 1.0})),
    *((EdgeDelta, "hits_delta", v) for v in (2**31, -(2**31) - 1, 1.0, True)),
    *((EdgeDelta, "target_id", v) for v in (-1, MAX_VARIABLES, 0)),
    *((PolicyPack, "g_min", v) for v in (-0.1, NAN, INF, True, "0")),
    *((PolicyPack, n, v) for n in ("stability_min", "vote_min", "trust_min", "staleness_decay") for v in (-0.1, 1.1, NAN)),
    (PolicyPack, "staleness_decay", 1e-4),
    *((PolicyPack, n, -1) for n in ("n_proposals", "max_lag", "trust_nights", "max_staleness", "n_cap")),
    *((PolicyPack, "max_staleness", v) for v in (367, 1.5, True)),
    *((PolicyPack, "sealed", v) for v in (1, None, "yes")),
    *((PolicyPack, "strategy", v) for v in ("median", "", None, "x" * 10_000)),
    *((PolicyPack, "privacy", v) for v in ("secret", "", None)),
    *((CausalSemanticPack, "dag_edges", [v]) for v in ((0, 1), (0, 1, NAN), (1, 1, 0.5), (-1, 0, 0.5), 5, "abc", None, (0, 1, "x"))),
    (CausalSemanticPack, "dag_edges", [(0, 1, 0.5), (0, 1, 0.25)]),
    *((CausalSemanticPack, "confounders", v) for v in ([1, 1], [-1], [MAX_VARIABLES], [True], [1.0])),
    *((CausalSemanticPack, "interventions", [v]) for v in (5, {1: 2}, {"a": []}, {"a": NAN}, {"a": HUGE}, {"x" * 201: 1}, {"a": "x" * 2001}, {"a": b"b"})),
    *((Claims, n, v) for n in ("clip_norm", "loss") for v in (-0.1, NAN, INF, True, "x")),
]


@pytest.mark.parametrize(("kind", "name", "value"), BAD, ids=[f"{k.__name__}.{n}={v!r:.20}" for k, n, v in BAD])
def test_a_value_outside_its_field_is_refused(kind: type, name: str, value: Any) -> None:
    kind(**GOOD[kind])
    with pytest.raises(BoundsError) as caught:
        kind(**(GOOD[kind] | {name: value}))
    assert caught.value.subject == kind.__name__
    assert len(str(caught.value)) < 400


def test_source_and_target_differ_at_lag_zero() -> None:
    for kind, source, target in ((PathPack, "source_idx", "target_idx"), (EdgeDelta, "source_id", "target_id")):
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
    semantic = CausalSemanticPack([(np.int64(1), 0, 1)], [np.int64(3)], [{"a": np.float64(-0.0), "b": np.int64(2), "c": True}])
    assert semantic.dag_edges == [(1, 0, 1.0)]
    assert [type(v) for v in semantic.interventions[0].values()] == [float, int, bool]
    assert str(semantic.interventions[0]["a"]) == "0.0"
    assert type(PolicyPack(g_min=0, n_proposals=np.int64(5)).n_proposals) is int


def test_what_a_pack_was_given_can_change_without_changing_it() -> None:
    acts, edges = [{"do": 1}], [(0, 1, 0.5)]
    pack = CausalSemanticPack(edges, [1], acts)
    acts[0]["do"] = 2
    edges.clear()
    assert pack.interventions == [{"do": 1}]
    assert pack.dag_edges == [(0, 1, 0.5)]


# -- tables -------------------------------------------------------------------------------------------------------------------------


EDGES: dict[str, Any] = {
    "source": np.array([0, 1], np.uint32),
    "target": np.array([1, 2], np.uint32),
    "lag": np.array([1, 1], np.uint16),
    "effect": np.array([0.5, -0.5]),
    "confidence": np.array([0.5, 1.0]),
    "stability": np.array([0.0, 1.0]),
    "hits": np.array([1, 2], np.uint32),
    "n": np.array([1, 2], np.uint64),
}


@pytest.mark.parametrize(
    "columns",
    [
        {"source": [-1, 0]},
        {"source": [0, 1 << 33]},
        {"source": [0.0, 1.0]},
        {"source": ["a", "b"]},
        {"source": [[0], [1]]},
        {"source": [None, 1]},
        {"source": [True, False]},
        {"source": 0},
        {"source": [[0], [1, 2]]},
        {"lag": [0, 1 << 16]},
        {"effect": [1j, 0]},
        {"effect": [0.5]},
        {"effect": [NAN, 0]},
        {"hits": [-1, 0]},
        {"n": np.array([0, MAX_SAMPLES + 1], np.uint64)},
        {"source": [1, 0]},
        {"source": [0, 0], "target": [1, 1]},
        {"source": [1, 1], "target": [1, 2], "lag": [0, 0]},
        {"ci_low": [0.0, -1.0]},
        {"ci_low": [0.6, -1.0], "ci_high": [1.0, 1.0]},
        {"ci_low": [0.0, -1.0], "ci_high": [0.4, 1.0]},
    ],
)
def test_a_bad_column_is_refused(columns: dict[str, Any]) -> None:
    EdgeTable(**(EDGES | {"n": np.array([0, MAX_SAMPLES], np.uint64)}))
    with pytest.raises(BoundsError) as caught:
        EdgeTable(**(EDGES | columns))
    assert "edges" in caught.value.subject


def test_columns_are_read_only_and_of_their_type() -> None:
    table = EdgeTable(**(EDGES | {"source": [0, 1], "effect": [1, 2]}))
    for field in dataclasses.fields(table):
        column = getattr(table, field.name)
        assert column is None or not column.flags.writeable
    assert [table.source.dtype, table.effect.dtype, table.n.dtype] == [np.uint32, np.float64, np.uint64]
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.source = np.zeros(2)  # type: ignore[misc]


def test_build_sorts_broadcasts_and_has_one_zero() -> None:
    table = EdgeTable.build(source=[1, 0], target=[2, 1], lag=1, effect=[-0.0, 1.0], confidence=1, stability=1)
    assert table.source.tolist() == [0, 1]
    assert not np.signbit(table.effect).any()
    with pytest.raises(BoundsError, match="twice"):
        EdgeTable.build(source=[1, 1], target=[2, 2], lag=1, effect=1, confidence=1, stability=1)


def test_keys_pack_and_unpack_at_their_edges() -> None:
    source, target, lag = np.array([0, MAX_VARIABLES - 1], np.uint32), np.array([1, MAX_VARIABLES - 1], np.uint32), np.array([0, MAX_LAG], np.uint16)
    keys = pack_keys(source, target, lag)
    assert keys.tolist() == [1 << 16, (1 << 64) - 1]
    for back, given in zip(unpack_keys(keys), (source, target, lag), strict=True):
        assert (back == given).all()


def test_a_delta_table_is_checked_too() -> None:
    columns = {"source": [0], "target": [1], "lag": [0], "weight_delta": [0.5], "ci_low_delta": [0.0], "ci_high_delta": [0.0], "hits_delta": [-1]}
    assert len(DeltaTable(**columns)) == 1
    for bad in ({"weight_delta": [NAN]}, {"hits_delta": [2**31]}, {"target": [0]}, {"source": [1 << 24]}, {"ci_low_delta": [0.0, 1.0]}):
        with pytest.raises(BoundsError):
            DeltaTable(**(columns | bad))


TABLES: dict[type, dict[str, Any]] = {
    EdgeTable: EDGES,
    DeltaTable: {
        "source": [0], "target": [1], "lag": [0], "weight_delta": [0.5], "ci_low_delta": [0.0], "ci_high_delta": [0.0], "hits_delta": [1],
    },
    HyperedgeTable: {name: np.asarray(column) for name, column in EDGES.items() if name != "source"} | {"sources": [0, 3, 0, 1], "offsets": [0, 2, 4]},
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, columns in TABLES.items() for name in columns])
def test_a_column_that_is_missing_is_named(kind: type, name: str) -> None:
    """Also where a client signed that it is null: what comes after a table's checks looks at every column."""
    whole = kind(**TABLES[kind])
    with pytest.raises(BoundsError, match=f"{name}: is missing"):
        kind(**(TABLES[kind] | {name: None}))
    with pytest.raises(PacketError, match=f"{name}: is missing"):
        from_record(kind, to_record(whole) | {name: None})


def test_an_effect_that_is_missing_is_named_where_units_are_rounded() -> None:
    rounded = to_record(EdgeTable(**EDGES)) | {"effect": None, "confidence": ["|u1", b"\1\2"]}
    with pytest.raises(PacketError, match="effect: is missing"):
        from_record(EdgeTable, rounded)


def test_as_column_keeps_what_fits_and_refuses_what_does_not() -> None:
    assert as_column([1, 2], np.uint16, "x").dtype == np.uint16
    assert as_column([], np.uint32, "x").dtype == np.uint32
    for bad in ([1 << 16], [-1], [0.5], "ab", [[1]], [object()], 5, [HUGE]):
        with pytest.raises(BoundsError):
            as_column(bad, np.uint16, "x")


def hyper(sources: list[list[int]], target: Any, lag: Any = 1) -> HyperedgeTable:
    return HyperedgeTable(
        sources=[s for row in sources for s in row],
        offsets=np.cumsum([0, *map(len, sources)]),
        target=target,
        lag=np.broadcast_to(lag, len(sources)).astype(np.uint16),
        effect=np.ones(len(sources)),
        confidence=np.ones(len(sources)),
        stability=np.ones(len(sources)),
        hits=np.ones(len(sources), int),
        n=np.ones(len(sources), int),
    )


@pytest.mark.parametrize(
    ("sources", "target"),
    [
        ([[0, 1], [0, 1]], [2, 2]),
        ([[0, 2], [0, 1]], [3, 3]),
        ([[1, 2], [0, 9]], [3, 3]),
        ([[0, 1, 2], [0, 1]], [3, 3]),
        ([[0, 1], [0, 1]], [3, 2]),
        ([[0], [1]], [2, 2]),
        ([list(range(65))], [70]),
        ([[1, 0]], [2]),
        ([[0, 0]], [2]),
    ],
    ids=["twice", "last source falls", "first source falls", "wider first", "target falls", "one source", "65 sources", "unsorted", "source twice"],
)
def test_hyperedges_have_one_order(sources: list[list[int]], target: list[int]) -> None:
    with pytest.raises(BoundsError):
        hyper(sources, target)


def test_the_order_check_agrees_with_the_key_matrix() -> None:
    """Random tables, many ties: refused exactly where the rows of the (wide) key matrix do not strictly ascend."""
    rng, verdicts = np.random.default_rng(1), set()
    for _ in range(400):
        rows = int(rng.integers(2, 7))
        lists = [sorted(rng.choice(4, size=int(rng.integers(2, 4)), replace=False).tolist()) for _ in range(rows)]
        targets, lags = np.sort(rng.integers(5, 7, rows)), rng.integers(1, 3, rows)
        keys = [(int(t), int(g), len(s), s) for t, g, s in zip(targets, lags, lists, strict=True)]
        if rng.random() < 0.7:
            keys.sort()
        ascending = all(a < b for a, b in itertools.pairwise(keys))
        try:
            hyper([k[3] for k in keys], [k[0] for k in keys], [k[1] for k in keys])
            accepted = True
        except BoundsError:
            accepted = False
        assert accepted == ascending, keys
        verdicts.add(accepted)
    assert verdicts == {True, False}


def test_one_wide_hyperedge_does_not_widen_all_others() -> None:
    """The order check takes memory for the sources there are: 64 times less than a matrix as wide as the widest row."""
    rows = 30_000
    lists = [[0, i + 1] for i in range(rows)]
    columns = dict.fromkeys(("effect", "confidence", "stability"), np.ones(rows + 1))
    flat = np.concatenate([np.array(lists, np.uint32).ravel(), np.arange(64, dtype=np.uint32)])
    offsets = np.append(np.arange(0, 2 * rows + 1, 2), 2 * rows + 64)
    target = np.append(np.full(rows, 100_000), 100_001)
    tracemalloc.start()
    try:
        HyperedgeTable(
            sources=flat,
            offsets=offsets,
            target=target,
            lag=np.ones(rows + 1, np.uint16),
            hits=np.ones(rows + 1, np.uint32),
            n=np.ones(rows + 1, np.uint64),
            **columns,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20, f"{peak / 2**20:.1f} MB, a matrix would take {67 * 8 * rows / 2**20:.0f}"


# -- update -------------------------------------------------------------------------------------------------------------------------


TABLE = EdgeTable(**EDGES)


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
    ],
)
def test_an_update_hangs_together(fields: dict[str, Any]) -> None:
    Update(measured=[0, 1, 2], edges=TABLE)
    with pytest.raises(BoundsError) as caught:
        Update(**({"measured": [0, 1, 2], "edges": TABLE} | fields))
    assert "Update" in caught.value.subject


def test_an_end_that_was_not_measured_is_named() -> None:
    with pytest.raises(BoundsError, match="edges uses variable 2"):
        Update(measured=[0, 1, 3], edges=TABLE)
    table = hyper([[0, 7]], [1])
    with pytest.raises(BoundsError, match="hyperedges uses variable 7"):
        Update(measured=[0, 1, 2], edges=TABLE, hyperedges=table)


@pytest.mark.parametrize("base", [b"", b"x" * 31, "x" * 32])
def test_changes_name_their_base_by_its_digest(base: Any) -> None:
    table = DeltaTable(source=[0], target=[1], lag=[0], weight_delta=[0.5], ci_low_delta=[0.0], ci_high_delta=[0.0], hits_delta=[-1])
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


# -- vocabulary ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "a\0", "\x1b[31m", "\u202egnp", "a\u200bb", "\ud800", "\u2028", None, 5])
def test_a_variables_name_is_a_short_printable_text(name: Any) -> None:
    """Nothing that steers a terminal, hides, or reverses what is read."""
    with pytest.raises(BoundsError):
        Variable(name)
    if name != "":
        with pytest.raises(BoundsError):
            Variable("x", name)


@pytest.mark.parametrize("name", ["gnp", "Bruttosozialprodukt (real)", "d\u00e9bit", "\u6e29\u5ea6", "x" * 200])
def test_names_of_all_languages_will_do(name: str) -> None:
    assert Vocabulary.of(name).index(name) == 0


def test_names_are_unique_and_the_check_is_quick() -> None:
    """A hundred thousand names, one twice: counted once, not once for each."""
    names = [str(i) for i in range(100_000)]
    with pytest.raises(BoundsError, match="twice: 7"):
        Vocabulary(tuple(Variable(n) for n in [*names, "7"]))


@pytest.mark.parametrize("version", [-1, 1 << 53, True, 1.0, "1"])
def test_a_version_is_a_count(version: Any) -> None:
    with pytest.raises(BoundsError):
        Vocabulary.of("a", version=version)


def test_the_digest_depends_on_everything_and_on_nothing_else() -> None:
    base = Vocabulary.of("ab", "c", domain="d")
    others = [
        Vocabulary.of("a", "bc", domain="d"),
        Vocabulary.of("c", "ab", domain="d"),
        Vocabulary.of("ab", "c", domain=""),
        Vocabulary.of("ab", "c", domain="d", version=2),
        Vocabulary.of("ab", domain="d"),
        Vocabulary((Variable("ab", "d"), Variable("c", "d2"))),
        Vocabulary((Variable("abd"), Variable("c", "d"))),
    ]
    assert len({v.digest for v in [base, *others]}) == 8
    assert Vocabulary.of("ab", "c", domain="d").digest == base.digest
    assert base.digest.hex() == "6a74172f4e60a2b2ec95d460380c562bde7f59426e2554f2a0db3e2f2b08aff4", "pinned: a change of the digest breaks every signed plan"


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(BoundsError, match="heat, load"):
        Vocabulary.of("heat", "load").index("wear")
