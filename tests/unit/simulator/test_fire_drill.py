"""The fire drill counts liars that a merge stands, tells nothing else, writes nothing, and is
refused where there is noise.
"""

import numpy as np
import pytest

from hyperfed.errors import AggregationError, PrivacyError, RoundError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.simulator import build_world
from hyperfed.simulator.fire_drill import drill_round, fire_drill
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


def test_a_robust_merge_survives_more_than_the_mean() -> None:
    world = build_world("var", clients=15, seed=2)

    def by(rule: str, f: int):
        reconciler = StoreReconciler(rule=rule, f=f)
        rows = fire_drill(
            world.graphs,
            lambda graphs: reconciler.reconcile(graphs.values(), client_ids=list(graphs)),
            rng=np.random.default_rng(0),
            attacks=["sign-flip", "min-max"],
        )
        return {row.attack: row.survived for row in rows}

    plain, robust = by("mean", 0), by("multi-krum", 5)
    assert plain["sign-flip"] < robust["sign-flip"]
    assert robust["sign-flip"] >= 5
    assert all(count <= 7 for count in robust.values())


def test_a_merge_that_refuses_has_not_survived() -> None:
    world = build_world("var", clients=9, seed=2)
    calls = []

    def merge(graphs: object) -> HypergraphStore:
        calls.append(graphs)
        if len(calls) > 3:
            raise AggregationError("no")
        return HypergraphStore()

    (row,) = fire_drill(world.graphs, merge, rng=np.random.default_rng(0), attacks=["omission"])
    assert (row.survived, row.most, row.clients) == (2, 4, 9)


def test_on_a_round_it_writes_nothing_and_repeats() -> None:
    federation = SmallFederation(clients=7)
    federation.open(1)
    with pytest.raises(RoundError, match="not frozen"):
        drill_round(federation.runner(1), 1)
    federation.submit_all()
    federation.run(1)
    before = federation.objects()
    rows = drill_round(federation.runner(1), 1)
    assert rows == drill_round(federation.runner(1), 1)
    assert federation.objects() == before
    assert {row.attack: row.survived for row in rows}["sign-flip"] >= 2
    assert not any(client in str(rows) for client in federation.clients)


def test_a_private_round_refuses_it() -> None:
    federation = SmallFederation(clients=5)
    federation.open(1, privacy="central", strategy="mean", trust_min=0.0)
    federation.submit_all()
    federation.run(1)
    with pytest.raises(PrivacyError, match="without noise"):
        drill_round(federation.runner(1), 1)
