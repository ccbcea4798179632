"""Key ranges and derived columns: the same rows, whether a column is held or computed where it is
looked at.
"""

import threading
import time
import tracemalloc

import numpy as np
import pytest

from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge.segments import Derived, common, cuts, over, rows_between
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable, pack_keys

pytestmark = pytest.mark.unit


def table(rng: np.random.Generator, rows: int, variables: int = 200) -> EdgeTable:
    key = np.sort(rng.choice(variables * variables, rows, replace=False))
    return EdgeTable(
        source=key // variables,
        target=key % variables,
        lag=np.ones(rows, np.uint16),
        effect=rng.normal(0, 1, rows).astype(np.float32),
        confidence=rng.random(rows).astype(np.float32),
        stability=rng.random(rows).astype(np.float32),
        hits=np.ones(rows, np.uint32),
        n=np.full(rows, 100),
    )


def test_derived_keys_are_split_as_keys_are() -> None:
    rng = np.random.default_rng(0)
    tables = [table(rng, rows) for rows in (500, 0, 1200, 30)]
    derived = Derived(
        pack_keys, ([t.source for t in tables], [t.target for t in tables], [t.lag for t in tables])
    )
    keys = [t.keys for t in tables]
    held, computed = cuts(keys, rows_a_part=300), cuts(derived, rows_a_part=300)
    assert len(held) == len(computed) > 3
    for (low, high), other in zip(held, computed, strict=True):
        assert np.array_equal(low, other[0])
        assert np.array_equal(high, other[1])
        assert np.array_equal(rows_between(keys, low, high), rows_between(derived, low, high))
    assert np.array_equal(derived[2], tables[2].keys)
    assert len(derived) == 4


@pytest.mark.parametrize(("clients", "rows"), [(60, 3000), (3000, 60), (2, 90_000)])
def test_ranges_hold_about_as_many_rows_whether_clients_are_few_or_small(
    clients: int, rows: int
) -> None:
    """Alike clients, each with its own half of the keys."""
    rng = np.random.default_rng(3)
    keys = [np.flatnonzero(rng.random(2 * rows) < 0.5).astype(np.uint64) for _ in range(clients)]
    held = [
        int((high - low).sum()) for low, high in cuts(keys, rows_a_part=sum(map(len, keys)) // 20)
    ]
    assert sum(held) == sum(map(len, keys))
    assert len(held) == 20
    assert max(held) < 1.5 * sum(held) / 20


def test_common_keys_are_those_of_every_client() -> None:
    rng = np.random.default_rng(1)
    keys = [np.unique(rng.integers(0, 400, 300)).astype(np.uint64) for _ in range(4)]
    assert common(keys).tolist() == sorted(set.intersection(*({*k.tolist()} for k in keys)))
    assert common([*keys, np.zeros(0, np.uint64)]).tolist() == []
    assert common([keys[0]]).tolist() == keys[0].tolist()
    assert common([np.array([9], np.uint64), np.array([3], np.uint64)]).tolist() == []


def merge_peak(clients: int, rows: int, strategy: str) -> int:
    """Bytes a merge takes beside its graphs, at the most."""
    rng = np.random.default_rng(2)
    graphs = [
        HypergraphStore(edges=table(rng, rows), measured=np.arange(200)) for _ in range(clients)
    ]
    StoreReconciler(strategy=strategy).merge(graphs[:2])  # what is imported and kept once
    tracemalloc.start()
    try:
        StoreReconciler(strategy=strategy).merge(graphs)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("strategy", "most"), [("mean", 26), ("consensus", 30)])
def test_a_merge_takes_less_memory_than_its_rows(
    strategy: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes a row: 30 in columns alone. Keys and votes of all clients at once would be 16 more; 19
    and 22 were measured when this was written.
    """
    # tracemalloc does not see what machine code allocates
    monkeypatch.setenv("HYPERFED_COMPILED", "0")
    assert merge_peak(60, 20_000, strategy) / (60 * 20_000) < most


def test_many_ranges_are_worked_on_at_once_and_come_back_in_their_order() -> None:
    begun: list[int] = []
    both = threading.Barrier(2, timeout=20)

    def work(item: int) -> int:
        begun.append(item)
        if item < 2:
            both.wait()  # breaks unless two are worked on at once
        time.sleep(0.01 * (item % 3))
        return item * item

    results = over(work, range(20), threads=2)
    assert next(results) == 0
    assert max(begun) < 8  # what nobody has asked for yet is not begun
    assert list(results) == [item * item for item in range(1, 20)]
    assert list(over(work, [7, 3], threads=2)) == [49, 9]


def test_what_fails_in_a_range_fails_the_whole() -> None:
    with pytest.raises(ZeroDivisionError):
        list(over(lambda item: 1 / (5 - item), range(20), threads=2))
