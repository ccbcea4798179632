"""A client's own rules hold whatever the plan asks for, by every way that an update is made."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperfed.client import ClientSession
from hyperfed.client.sharing import Sharing
from hyperfed.client_agent import statistics_update
from hyperfed.errors import ConfigError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import CausalSemanticPack, PolicyPack, Update
from hyperfed.statistics import statistics_of
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

NAMES = Vocabulary.of("age", "dose", "income", "output")
POLICY = PolicyPack(stability_min=0.1)


def _update(**parts: Any) -> Update:
    edges = EdgeTable.build(
        source=[0, 1, 1, 2, 3],
        target=[1, 1, 3, 3, 0],
        lag=1,
        effect=[0.123456, -2.5, 0.000987654, 12345.6, 0.5],
        confidence=[0.98765, 0.9, 0.8, 0.7, 0.6],
        stability=[0.91234, 0.5, 0.4, 0.3, 0.10004],
        hits=[91, 50, 40, 30, 10],
        n=[1234, 40, 12, 400, 0],
        ci_low=[0.107, -2.5, 0.0009, 12000, 0.4],
        ci_high=[0.203, -2.5, 0.0011, 13000, 0.6],
    )
    hyperedges = HyperedgeTable.build(
        sources=[[0, 1], [1, 2]],
        target=[3, 3],
        lag=1,
        effect=[1.0, 2.0],
        confidence=0.9,
        stability=0.9,
        hits=9,
        n=[100, 100],
    )
    semantic = CausalSemanticPack(
        dag_edges=[(0, 1, 1.0), (1, 2, 0.5)],
        confounders=[0, 2],
        interventions=[
            {"variable": "income", "to": 1.5},
            {"variable": 2},
            {"variable": "dose"},
            {"said": "raised income by 5"},
            {"said": "incomes rose"},
        ],
    )
    given: dict[str, Any] = {"edges": edges, "hyperedges": hyperedges, "semantic": semantic}
    return Update(measured=np.arange(4, dtype=np.uint32), **(given | parts))


def _pairs(update: Update) -> list[tuple[int, int]]:
    assert update.edges is not None
    return list(zip(update.edges.source.tolist(), update.edges.target.tolist(), strict=True))


def test_without_rules_an_update_is_what_it_was() -> None:
    update = _update()
    assert Sharing().allowed(update, POLICY, NAMES) is update
    assert Sharing().says == ()


def test_a_variable_that_is_never_shared_appears_nowhere() -> None:
    left = Sharing(never=(" income", "elsewhere")).allowed(_update(), POLICY, NAMES)
    assert left.measured.tolist() == [0, 1, 3]
    assert _pairs(left) == [(0, 1), (1, 1), (1, 3), (3, 0)]
    assert left.hyperedges is not None
    assert left.hyperedges.sources.tolist() == [0, 1]
    assert left.semantic == CausalSemanticPack(
        dag_edges=[(0, 1, 1.0)],
        confounders=[0],
        interventions=[{"variable": "dose"}, {"said": "incomes rose"}],
    )


def test_an_interaction_that_acts_on_what_is_never_shared_stays() -> None:
    left = Sharing(never=("output",)).allowed(_update(), POLICY, NAMES)
    assert left.hyperedges is not None
    assert len(left.hyperedges) == 0
    assert _pairs(left) == [(0, 1), (1, 1)]


def test_edges_of_few_samples_and_of_an_unknown_number_stay() -> None:
    left = Sharing(smallest_n=40).allowed(_update(), POLICY, NAMES)
    assert _pairs(left) == [(0, 1), (1, 1), (2, 3)]
    assert left.measured.tolist() == [0, 1, 2, 3], "held back is a vote of 0, not unmeasured"
    assert left.semantic is not None
    assert left.semantic.confounders == [0, 2], "found beside edges that leave"


def test_the_strongest_leave_where_not_all_may() -> None:
    left = Sharing(most_edges=2).allowed(_update(), POLICY, NAMES)
    assert _pairs(left) == [(0, 1), (1, 1)]
    assert left.hyperedges is not None
    assert len(left.hyperedges) == 0, "edges and hyperedges together"
    asked = replace(POLICY, n_proposals=1)
    assert len(Sharing(most_edges=3).allowed(_update(), asked, NAMES).edges or ()) == 1


def test_what_stands_beside_edges_that_stay_stays_too() -> None:
    edges = _update().edges
    assert edges is not None
    left = Sharing(most_edges=1).allowed(_update(), POLICY, NAMES)
    assert left.semantic is not None
    assert left.semantic.dag_edges == [(0, 1, 1.0)], "of the edge that leaves"
    assert left.semantic.confounders == [0, 2]
    none = Sharing(smallest_n=10_000).allowed(_update(), POLICY, NAMES)
    assert none.semantic is not None
    assert (none.semantic.dag_edges, none.semantic.confounders) == ([], [])
    pack = CausalSemanticPack(dag_edges=[(0, 1, 0.8765)])
    rounded = Sharing(digits=2).allowed(_update(semantic=pack), POLICY, NAMES)
    assert rounded.semantic is not None
    assert rounded.semantic.dag_edges == [(0, 1, 0.88)]


def test_numbers_leave_with_so_many_digits() -> None:
    left = Sharing(digits=2).allowed(_update(), POLICY, NAMES).edges
    assert left is not None
    assert left.effect.tolist() == [0.12, -2.5, 0.00099, 12000.0, 0.5]
    assert left.n.tolist() == [1200, 40, 12, 400, 0]
    assert left.confidence[0] == 0.99
    assert left.ci_low is not None
    assert left.ci_high is not None
    assert (left.ci_low[0], left.ci_high[0]) == pytest.approx((0.10, 0.21))
    assert (left.ci_low[1], left.ci_high[1]) == (-2.5, -2.5), "an unknown interval stays unknown"
    assert (left.ci_low <= left.effect).all()
    assert (left.ci_high >= left.effect).all()
    before = _update().edges
    assert before is not None
    assert before.ci_low is not None
    assert before.ci_high is not None
    assert (left.ci_low <= before.ci_low).all(), "outwards"
    assert (left.ci_high >= before.ci_high).all()


def test_what_rounding_takes_below_the_policy_has_no_vote() -> None:
    strict = replace(POLICY, stability_min=0.10003)
    for rules, votes in ((Sharing(never=("income",)), True), (Sharing(digits=2), False)):
        edges = rules.allowed(_update(), strict, NAMES).edges
        assert edges is not None
        (row,) = np.flatnonzero((edges.source == 3) & (edges.target == 0))
        assert bool(edges.confidence[row] > 0) == votes


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1.0, 1e200, 1e300])
@pytest.mark.parametrize("digits", [1, 3, 17])
def test_rounding_bears_numbers_of_any_size(size: float, digits: int) -> None:
    edges = EdgeTable.build(
        source=[0], target=[1], lag=1, effect=[1.2345678 * size], confidence=1, stability=1
    )
    left = Sharing(digits=digits).allowed(_update(edges=edges), POLICY, NAMES).edges
    assert left is not None
    assert left.effect[0] == pytest.approx(1.2345678 * size, rel=0.6 * 10.0 ** (1 - digits))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"digits": 0}, "digits is 0"),
        ({"digits": 18}, "digits is 18"),
        ({"most_edges": 0}, "most_edges is 0"),
        ({"smallest_n": -1}, "smallest_n is -1"),
        ({"smallest_n": True}, "smallest_n is True"),
        ({"smallest_n": None}, "smallest_n is None"),
        ({"digits": 2.0}, "digits is 2.0"),
    ],
)
def test_a_rule_that_is_none_is_a_wrong_setting(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Sharing(**rules)


def test_rules_at_their_bounds_are_rules_and_say_what_they_hold_back() -> None:
    assert Sharing(digits=17, smallest_n=0, most_edges=2).says == (
        "at most 2 edges",
        "17 significant digits",
    )
    assert Sharing(never=("age", "dose"), digits=1, smallest_n=1, most_edges=1).says == (
        "never shared: age, dose",
        "no edge of fewer than 1 samples",
        "at most 1 edge",
        "1 significant digit",
    )
    assert Sharing(never=("age", "elsewhere")).unknown(NAMES) == ("elsewhere",)


def test_changes_against_an_earlier_update_cannot_be_judged() -> None:
    edges = _update().edges
    assert edges is not None
    before = HypergraphStore(edges=edges, measured=np.arange(4, dtype=np.uint32))
    deltas = before.diff(before).deltas
    update = _update(edges=None, hyperedges=None, semantic=None, deltas=deltas, base=b"b" * 32)
    with pytest.raises(ConfigError, match="do not say their samples"):
        Sharing(smallest_n=1).allowed(update, POLICY, NAMES)
    assert Sharing().allowed(update, POLICY, NAMES) is update


def test_hyperedges_leave_as_edges_do() -> None:
    left = Sharing(smallest_n=100).allowed(_update(), POLICY, NAMES).hyperedges
    assert left is not None
    assert len(left) == 2
    none = Sharing(smallest_n=101).allowed(_update(), POLICY, NAMES).hyperedges
    assert none is not None
    assert len(none) == 0
    room_for_one = Sharing(most_edges=6).allowed(_update(), POLICY, NAMES)
    assert (len(room_for_one.edges or ()), len(room_for_one.hyperedges or ())) == (5, 1)


def test_parts_that_are_not_there_are_not_missed() -> None:
    rules = Sharing(never=("income",), smallest_n=1, most_edges=1, digits=2)
    alone = rules.allowed(_update(hyperedges=None, semantic=None), POLICY, NAMES)
    assert (alone.hyperedges, alone.semantic, len(alone.edges or ())) == (None, None, 1)
    nothing = Update(measured=np.array([], dtype=np.uint32), edges=EdgeTable.empty())
    assert len(rules.allowed(nothing, POLICY, NAMES).edges or ()) == 0
    beside_none = _update(edges=EdgeTable.empty(), hyperedges=None)
    told = Sharing(most_edges=1).allowed(beside_none, POLICY, NAMES).semantic
    assert told is not None
    assert (told.dag_edges, told.confounders) == ([], [0, 2])


def test_rounding_leaves_a_column_of_intervals_that_is_not_there() -> None:
    table = EdgeTable.build(source=[0], target=[1], lag=1, effect=0.123, confidence=1, stability=1)
    left = Sharing(digits=1).allowed(_update(edges=table), POLICY, NAMES).edges
    assert left is not None
    assert (left.effect[0], left.ci_low, left.ci_high) == (0.1, table.ci_low, table.ci_high)
    unknown = replace(table, ci_low=table.effect, ci_high=table.effect)
    left = Sharing(digits=1).allowed(_update(edges=unknown), POLICY, NAMES).edges
    assert left is not None
    assert left.ci_low is not None
    assert left.ci_high is not None
    assert (left.ci_low[0], left.ci_high[0]) == (0.1, 0.1)


def test_a_name_that_misses_by_its_spelling_protects_nothing_and_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"names 'Income', .* did you mean 'income'"):
        Sharing(never=("Income",)).allowed(_update(), POLICY, NAMES)


def test_rules_that_leave_nothing_send_nothing() -> None:
    with pytest.raises(ConfigError, match="every variable"):
        Sharing(never=NAMES.names).allowed(_update(), POLICY, NAMES)


def test_the_session_applies_them_whatever_made_the_update() -> None:
    """An update that is handed to the session by a program leaves no other than by the command."""
    federation = SmallFederation(clients=2)
    plan = federation.open(1)
    session = federation.session(federation.clients[0])
    hidden = plan.value.vocabulary.names[0]
    session = ClientSession(
        federation.store,
        client_id=session.client_id,
        key_pair=session.key_pair,
        fingerprint=federation.fingerprint,
        sharing=Sharing(never=(hidden,)),
    )
    update = federation.update(federation.clients[0])
    assert 0 in update.measured.tolist()
    sent = session.submit(update, now=federation.opens(1), plan=plan)
    left = session.leaving(update, plan.value)
    assert 0 not in left.measured.tolist()
    assert sent.edges == len(left.edges or ()) < len(update.edges or ())


def test_statistics_lose_what_is_never_shared_and_few_rows_do_not_leave() -> None:
    data = np.random.default_rng(0).normal(size=(40, 4))
    moments = statistics_of(data, names=NAMES.names, vocabulary=NAMES, lags=(1,))
    update = statistics_update(moments)
    policy = PolicyPack(payload="statistics", lags=(1,))
    left = Sharing(never=("income",)).allowed(update, policy, NAMES)
    assert left.measured.tolist() == [0, 1, 3]
    shared = statistics_of(
        data[:, [0, 1, 3]], names=("age", "dose", "output"), vocabulary=NAMES, lags=(1,)
    )
    assert left.statistics is not None
    assert (left.statistics.n, left.statistics.lags) == (shared.n, shared.lags)
    assert left.statistics.variables.tolist() == shared.variables.tolist()
    np.testing.assert_allclose(left.statistics.moments, shared.moments, rtol=1e-12)
    assert Sharing(smallest_n=39).allowed(update, policy, NAMES).statistics is not None
    for rules, said in ((Sharing(smallest_n=40), "39 rows"), (Sharing(digits=3), "digits is 3")):
        with pytest.raises(ConfigError, match=said):
            rules.allowed(update, policy, NAMES)
