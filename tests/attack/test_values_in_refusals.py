"""In a private round a client (or a program of another writer) puts a value into its body where it
will be refused, so that the refusal carries it past the noise (R-141). And a body that states more
than the policy lets be shared, to make the coordinator build it (R-142).
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from hyperfed.codec import pack, to_record
from hyperfed.codec.versions import lowered
from hyperfed.packets import CausalSemanticPack, PolicyPack, Update
from hyperfed.registry.registry import Budget
from hyperfed.report.html import html_report
from hyperfed.report.markdown import markdown_page
from hyperfed.report.view import view_of
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation

VALUE = 0.73114159
LIAR = "site-05"
BUDGET = Budget(epsilon=Decimal(30), delta=Decimal("0.001"))
PRIVATE = {
    "strategy": "mean",
    "privacy": "central",
    "privacy_epsilon": Decimal(2),
    "privacy_delta": Decimal("0.0001"),
    "trust_min": 0,
    "max_lag": 1,
}


def federation(**policy: Any) -> SmallFederation:
    fed = SmallFederation(clients=6, budget=BUDGET, policy=PolicyPack(**(PRIVATE | policy)))
    fed.open(1, quorum=3)
    fed.submit_all(round_id=1, but=[LIAR])
    return fed


def body(fed: SmallFederation, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Another writer's body: its record is changed as no class of ours would let it be."""
    version, record = lowered(Update, to_record(fed.update(LIAR)))
    change(record)
    data = pack(record)
    return pack([version, "Update", "", len(data), data])


def _column(name: str, *values: float) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record["edges"][name] = ["<f8", np.array(values).tobytes()]

    return change


def _semantic(**parts: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        empty: dict[str, Any] = {"dag_edges": [], "confounders": [], "interventions": []}
        record["semantic"] = empty | parts

    return change


def _field(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record[name] = value

    return change


SMUGGLED = {
    "an interval that leaves its effect out": _column("ci_low", 0.3, VALUE, 0.3),
    "a confidence above one": _column("confidence", 0.9, 1 + VALUE, 0.9),
    "a stability below nothing": _column("stability", 0.9, -VALUE, 0.9),
    "a dag edge to itself": _semantic(dag_edges=[[2, 2, VALUE]]),
    "a dag edge twice": _semantic(dag_edges=[[1, 2, VALUE], [1, 2, VALUE]]),
    "a dag edge of four": _semantic(dag_edges=[[1, 2, VALUE, VALUE]]),
    "a name that is a value": _semantic(interventions=[{f"effect {VALUE}": [1]}]),
    "a field that is a value": _field(f"effect{VALUE}", 1),
    "a confounder that is none": _semantic(confounders=[VALUE]),
    "a claim": _field("claims", {"record_bound": -VALUE}),
    "lags": _field("lags", [VALUE]),
    "edges": _field("edges", VALUE),
}


@pytest.mark.parametrize("what", SMUGGLED)
@pytest.mark.parametrize("privacy", ["central", "local"])
def test_a_refusal_of_a_private_round_quotes_no_value(what: str, privacy: str) -> None:
    fed = SmallFederation(
        clients=6, budget=BUDGET, policy=PolicyPack(**(PRIVATE | {"privacy": privacy}))
    )
    fed.open(1, quorum=3)
    fed.put(fed.envelope(LIAR, body=body(fed, SMUGGLED[what])), LIAR)
    refused = fed.judge().refused
    assert [r.client for r in refused] == [LIAR]
    said = f"{refused[0].reason} {refused[0].remedy}"
    for text in (str(VALUE), f"{VALUE:g}", f"{1 + VALUE:g}", "7311"):
        assert text not in said, said
    assert refused[0].reason.startswith("its body ")


def test_no_page_object_or_receipt_of_a_private_night_holds_the_value() -> None:
    fed = federation()
    fed.put(fed.envelope(LIAR, body=body(fed, SMUGGLED["a dag edge to itself"])), LIAR)
    assert fed.run(1).counted == 5
    view = view_of(fed.reader(), 1)
    for page in (markdown_page(view), html_report([view])):
        assert "73114159" not in page
    decided = fed.decided()
    assert not [key for key, data in decided.items() if b"0.73114159" in data]
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert [r.client for r in frozen.value.refused] == [LIAR]
    assert "73114159" not in frozen.value.refused[0].reason


def test_where_nothing_is_private_the_sender_is_told_the_value() -> None:
    fed = SmallFederation(clients=6)
    fed.open(1, quorum=3)
    fed.put(fed.envelope(LIAR, body=body(fed, SMUGGLED["a dag edge to itself"])), LIAR)
    assert [str(VALUE) in r.reason for r in fed.judge().refused] == [True]


def test_an_honest_update_of_a_private_round_counts() -> None:
    fed = federation()
    fed.submit(LIAR, round_id=1)
    assert fed.run(1).counted == 6


def many(name: str, count: int) -> Callable[[dict[str, Any]], None]:
    each = {
        "dag_edges": [[i, i + 1, 0.5] for i in range(count)],
        "interventions": [{"did": i} for i in range(count)],
        "confounders": [*range(count)],
    }
    return _semantic(**{name: each[name]})


@pytest.mark.parametrize("name", ["dag_edges", "interventions", "confounders"])
@pytest.mark.parametrize("count", [300, 300_000])
def test_more_than_the_policy_allows_is_refused_before_it_is_made(
    name: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed = SmallFederation(clients=6)
    fed.open(1, quorum=3, n_proposals=20)
    fed.put(fed.envelope(LIAR, body=body(fed, many(name, count))), LIAR)
    fed.submit("site-01")

    def made(self: Any) -> None:
        raise AssertionError("an object was made of what is refused")

    monkeypatch.setattr(CausalSemanticPack, "__post_init__", made)
    judged = fed.judge()
    assert [(r.client, bool(r.remedy)) for r in judged.refused] == [(LIAR, True)]
    assert [a.client for a in judged.admitted] == ["site-01"]
    if count == 300:
        assert judged.refused[0].rule == "R-91"
        assert f"300 {name.replace('_', ' ')}; the policy allows" in judged.refused[0].reason


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_more_rows_than_the_policy_allows_are_not_inflated(
    compression: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperfed.codec import PayloadCodec
    from hyperfed.codec import tables as module

    fed = SmallFederation(clients=6)
    fed.open(1, quorum=3, n_proposals=2)
    update = fed.update(LIAR)
    rows = 1 << 12
    every = np.arange(rows, dtype=np.uint32)
    edges = EdgeTable(
        source=np.zeros(rows, np.uint32),
        target=every + 1,
        lag=np.ones(rows, np.uint16),
        effect=np.full(rows, 0.5),
        confidence=np.full(rows, 0.9),
        stability=np.full(rows, 0.9),
        hits=np.ones(rows, np.uint32),
        n=np.full(rows, 100, np.uint64),
    )
    large = Update(measured=np.arange(rows + 1, dtype=np.uint32), edges=edges, claims=update.claims)
    data = PayloadCodec(compression=compression).encode(large)
    fed.put(fed.envelope(LIAR, body=data), LIAR)

    def read(*_: Any) -> None:
        raise AssertionError("a table was read that is refused")

    for name in ("read_whole", "claim_column"):
        monkeypatch.setattr(module, name, read)
    judged = fed.judge()
    assert [(r.rule, "4096 edges; the policy allows 2" in r.reason) for r in judged.refused] == [
        ("R-91", True)
    ]


def test_as_much_as_the_policy_allows_is_admitted() -> None:
    fed = SmallFederation(clients=6)
    fed.open(1, quorum=3, n_proposals=3)
    update = fed.update(LIAR)
    assert update.edges is not None
    assert len(update.edges) == 3
    fed.put(fed.envelope(LIAR, update=update), LIAR)
    assert [a.client for a in fed.judge().admitted] == [LIAR]
