"""The graph: what it holds, refuses, changes, finds and writes."""

import builtins
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyperfed.errors import BoundsError, ConfigError, SchemaError
from hyperfed.hypergraph.evidence import Evidence
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import CausalSemanticPack, EdgeDelta, PathPack, Update
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.unit

VOCABULARY = Vocabulary.of("a", "b", "c", "d")


def _edges(**change: object) -> EdgeTable:
    columns = {
        "source": [0, 0, 2],
        "target": [1, 2, 0],
        "lag": [1, 1, 0],
        "effect": [1.0, -2.0, 0.5],
        "ci_low": [0.5, -3.0, 0.0],
        "ci_high": [2.0, -1.0, 1.0],
    }
    return EdgeTable.build(
        **(columns | {"confidence": 0.9, "stability": 0.8, "hits": 3, "n": 50} | change)
    )


def _graph() -> HypergraphStore:
    hyper = HyperedgeTable.build(
        sources=[[1, 0], [2, 0, 1]],
        target=[3, 2],
        lag=[1, 2],
        effect=[1.0, -1.0],
        confidence=0.5,
        stability=0.5,
    )
    semantic = CausalSemanticPack(
        dag_edges=[(0, 1, 0.5)], confounders=[3], interventions=[{"do": "price", "by": 2.0}]
    )
    return HypergraphStore(
        edges=_edges(),
        hyperedges=hyper,
        semantic=semantic,
        measured=[0, 1, 2, 3],
        vocabulary=VOCABULARY,
    )


def test_a_store_counts_compares_and_knows_its_ends() -> None:
    graph = _graph()
    assert len(graph) == 5
    assert graph == _graph()
    assert graph != HypergraphStore(edges=_edges())
    assert HypergraphStore(edges=_edges()).measured.tolist() == [0, 1, 2]
    assert len(HypergraphStore()) == 0
    with pytest.raises(ValueError, match="read-only"):
        graph.measured[0] = 9


def test_graphs_share_a_frozen_array_of_what_was_measured_and_no_other() -> None:
    """A night of 100,000 clients has as many graphs, and whoever gave an array may change it."""
    frozen = np.arange(4, dtype=np.uint32)
    frozen.flags.writeable = False
    assert HypergraphStore(edges=_edges(), measured=frozen).measured is frozen
    for other in (np.arange(4, dtype=np.uint32), frozen.astype(np.int64), frozen[::-1]):
        graph = HypergraphStore(edges=_edges(), measured=other)
        assert not np.shares_memory(graph.measured, other)
        assert graph.measured.tolist() == [0, 1, 2, 3]


def test_a_suspected_confounder_is_not_thereby_measured() -> None:
    assert HypergraphStore(semantic=CausalSemanticPack(confounders=[3])).measured.tolist() == []


def test_ends_outside_measured_or_vocabulary_are_refused() -> None:
    with pytest.raises(BoundsError, match="variable 2, which was not measured"):
        HypergraphStore(edges=_edges(), measured=[0, 1])
    with pytest.raises(BoundsError, match="variable 2 is not among"):
        HypergraphStore(edges=_edges(), vocabulary=Vocabulary.of("a", "b"))
    with pytest.raises(BoundsError, match="variable 9 is not among"):
        HypergraphStore(semantic=CausalSemanticPack(confounders=[9]), vocabulary=VOCABULARY)


def test_paths_go_in_and_out() -> None:
    paths = [PathPack(2, 0, 0, 0.5, 0.9, 0.8), PathPack(0, 1, 1, 1.0, 0.9, 0.8)]
    graph = HypergraphStore.from_paths(paths, measured=[0, 1, 2, 3], n=7)
    assert graph.to_paths() == paths[::-1]
    assert graph.edges.n.tolist() == [7, 7]
    assert graph.measured.tolist() == [0, 1, 2, 3]
    assert HypergraphStore.from_paths([]).to_paths() == []


def test_neighbors_by_direction_name_and_lag() -> None:
    graph = _graph()
    assert graph.neighbors("a").source.tolist() == [0, 0, 2]
    assert graph.neighbors("a", direction="out").target.tolist() == [1, 2]
    assert graph.neighbors(0, direction="in").source.tolist() == [2]
    assert graph.neighbors(0, lag=0).source.tolist() == [2]
    with pytest.raises(BoundsError, match="unknown variable"):
        graph.neighbors("zebra")
    with pytest.raises(BoundsError, match="no vocabulary"):
        HypergraphStore().neighbors("a")
    with pytest.raises(BoundsError, match="direction"):
        graph.neighbors(0, direction="up")  # type: ignore[arg-type]


def test_apply_changes_one_edge_and_leaves_the_store_itself() -> None:
    graph = _graph()
    changed = graph.apply(EdgeDelta(0, 2, 0.5, (0.25, 0.75), -1, lag=1))
    assert changed.edges.effect.tolist() == [1.0, -1.5, 0.5]
    assert changed.edges.ci_low.tolist() == [0.5, -2.75, 0.0]
    assert changed.edges.ci_high.tolist() == [2.0, -0.25, 1.0]
    assert changed.edges.hits.tolist() == [3, 2, 3]
    assert graph == _graph()


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        (EdgeDelta(0, 3, 0.5, (0.0, 0.0), 0, lag=1), r"edge \(0, 3, lag 1\).*Send the whole table"),
        (EdgeDelta(0, 1, 0.5, (0.0, 0.0), 0), r"edge \(0, 1, lag 0\).*Send the whole table"),
        (EdgeDelta(0, 1, 0.0, (0.0, 0.0), -4, lag=1), "hits would fall below 0"),
        (EdgeDelta(0, 1, 5.0, (0.0, 0.0), 0, lag=1), "must not be below the effect"),
    ],
)
def test_deltas_that_cannot_be_applied_are_refused(delta: EdgeDelta, words: str) -> None:
    with pytest.raises(BoundsError, match=words):
        _graph().apply(delta)


def test_an_interval_cannot_be_changed_where_there_is_none() -> None:
    graph = HypergraphStore(edges=_edges(ci_low=None, ci_high=None))
    assert graph.apply(EdgeDelta(0, 1, 0.5, (0.0, 0.0), 0, lag=1)).edges.effect[0] == 1.5
    with pytest.raises(BoundsError, match="changes an interval"):
        graph.apply(EdgeDelta(0, 1, 0.5, (0.1, 0.1), 0, lag=1))


def test_diff_names_added_removed_and_changed_and_its_deltas_lead_there() -> None:
    mine = HypergraphStore(edges=_edges(), measured=[0, 1, 2, 3])
    theirs = HypergraphStore(
        edges=_edges(effect=[1.0, -2.5, 0.5], source=[0, 0, 3]), measured=[0, 1, 2, 3]
    )
    diff = mine.diff(theirs)
    assert (len(diff), diff.added.source.tolist(), diff.removed.source.tolist()) == (3, [3], [2])
    assert (diff.before.effect.tolist(), diff.after.effect.tolist()) == ([-2.0], [-2.5])
    with pytest.raises(BoundsError, match="Send the whole table"):
        _ = diff.deltas
    moved = HypergraphStore(
        edges=_edges(effect=[1.1, -2.0, 0.7], ci_low=[1.1, -3.0, 0.1], hits=[3, 3, 9]),
        measured=[0, 1, 2, 3],
    )
    deltas = mine.diff(moved).deltas
    assert deltas.hits_delta.tolist() == [0, 6]
    after = mine.apply(deltas)
    np.testing.assert_allclose(after.edges.effect, moved.edges.effect, rtol=1e-15)
    assert after.edges.hits.tolist() == [3, 3, 9]
    with pytest.raises(BoundsError, match="Send the whole table"):
        _ = mine.diff(HypergraphStore(edges=_edges(confidence=[0.9, 0.9, 0.1]))).deltas
    assert len(mine.diff(mine)) == 0


def test_an_update_of_deltas_needs_its_base() -> None:
    base = HypergraphStore(edges=_edges())
    moved = HypergraphStore(edges=_edges(effect=[1.25, -2.0, 0.5]))
    update = Update(measured=np.array([0, 1, 2]), deltas=base.diff(moved).deltas, base=b"x" * 32)
    assert HypergraphStore.from_update(update, base=base).edges == moved.edges
    with pytest.raises(BoundsError, match="no base"):
        HypergraphStore.from_update(update)
    whole = Update(measured=np.array([0, 1, 2, 3]), edges=_edges())
    assert HypergraphStore.from_update(whole).measured.tolist() == [0, 1, 2, 3]


def test_a_store_has_no_edge_at_a_lag_that_was_not_looked_at() -> None:
    with pytest.raises(BoundsError, match="which was not looked at"):
        replace(_graph(), lags=(70,))
    with pytest.raises(BoundsError, match="each lag is named once, the shortest first"):
        HypergraphStore(lags=(2, 1))
    update = Update(measured=np.array([0, 1, 2, 3]), edges=_edges(), lags=(0, 1, 2, 3))
    assert HypergraphStore.from_update(update).lags == (0, 1, 2, 3)


def test_a_store_and_a_merged_store_survive_a_file(tmp_path: Path) -> None:
    merged = StoreReconciler(strategy="union").reconcile([_graph(), _graph()])
    assert merged.evidence is not None
    for graph in (_graph(), merged, HypergraphStore(), replace(_graph(), lags=(0, 1, 2, 3))):
        graph.save(tmp_path / "model.npz")
        assert HypergraphStore.load(tmp_path / "model.npz") == graph
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]


def test_files_that_are_not_a_store_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    with pytest.raises(ConfigError, match=r"model\.npz"):
        HypergraphStore.load(file)
    _graph().save(file)
    whole = file.read_bytes()
    for damaged in (
        b"",
        b"hello",
        whole[: len(whole) // 2],
        whole[:100] + bytes([whole[100] ^ 255]) + whole[101:],
    ):
        file.write_bytes(damaged)
        with pytest.raises((SchemaError, ConfigError)):
            HypergraphStore.load(file)

    def rewritten(**change: object) -> None:
        with np.load(io.BytesIO(whole)) as arrays:
            np.savez(file, **(dict(arrays) | change))

    rewritten(**{"edges.confidence": np.array([2.0, 0.5, 0.5])})
    with pytest.raises(BoundsError, match="confidence"):
        HypergraphStore.load(file)
    rewritten(meta=np.frombuffer(json.dumps({"format": 99}).encode(), dtype=np.uint8))
    with pytest.raises(SchemaError, match="99"):
        HypergraphStore.load(file)
    rewritten(**{"edges.effect": np.array([1, "x"], dtype=object)})
    with pytest.raises(SchemaError):
        HypergraphStore.load(file)


def test_to_networkx_has_names_lags_and_columns() -> None:
    graph = _graph().to_networkx()
    assert sorted(graph.nodes) == ["a", "b", "c", "d"]
    assert graph["a"]["c"][1]["effect"] == -2.0
    assert graph.number_of_edges() == 3
    assert set(HypergraphStore(edges=_edges()).to_networkx().nodes) == {0, 1, 2}


def test_without_networkx_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: object, **kwargs: object) -> object:
        if name == "networkx":
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match="pip install"):
        _graph().to_networkx()


def test_evidence_has_the_length_of_what_it_stands_behind() -> None:
    merged = StoreReconciler(strategy="union").reconcile([_graph()])
    assert merged.evidence is not None
    with pytest.raises(BoundsError, match="length"):
        HypergraphStore(edges=_edges().take(np.array([0])), evidence=merged.evidence)
    columns = {name: getattr(merged.evidence.edges, name) for name in Evidence.__dataclass_fields__}
    with pytest.raises(BoundsError, match="tau2"):
        Evidence(**(columns | {"tau2": np.full(3, np.nan)}))


def test_hyperedges_are_built_in_order_and_taken_by_row() -> None:
    table = HyperedgeTable.build(
        sources=[[5, 1], [3, 2, 1], [4, 0]],
        target=[7, 6, 6],
        lag=[1, 1, 1],
        effect=[1.0, 2.0, 3.0],
        confidence=0.5,
        stability=[0.1, 0.2, 0.3],
    )
    assert table.effect.tolist() == [3.0, 2.0, 1.0]
    assert table.sources.tolist() == [0, 4, 1, 2, 3, 1, 5]
    some = table.take(np.array([True, False, True]))
    assert (some.sources.tolist(), some.offsets.tolist(), some.stability.tolist()) == (
        [0, 4, 1, 5],
        [0, 2, 4],
        [0.3, 0.1],
    )
    assert len(HyperedgeTable.empty()) == 0
    with pytest.raises(BoundsError, match="twice"):
        HyperedgeTable.build(
            sources=[[1, 2], [2, 1]],
            target=[3, 3],
            lag=[0, 0],
            effect=[1.0, 1.0],
            confidence=1.0,
            stability=1.0,
        )
