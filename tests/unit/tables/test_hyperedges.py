"""Hyperedges have one order, which is checked without widening them to the widest."""

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest

from hyperfed.errors import BoundsError
from hyperfed.tables.hyperedges import HyperedgeTable


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
    ids=[
        "twice",
        "last source falls",
        "first source falls",
        "wider first",
        "target falls",
        "one source",
        "65 sources",
        "unsorted",
        "source twice",
    ],
)
def test_hyperedges_have_one_order(sources: list[list[int]], target: list[int]) -> None:
    with pytest.raises(BoundsError):
        hyper(sources, target)


def test_the_order_check_agrees_with_the_key_matrix() -> None:
    """Random tables, many ties: refused exactly where the rows of the (wide) key matrix do not
    strictly ascend.
    """
    rng, verdicts = np.random.default_rng(1), set()
    for _ in range(400):
        rows = int(rng.integers(2, 7))
        lists = [
            sorted(rng.choice(4, size=int(rng.integers(2, 4)), replace=False).tolist())
            for _ in range(rows)
        ]
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
    """The order check takes memory for the sources there are: 64 times less than a matrix as wide
    as the widest row.
    """
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
