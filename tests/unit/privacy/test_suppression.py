"""Minimum support: suppressed, absent and unmeasured are three different things, in model, exports
and pages.
"""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyperfed.cli.client.pull import _save
from hyperfed.coordinator import FederationCoordinator
from hyperfed.errors import AggregationError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.suppression import EdgeStatus
from hyperfed.packets import CausalSemanticPack, PathPack, PolicyPack, Update
from hyperfed.registry.registry import Budget
from hyperfed.report.html import html_report
from hyperfed.report.markdown import markdown_page
from hyperfed.report.view import view_of
from hyperfed.tables.tables import pack_keys
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

NAMES = ("heat", "load", "wear", "faults", "noise")


def path(source: int, target: int, effect: float = 0.5) -> PathPack:
    return PathPack(source, target, 1, effect, 0.9, 0.9)


def merged(minimum: int, **policy: object) -> GlobalModel:
    """Three clients: all have heat -> load; one has load -> wear; two measured faults; nobody
    measured noise.
    """
    coordinator = FederationCoordinator(
        policy=PolicyPack(strategy="union", **policy),
        vocabulary=Vocabulary.of(*NAMES),
        budget=Budget(minimum_support=minimum),
    )
    coordinator.handle_update(
        "site-a", Update.from_paths([path(0, 1), path(1, 2)], measured=[0, 1, 2])
    )
    coordinator.handle_update(
        "site-b", Update.from_paths([path(0, 1), path(0, 3)], measured=[0, 1, 2, 3])
    )
    coordinator.handle_update(
        "site-c", Update.from_paths([path(0, 1), path(0, 3)], measured=[0, 1, 2, 3])
    )
    return coordinator.aggregate()


def test_four_ways_in_which_an_edge_can_stand() -> None:
    model = merged(3)
    assert model.status("heat", "load", 1) is EdgeStatus.PRESENT
    assert model.status("load", "wear", 1) is EdgeStatus.SUPPRESSED
    assert model.status("wear", "heat", 1) is EdgeStatus.ABSENT
    assert model.status("heat", "noise", 1) is EdgeStatus.UNMEASURED


def test_what_touches_a_variable_that_few_measured_is_suppressed_found_by_anybody_or_not() -> None:
    model = merged(3)
    assert [model.vocabulary.names[i] for i in model.few] == ["faults"]
    assert model.status("heat", "faults", 1) is EdgeStatus.SUPPRESSED  # two found it
    assert model.status("faults", "wear", 1) is EdgeStatus.SUPPRESSED  # nobody did
    assert model.suppressed_rows() == [{"source": "load", "target": "wear", "lag": 1}]


def test_a_lag_that_nobody_or_too_few_looked_at_is_not_measured() -> None:
    def model(minimum: int, *lags: tuple[int, ...] | None) -> GlobalModel:
        coordinator = FederationCoordinator(
            policy=PolicyPack(strategy="union", lags=(0, 1, 2)),
            vocabulary=Vocabulary.of(*NAMES),
            budget=Budget(minimum_support=minimum),
        )
        for i, own in enumerate(lags):
            update = Update.from_paths([path(0, 1)], measured=[0, 1, 2])
            coordinator.handle_update(f"site-{i}", replace(update, lags=own))
        return coordinator.aggregate()

    for made, lags in (
        (model(1, (1,), (1, 2)), (1, 2)),
        (model(2, (1,), (1, 2)), (1,)),
        (model(2, (1,), (1, 2), None), (1, 2)),
        (model(2, (1,), None, None), None),
        (model(1, (1,), None), None),
    ):
        assert made.lags == lags
        assert made.status("heat", "load", 1) is EdgeStatus.PRESENT
        assert made.status("wear", "heat", 1) is EdgeStatus.ABSENT
        looked_at = (0, 1, 2) if lags is None else lags
        for lag in (0, 2, 3):
            status = EdgeStatus.ABSENT if lag in looked_at else EdgeStatus.UNMEASURED
            assert made.status("wear", "heat", lag) is status


def test_values_below_the_minimum_are_nowhere_in_the_model() -> None:
    assert len(merged(1).edges) == 3
    assert len(merged(2).edges) == 2
    assert [(r["source"], r["target"]) for r in merged(3).rows()] == [("heat", "load")]
    assert (merged(3).evidence.edges.support >= 3).all()


def test_a_minimum_of_one_suppresses_nothing() -> None:
    model = merged(1)
    assert (len(model.suppressed), len(model.few)) == (0, 0)
    assert model.status("wear", "heat", 1) is EdgeStatus.ABSENT


def test_votes_and_confounders_of_too_few_are_left_out() -> None:
    coordinator = FederationCoordinator(
        policy=PolicyPack(strategy="union"),
        vocabulary=Vocabulary.of(*NAMES),
        budget=Budget(minimum_support=2),
    )
    for client, pack in {
        "site-a": CausalSemanticPack(dag_edges=[(0, 1, 0.9), (1, 2, 0.9)], confounders=[3, 4]),
        "site-b": CausalSemanticPack(dag_edges=[(0, 1, 0.9)], confounders=[3]),
    }.items():
        coordinator.handle_update(
            client, Update.from_paths([path(0, 1)], measured=[0, 1, 2], semantic=pack)
        )
    semantic = coordinator.aggregate().semantic
    assert [edge[:2] for edge in semantic.dag_edges] == [(0, 1)]
    assert semantic.confounders == [3]


def test_exports_name_what_is_suppressed(tmp_path: Path) -> None:
    _save(merged(3), b"", tmp_path)
    with (tmp_path / "edges.csv").open() as file:
        rows = {(r["source"], r["target"]): r for r in csv.DictReader(file)}
    assert rows["heat", "load"]["status"] == "present"
    assert rows["load", "wear"]["status"].startswith("suppressed")
    assert rows["load", "wear"]["effect"] == ""
    document = json.loads((tmp_path / "model.json").read_text())
    assert (document["suppressed"], document["measured_by_too_few"]) == (
        [{"source": "load", "target": "wear", "lag": 1}],
        ["faults"],
    )


def test_pages_say_suppressed_and_that_it_is_not_absent() -> None:
    fed = SmallFederation(policy=PolicyPack(strategy="union"), budget=Budget(minimum_support=3))
    fed.open(1)
    for client in fed.clients:
        update = fed.update(client)
        assert update.edges is not None
        keep = np.arange(3) < (3 if client == "site-01" else 2)
        fed.submit(client, replace(update, edges=update.edges.take(keep)))
    fed.run(1)
    view = view_of(fed.reader(), 1)
    assert [(r.source, r.target) for r in view.suppressed] == [("wear", "faults")]
    for page in (markdown_page(view), html_report([view])):
        assert "Suppressed" in page
        assert "not absent, but not released" in page


def test_a_model_whose_suppressed_edges_are_out_of_order_is_refused() -> None:
    model = merged(3)
    keys = pack_keys(
        np.array([1, 0], np.uint32), np.array([2, 2], np.uint32), np.array([1, 1], np.uint16)
    )
    with pytest.raises(AggregationError, match="ascending"):
        replace(model, suppressed=keys)
    outside = pack_keys(
        np.array([9], np.uint32), np.array([2], np.uint32), np.array([1], np.uint16)
    )
    with pytest.raises(AggregationError, match="outside the vocabulary"):
        replace(model, suppressed=outside)
