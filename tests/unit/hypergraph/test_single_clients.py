"""Single clients' estimates: what a model tells of them, and what it does not."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.errors import BoundsError, ConfigError, PrivacyError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.single_clients import (
    ClientEstimates,
    client_estimates,
    under_pseudonyms,
)
from hyperfed.packets import PolicyPack, Update
from hyperfed.registry.registry import Budget
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


def table(*effects: float, interval: bool = True) -> EdgeTable:
    """Edges 0 -> 1, 1 -> 2, ... with these effects."""
    rows, values = len(effects), np.array(effects)
    return EdgeTable.build(
        source=np.arange(rows),
        target=np.arange(rows) + 1,
        lag=np.ones(rows, dtype=np.int64),
        effect=values,
        confidence=np.full(rows, 0.99),
        stability=np.ones(rows),
        n=100,
        ci_low=values - 0.5 if interval else None,
        ci_high=values + 0.5 if interval else None,
    )


def merged(tables: dict[str, EdgeTable], policy: PolicyPack) -> GlobalModel:
    coordinator = FederationCoordinator(policy=policy)
    for client, edges in tables.items():
        measured = np.arange(5, dtype=np.uint32)
        coordinator.handle_update(client, Update(measured=measured, edges=edges))
    return coordinator.aggregate()


TABLES = {
    "north": table(0.5, 0.75),
    "south": table(0.625, interval=False),
    "west": table(-0.375, 0.875, 0.25),
}


def test_each_row_is_its_clients_own_estimate_of_an_edge_that_the_model_has() -> None:
    keys = TABLES["west"].keys[:2]
    held = client_estimates(keys, TABLES.values(), [2.0, 2.0, 0.0])
    assert held.of_edge(0) == [
        {"client": 0, "effect": 0.5, "ci_low": 0.0, "ci_high": 1.0, "weight": 0.5},
        {"client": 1, "effect": 0.625, "ci_low": None, "ci_high": None, "weight": 0.5},
        {"client": 2, "effect": -0.375, "ci_low": -0.875, "ci_high": 0.125, "weight": 0.0},
    ]
    assert [row["client"] for row in held.of_edge(1)] == [0, 2]
    assert held.of_edge(2) == []
    nothing = client_estimates(keys[:0], TABLES.values(), [0.0, 0.0, 0.0])
    assert len(nothing.edge) == 0


@given(st.permutations(["ann", "bob", "cat"]))
@settings(max_examples=6, deadline=None)
def test_pseudonyms_are_the_same_whatever_the_clients_are_called(names: list[str]) -> None:
    policy = PolicyPack(show_clients=True)
    renamed = dict(zip(names, TABLES.values(), strict=True))
    said = PayloadCodec().encode(merged(TABLES, policy))
    assert PayloadCodec().encode(merged(renamed, policy)) == said, "no byte tells whose rows"
    for name in TABLES:
        assert name.encode() not in said


def test_a_model_has_no_single_client_unless_its_plan_says_so() -> None:
    model = merged(TABLES, PolicyPack())
    assert model.by_client is None
    shown = merged(TABLES, PolicyPack(show_clients=True))
    assert shown.by_client is not None
    assert set(shown.by_client.edge.tolist()) <= set(range(len(shown.edges)))
    assert "pseudonym" in shown.statement
    assert "pseudonym" not in model.statement
    back = PayloadCodec().decode(PayloadCodec().encode(shown), GlobalModel)
    assert back.by_client == shown.by_client
    same = replace(shown, policy=PolicyPack(), statement=model.statement, by_client=None)
    assert PayloadCodec().encode(same) == PayloadCodec().encode(model), "nothing else changes"


def test_a_minimum_support_or_noise_forbids_it() -> None:
    with pytest.raises(PrivacyError, match="have no noise"):
        PolicyPack(privacy="central", strategy="mean", trust_min=0, show_clients=True)
    with pytest.raises(BoundsError, match="true or false"):
        PolicyPack(show_clients=1)  # type: ignore[arg-type]
    fed = SmallFederation(
        policy=PolicyPack(show_clients=True), budget=Budget(epsilon=Decimal(1), minimum_support=2)
    )
    before = fed.decided()
    with pytest.raises(ConfigError, match="single clients are shown, and 2 clients"):
        fed.open(1)
    assert fed.decided() == before
    coordinator = FederationCoordinator(policy=fed.policy, budget=Budget(minimum_support=2))
    for client, edges in TABLES.items():
        measured = np.arange(5, dtype=np.uint32)
        coordinator.handle_update(client, Update(measured=measured, edges=edges))
    with pytest.raises(PrivacyError, match="minimum support"):
        coordinator.aggregate()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"effect": [0.5, np.nan]}, "not finite"),
        ({"effect": [0.5]}, "differ in length"),
        ({"ci_low": [0.75, 0.0]}, "outside of its interval"),
        ({"weight": [0.5, 1.5]}, "weight lies outside"),
        ({"edge": [1, 0]}, "do not ascend"),
        ({"client": [0, 0], "edge": [0, 0]}, "do not ascend"),
    ],
)
def test_columns_that_say_nothing_sound_are_refused(
    changes: dict[str, list[float]], problem: str
) -> None:
    columns = {
        "edge": [0, 1],
        "client": [0, 0],
        "effect": [0.5, 0.5],
        "ci_low": [0.0, 0.0],
        "ci_high": [1.0, 1.0],
        "weight": [0.5, 0.5],
    }
    assert under_pseudonyms(ClientEstimates(**columns)).client.tolist() == [0, 0]
    with pytest.raises(BoundsError, match=problem):
        ClientEstimates(**(columns | changes))
