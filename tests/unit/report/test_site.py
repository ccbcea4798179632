"""The dossier site: its pages say what the models hold, and lead nowhere else."""

import hashlib
import re
from base64 import b64decode
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest

from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.errors import AccessDenied, ConfigError, HyperfedError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.origins import BasketSupport
from hyperfed.hypergraph.suppression import EdgeStatus
from hyperfed.packets import PolicyPack
from hyperfed.registry.registry import Budget
from hyperfed.report import SiteContent, edge_rows, site_files
from hyperfed.report.pictures.forest_svg import ForestRow, forest_svg
from hyperfed.report.site import pages
from hyperfed.report.site.history import address_of
from hyperfed.report.wording import agrees_word
from hyperfed.tables.tables import pack_keys
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

NAMES = ("<img src=x onerror=alert(1)>", "../../etc/passwd", "a & b", "</script><script>alert(1)")


class Page(HTMLParser):
    """A page's elements, links, ids and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.edges: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.tags.append(tag)
        assert not [name for name in held if name.startswith("on")]
        if "href" in held:
            self.links.append(str(held["href"]))
        if "data-edge" in held:
            self.edges.append(held)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def fed() -> SmallFederation:
    held = SmallFederation(clients=6)
    held.play(1)
    held.play(2)
    return held


@pytest.fixture(scope="module")
def content(fed: SmallFederation) -> SiteContent:
    reader = fed.reader()
    return SiteContent.read(reader, reader.ledger(), last=30)


def test_each_edge_and_each_round_has_a_page_and_every_link_leads_to_one(
    content: SiteContent,
) -> None:
    files = site_files(content)
    model = content.models[-1]
    assert len([path for path in files if path.startswith("edges/")]) == len(model.edges)
    assert {path for path in files if path.startswith("rounds/")} == {
        f"rounds/{number:08d}.html" for number in (1, 2)
    }
    for path, text in files.items():
        for link in Page(text).links:
            if link.startswith("#"):
                continue
            at = PurePosixPath(path).parent
            parts: list[str] = []
            for part in (at / link).parts:
                parts = parts[:-1] if part == ".." else [*parts, part]
            assert "/".join(parts) in files, (path, link)
    assert site_files(content) == files, "the same models give the same pages"


def test_the_home_page_has_every_edge_with_what_the_filters_need(content: SiteContent) -> None:
    page = Page(site_files(content)["index.html"])
    model = content.models[-1]
    for row in model.rows():
        found = [e for e in page.edges if e["data-source"] == row["source"]]
        assert len(found) == 2, "one in the graph, one in the table"
        for edge in found:
            assert float(edge["data-vote"] or 0) == pytest.approx(abs(row["vote"]), abs=1e-4)
            share = row["support"] / row["measured_by"]
            assert float(edge["data-support"] or 0) == pytest.approx(share, abs=1e-4)
    for status in EdgeStatus:
        assert status.word in page.text


def test_the_home_page_says_what_the_columns_of_its_table_are(content: SiteContent) -> None:
    said = Page(site_files(content)["index.html"]).text
    for word in ("Effect: ", "Vote: ", "q: ", "Support: ", "Direction: "):
        assert word in said


def test_the_summary_claims_no_effect_whose_interval_has_zero_in_it(
    content: SiteContent,
) -> None:
    model = content.models[-1]
    assert "One unit more of" in Page(site_files(content)["index.html"]).text
    assert model.edges.ci_low is not None
    wide = replace(model, edges=replace(model.edges, ci_low=model.edges.ci_low - 9))
    said = Page(site_files(SiteContent(models=(wide,)))["index.html"]).text
    assert "One unit more of" not in said
    assert "The interval of 3 edges includes 0" in said


def test_an_edges_page_says_its_numbers_and_its_rounds(content: SiteContent) -> None:
    model = content.models[-1]
    row = model.rows()[0]
    text = Page(site_files(content)[address_of((row["source"], row["target"], row["lag"]))]).text
    for low, high in (("ci_low", "ci_high"), ("predict_low", "predict_high")):
        assert f"{row[low]:.3g} to {row[high]:.3g}" in text
    assert f"{row['support']} of {row['measured_by']}" in text
    assert "round 1" in text
    assert "round 2" in text
    assert "site-0" not in text, "no client is named"


def lines_on_pages(content: SiteContent) -> dict[str, str]:
    """Return the text of each edge's page."""
    return {p: Page(t).text for p, t in site_files(content).items() if p.startswith("edges/")}


def test_the_operators_own_pages_name_each_client_and_nobody_elses_do(
    fed: SmallFederation, content: SiteContent
) -> None:
    runner, reader = fed.runner(2), fed.reader()
    own = SiteContent.read(reader, reader.ledger(), last=1, sets=runner.frozen)
    for text in lines_on_pages(own).values():
        assert "operator's own page" in text
        assert all(client in text for client in fed.clients)
    assert own.lines is not None
    for row, (_, estimate) in zip(content.models[-1].rows(), own.lines.rows(0), strict=False):
        assert row["effect"] * estimate["effect"] > 0
    for text in lines_on_pages(content).values():
        assert "does not let members see single clients" in text
        assert "Client by client" not in text
        assert not [client for client in fed.clients if client in text]
    members = FrozenSets(
        store=fed.store, reader=reader, key_pair=fed.keys["site-01"], limits=fed.limits
    )
    with pytest.raises(HyperfedError):
        SiteContent.read(reader, reader.ledger(), last=1, sets=members)


def test_a_plan_that_shows_clients_shows_them_to_members_under_pseudonyms() -> None:
    held = SmallFederation(clients=4, policy=PolicyPack(show_clients=True))
    held.play(1)
    reader = held.reader()
    for text in lines_on_pages(SiteContent.read(reader, reader.ledger(), last=1)).values():
        assert all(f"client {i}" in text for i in (1, 2, 3, 4))
        assert "under a pseudonym" in text
        assert "site-0" not in text


def test_the_home_page_has_the_budget_and_who_agrees_for_whoever_may_see_it(
    content: SiteContent,
) -> None:
    home = Page(site_files(content)["index.html"]).text
    assert "Nothing is spent" in home
    assert "Who agrees" in home
    assert "agrees" in home
    assert "honest" not in "".join(site_files(content).values())
    for_members = Page(site_files(replace(content, views=()))["index.html"]).text
    assert "Who agrees" not in for_members
    assert "site-0" not in for_members
    assert [agrees_word(0.0, agreement) for agreement in (-0.5, 0.0, 0.5)] == [
        "differs",
        "differs",
        "not heard",
    ]
    assert [agrees_word(w) for w in (None, 0.0, 0.5, 1.0)] == [
        "not counted",
        "differs",
        "differs in part",
        "agrees",
    ]


def test_an_edge_that_was_not_there_has_the_right_word_in_its_history(
    content: SiteContent,
) -> None:
    first, last = content.models
    row = last.rows()[0]
    edge = (row["source"], row["target"], row["lag"])
    ends = [np.array([last.vocabulary.index(name)], np.uint32) for name in edge[:2]]
    key = pack_keys(*ends, np.array([edge[2]], np.uint16))
    keep = ~np.isin(first.edges.keys, key)
    about = replace(first.evidence, edges=first.evidence.edges.take(keep))
    gone = replace(first, edges=first.edges.take(keep), evidence=about)
    for model, word in (
        (gone, "absent"),
        (replace(gone, suppressed=key), "suppressed"),
        (replace(gone, few=ends[0]), "suppressed"),
    ):
        page = site_files(SiteContent(models=(model, last)))[address_of(edge)]
        assert re.search(rf"1</th><td >{word}</td>", page), word


def test_a_client_that_may_not_read_states_gets_the_site_without_pages_of_rounds(
    fed: SmallFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise AccessDenied("may not read", subject="state")

    monkeypatch.setattr(pages, "view_of", refused)
    reader = fed.reader()
    files = site_files(SiteContent.read(reader, reader.ledger(), last=1))
    assert not [path for path in files if path.startswith("rounds/")]
    assert "round 2" in files["index.html"]
    with pytest.raises(ConfigError, match="no round"):
        SiteContent.read(reader, [], last=1)


def test_names_are_text_in_every_page_and_lead_out_of_no_folder() -> None:
    held = SmallFederation(vocabulary=Vocabulary.of(*NAMES))
    held.play(1)
    reader = held.reader()
    files = site_files(SiteContent.read(reader, reader.ledger(), last=1))
    edges = [path for path in files if path.startswith("edges/")]
    assert len(edges) == 3
    for path, text in files.items():
        assert re.fullmatch(r"(index|edges/[a-z0-9-]+|rounds/[0-9]+)\.html", path)
        tags = Page(text).tags
        assert not {"img", "iframe", "object"} & set(tags)
        assert tags.count("script") == (1 if path == "index.html" else 0)
        assert NAMES[0] not in text


def test_the_only_script_that_may_run_is_the_one_that_is_there(content: SiteContent) -> None:
    files = site_files(content)
    home = files["index.html"]
    (script,) = re.findall(r"<script>(.*?)</script>", home, re.DOTALL)
    (digest,) = re.findall(r"script-src &#x27;sha256-([^&]+)&#x27;", home)
    assert b64decode(digest) == hashlib.sha256(script.encode()).digest()
    for path, text in files.items():
        assert "default-src &#x27;none&#x27;" in text or path.startswith("rounds/")
        assert "unsafe-inline" not in text.partition("script-src")[2][:80]
        assert not re.search(r"(src|href)=\"(https?:)?//", text)


def test_a_model_with_baskets_can_be_filtered_by_them_and_keeps_its_strongest(
    content: SiteContent,
) -> None:
    model: GlobalModel = content.models[-1]
    counts = np.array([2, 0, 1], np.uint32)
    baskets = (
        BasketSupport(name="north", clients=3, support=counts),
        BasketSupport(name="", clients=3, support=counts[::-1].copy()),
    )
    told = replace(model, support_by=baskets)
    page = Page(site_files(SiteContent(models=(told,)))["index.html"])
    names = told.vocabulary.names
    for row, north in zip(told.edges.rows(), counts.tolist(), strict=True):
        (edge, _) = [e for e in page.edges if e["data-source"] == names[int(row["source"])]]
        assert ("north" in str(edge["data-baskets"]).split("\n")) is (north > 0)
    assert len(edge_rows(told, keep=2)) == 2, "baskets count every edge, also those left out"


def test_a_forest_plot_says_its_numbers_and_marks_what_is_no_estimate() -> None:
    plot = forest_svg(
        [
            ForestRow(words="pooled", estimate=0.5, low=0.25, high=0.75, pooled=True),
            ForestRow(words="range <b>", low=0.125, high=0.875),
            ForestRow(words="unknown", low=None, high=None),
        ],
        title="Effect",
    )
    assert "0.5 (0.25 to 0.75)" in plot
    assert "0.125 to 0.875" in plot
    assert "not known" in plot
    assert "&lt;b&gt;" in plot
    assert plot.count("<polygon") == 1
    assert plot.count('stroke-dasharray="6 4"') == 1


def test_a_private_release_says_not_released_and_never_absent_or_zero() -> None:
    policy = PolicyPack(
        privacy="central",
        strategy="mean",
        trust_min=0,
        max_lag=1,
        privacy_epsilon=Decimal(500),
    )
    held = SmallFederation(policy=policy, clients=5, budget=Budget(epsilon=Decimal(5000)))
    held.play(1)
    reader = held.reader()
    content = SiteContent.read(reader, reader.ledger(), last=1)
    (model,) = content.models
    row = model.rows()[0]
    assert "It pays for" in Page(site_files(content)["index.html"]).text
    own = SiteContent.read(reader, reader.ledger(), last=1, sets=held.runner().frozen)
    assert own.lines is None, "not even the operator's page has values without their noise"
    text = Page(site_files(content)[address_of((row["source"], row["target"], row["lag"]))]).text
    assert "single clients are not released to anybody" in text
    assert "not released of 5" in text
    assert text.count("not released") >= 5, "support, q, spread, signs and samples"
    told = str(model.explain(row["target"], row["source"]))
    assert "not released" in told
    assert "absent" not in told
    assert {line["support"] for line in model.rows()} == {None}
