"""What a model says of itself in Python: a summary, frames, a graph, a picture, explanations."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperfed.errors import BoundsError, ConfigError
from hyperfed.hypergraph.direction import DISPUTED, direction_shares
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.origins import BasketSupport
from hyperfed.hypergraph.suppression import EdgeStatus
from hyperfed.tables.tables import EdgeTable, pack_keys
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


def _night(fed: SmallFederation, round_id: int, effect: float) -> GlobalModel:
    fed.open(round_id)
    for i, client in enumerate(fed.clients):
        update = fed.update(client, effect=effect + 0.05 * i)
        fed.submit(client, update, round_id=round_id)
    fed.run(round_id)
    stored = fed.reader().result(round_id)
    assert stored is not None
    assert isinstance(stored.value, GlobalModel)
    return stored.value


@pytest.fixture(scope="module")
def models() -> tuple[GlobalModel, GlobalModel]:
    fed = SmallFederation(clients=6)
    return _night(fed, 1, 0.4), _night(fed, 2, -0.4)


@pytest.fixture(scope="module")
def model(models: tuple[GlobalModel, GlobalModel]) -> GlobalModel:
    """A model that knows of suppressed edges, too."""
    key = pack_keys(*(np.array([n], np.uint32) for n in (0, 3)), np.array([1], np.uint16))
    return replace(models[0], suppressed=key)


def test_the_summary_names_what_is_known_and_what_is_held_back(model: GlobalModel) -> None:
    text = repr(model)
    assert "round 1" in text
    assert "3 edges between 4 variables, of 6 clients" in text
    row = model.rows()[0]
    assert f"{row['ci_low']:.3g} to {row['ci_high']:.3g}" in text
    assert "1 edges are suppressed" in text
    assert len(text.splitlines()) < 12
    assert str(model) == text


def test_a_notebook_shows_no_markup_of_a_names() -> None:
    fed = SmallFederation(vocabulary=Vocabulary.of("<script>alert(1)</script>", "a&b", "$c$", "d"))
    model = _night(fed, 1, 0.5)
    for page in (model._repr_html_(), model.explain(0, 1)._repr_html_()):
        assert "<script" not in page
        assert "&lt;script&gt;" in page
    assert model.plot().figure is not None, "a dollar sign is no mathematics"


@pytest.mark.parametrize("library", ["pandas", "arrow"])
def test_a_frame_holds_the_rows_and_names_what_is_suppressed(
    model: GlobalModel, library: Any
) -> None:
    frame = model.to_dataframe(library=library)
    rows = frame.to_dict("records") if library == "pandas" else frame.to_pylist()
    assert [row["status"] for row in rows] == ["present"] * 3 + ["suppressed"]
    for row, known in zip(rows, model.rows(), strict=False):
        assert {name: row[name] for name in known} == known
    held_back = rows[-1]
    assert (held_back["source"], held_back["target"]) == ("heat", "faults")
    missing = held_back["effect"]
    assert missing is None or np.isnan(missing), "a value that is held back is no 0"


def test_a_frame_has_the_same_columns_without_edges(model: GlobalModel) -> None:
    about = replace(model.evidence, edges=model.evidence.edges.take(np.zeros(0, int)))
    empty = replace(model, edges=model.edges.take(np.zeros(0, int)), evidence=about)
    assert list(empty.to_dataframe()) == list(model.to_dataframe())
    with pytest.raises(ConfigError, match="there is no library"):
        model.to_dataframe(library="polars")  # type: ignore[arg-type]


def test_a_graph_of_networkx_carries_the_evidence(model: GlobalModel) -> None:
    graph = model.to_networkx()
    assert set(graph) == set(model.vocabulary.names)
    for row in model.rows():
        edge = graph.edges[row["source"], row["target"], row["lag"]]
        for name in ("vote", "support", "ci_low", "ci_high", "i2", "q", "measured_by"):
            assert edge[name] == row[name]
    assert graph.graph["suppressed"] == model.suppressed_rows()
    assert None not in [value for *_, edge in graph.edges(data=True) for value in edge.values()]


def test_a_picture_draws_each_edge_and_its_sign_without_colour(
    models: tuple[GlobalModel, GlobalModel],
) -> None:
    raised, lowered = (model.plot() for model in models)
    for ax, model in ((raised, models[0]), (lowered, models[1])):
        words = {text.get_text() for text in ax.texts}
        assert {row["source"] for row in model.rows()} <= words
    styles = [
        {patch.get_linestyle() for patch in ax.patches if not patch.get_fill()}
        for ax in (raised, lowered)
    ]
    assert styles[0] == {"-"}
    assert "--" in styles[1]


def test_an_explanation_says_every_number_and_what_is_not_there(model: GlobalModel) -> None:
    told = model.explain("heat", "load")
    assert [edge["lag"] for edge in told.edges] == [1]
    text, row = str(told), told.edges[0]
    assert f"{row['support']} of {row['measured_by']} clients" in text
    assert f"{row['ci_low']:.3g} to {row['ci_high']:.3g}" in text
    assert "absent" in text
    assert "The other way: heat -> load" in str(model.explain("load", "heat"))
    assert "At lag 1: suppressed" in str(model.explain("heat", "faults"))
    assert dict(told.status)[1] is EdgeStatus.PRESENT
    with pytest.raises(BoundsError):
        model.explain("heat", "nobody")


def test_an_interval_with_zero_in_it_is_told(model: GlobalModel) -> None:
    assert "includes 0" not in str(model.explain("heat", "load"))
    assert model.edges.ci_low is not None
    wide = replace(model, edges=replace(model.edges, ci_low=model.edges.ci_low - 9))
    assert "includes 0" in str(wide.explain("heat", "load"))


def test_missing_and_absent_are_not_one_word(model: GlobalModel) -> None:
    unseen = replace(model, lags=(1,))
    words = str(unseen.explain("load", "heat"))
    assert "lag 1: absent" in words
    assert re.search(r"lags 0, 2 to \d+: missing", words)
    assert len({status.word for status in EdgeStatus}) == len(EdgeStatus)


def test_support_by_basket_is_of_the_edge_that_is_explained(model: GlobalModel) -> None:
    counts = np.arange(1, 4, dtype=np.uint32)
    baskets = (
        BasketSupport(name="north", clients=3, support=counts),
        BasketSupport(name="", clients=3, support=counts[::-1].copy()),
    )
    told = replace(model, support_by=baskets)
    row = list(told.edges.rows())[2]
    names = told.vocabulary.names
    words = str(told.explain(names[int(row["source"])], names[int(row["target"])]))
    assert "north 3 of 3, the common group 1 of 3" in words


def test_comparing_says_which_edges_turned_and_their_effects(
    models: tuple[GlobalModel, GlobalModel],
) -> None:
    change = models[0].compare(models[1])
    assert (change.base_round, change.round) == (1, 2)
    for edge in change.edges:
        assert edge.effect_before is not None
        assert edge.effect_after is not None
    turned = [edge for edge in change.edges if edge.turn.value == "sign changed"]
    assert turned
    assert f"effect {turned[0].effect_before:+.3g} -> {turned[0].effect_after:+.3g}" in str(change)


def test_a_direction_is_disputed_where_votes_run_both_ways() -> None:
    edges = EdgeTable.build(
        source=[0, 1, 1, 2],
        target=[1, 0, 2, 1],
        lag=[0, 0, 0, 1],
        effect=0.5,
        confidence=0.9,
        stability=0.9,
    )
    vote = np.array([0.6, -0.3, 0.5, 0.5])
    ends = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    order = {pair: row for row, pair in enumerate(ends)}
    shares = direction_shares(edges, vote, [])
    assert shares[order[0, 1]] == pytest.approx(2 / 3)
    assert shares[order[1, 0]] == pytest.approx(1 / 3)
    assert shares[order[0, 1]] < DISPUTED
    assert shares[order[1, 2]] == shares[order[2, 1]] == 1, "time orders, or nothing contradicts"
    marked = direction_shares(edges, vote, [(0, 1, 0.9), (1, 0, 0.1)])
    assert marked[order[0, 1]] == pytest.approx(0.9), "marks count before effects"
    assert direction_shares(EdgeTable.empty(), np.zeros(0), []).shape == (0,)
