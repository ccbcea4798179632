"""Statistics in baskets: a model of each, one of all, and no more of a basket than the cap lets."""

from dataclasses import replace

import numpy as np
import pytest

from hyperfed.client_agent import statistics_update
from hyperfed.coordinator.summed_baskets import summed_layers
from hyperfed.errors import BreakdownError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack, SumsPolicy, Update
from hyperfed.reconciler.summed import merge_statistics
from hyperfed.registry.registry import Budget
from hyperfed.statistics import statistics_of
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

NAMES = ("heat", "load", "wear")
VOCABULARY = Vocabulary.of(*NAMES)
POLICY = PolicyPack(
    payload="statistics", lags=(1,), vote_min=0.5, basket_minimum=3, basket_maximum=6
)


def update(seed: int, effect: float, rows: int = 120) -> Update:
    rng = np.random.default_rng(seed)
    y = np.zeros((rows, 3))
    for t in range(1, rows):
        y[t] = rng.normal(size=3)
        y[t, 1] += 0.5 * y[t - 1, 0]
        y[t, 2] += effect * y[t - 1, 1]
    return statistics_update(statistics_of(y, names=NAMES, vocabulary=VOCABULARY, lags=(1,)))


def edges(graph: HypergraphStore | GlobalModel) -> dict[tuple[int, int], float]:
    table = graph.edges
    return {
        (int(s), int(t)): float(e)
        for s, t, e in zip(table.source, table.target, table.effect, strict=True)
    }


def test_a_night_of_baskets_has_a_model_of_each_sum_and_of_all_and_is_audited() -> None:
    fed = SmallFederation(
        clients=10, policy=POLICY, vocabulary=VOCABULARY, auditors=1, budget=Budget()
    )
    baskets = ["banks"] * 4 + ["plants"] * 4 + ["shops"] * 2
    fed.amend(
        clients=tuple(
            replace(record, basket=name)
            for record, name in zip(fed.registry.clients, baskets, strict=True)
        )
    )
    fed.open(1)
    for i, client in enumerate(fed.clients):
        fed.submit(client, update(i, 0.6 if baskets[i] == "banks" else 0.0))
    fed.run(1)
    pulled = fed.session("site-01").pull(now=fed.night(1))
    assert pulled is not None
    model = pulled.value
    by_name = {one.name: one for one in model.baskets}
    found = {
        name: {(int(s), int(t)) for s, t in zip(one.edges.source, one.edges.target, strict=True)}
        for name, one in by_name.items()
    }
    assert found["banks"] == {(0, 1), (1, 2)}
    assert found["plants"] == {(0, 1)}
    assert "2 counted clients, 3 are needed" in by_name[""].left_out
    assert (by_name["banks"].share, by_name["plants"].share) == (0.5, 0.5)
    assert (0, 1) in edges(model)
    state = fed.reader().state(1)
    assert state is not None
    weights = [one.weight for one in state.value.clients]
    assert min(weights[:8]) > 0
    assert weights[8:] == [0, 0]
    report = audit(fed.store, fed.fingerprint, fed.auditors[0])
    assert report.findings == ()
    assert report.checked["results recomputed"] == 1


def layers(
    parts: dict[str, list[Update]], **policy: object
) -> tuple[dict[tuple[int, int], float], dict[str, float]]:
    updates = {f"{name}-{i:02d}": one for name, some in parts.items() for i, one in enumerate(some)}
    layered, estimates = summed_layers(
        {
            client: HypergraphStore.from_update(one, vocabulary=VOCABULARY)
            for client, one in updates.items()
        },
        {client: one.statistics for client, one in updates.items() if one.statistics},
        {name: [client for client in updates if client.startswith(name)] for name in parts},
        policy=replace(POLICY, strategy="mean", **policy),  # type: ignore[arg-type]
        vocabulary=VOCABULARY,
        staleness=dict.fromkeys(updates, 1.0),
        shares=dict.fromkeys(updates, 1.0),
    )
    assert estimates.keys() == updates.keys()
    return edges(layered.merged.graph), {one.name: one.share for one in layered.groups}


def test_a_large_basket_weighs_no_more_than_the_cap() -> None:
    parts = {
        "bank": [update(i, 0.6, rows=600) for i in range(3)],
        "plant": [update(10 + i, 0.1) for i in range(3)],
        "shop": [update(20 + i, 0.1) for i in range(3)],
    }
    free, shares = layers(parts, influence_cap=1.0, vote_min=0.0)
    assert shares["bank"] == pytest.approx(599 / (599 + 2 * 119))
    capped, shares = layers(parts, influence_cap=0.4, vote_min=0.0)
    assert max(shares.values()) == pytest.approx(0.4)
    equal, shares = layers(parts, group_weights="equal", vote_min=0.0)
    assert set(np.round(list(shares.values()), 9)) == {round(1 / 3, 9)}
    assert free[(1, 2)] > capped[(1, 2)] > equal[(1, 2)] > 0.15


def test_without_a_binding_cap_the_global_model_is_that_of_all_rows() -> None:
    parts = {
        "bank": [update(i, 0.6) for i in range(3)],
        "plant": [update(10 + i, 0.4) for i in range(4)],
    }
    updates = {f"{name}-{i:02d}": one for name, some in parts.items() for i, one in enumerate(some)}
    settings = SumsPolicy(short_bias="kept")
    found, _ = layers(parts, influence_cap=1.0, statistics=settings)
    ordered = sorted(updates)
    plain = merge_statistics(
        [HypergraphStore.from_update(updates[c], vocabulary=VOCABULARY) for c in ordered],
        {client: one.statistics for client, one in updates.items() if one.statistics},
        policy=replace(POLICY, strategy="mean", basket_minimum=0, statistics=settings),
        vocabulary=VOCABULARY,
        staleness=np.ones(7),
        shares=np.ones(7),
    )
    expected = edges(plain.merged.graph)
    assert found.keys() == expected.keys()
    for ends, effect in found.items():
        assert effect == pytest.approx(expected[ends], rel=1e-9)


def test_too_few_baskets_refuse() -> None:
    parts = {"bank": [update(0, 0.6)] * 2, "plant": [update(1, 0.6)] * 3}
    with pytest.raises(BreakdownError, match="1 of 2 groups"):
        layers(parts, minimum_groups=2)
