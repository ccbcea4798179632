"""Trust is lost by contradiction: never by size, silence, few rows, or what a basket shares.

Each honest case has a liar beside it who does lose it.
"""

import sys
from dataclasses import replace

import numpy as np
import pytest

from hyperfed.aggregation import bounded_trust_dense
from hyperfed.demo import flip_signs
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.reconciler.reconcile import Reconciliation, StoreReconciler
from hyperfed.simulator.run import attacked_graphs
from hyperfed.simulator.statistics import client_graph, sparse_coefficients, standing
from hyperfed.simulator.worlds import build_world

pytestmark = pytest.mark.unit


def _most(seed: int, clients: int = 8, rows: int = 200) -> tuple[np.ndarray, list[HypergraphStore]]:
    rng = np.random.default_rng(seed)
    common = sparse_coefficients(rng, 6)
    return common, [client_graph(common, rows, rng, tau2=0.0025) for _ in range(clients)]


def _odd(seed: int, rows: int, coefficients: np.ndarray) -> HypergraphStore:
    return client_graph(coefficients, rows, np.random.default_rng([seed, rows]))


@pytest.mark.parametrize("seed", range(3))
def test_two_clients_with_fifty_times_the_data_are_heard(seed: int) -> None:
    common, most = _most(seed, rows=100)
    big = [_odd(seed + i, 5000, common) for i in range(2)]
    merged = StoreReconciler().merge([*most, *big])
    assert merged.weight[-2:].min() > 0.5
    lying = attacked_graphs(
        dict(zip("abcdefghij", [*most, *big], strict=True)),
        ["i", "j"],
        "sign-flip",
        np.random.default_rng(0),
    )
    assert StoreReconciler().merge([lying[c] for c in "abcdefghij"]).weight[-2:].max() == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_a_client_with_few_rows_counts_and_one_that_turns_them_around_does_not(seed: int) -> None:
    common, most = _most(seed)
    for rows in (30, 60):
        assert StoreReconciler().merge([*most, _odd(seed, rows, common)]).weight[-1] > 0.2
    assert StoreReconciler().merge([*most, _odd(seed, 60, -common)]).weight[-1] == 0.0


def test_who_finds_nothing_loses_nothing() -> None:
    _, most = _most(0)
    nothing = HypergraphStore(
        edges=most[0].edges.take(np.zeros(0, dtype=np.int64)),
        measured=most[0].measured,
        vocabulary=most[0].vocabulary,
    )
    merged = StoreReconciler().merge([*most, nothing])
    assert (merged.weight[-1], merged.assessed[-1]) == (1.0, False)
    assert merged.graph.evidence is not None
    assert (merged.graph.evidence.edges.measured_by == 9).all()


def _apart(domains: list[str] | None) -> Reconciliation:
    _, most = _most(1, clients=7)
    rng = np.random.default_rng(9)
    other = sparse_coefficients(rng, 6)
    apart = [client_graph(other, 200, rng, tau2=0.0025) for _ in range(3)]
    return StoreReconciler().merge([*most, *apart], domains=domains)


def test_a_domain_of_three_beside_seven_is_judged_among_itself_where_baskets_are_named() -> None:
    named = _apart(["hospital"] * 7 + ["factory"] * 3)
    assert named.weight[7:].min() > 0.3
    assert named.assessed.all()
    assert _apart(None).weight[7:].max() < 0.3  # nobody says that they are of another domain
    lonely = _apart(["hospital"] * 7 + ["factory"] * 2 + ["bank"])
    assert lonely.weight[9] < 0.3  # too few of a basket: assessed among all


def test_clients_without_weight_stay_in_the_denominator() -> None:
    common, most = _most(2)
    merged = StoreReconciler().merge([*most, *(_odd(i, 200, -common) for i in range(2))])
    assert merged.weight[-2:].max() == 0.0
    evidence = merged.graph.evidence
    assert evidence is not None
    assert (evidence.edges.measured_by == 10).all()
    assert evidence.edges.support.max() == 8
    assert evidence.edges.spread is not None
    assert (evidence.edges.spread.positive + evidence.edges.spread.negative == 10).all()


def test_votes_that_cancel_leave_no_residue_that_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pairs that contradict each other: what rounding leaves of their mean is no direction."""
    monkeypatch.setattr(sys.modules["hyperfed.aggregation.bounded_trust"], "ITERATIONS", 1)
    rng = np.random.default_rng(3)
    one, two = rng.uniform(0.1, 1, 12), rng.uniform(0.1, 1, 12)
    votes = np.stack([one, -one, two, -two, rng.uniform(-1, 1, 12)])
    trust = bounded_trust_dense(votes)
    assert abs(trust.agreement[4]) < 1e-6
    swapped = bounded_trust_dense(votes[[1, 0, 3, 2, 4]])
    assert swapped.weight[4] == trust.weight[4]


@pytest.mark.parametrize("liars", [(), ("site-5", "site-6", "site-7")])
def test_in_pure_noise_nobody_earns_or_loses_trust(liars: tuple[str, ...]) -> None:
    noise = np.zeros((6, 6))

    def night(rng: np.random.Generator) -> dict[str, HypergraphStore]:
        return {f"site-{i}": client_graph(noise, 40, rng, bootstraps=5) for i in range(8)}

    found = standing(night, np.random.default_rng(5), rounds=8, liars=liars)
    assert not found.expelled - set(liars)
    assert max(found.trust.values()) < 0.37


@pytest.mark.slow
@pytest.mark.parametrize("rows", [14, 45])
def test_thirty_rounds_expel_no_client_of_few_rows_and_every_liar(rows: int) -> None:
    common = sparse_coefficients(np.random.default_rng(11), 6)
    liars = ("site-6", "site-7")

    def night(rng: np.random.Generator) -> dict[str, HypergraphStore]:
        most = {f"site-{i}": client_graph(common, 150, rng, tau2=0.0025) for i in range(8)}
        return most | {"odd": client_graph(common, rows, rng)}

    found = standing(night, np.random.default_rng(rows), rounds=30, liars=liars)
    assert found.expelled == set(liars)
    assert found.trust["odd"] > 0.15


def _flipped(store: HypergraphStore) -> HypergraphStore:
    return replace(store, edges=flip_signs(store.edges))


def test_many_liars_do_not_stop_the_others_from_being_believed() -> None:
    """Of 48 states 14 turn every sign, which leaves too few that agree beyond chance. Everybody is
    judged all the same, because those 14 contradict the others by more than chance.
    """
    stores = dict(build_world("demo", clients=48, seed=2).graphs)
    honest = StoreReconciler().merge(stores.values(), client_ids=sorted(stores))
    assert honest.assessed.all()
    liars = sorted(np.random.default_rng(0).permutation(sorted(stores))[:14].tolist())
    lying = stores | {client: _flipped(stores[client]) for client in liars}
    merged = StoreReconciler().merge(lying.values(), client_ids=sorted(stores))
    assert merged.assessed.all()
    lied = np.isin(merged.clients, liars)
    assert (merged.consistency[lied] == 0).mean() > 0.8
    assert (merged.consistency[~lied] == 0).mean() < 0.1


@pytest.mark.parametrize("clients", [9, 20])
def test_liars_who_agree_with_each_other_in_noise_earn_nothing_by_it(clients: int) -> None:
    rng = np.random.default_rng([8, clients])
    noise = [client_graph(np.zeros((6, 6)), 40, rng, bootstraps=5) for _ in range(3 * clients)]
    ids = [f"site-{i:02d}" for i in range(clients)]
    liars = ids[-int(0.3 * clients) :]
    told = []
    for attack in ("collusion", "ipm", "mimic", "min-max", "tiny-interval", "sign-flip"):
        some = [noise[i] for i in rng.permutation(len(noise))[:clients]]
        sent = attacked_graphs(dict(zip(ids, some, strict=True)), liars, attack, rng, quiet=True)
        told.append(StoreReconciler().merge(sent.values(), client_ids=ids).assessed.any())
    assert not any(told)
