"""What people read of a private round: pages, pictures and exports say what was spent and what
noise hides, and show no count.
"""

import csv
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from hyperfed.cli.client.pull import _save
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.suppression import EdgeStatus
from hyperfed.packets import PolicyPack
from hyperfed.registry.registry import Budget
from hyperfed.report import html_report, markdown_page, view_of
from hyperfed.report.metrics import metrics_text
from hyperfed.report.notices import notices
from hyperfed.report.pictures.burn_svg import burn_svg
from hyperfed.report.summary import noise_words, sentences
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

CENTRAL = PolicyPack(privacy="central", strategy="mean", trust_min=0, max_lag=1)


def played(
    policy: PolicyPack = CENTRAL, *, clients: int = 3, nights: int = 1, epsilon: int = 10
) -> SmallFederation:
    fed = SmallFederation(policy=policy, clients=clients, budget=Budget(epsilon=Decimal(epsilon)))
    for r in range(1, nights + 1):
        fed.play(r)
    return fed


def model_of(fed: SmallFederation) -> GlobalModel:
    found = fed.reader().result(1)
    assert found is not None
    assert isinstance(found.value, GlobalModel)
    return found.value


@pytest.mark.parametrize(("privacy", "clients"), [("central", 12), ("local", 136)])
def test_too_few_clients_are_told_how_many_it_takes(privacy: str, clients: int) -> None:
    """Three clients at client level and epsilon 1: the number is what makes the cut fall to the
    clip.
    """
    fed = played(replace(CENTRAL, privacy=privacy))
    said = model_of(fed).privacy
    assert said is not None
    assert said.clients_needed == pytest.approx(clients, rel=0.1)
    enough = replace(
        said,
        clients=said.clients_needed,
        cut=said.cut * (3 / said.clients_needed) ** (1 if privacy == "central" else 0.5),
    )
    assert enough.cut <= said.clip_norm * 1.0001
    words = " ".join(sentences(view_of(fed.reader(), 1)))
    assert "Too few clients for so much noise: it hides everything" in words
    assert f"needs {said.clients_needed} clients" in words
    assert noise_words(replace(enough, clients=enough.clients + 1), 0).startswith(
        "Nothing stands out of the noise"
    )
    assert noise_words(replace(enough, clients=enough.clients + 1), 2).startswith(
        "Shown is what stands out"
    )


def test_what_is_not_shown_is_neither_absent_nor_unmeasured(tmp_path: Path) -> None:
    fed = played(replace(CENTRAL, privacy_epsilon=Decimal(20)), clients=60, epsilon=60)
    model = model_of(fed)
    assert model.status("heat", "load", 1) is EdgeStatus.PRESENT
    hidden = next(
        (s, t, lag)
        for s in model.vocabulary.names
        for t in model.vocabulary.names
        for lag in (0, 1)
        if (s != t or lag) and model.status(s, t, lag) is not EdgeStatus.PRESENT
    )
    assert model.status(*hidden) is EdgeStatus.HIDDEN
    _save(model, b"", tmp_path)
    document = json.loads((tmp_path / "model.json").read_text())
    assert document["not_listed"] == EdgeStatus.HIDDEN.value
    assert document["privacy"]["epsilon"] == str(model.privacy.epsilon)  # type: ignore[union-attr]
    with (tmp_path / "edges.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(
        row[name] == "" for row in rows for name in ("support", "reporting", "samples", "i2")
    )
    page = html_report([view_of(fed.reader(), 1)])
    assert "not released, of 60" in page


def test_the_chart_burns_down_a_step_a_night_to_the_night_that_no_longer_fits() -> None:
    fed = played(nights=3)
    views = [view_of(fed.reader(), r) for r in (1, 2, 3)]
    assert [len(v.budget.burnt) for v in views] == [1, 2, 3]
    assert [v.budget.nights_left for v in views] == [57, 56, 55]
    shares = [step.share for step in views[-1].budget.burnt]
    assert shares == pytest.approx([shares[0], 2 * shares[0], 3 * shares[0]])
    chart = burn_svg(views[-1])
    assert chart.count(" L") >= 7  # two a step, one to the end of the night
    assert "94.9 % left after round 3, 55 more nights at its rate" in chart
    assert "round 58" in chart  # 55 nights on
    assert "stroke-dasharray" in chart
    for page in (markdown_page(views[-1]), html_report([views[-1]])):
        assert "% of the filter" in page or "94.9 %" in page


def test_one_private_night_is_no_alarm_and_the_last_ones_are() -> None:
    """The nights' delta is the budget's own from the first night on: what is left is told by the
    filter's share.
    """
    fed = played(replace(CENTRAL, privacy_epsilon=Decimal(3)), nights=8)
    seen = []
    for r in range(1, 9):
        view = view_of(fed.reader(), r)
        seen.append(any(n.kind == "hyperfed.budget.low" for n in notices(view, fed.reader())))
        assert (
            f'hyperfed_budget_left_ratio{{federation="small-fed"}} {view.budget.left_share!r}\n'
            in metrics_text(view, fed.reader().ledger())
        )
    assert seen == [False] * 6 + [True] * 2
    assert view_of(fed.reader(), 8).budget.left_share < 0.05


def test_epsilons_that_do_not_subtract_are_not_subtracted() -> None:
    view = view_of(played(nights=2).reader(), 2)
    assert view.budget.left_words == ("96.6 % of the filter", "")
    assert "8.6242" not in html_report([view])  # 10 less what two nights add up to
