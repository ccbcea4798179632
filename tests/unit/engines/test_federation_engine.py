"""A federation as a client of another: two drop-boxes, the same rounds, one result that goes up."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from hyperfed.client.night import submit_update
from hyperfed.client.sources import Source
from hyperfed.engines import FederationEngine
from hyperfed.errors import ConfigError, RoundError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import Update
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

# another order, and a variable that the country does not know
REGION = Vocabulary.of("wear", "heat", "load", "humidity", domain="plant")


@pytest.fixture
def region() -> SmallFederation:
    return SmallFederation(clients=4, name="region", vocabulary=REGION)


@pytest.fixture
def country() -> SmallFederation:
    return SmallFederation(clients=["north", "region-west", "south"], name="country")


def _model(federation: SmallFederation, round_id: int = 1) -> GlobalModel:
    found = federation.reader().result(round_id)
    assert found is not None
    assert isinstance(found.value, GlobalModel)
    return found.value


def _rows(model: GlobalModel) -> dict[tuple[str, str], dict[str, float]]:
    names = model.vocabulary.names
    votes = model.evidence.edges.vote.tolist()
    return {
        (names[r["source"]], names[r["target"]]): r | {"vote": v}
        for r, v in zip(model.edges.rows(), votes, strict=True)
    }


def test_a_regions_result_is_its_update_to_the_country(
    region: SmallFederation, country: SmallFederation
) -> None:
    region.play(1)
    country.open(1)
    now = country.opens(1) + timedelta(days=1) - timedelta(hours=1)
    sent = submit_update(
        country.session("region-west"), None, below=region.session(region.clients[0]), now=now
    )
    # wear -> heat -> load; load -> humidity stays below
    assert (sent["sent"], sent["edges"]) == (True, 2)
    inbox = country.objects("inbox/")
    again = submit_update(
        country.session("region-west"),
        None,
        below=region.session(region.clients[0]),
        now=now + timedelta(minutes=5),
    )
    assert not again["sent"]
    assert country.objects("inbox/") == inbox
    quiet = Update(
        measured=np.arange(4, dtype=np.uint32),
        edges=country.update().edges.take(np.zeros(3, dtype=bool)),
    )
    for client in ("north", "south"):
        country.submit(client, quiet)
    country.run(1)
    above, below = country.runner(1), _rows(_model(region))
    frozen = above.reader.freeze(1)
    assert frozen is not None
    assert [c.client for c in frozen.value.counted] == ["north", "region-west", "south"]
    held = above.frozen.coordinator(above.plan(1).value, frozen)
    graph = dict(zip(held.clients, held.graphs(), strict=True))["region-west"]
    names = country.vocabulary.names
    assert [names[i] for i in graph.measured] == ["heat", "load", "wear"]
    for row, vote in zip(graph.edges.rows(), graph.edges.vote.tolist(), strict=True):
        expected = below[names[row["source"]], names[row["target"]]]
        assert vote == pytest.approx(expected["vote"])
        assert row["effect"] == expected["effect"]
        assert row["n"] == expected["n"] == 400  # the region's samples stand behind it


def test_the_same_flow_twice_ends_in_one_graph(
    region: SmallFederation, country: SmallFederation
) -> None:
    """All three clients of the country are regions of the same kind: what they found arrives at the
    top.
    """
    region.play(1)
    country.open(1)
    for client in country.clients:
        submit_update(
            country.session(client),
            None,
            below=region.session(region.clients[0]),
            now=country.opens(1) + timedelta(hours=23),
        )
    country.run(1)
    top, below = _rows(_model(country)), _rows(_model(region))
    assert set(top) == {("wear", "heat"), ("heat", "load")}
    for ends, row in top.items():
        assert row["effect"] == pytest.approx(below[ends]["effect"])
        assert row["n"] == 3 * below[ends]["n"]


def test_nothing_goes_up_before_the_first_result_or_from_two_sources(
    region: SmallFederation, country: SmallFederation
) -> None:
    region.open(1)
    country.open(1)
    now = country.opens(1) + timedelta(hours=1)
    with pytest.raises(RoundError, match="no committed result"):
        submit_update(country.session("south"), None, below=region.session("site-01"), now=now)
    for source, below in (
        (None, None),
        (Source(kind="series", file=Path("series.csv")), region.session("site-01")),
    ):
        with pytest.raises(ConfigError, match="one source"):
            submit_update(country.session("south"), source, below=below, now=now)
    with pytest.raises(ConfigError, match="the federation itself"):
        # its own result is no evidence
        submit_update(country.session("south"), None, below=country.session("north"), now=now)
    assert country.objects("inbox/") == {}


def test_a_federation_is_an_engine_like_any_other(region: SmallFederation) -> None:
    region.play(1)
    model = _model(region)
    found = FederationEngine(model).discover()
    assert found.variables == ("wear", "heat", "load", "humidity")
    assert list(found.source) == ["wear", "heat", "load"]
    measured, edges = found.to_edges(REGION)
    assert edges == model.edges
    assert measured.tolist() == model.measured.tolist()
    assert found.lags == tuple(model.policy.allowed_lags), "its clients looked at all of the plan's"
    assert FederationEngine(replace(model, lags=(0, 1))).discover().lags == (0, 1)
