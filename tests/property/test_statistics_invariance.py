"""No client's value decides another's precision, and nothing that no client said decides a number.

For every statistic of a merge:

1. clients in another order, or a client of weight 0 more, change nothing but the rounding of sums,
   and the order in which the same (client, row) pairs are given not a byte;
2. whatever can be admitted gives finite numbers, inside the range of what they are a mean of;
3. 2**k times as large effects and widths give 2**k times as large results, to the last bit;
4. one client of five or more moves no pooled effect beyond what the others span, one of two to four
   by no more than its share, which no claimed interval makes larger than a half.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hyperfed.aggregation.catalogue import RULES
from hyperfed.config import MAX_EFFECT
from hyperfed.errors import BreakdownError
from hyperfed.hierarchy.layers import LayerRules, merge_layers
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import LEAST_ESTIMATES, Z95
from hyperfed.merge.order import (
    held,
    median_effects,
    median_votes,
    trimmed_effects,
    trimmed_votes,
)
from hyperfed.merge.pooling import Pooled, pool_effects
from hyperfed.merge.shares import share_median, share_trimmed
from hyperfed.packets.policy import STRATEGIES
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable

pytestmark = [pytest.mark.property, pytest.mark.filterwarnings("error")]

calm = settings(deadline=None, max_examples=120)
sizes = st.sampled_from(
    [0.0, 5e-324, 1e-300, 1e-50, 1e-30, 1e-9, 0.5, 0.51, 1.0, 3.0, 1e9, 1e16, MAX_EFFECT]
) | st.floats(0, MAX_EFFECT)
admitted = st.tuples(sizes, st.sampled_from([1.0, -1.0])).map(lambda pair: pair[0] * pair[1] + 0.0)
ordinary = st.floats(-8, 8).map(lambda x: round(x, 3))
widths = st.sampled_from(
    [0.0, 1e-200, 1e-9, 1e-3, 0.1, 0.2, 5.0, 1e20, 2 * MAX_EFFECT]
) | st.floats(1e-3, 10)
weights = st.sampled_from([1.0, 0.9, 0.81]) | st.floats(1e-3, 2)
powers = st.integers(-30, 20)

Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def reports(
    draw: st.DrawFn, effects: st.SearchStrategy[float] = admitted, least: int = 1, most: int = 9
) -> Rows:
    """(effect, vote, weight, width) of the reporters of one edge, each with weight."""
    n = draw(st.integers(least, most))
    many = {"min_size": n, "max_size": n}
    columns = [
        draw(st.lists(values, **many)) for values in (effects, st.floats(-1, 1), weights, widths)
    ]
    return tuple(np.array(column) for column in columns)  # type: ignore[return-value]


def pooled(rows: Rows, weigh_outliers: bool = False) -> Pooled:
    effect, vote, weight, width = rows
    return pool_effects(
        np.zeros(len(effect), np.int32),
        1,
        effect=effect,
        vote=vote,
        weight=weight,
        width=width,
        weigh_outliers=weigh_outliers,
    )


def pooled_without_outliers(rows: Rows) -> Pooled:
    """As a merge by bounded trust pools them."""
    return pooled(rows, weigh_outliers=True)


def numbers(result: Pooled) -> list[float]:
    """What has the unit of the effect, tau² with its square, and what has none."""
    columns = (result.effect, result.std_error, result.tau2, result.i2)
    more = (result.half, result.predicted, result.low, result.high)
    return [float(column[0]) for column in (*columns, *more)]


def chosen(rows: Rows, at: object) -> Rows:
    return tuple(column[at] for column in rows)  # type: ignore[index, return-value]


def statistics(rows: Rows, weighted: bool = True) -> list[tuple[str, float]]:
    """Every statistic of one edge's rows that a merge may publish. weighted: those that know
    weights too.
    """
    effect, vote, weight, _ = rows
    one, n = np.zeros(len(effect), np.intp), np.array([len(effect)])
    found = [
        ("median effect", median_effects(one, 1, effect)),
        ("trimmed effect", trimmed_effects(one, 1, effect, 1)),
        ("median vote", median_votes(one, 1, vote, n + 2)),
        ("trimmed vote", trimmed_votes(one, 1, vote, n + 2, 1)),
        (
            "held effect",
            held(np.array([2.5]), one, effect, np.ones(len(effect), bool), np.ones(1), 1),
        ),
    ]
    if weighted:
        share = weight / weight.max()
        length = np.array([share.sum()])
        found += [
            ("effect median by shares", share_median(one, 1, effect, share, length)),
            ("trimmed effect by shares", share_trimmed(one, 1, effect, share, length, 0.5)),
        ]
    return [(name, float(value[0])) for name, value in found]


# -- 1. who is who ---------------------------------------------------------------------------------


@calm
@given(reports(ordinary), st.randoms(use_true_random=False))
@pytest.mark.parametrize("pool", [pooled, pooled_without_outliers])
def test_it_does_not_matter_which_client_said_what(
    pool: Callable[[Rows], Pooled], rows: Rows, random: object
) -> None:
    order = list(range(len(rows[0])))
    random.shuffle(order)  # type: ignore[attr-defined]
    largest = np.abs(rows[0]).max()
    for one, other in zip(numbers(pool(rows)), numbers(pool(chosen(rows, order))), strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9 * largest)


@calm
@given(reports(least=2), st.randoms(use_true_random=False))
def test_order_statistics_do_not_know_who_said_what(rows: Rows, random: object) -> None:
    order = list(range(len(rows[0])))
    random.shuffle(order)  # type: ignore[attr-defined]
    for (name, one), (_, other) in zip(
        statistics(rows), statistics(chosen(rows, order)), strict=True
    ):
        # shares are added up in the order of the values; equal values in that of the clients
        if name.endswith("by shares"):
            assert one == pytest.approx(other, rel=1e-9, abs=1e-12 * np.abs(rows[0]).max()), name
        else:
            assert one == other, name


@calm
@given(reports(), st.data(), admitted, widths)
def test_who_has_no_weight_changes_not_a_bit(
    rows: Rows, data: st.DataObject, effect: float, width: float
) -> None:
    """Wherever in the order it stands, whatever it says and however surely."""
    at = data.draw(st.integers(0, len(rows[0])))
    more = tuple(
        np.insert(column, at, value)
        for column, value in zip(rows, (effect, 0.7, 0.0, width), strict=True)
    )
    assert numbers(pooled(more)) == numbers(pooled(rows))  # type: ignore[arg-type]


def stores_of(rows: Rows, *, sure: float = 0.9) -> list[HypergraphStore]:
    """One client a row, each with one edge."""
    made = []
    for effect, vote, _, width in zip(*(column.tolist() for column in rows), strict=True):
        ends = (
            {
                "ci_low": [max(effect - width / 2, -MAX_EFFECT)],
                "ci_high": [min(effect + width / 2, MAX_EFFECT)],
            }
            if width > 0
            else {}
        )
        edges = EdgeTable.build(
            source=[0],
            target=[1],
            lag=[1],
            effect=[effect],
            confidence=max(abs(vote), sure),
            stability=0.9,
            n=50,
            **ends,
        )
        made.append(HypergraphStore(edges=edges, measured=[0, 1]))
    return made


@calm
@given(reports(most=7), st.randoms(use_true_random=False), st.sampled_from(STRATEGIES))
def test_the_order_in_which_clients_are_given_changes_no_byte(
    rows: Rows, random: object, strategy: str
) -> None:
    pairs = [
        (f"client-{i}", graph, weight)
        for i, (graph, weight) in enumerate(zip(stores_of(rows), rows[2].tolist(), strict=True))
    ]
    rule = StoreReconciler(strategy=strategy, vote_min=0.0)

    def merged() -> HypergraphStore:
        return rule.reconcile(
            [s for _, s, _ in pairs],
            client_ids=[c for c, _, _ in pairs],
            base_weights=[w for _, _, w in pairs],
        )

    one = merged()
    random.shuffle(pairs)  # type: ignore[attr-defined]
    two = merged()
    assert one.edges == two.edges
    assert one.evidence == two.evidence


# -- 2. whatever can be admitted -------------------------------------------------------------------


@calm
@given(reports())
@example(tuple(np.array(c) for c in ([1e-50] * 5, [0.8] * 5, [1.0] * 5, [1e-51] * 5)))  # type: ignore[arg-type]
@example(
    tuple(
        np.array(c)
        for c in ([MAX_EFFECT, -MAX_EFFECT], [0.8] * 2, [1.0] * 2, [2 * MAX_EFFECT, 1e-200])
    )
)  # type: ignore[arg-type]
@example(tuple(np.array(c) for c in ([5e-324] * 3, [0.8] * 3, [1.0] * 3, [0.0, 1e-200, 1e20])))  # type: ignore[arg-type]
@pytest.mark.parametrize("pool", [pooled, pooled_without_outliers])
def test_pooled_numbers_are_finite_and_inside_what_was_reported(
    pool: Callable[[Rows], Pooled], rows: Rows
) -> None:
    effect, std_error, tau2, i2, half, predicted, low, high = numbers(pool(rows))
    assert rows[0].min() <= effect <= rows[0].max()
    near = 1e-12 * float(np.abs(rows[0]).max())
    assert min(rows[0].min(), 0.0) - near <= low <= high <= max(rows[0].max(), 0.0) + near
    assert all(math.isfinite(x) and x >= 0 for x in (half, predicted))
    assert 0 <= pool(rows).p_values()[0] <= 1
    assert math.isfinite(std_error)
    assert math.isfinite(tau2)
    assert min(std_error, tau2, i2) >= 0
    assert i2 <= 1


@calm
@given(reports())
def test_order_statistics_are_inside_what_was_reported(rows: Rows) -> None:
    low, high = rows[0].min(), rows[0].max()
    for name, value in statistics(rows):
        inside = (
            min(rows[1].min(), 0.0) <= value <= max(rows[1].max(), 0.0)
            if "vote" in name
            else min(low, 0.0) <= value <= max(high, 0.0)
        )
        assert inside or name.startswith("held"), name
        assert (
            low <= value <= high
            or name in ("median vote", "trimmed vote", "held effect")
            or (name.startswith("trimmed") and value == 0.0)
        ), name
        assert math.isfinite(value)


ROBUST = [name for name in RULES if name != "adaptive"]


@settings(deadline=None, max_examples=150)
@given(
    reports(least=1, most=9),
    st.sampled_from(
        [("consensus", rule) for rule in ROBUST] + [(s, "bounded-trust") for s in STRATEGIES]
    ),
    st.integers(0, 2),
)
@example(
    tuple(np.array(c) for c in ([1e-50] * 5, [0.8] * 5, [1.0] * 5, [1e-51] * 5)),
    ("consensus", "bounded-trust"),
    0,
)  # type: ignore[arg-type]
@example(
    tuple(np.array(c) for c in ([5e-324] * 5, [0.8] * 5, [1.0] * 5, [0.0] * 5)),
    ("consensus", "bounded-trust"),
    0,
)  # type: ignore[arg-type]
@example(
    tuple(np.array(c) for c in ([MAX_EFFECT] * 2, [0.8] * 2, [1.0] * 2, [0.0] * 2)),
    ("consensus", "median"),
    0,
)  # type: ignore[arg-type]
@example(
    tuple(
        np.array(c)
        for c in ([0.0] * 5 + [1.3e-156, 0.0], [0.0] * 7, [1.0] * 7, [0.0] * 5 + [0.1, 1e-200])
    ),
    ("consensus", "bounded-trust"),
    0,
)  # type: ignore[arg-type]
def test_no_merge_of_admitted_rows_raises_or_leaves_their_range(
    rows: Rows, how: tuple[str, str], f: int
) -> None:
    """By every strategy and rule, in one layer and in two."""
    strategy, rule = how
    try:
        reconciler = StoreReconciler(
            strategy=strategy, rule=rule, f=f if strategy == "consensus" else 0, vote_min=0.0
        )
        merged = reconciler.reconcile(stores_of(rows), base_weights=rows[2].tolist())
    except BreakdownError:
        assume(False)
    assert len(merged.edges) <= 1
    if len(merged.edges):
        tolerance = 1 if f == 0 else math.inf  # a held effect may have the sign of the vote
        assert rows[0].min() <= merged.edges.effect[0] <= rows[0].max() or tolerance > 1
    names = [f"client-{i}" for i in range(len(rows[0]))]
    graphs = dict(zip(names, stores_of(rows), strict=True))
    groups = {"one": names[::2], "two": names[1::2]} if len(names) > 1 else {"one": names}
    try:
        layered = merge_layers(
            reconciler,
            graphs,
            groups,
            base_weights=dict.fromkeys(names, 1.0),
            rules=LayerRules(minimum=1),
        )
    except BreakdownError:
        return
    for effect in layered.merged.graph.edges.effect:
        assert np.abs(effect) <= np.abs(rows[0]).max()


# -- 3. units --------------------------------------------------------------------------------------


@calm
@given(reports(ordinary), powers)
@pytest.mark.parametrize("pool", [pooled, pooled_without_outliers])
def test_another_unit_gives_the_same_numbers_in_that_unit(
    pool: Callable[[Rows], Pooled], rows: Rows, k: int
) -> None:
    effect, vote, weight, width = rows
    width = np.minimum(width, 10.0)
    width = np.where(width < 1e-9, 0.0, width)
    vote = np.round(vote, 9)  # a mean weighted by votes of 1e-311 is too small for all its digits
    plain = numbers(pool((effect, vote, weight, width)))
    scaled = numbers(pool((effect * 2.0**k, vote, weight, width * 2.0**k)))
    powers_of = [1, 1, 2, 0, 1, 1, 1, 1]
    assert scaled == [x * 2.0 ** (k * power) for x, power in zip(plain, powers_of, strict=True)]


@calm
@given(reports(ordinary), powers)
def test_order_statistics_know_no_unit(rows: Rows, k: int) -> None:
    effect, vote, weight, width = rows
    for (name, one), (_, other) in zip(
        statistics(rows), statistics((effect * 2.0**k, vote, weight, width)), strict=True
    ):
        if name not in ("median vote", "trimmed vote", "held effect"):
            assert other == one * 2.0**k, name


# -- 4. one client ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(reports(ordinary, least=LEAST_ESTIMATES), st.data(), admitted, widths)
def test_one_of_five_or_more_moves_no_effect_beyond_what_the_others_span(
    rows: Rows, data: st.DataObject, claim: float, width: float
) -> None:
    """Beyond their range by no more than some times its breadth and their intervals: an effect
    with any weight lies within six standard deviations, its own or theirs (`merge.pooling`, rule
    5).
    """
    at = data.draw(st.integers(0, len(rows[0]) - 1))
    rows = (rows[0], rows[1], np.ones(len(rows[0])), rows[3])
    others = np.delete(rows[0], at)
    effect, stated = rows[0].copy(), rows[3].copy()
    effect[at], stated[at] = claim, width
    breadth = float(np.ptp(others)) * 9 + 2e-6 * float(np.abs(others).max())
    breadth += 6 * float(np.delete(rows[3], at).max())
    found = float(pooled_without_outliers((effect, rows[1], rows[2], stated)).effect[0])
    assert others.min() - breadth <= found <= others.max() + breadth


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=4),
    st.data(),
    st.sampled_from([1e-12, 1e-9, 1e-3, 0.5]),
)
def test_no_interval_buys_one_of_a_few_more_than_half(
    others: list[float], data: st.DataObject, width: float
) -> None:
    """The others report 0, one of them 1: at tau2 = 0 the pooled effect is the share that it
    has.
    """
    n = len(others)
    at = data.draw(st.integers(0, n - 1))
    stated = np.array(others)
    stated[at] = width
    effect = np.zeros(n)
    effect[at] = 1e-15  # far inside every interval: nothing but the claims decides
    share = float(pooled((effect, np.ones(n), np.ones(n), stated)).effect[0]) / 1e-15
    assert share <= 0.5 + 1e-9


@pytest.mark.parametrize("width", [1e-200, 1e-9, 0.04])
def test_no_interval_counts_as_less_than_a_quarter_of_the_median(width: float) -> None:
    """Of 25 alike, one that is sure of itself has at most sixteen shares of 40."""
    effect, stated = np.zeros(25), np.full(25, 0.2)
    effect[3], stated[3] = 1e-15, width
    share = float(pooled((effect, np.ones(25), np.ones(25), stated)).effect[0]) / 1e-15
    assert share == pytest.approx(16 / 40, rel=1e-5)


def test_who_is_wide_does_not_make_the_others_wider() -> None:
    """Nor who is narrow them narrower: the standard error of six alike, whatever a seventh claims
    of its own.
    """
    alike = np.full(6, 0.2)
    alone = numbers(pooled((np.full(6, 0.5), np.ones(6), np.ones(6), alike)))[1]
    assert alone == pytest.approx(0.2 / (2 * Z95) / math.sqrt(6))
    # a quarter of their width, and no more than they have together
    for width, least in ((2 * MAX_EFFECT, 1.0), (1e-200, math.sqrt(6 / 12))):
        found = numbers(pooled((np.full(7, 0.5), np.ones(7), np.ones(7), np.append(alike, width))))[
            1
        ]
        assert least * alone * (1 - 1e-9) <= found <= alone * (1 + 1e-9)


# -- the definition, in exact arithmetic -----------------------------------------------------------


def by_definition(
    effect: list[float], weight: list[float], error: list[float]
) -> tuple[Fraction, Fraction, Fraction]:
    """(effect, variance, tau²): the formulas of `merge.pooling` in fractions. error: standard
    errors that nothing holds back."
    """
    y, w, v = ([Fraction(x) for x in column] for column in (effect, weight, error))
    a = [wi / vi**2 for wi, vi in zip(w, v, strict=True)]
    total = sum(a)
    mean = sum(ai * yi for ai, yi in zip(a, y, strict=True)) / total
    q = sum(ai * (yi - mean) ** 2 for ai, yi in zip(a, y, strict=True))
    expected = sum(w) - sum(ai * wi for ai, wi in zip(a, w, strict=True)) / total
    spread = total - sum(ai**2 for ai in a) / total
    worth = sum(w) ** 2 / sum(wi**2 for wi in w)
    q /= (1 - Fraction(2, 9) / max(worth - 1, Fraction(1))) ** 3
    tau2 = max(Fraction(0), (q - expected) / spread)
    b = [wi / (vi**2 + tau2) for wi, vi in zip(w, v, strict=True)]
    pooled = sum(bi * yi for bi, yi in zip(b, y, strict=True)) / sum(b)
    free = sum(w) - sum(wi * bi for wi, bi in zip(w, b, strict=True)) / sum(b)
    ratio = sum(bi * (yi - pooled) ** 2 for bi, yi in zip(b, y, strict=True)) / free
    usual = sum(wi * bi for wi, bi in zip(w, b, strict=True)) / sum(b) ** 2
    return pooled, max(Fraction(1), ratio) * usual, tau2


@calm
@given(
    st.lists(st.tuples(ordinary, st.floats(0.9, 1), st.floats(0.1, 0.12)), min_size=4, max_size=9),
    st.sampled_from([0.0, 1e3, 1e6]),
)
def test_it_is_der_simonian_and_laird_where_nothing_is_held_back(
    rows: list[tuple[float, float, float]], offset: float
) -> None:
    """Also far from 0, where a sum of squares would cancel."""
    effect, weight, error = ([row[i] for row in rows] for i in range(3))
    width = np.array(error) * 2 * Z95
    error = (width / (2 * Z95)).tolist()
    effect = [y + offset for y in effect]
    want = by_definition(effect, weight, error)
    found = numbers(pooled((np.array(effect), np.ones(len(rows)), np.array(weight), width)))
    assert found[0] == pytest.approx(float(want[0]), rel=1e-13, abs=1e-13)
    assert found[1] == pytest.approx(math.sqrt(want[1]), rel=1e-6)
    assert found[2] == pytest.approx(float(want[2]), rel=1e-6, abs=1e-8)


def test_the_one_that_was_sure_of_itself() -> None:
    """Effects .5, .51, .52 and .9, the last with 1e-7 of the others' standard error: it counts as
    much as the others together, and the heterogeneity that it brings is seen.
    """
    error = np.array([0.1, 0.1, 0.1, 1e-8])
    found = numbers(
        pooled((np.array([0.5, 0.51, 0.52, 0.9]), np.ones(4), np.ones(4), error * 2 * Z95))
    )
    held_back = [0.1, 0.1, 0.1, 0.1 / math.sqrt(3)]
    want = by_definition([0.5, 0.51, 0.52, 0.9], [1.0] * 4, held_back)
    assert found[0] == pytest.approx(float(want[0]))
    assert found[1] == pytest.approx(math.sqrt(want[1]))
    assert found[2] == pytest.approx(float(want[2]))
    assert found[0] < 0.7
    assert found[1] > 0.08
    assert found[3] > 0.5
