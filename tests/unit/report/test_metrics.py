"""The figures for Prometheus: what they say, what they keep to themselves, and that every query of
the dashboard and the alert rules asks for something that is exported.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from hyperfed.errors import ConfigError
from hyperfed.packets import PolicyPack
from hyperfed.report.metrics import FEWEST, metrics_text
from hyperfed.report.view import view_of
from hyperfed.testing.federation import SmallFederation

MONITORING = Path(__file__).parents[3] / "deployments" / "monitoring"
STAGES = ("collect", "validate", "score trust", "check privacy budget", "reconcile", "broadcast")
SCRAPED = frozenset({"instance", "job"})
"""Labels that Prometheus itself adds."""


def samples(
    federation: SmallFederation, number: int, **changes: Any
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(name, labels beside the federation's) -> value, as Prometheus would read the file."""
    view = replace(view_of(federation.reader(), number), **changes)
    text = metrics_text(view, federation.reader().ledger(), timings=[(s, 0.25) for s in STAGES])
    read: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("federation") == view.federation
            key = (sample.name, tuple(sorted(labels.items())))
            assert key not in read
            read[key] = sample.value
    return read


@pytest.fixture(scope="module")
def public() -> SmallFederation:
    """A round that counted two of three, and a void one."""
    federation = SmallFederation()
    federation.play(1, but=("site-02",))
    federation.open(2)
    federation.run(2, now=federation.night(3))
    return federation


@pytest.fixture(scope="module")
def private() -> SmallFederation:
    policy = PolicyPack(
        privacy="central", privacy_epsilon="1", strategy="mean", trust_min=0, lags=(0, 1)
    )
    federation = SmallFederation(clients=5, policy=policy)
    federation.play(1)
    return federation


def test_a_round_says_its_own_figures(public: SmallFederation) -> None:
    read = samples(public, 1)
    assert read["hyperfed_round_committed", ()] == 1
    assert read["hyperfed_clients_counted", ()] == 2
    assert read["hyperfed_clients_missing", ()] == 1
    inbox = [info.size for info in public.store.list("inbox/00000001/")]
    assert read["hyperfed_updates_bytes", ()] == sum(inbox) > 0
    assert {dict(labels)["stage"] for name, labels in read if name == "hyperfed_stage_seconds"} == {
        stage.replace(" ", "_") for stage in STAGES
    }


def test_rounds_are_counted_and_an_age_is_told_by_instants(public: SmallFederation) -> None:
    read = samples(public, 2)
    assert read["hyperfed_rounds_total", (("outcome", "committed"),)] == 1
    assert read["hyperfed_rounds_total", (("outcome", "void"),)] == 1
    assert read["hyperfed_round_committed", ()] == 0
    assert read["hyperfed_committed_round", ()] == 1
    windows = public.registry.windows
    assert read["hyperfed_committed_deadline_seconds", ()] == windows.deadline(1).timestamp()
    assert read["hyperfed_round_deadline_seconds", ()] == windows.deadline(2).timestamp()
    assert timedelta(seconds=read["hyperfed_window_seconds", ()]) == windows.deadline(
        2
    ) - windows.opens(2)


def test_trust_is_told_of_enough_clients_only(public: SmallFederation) -> None:
    assert "hyperfed_trust_median" in {name for name, _ in samples(public, 1)}
    few = replace(view_of(public.reader(), 1))
    rows = few.trust[: FEWEST - 1]
    assert "hyperfed_trust_median" not in {name for name, _ in samples(public, 1, trust=rows)}
    assert "hyperfed_trust_median" not in {
        name for name, _ in samples(public, 1, minimum_support=len(few.trust) + 1)
    }


def test_a_private_round_exports_nothing_that_a_message_moves(private: SmallFederation) -> None:
    read = samples(private, 1)
    names = {name for name, _ in read}
    assert read["hyperfed_round_committed", ()] == 1
    assert not names & {
        "hyperfed_updates_bytes",
        "hyperfed_trust_median",
        "hyperfed_clients_silenced",
        "hyperfed_clients_barred",
    }
    assert {dict(labels)["stage"] for name, labels in read if name == "hyperfed_stage_seconds"} == {
        "collect",
        "check_privacy_budget",
        "broadcast",
    }
    assert read["hyperfed_budget_left_rounds", ()] > 0


def test_two_private_nights_that_differ_in_what_was_sent_export_the_same() -> None:
    """As an adversary reads it: what one client found must not show, beside what noise covers."""
    policy = PolicyPack(
        privacy="central", privacy_epsilon="1", strategy="mean", trust_min=0, lags=(0, 1)
    )

    def night(effect: float) -> dict[Any, float]:
        federation = SmallFederation(clients=5, policy=policy)
        federation.open(1)
        federation.submit("site-01", federation.update("site-01", effect=effect))
        federation.submit_all(but=["site-01"])
        federation.run(1)
        return samples(federation, 1)

    one, other = night(0.9), night(-0.2)
    noised = ("hyperfed_edges", ())
    assert {k: v for k, v in one.items() if k != noised} == {
        k: v for k, v in other.items() if k != noised
    }


def test_without_its_library_the_remedy_names_it(
    public: SmallFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match="prometheus-client") as refused:
        metrics_text(view_of(public.reader(), 1), public.reader().ledger())
    assert refused.value.remedy == "pip install prometheus-client"


def selectors(node: Any) -> Iterator[Any]:
    """Every vector that a query selects."""
    if isinstance(node, promql.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if getattr(node, name, None) is not None:
            yield from selectors(getattr(node, name))
    for argument in getattr(node, "args", None) or ():
        yield from selectors(argument)


def grouped(node: Any) -> Iterator[str]:
    """Every label that an aggregation names."""
    if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
        yield from node.modifier.labels
    for name in ("expr", "lhs", "rhs"):
        if getattr(node, name, None) is not None:
            yield from grouped(getattr(node, name))


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    return document


def queries() -> list[str]:
    panels = [t["expr"] for panel in dashboard()["panels"] for t in panel["targets"]]
    return [*panels, *(rule["expr"] for rule in alerts())]


@pytest.fixture(scope="module")
def exported(public: SmallFederation, private: SmallFederation) -> dict[str, dict[str, set[str]]]:
    """Name -> label -> its values, of everything that either kind of round exports."""
    known: dict[str, dict[str, set[str]]] = {}
    for federation, number in ((public, 1), (public, 2), (private, 1)):
        for name, labels in samples(federation, number):
            of_name = known.setdefault(name, {"federation": set()})
            for label, value in labels:
                of_name.setdefault(label, set()).add(value)
    return known


def wrong_with(query: str, exported: dict[str, dict[str, set[str]]]) -> list[str]:
    """What a query asks for that nothing exports."""
    tree = promql.parse(query.replace("$federation", "all"))
    found, labels = [], set(SCRAPED)
    for selector in selectors(tree):
        if selector.name not in exported:
            found.append(selector.name)
            continue
        labels |= exported[selector.name].keys()
        for matcher in selector.matchers.matchers:
            values = exported[selector.name].get(matcher.name)
            if values is None or (values and matcher.value not in values):
                found.append(f"{selector.name}{{{matcher.name}={matcher.value}}}")
    return found + [label for label in grouped(tree) if label not in labels]


def test_every_query_asks_for_what_is_exported(exported: dict[str, dict[str, set[str]]]) -> None:
    assert len(queries()) > 20
    assert {query: wrong for query in queries() if (wrong := wrong_with(query, exported))} == {}


@pytest.mark.parametrize(
    "query",
    [
        "hyperfed_rounds",
        'hyperfed_rounds_total{outcome="lost"}',
        'hyperfed_stage_seconds{step="collect"}',
        "sum by (step) (hyperfed_stage_seconds)",
        "time() - hyperfed_committed_age > 2",
    ],
)
def test_a_query_for_something_else_is_found(
    query: str, exported: dict[str, dict[str, set[str]]]
) -> None:
    assert wrong_with(query, exported)


def test_everything_that_is_exported_is_shown_or_watched(
    exported: dict[str, dict[str, set[str]]],
) -> None:
    asked = {s.name for q in queries() for s in selectors(promql.parse(q.replace("$", "")))}
    assert exported.keys() - asked == {
        "hyperfed_budget_epsilon",
        "hyperfed_budget_delta",
        "hyperfed_committed_round",
    }


def test_alerts_name_a_remedy_and_labels_that_exist() -> None:
    names: Sequence[str] = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "remedy"}
        used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert used <= {"federation"}


def test_the_dashboards_variables_and_panels_fit_together() -> None:
    document = dashboard()
    variables = {v["name"]: v for v in document["templating"]["list"]}
    assert variables["federation"]["query"] == "label_values(hyperfed_round, federation)"
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    cells = set()
    for panel in document["panels"]:
        at = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not mine & cells, panel["title"]
        cells |= mine
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${source}"
