"""What a model of few clients or few rows, and a change of the world, say of themselves.

The model, the round's view and both kinds of page say it in the same words.
"""

from dataclasses import replace

import numpy as np
import pytest

from hyperfed.hypergraph.global_model import FEW_CLIENTS, FEW_ROWS, GlobalModel
from hyperfed.packets import Update
from hyperfed.report import html_report, markdown_page, view_of
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

MANY = FEW_CLIENTS + 1


def _played(clients: int, rows: int) -> SmallFederation:
    """Play a round of clients with so many rows each."""
    federation = SmallFederation(clients=clients)
    federation.open()
    for client in federation.clients:
        federation.submit(client, _with_rows(federation.update(client), rows))
    federation.run()
    return federation


def _with_rows(update: Update, rows: int, *, turned: bool = False) -> Update:
    assert update.edges is not None
    edges = replace(update.edges, n=np.full(len(update.edges), rows))
    if turned:
        assert edges.ci_low is not None
        assert edges.ci_high is not None
        edges = replace(edges, effect=-edges.effect, ci_low=-edges.ci_high, ci_high=-edges.ci_low)
    return replace(update, edges=edges)


def _model(federation: SmallFederation, round_id: int = 1) -> GlobalModel:
    result = federation.reader().result(round_id)
    assert result is not None
    assert isinstance(result.value, GlobalModel)
    return result.value


@pytest.mark.parametrize(
    ("clients", "short", "said"),
    [
        (MANY - 2, 0, (f"{MANY - 2} clients were counted. With fewer than {FEW_CLIENTS}",)),
        (MANY, 1, (f"With fewer than {FEW_ROWS} rows a variable",)),
        (MANY - 2, 1, (f"fewer than {FEW_CLIENTS},", f"{FEW_ROWS} rows a variable")),
        (MANY, 0, ()),
        (FEW_CLIENTS, 0, ()),
    ],
)
def test_model_view_and_pages_warn_of_few_clients_and_few_rows(
    clients: int, short: int, said: tuple[str, ...]
) -> None:
    variables = len(SmallFederation().vocabulary)
    federation = _played(clients, FEW_ROWS * variables - short)
    warnings = _model(federation).warnings
    assert len(warnings) == len(said)
    assert all(part in warning for part, warning in zip(said, warnings, strict=True))
    view = view_of(federation.reader(), 1)
    assert view.warnings == warnings
    for page in (markdown_page(view), html_report([view])):
        assert all(warning in page for warning in warnings)
        assert ("rows a variable" in page, "clients were counted. With" in page) == (
            any("rows a variable" in part for part in said),
            any("were counted" in part or "than 5," in part for part in said),
        )


@pytest.mark.parametrize(("turned", "told"), [(5, True), (2, False)])
def test_edges_that_many_clients_turn_in_a_night_are_a_change_of_the_world(
    turned: int, told: bool
) -> None:
    """Six clients agree. Then five of them report the opposite, or two do, who are no majority."""
    federation = _played(6, 200)
    federation.open(2)
    for i, client in enumerate(federation.clients):
        update = _with_rows(federation.update(client), 200, turned=i < turned)
        federation.submit(client, update, round_id=2)
    federation.run(2)
    view = view_of(federation.reader(), 2)
    assert view.change is not None
    edges = len(_model(federation, 2).edges)
    assert view.change.shared == (edges if told else 0)
    words = (
        f"{edges} edges came or turned since round 1 with the support of at least half of the "
        "clients that could report them. That is a change of the world"
    )
    assert view.change.words.startswith(words) is told
    for page in (markdown_page(view), html_report([view])):
        assert (words in page) is told
    state = federation.reader().state(2)
    before = federation.reader().state(1)
    assert state is not None
    assert before is not None
    # nobody of the many loses by it, and nobody of the few gains
    alpha = [state.value.of(client) for client in federation.clients]
    gained = [a is not None and a.alpha > 1.5 for a in alpha]
    assert gained == ([True] * 5 + [False] if told else [False] * 2 + [True] * 4)
