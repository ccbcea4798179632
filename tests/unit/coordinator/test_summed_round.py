"""A night of statistics: what the sum says is the model, whoever lies, and an audit finds it."""

from dataclasses import replace

import numpy as np
import pytest

from hyperfed.client_agent import statistics_update
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.engines.summed import SummedVar
from hyperfed.errors import AggregationError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack, SumsPolicy, Update
from hyperfed.statistics import Sums, statistics_of
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

NAMES = ("heat", "load", "wear", "faults")
VOCABULARY = Vocabulary.of(*NAMES, domain="plant")
POLICY = PolicyPack(payload="statistics", lags=(1,), vote_min=0.5)


def series(seed: int, *, sign: float = 1.0, rows: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y = np.zeros((rows + 10, 4))
    for t in range(1, len(y)):
        y[t] = rng.normal(size=4) + 0.3 * y[t - 1]
        y[t, 1] += sign * 0.6 * y[t - 1, 0]
        y[t, 2] += sign * 0.6 * y[t - 1, 1]
        y[t, 3] -= sign * 0.6 * y[t - 1, 2]
    return y[10:] + 10 * rng.normal(size=4)


def update(seed: int, lags: tuple[int, ...] = (1,), **options: object) -> Update:
    data = series(seed, **options)
    return statistics_update(statistics_of(data, names=NAMES, vocabulary=VOCABULARY, lags=lags))


def merged(updates: dict[str, Update], policy: PolicyPack = POLICY) -> FederationCoordinator:
    coordinator = FederationCoordinator(policy=policy, vocabulary=VOCABULARY)
    for client, one in updates.items():
        coordinator.handle_update(client, one)
    return coordinator


TRUE = {("heat", "load"): 1, ("load", "wear"): 1, ("wear", "faults"): -1}


def edges_between(model: GlobalModel) -> dict[tuple[str, str], int]:
    rows = model.rows()
    return {
        (r["source"], r["target"]): int(np.sign(r["effect"]))
        for r in rows
        if r["source"] != r["target"]
    }


def test_a_night_of_statistics_is_committed_and_an_audit_computes_it_again() -> None:
    fed = SmallFederation(clients=6, auditors=1, policy=POLICY, vocabulary=VOCABULARY)
    fed.open(1)
    updates = {client: update(i) for i, client in enumerate(fed.clients)}
    for client, one in updates.items():
        fed.submit(client, one)
    fed.run(1)
    pulled = fed.session("site-01").pull(now=fed.night(1))
    assert pulled is not None
    model = pulled.value
    parts = {client: one.statistics for client, one in updates.items() if one.statistics}
    found = SummedVar(
        Sums.of(parts, variables=4, lags=(1,)), VOCABULARY, short_bias="removed"
    ).discover()
    effects = {
        (str(s), str(t)): float(e)
        for s, t, e in zip(found.source, found.target, found.effect, strict=True)
    }
    assert edges_between(model) == TRUE
    state = fed.reader().state(1)
    assert state is not None
    weights = {c.client: c.weight for c in state.value.clients}
    if set(weights.values()) == {1.0}:
        for row in model.rows():
            assert row["effect"] == pytest.approx(effects[(row["source"], row["target"])])
    for row in model.rows():
        assert row["measured_by"] == 6
        assert row["without_low"] <= row["effect"] <= row["without_high"]
        assert row["predict_low"] < row["effect"] < row["predict_high"]
        assert row["q"] < 0.05
    report = audit(fed.store, fed.fingerprint, fed.auditors[0])
    assert report.findings == ()
    assert report.checked["results recomputed"] == 1
    assert fed.receipt("site-01").fate == "counted"  # type: ignore[union-attr]
    # the next night sends the same again: whole, and judged by the model before
    fed.open(2)
    for client, one in updates.items():
        fed.submit(client, one, round_id=2)
    fed.run(2)
    assert fed.reader().result(2) is not None
    second = fed.reader().state(2)
    assert second is not None
    assert all(c.rounds_seen == 2 for c in second.value.clients)
    again = audit(fed.store, fed.fingerprint, fed.auditors[0])
    assert again.findings == ()
    assert again.checked["states recomputed"] == 2


def test_an_audit_finds_a_model_that_no_sum_gives() -> None:
    fed = SmallFederation(clients=4, auditors=1, policy=POLICY, vocabulary=VOCABULARY)
    fed.open(1)
    for i, client in enumerate(fed.clients):
        fed.submit(client, update(i))

    honest = FederationCoordinator.aggregate

    def forged(self: FederationCoordinator) -> GlobalModel:
        model = honest(self)
        effect = model.edges.effect.copy()
        effect[0] *= 1.001
        return replace(model, edges=replace(model.edges, effect=effect))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FederationCoordinator, "aggregate", forged)
        fed.run(1)
    report = audit(fed.store, fed.fingerprint, fed.auditors[0])
    assert any("is not what the frozen updates give" in str(f) for f in report.findings)


def test_by_mean_the_model_is_least_squares_on_all_rows_in_any_split() -> None:
    policy = replace(POLICY, strategy="mean", statistics=SumsPolicy(short_bias="kept"))
    data = [series(i, rows=50) for i in range(6)]
    whole = {
        f"site-{i}": statistics_update(
            statistics_of(one, names=NAMES, vocabulary=VOCABULARY, lags=(1,))
        )
        for i, one in enumerate(data)
    }
    model = merged(whole, policy).aggregate()
    x = np.vstack([one[:-1] - one[:-1].mean(axis=0) for one in data])
    y = np.vstack([one[1:] - one[1:].mean(axis=0) for one in data])
    beta = np.linalg.lstsq(x, y, rcond=None)[0]
    assert len(model.edges) >= 6
    for row in model.rows():
        expected = beta[NAMES.index(row["source"]), NAMES.index(row["target"])]
        assert row["effect"] == pytest.approx(expected, rel=1e-9)
    turned = merged(dict(reversed(whole.items())), policy).aggregate()
    assert np.array_equal(turned.edges.effect, model.edges.effect)


def test_three_liars_of_ten_lose_their_weight_and_the_graph_stays() -> None:
    updates = {f"site-{i}": update(i, sign=-1.0 if i < 3 else 1.0) for i in range(10)}
    coordinator = merged(updates)
    assert edges_between(coordinator.aggregate()) == TRUE
    weight = coordinator.reconciliation.weight  # type: ignore[union-attr]
    assert (weight[:3] == 0).all()
    assert (weight[3:] > 0).all()
    plain = merged(updates, replace(POLICY, strategy="mean")).aggregate()
    strength = {k: abs(v) for k, v in _effects(plain).items()}
    assert strength[("heat", "load")] < 0.5 * _effects(coordinator.aggregate())[("heat", "load")]


def _effects(model: GlobalModel) -> dict[tuple[str, str], float]:
    found = {(r["source"], r["target"]): r["effect"] for r in model.rows()}
    return {edge: found.get(edge, 0.0) for edge in TRUE}


def test_evidence_is_each_clients_own_regression() -> None:
    updates = {f"site-{i}": update(i, rows=200) for i in range(5)}
    updates["site-far"] = statistics_update(
        statistics_of(series(9, rows=200)[:, :3], names=NAMES[:3], vocabulary=VOCABULARY, lags=(1,))
    )
    coordinator = merged(updates)
    rows = {(r["source"], r["target"]): r for r in coordinator.aggregate().rows()}
    assert rows[("heat", "load")]["measured_by"] == 6
    assert rows[("wear", "faults")]["measured_by"] == 5
    assert rows[("wear", "faults")]["samples"] < rows[("heat", "load")]["samples"]
    assert rows[("heat", "load")]["support"] == rows[("heat", "load")]["positive"] == 6
    assert 0 <= rows[("heat", "load")]["i2"] <= 1
    own = coordinator.graphs()[0].edges
    assert own.ci_low is not None
    assert (own.ci_low < own.effect).all()


def test_what_carries_no_statistics_or_too_little_is_refused() -> None:
    edges = Update(measured=np.arange(4), edges=EdgeTable.empty(), lags=(1,))
    with pytest.raises(AggregationError, match="no statistics"):
        merged({"site-a": update(0), "site-b": edges}).aggregate()
    few = replace(POLICY, statistics=SumsPolicy(version="causal-learn 0.0"))
    with pytest.raises(AggregationError, match=r"signed for causal-learn 0\.0"):
        merged({"site-a": update(0)}, few).aggregate()


def test_votes_give_directions_that_sums_leave_open() -> None:
    rng = np.random.default_rng(0)
    policy = PolicyPack(
        payload="both", lags=(0,), statistics=SumsPolicy(engine="pc", resamples=2), vote_min=0.3
    )
    updates, alone = {}, {}
    for i in range(5):
        data = rng.normal(size=(120, 4))
        data[:, 1] += 0.8 * data[:, 0]
        data[:, 3] += 0.8 * data[:, 2]
        moments = statistics_of(data, names=NAMES, vocabulary=VOCABULARY)
        votes = EdgeTable.build(
            source=[0, 1],
            target=[1, 2],  # the second is not in the data: no vote adds an edge
            lag=[0, 0],
            effect=[0.8, 0.8],
            confidence=[0.9, 1.0],
            stability=[0.9, 1.0],
            n=[120, 120],
        )
        beside = Update(measured=np.arange(4), edges=votes, lags=(0,))
        updates[f"site-{i}"] = statistics_update(moments, beside=beside)
        alone[f"site-{i}"] = statistics_update(moments)
    model = merged(updates, policy).aggregate()
    both = edges_between(model)
    only = edges_between(merged(alone, replace(policy, payload="statistics")).aggregate())
    assert set(only) == {("heat", "load"), ("load", "heat"), ("wear", "faults"), ("faults", "wear")}
    assert set(both) == {("heat", "load"), ("wear", "faults"), ("faults", "wear")}
    row = next(r for r in model.rows() if r["target"] == "load")
    assert row["vote"] == pytest.approx(1.0)
    assert row["effect"] == pytest.approx(0.8, abs=0.1)


def test_warnings_are_of_the_rows_of_all_clients_together() -> None:
    model = merged({f"site-{i}": update(i, rows=12) for i in range(6)}).aggregate()
    assert model.warnings == ()
    few = merged({f"site-{i}": update(i, rows=12) for i in range(1, 3)}).aggregate()
    assert "2 clients were counted" in few.warnings[0]
    assert "q-values" not in few.warnings[0]
