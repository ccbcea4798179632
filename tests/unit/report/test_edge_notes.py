"""What an edge says beside its numbers, from the round to the model, the files and the pages.

Ten clients in two domains. Six sensors never measured heat, which drives load and wear. The fourth
bank sends every sign turned.
"""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hyperfed.cli.client.pull import _render, _save
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import Update
from hyperfed.registry.budget import Budget
from hyperfed.report import html_report, markdown_page, view_of
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

HEAT, LOAD, WEAR, FAULTS = range(4)
SENSORS = ((LOAD, WEAR), (WEAR, FAULTS))
BANKS = ((LOAD, WEAR), (HEAT, LOAD), (HEAT, WEAR))
SAID = {
    ("load", "wear"): "not adjusted for heat in 6 of 9",
    ("heat", "load"): "held by banks alone",
    ("heat", "wear"): "held by banks alone",
    ("wear", "faults"): "held by sensors alone",
}


def _played(*, minimum_support: int = 1, odd_bank: bool = False) -> SmallFederation:
    fed = SmallFederation(clients=10, budget=Budget(minimum_support=minimum_support))
    domains = ["sensors"] * 6 + ["banks"] * 4
    fed.amend(
        clients=tuple(
            replace(record, basket=domain)
            for record, domain in zip(fed.registry.clients, domains, strict=True)
        )
    )
    fed.open()
    for i, (client, domain) in enumerate(zip(fed.clients, domains, strict=True)):
        pairs = SENSORS if domain == "sensors" else BANKS
        if odd_bank and i == 9:
            pairs = (*BANKS, (WEAR, FAULTS))
        effect = -0.4 if i == 7 else 0.5 + 0.02 * i
        edges = EdgeTable.build(
            source=[source for source, _ in pairs],
            target=[target for _, target in pairs],
            lag=1,
            effect=effect,
            ci_low=effect - 0.2,
            ci_high=effect + 0.2,
            confidence=0.9,
            stability=0.9,
            n=100,
        )
        measured = [LOAD, WEAR, FAULTS] if domain == "sensors" else [HEAT, LOAD, WEAR, FAULTS]
        fed.submit(client, Update(measured=np.array(measured, dtype=np.uint32), edges=edges))
    fed.run()
    return fed


def _model(fed: SmallFederation, round_id: int = 1) -> GlobalModel:
    result = fed.reader().result(round_id)
    assert result is not None
    assert isinstance(result.value, GlobalModel)
    return result.value


def test_edges_say_who_alone_holds_them_and_for_what_nobody_adjusted(tmp_path: Path) -> None:
    fed = _played()
    model = _model(fed)
    assert {(row["source"], row["target"]): row["notes"] for row in model.rows()} == SAID
    supports = {part.name: (part.clients, part.support.tolist()) for part in model.support_by}
    assert {name: clients for name, (clients, _) in supports.items()} == {"banks": 4, "sensors": 6}
    _save(model, b"", tmp_path)
    with (tmp_path / "edges.csv").open() as file:
        rows = {(row["source"], row["target"]): row for row in csv.DictReader(file)}
    assert {edge: row["notes"] for edge, row in rows.items()} == SAID
    # the bank that turned every sign has no weight, and is counted by direction
    assert (rows["load", "wear"]["positive"], rows["load", "wear"]["negative"]) == ("9", "1")
    for name in ("std_error", "tau2", "i2", "predict_low", "without_high", "q"):
        assert float(rows["load", "wear"][name]) >= 0
    saved = json.loads((tmp_path / "model.json").read_text())
    assert {(row["source"], row["target"]): row["notes"] for row in saved["edges"]} == SAID
    out = io.StringIO()
    _render(Console(file=out, width=120), model, tmp_path, 10, {}, None, {})
    view = view_of(fed.reader(), 1)
    for page in (out.getvalue(), markdown_page(view), html_report([view])):
        assert all(note in page for note in SAID.values())


def test_the_page_shows_how_far_clients_differ_on_each_edge() -> None:
    fed = _played()
    page = html_report([view_of(fed.reader(), 1)])
    (row,) = [r for r in _model(fed).rows() if (r["source"], r["target"]) == ("load", "wear")]
    assert "another client" in page
    assert "9 : 1" in page
    for low, high in (("predict_low", "predict_high"), ("without_low", "without_high")):
        assert f"{row[low]:.3g} to {row[high]:.3g}" in page


def test_who_is_hidden_by_the_minimum_support_does_not_make_others_alone() -> None:
    """One bank supports wear -> faults, too. It is not told, and nobody is said to be alone."""
    notes = {
        (row["source"], row["target"]): row["notes"]
        for row in _model(_played(minimum_support=2, odd_bank=True)).rows()
    }
    assert notes["wear", "faults"] == ""
    assert notes["heat", "load"] == "held by banks alone"


def test_a_plan_that_cuts_by_q_values_leaves_out_what_votes_alone_would_keep() -> None:
    """All are sure of the last edge; their estimates, each +-1, say nothing of it."""
    fed = SmallFederation(clients=10)
    models = []
    for round_id, cut in ((1, "vote"), (2, "fdr")):
        fed.open(round_id, cut=cut)
        for client in fed.clients:
            edges = fed.update(client).edges
            assert edges is not None
            half = np.where(np.arange(len(edges)) == len(edges) - 1, 1.0, 0.2)
            effect = np.where(half == 1.0, 0.1, edges.effect)
            edges = replace(edges, effect=effect, ci_low=effect - half, ci_high=effect + half)
            update = replace(fed.update(client), edges=edges)
            fed.submit(client, update, round_id=round_id)
        fed.run(round_id)
        models.append(_model(fed, round_id))
    by_vote, by_q = (
        {(row["source"], row["target"]): row["q"] for row in model.rows()} for model in models
    )
    assert by_vote.keys() - by_q.keys() == {("wear", "faults")}
    assert by_vote["wear", "faults"] > 0.05 > max(by_q.values())
