"""Where edges come from: support by basket, and parents that supporters did not measure."""

import numpy as np
import pytest

from hyperfed.errors import BoundsError
from hyperfed.hypergraph.origins import BasketSupport, basket_supports, unadjusted_edges
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.unit


def _edges(*pairs: tuple[int, int]) -> EdgeTable:
    return EdgeTable.build(
        source=[s for s, _ in pairs],
        target=[t for _, t in pairs],
        lag=1,
        effect=0.5,
        confidence=0.9,
        stability=0.9,
        n=50,
    )


def test_support_is_counted_by_basket_and_too_few_are_not_told() -> None:
    supporters = np.array([[True, True, True, False], [False, False, True, True]])
    clients, domains = ("a", "b", "c", "d"), {"a": "x", "b": "x", "c": "y", "d": "y"}
    one, two = basket_supports(supporters, clients, domains)
    assert (one.name, one.clients, one.support.tolist()) == ("x", 2, [2, 0])
    assert (two.name, two.clients, two.support.tolist()) == ("y", 2, [1, 2])
    hidden = basket_supports(supporters, clients, domains, minimum=2)
    assert [part.support.tolist() for part in hidden] == [[0, 0], [0, 2]], "3 - 2 would tell the 1"
    assert basket_supports(supporters, clients, dict.fromkeys(clients, "x")) == ()
    with pytest.raises(BoundsError):
        BasketSupport(name="x", clients=1, support=np.zeros((1, 1)))


def test_no_count_below_the_minimum_follows_from_the_sum_and_the_others() -> None:
    """Baskets of 5, 3 and 1 supporters, and of 5, 1 and 1: the sums are published, too."""
    clients = tuple(f"c{i}" for i in range(10))
    domains = {client: "aaaaabbbcc"[i] for i, client in enumerate(clients)}
    supporters = np.array([[True] * 9 + [False], [True] * 6 + [False, False, True, False]])
    parts = basket_supports(supporters, clients, domains, minimum=2)
    assert [part.support.tolist() for part in parts] == [[5, 5], [0, 0], [0, 0]]
    parts = basket_supports(supporters, clients, domains, minimum=1)
    assert [part.support.tolist() for part in parts] == [[5, 5], [3, 1], [1, 1]]


def test_an_edge_says_which_common_parent_its_supporters_lack() -> None:
    """2 drives 0 and 1. Of the three that support 0 -> 1, two never measured 2."""
    edges = _edges((0, 1), (2, 0), (2, 1))
    all_three, few = np.array([0, 1, 2], np.uint32), np.array([0, 1], np.uint32)
    supporters = np.array([[True, True, True], [True, False, False], [True, False, False]])
    found = unadjusted_edges(edges, supporters, [all_three, few, few])
    assert found is not None
    assert [getattr(found, name).tolist() for name in found.COLUMNS] == [[0], [2], [2], [3]]
    assert unadjusted_edges(edges, supporters, [all_three, all_three, few]) is None
    assert unadjusted_edges(_edges((0, 1)), supporters[:1], [all_three, few, few]) is None
    assert unadjusted_edges(EdgeTable.empty(), supporters[:0], [few] * 3) is None
