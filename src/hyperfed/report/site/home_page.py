"""Render the home page: what the federation knows now, the graph first."""

import math
from collections.abc import Mapping, Sequence

from hyperfed.hypergraph.change import Change
from hyperfed.hypergraph.direction import DISPUTED
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.suppression import EdgeStatus
from hyperfed.report.html_cells import meter_of, table_of, text_cell, vote_cell
from hyperfed.report.html_edges import Q_IN_WORDS, SUPPORT_IN_WORDS, changes_table
from hyperfed.report.rows import BudgetView, EdgeRow
from hyperfed.report.site.frame import framed
from hyperfed.report.site.graph_part import data_of, graph_part
from hyperfed.report.site.history import address_of
from hyperfed.report.site.standing import budget_part, trust_part
from hyperfed.report.view import RoundView
from hyperfed.report.wording import count, significant, visible, when

__all__ = ["home_page"]

DRAWN = 200
"""The most edges that the graph draws; the table and the pages have more."""
_COLUMNS = (
    "Effect: the change of the target for one unit of the source. Vote: the "
    "clients' agreement on the sign, from \u22121 to 1; it counts how sure and how stable each of "
    f"them is. {Q_IN_WORDS} {SUPPORT_IN_WORDS} Direction: the share of the votes that run this way."
)
_BUTTONS = {"closer": "Zoom in", "farther": "Zoom out", "everything": "Show everything"}


def home_page(
    model: GlobalModel,
    edges: Sequence[EdgeRow],
    baskets: Mapping[int, Sequence[str]],
    change: Change | None,
    rounds: Sequence[tuple[int, str, str]],
    *,
    budget: BudgetView | None = None,
    newest: RoundView | None = None,
) -> str:
    """Return the home page.

    `edges` are the edges that have pages, strongest first, and `baskets` names for each the baskets
    that support it. `rounds` are (round, what became of it, address or ""). `budget` is that after
    the newest round, and `newest` that round's view, each where it may be read.
    """
    body = "".join(
        [
            f'<header><h1>What {text_cell(model.federation)} knows</h1><p class="soft">Round '
            f"{model.round}, {when(model.time)}</p></header>",
            _summary(model, edges),
            _graph(model, edges, baskets),
            _table(model, edges, baskets),
            _changes(change),
            _suppressed(model),
            _words(),
            trust_part(newest),
            _rounds(rounds),
            budget_part(budget),
            '<section class="card" aria-label="Privacy">'
            "<h2>What this protects, and what it does not</h2>"
            f'<p class="statement">{text_cell(model.statement, 4000)}</p></section>',
        ]
    )
    return framed(
        title=f"What {model.federation} knows",
        description=f"{len(model.edges)} edges of {model.clients} clients, round {model.round}",
        trail=[],
        body=body,
        scripted=bool(edges),
    )


def _summary(model: GlobalModel, edges: Sequence[EdgeRow]) -> str:
    said = [
        f"{count(model.clients, 'client')} agree on {count(len(model.edges), 'edge')} between "
        f"{count(len(model.measured), 'variable')}."
    ]
    clear = [edge for edge in edges if not _includes_zero(edge)]
    for edge in clear[:3]:
        after = f"after {count(edge.lag, 'step')}" if edge.lag else "at the same time"
        way = "raises" if edge.effect >= 0 else "lowers"
        interval = (
            f" (95 % interval {significant(edge.ci_low)} to {significant(edge.ci_high)})"
            if edge.ci_low is not None and edge.ci_high is not None
            else ""
        )
        said.append(
            f"One unit more of {visible(edge.source)} {way} {visible(edge.target)} by "
            f"{significant(abs(edge.effect))} {after}{interval}."
        )
    unclear = len(edges) - len(clear)
    if unclear:
        said.append(
            f"The interval of {count(unclear, 'edge')} includes 0: clients agree on the sign, and "
            "the size may be none."
        )
    disputed = sum(edge.direction < DISPUTED for edge in edges)
    if disputed:
        said.append(f"The direction of {count(disputed, 'edge')} is disputed.")
    if len(model.suppressed):
        said.append(f"{count(len(model.suppressed), 'edge')} suppressed: too few stand behind it.")
    said.append(
        "An edge is what clients' data agree on under the method's assumptions. It is evidence for "
        "an effect, not proof of one."
    )
    caveats = "".join(f"<p><strong>{text_cell(warning)}</strong></p>" for warning in model.warnings)
    items = "".join(f"<li>{text_cell(sentence, 600)}</li>" for sentence in said)
    return (
        '<section class="card" aria-label="Summary"><h2>In short</h2>'
        f'<ul class="said">{items}</ul>{caveats}</section>'
    )


def _includes_zero(edge: EdgeRow) -> bool:
    """Return whether the edge's interval is known and has 0 in it."""
    return edge.ci_low is not None and edge.ci_high is not None and edge.ci_low <= 0 <= edge.ci_high


def _graph(
    model: GlobalModel, edges: Sequence[EdgeRow], baskets: Mapping[int, Sequence[str]]
) -> str:
    if not edges:
        words = "<p>The model has no edge yet.</p>"
        return f'<section class="card" aria-label="Graph">{words}</section>'
    drawn = edges[:DRAWN]
    addresses = [address_of((edge.source, edge.target, edge.lag)) for edge in drawn]
    names = sorted({end for edge in edges for end in (edge.source, edge.target)})
    options = "".join(f'<option value="{text_cell(n)}">{text_cell(n)}</option>' for n in names)
    groups = sorted({name for held in baskets.values() for name in held})
    choices = "".join(f'<option value="{text_cell(n)}">{text_cell(n)}</option>' for n in groups)
    by_basket = (
        '<label>Supported by basket<select id="basket"><option value="">any</option>'
        f"{choices}</select></label>"
        if groups
        else ""
    )
    least = f"{math.floor(100 * min(abs(edge.vote) for edge in edges)) / 100:.2f}"
    more = len(edges) - len(drawn)
    left_out = f'<p class="soft">{count(more, "weaker edge")} not drawn.</p>' if more else ""
    controls = (
        '<label>Search a variable<input id="search" type="search" autocomplete="off"></label>'
        '<label>Focus on<select id="focus"><option value="">every variable</option>'
        f"{options}</select></label>"
        f'<label>|vote| at least <span id="vote-said">{least}</span><input id="vote" type="range" '
        f'min="{least}" max="1" step="0.01" value="{least}"></label>'
        '<label>Support at least <span id="support-said">0 %</span><input id="support" '
        f'type="range" min="0" max="1" step="0.01" value="0"></label>{by_basket}'
    )
    buttons = "".join(
        f'<button type="button" id="{name}">{words}</button>' for name, words in _BUTTONS.items()
    )
    return (
        '<section class="card" aria-label="Graph"><h2>The graph</h2>'
        f'<div class="controls">{controls}</div><div class="buttons">{buttons}</div>'
        f'<p id="said" class="soft" role="status" data-of="{len(edges)}">'
        f"{count(len(edges), 'edge')}</p>"
        f'<div class="canvas">{graph_part(drawn, addresses, baskets)}</div>'
        '<p class="soft">Blue and solid: raises its target. Orange and dashed: lowers it. The '
        "width says |vote|, a number the effect. Drag to move; Ctrl and the wheel zoom.</p>"
        f"{left_out}</section>"
    )


def _table(
    model: GlobalModel, edges: Sequence[EdgeRow], baskets: Mapping[int, Sequence[str]]
) -> str:
    if not edges:
        return ""
    columns = ("edge", "lag", "effect", "95 % interval", "q", "vote", "support", "direction")
    rows = []
    for edge in edges:
        known = edge.ci_low is not None and edge.ci_high is not None
        interval = f"{significant(edge.ci_low or 0)} to {significant(edge.ci_high or 0)}"
        direction = f"{100 * edge.direction:.0f} %"
        if edge.direction < DISPUTED:
            direction = f'<span class="disputed">disputed, {direction}</span>'
        rows.append(
            (
                f'<a href="{address_of((edge.source, edge.target, edge.lag))}">'
                f"{text_cell(edge.source)} \u2192 {text_cell(edge.target)}</a>",
                str(edge.lag),
                significant(edge.effect),
                interval if known else "not known",
                edge.q_words or "not known",
                meter_of(abs(edge.vote), "" if edge.vote >= 0 else "down") + vote_cell(edge.vote),
                edge.support_words,
                direction,
            )
        )
    marks = [data_of(edge, i, baskets.get(i, ())) for i, edge in enumerate(edges)]
    table = table_of("Strongest vote first", columns, rows, numbers=range(1, 8), marks=marks)
    more = len(model.edges) - len(edges)
    left_out = f'<p class="soft">{count(more, "weaker edge")} without a page.</p>' if more else ""
    return (
        f'<section class="card" aria-label="Edges"><h2>Every edge</h2>{table}'
        f'<p class="soft">{text_cell(_COLUMNS, 1000)}</p>{left_out}</section>'
    )


def _changes(change: Change | None) -> str:
    if change is None:
        return ""
    words = changes_table(change, name=f"Since round {change.base_round}")
    if not words:
        words = f"<p>Nothing came, went or turned since round {change.base_round}.</p>"
    return (
        '<section class="card" aria-label="Changes"><h2>What appeared, changed and vanished</h2>'
        f"{words}</section>"
    )


def _suppressed(model: GlobalModel) -> str:
    if not len(model.suppressed) and not len(model.few):
        return ""
    rows = (
        (f"{text_cell(e['source'])} \u2192 {text_cell(e['target'])}", str(e["lag"]))
        for e in model.suppressed_rows()
    )
    names = ", ".join(model.vocabulary.names[int(i)] for i in model.few)
    few = f"<p>Measured by too few clients: {text_cell(names, 2000)}.</p>" if names else ""
    table = table_of("Named without values", ("edge", "lag"), rows, numbers=(1,), fold=True)
    return (
        f'<section class="card" aria-label="Suppressed"><h2>Suppressed</h2>{few}{table}</section>'
    )


def _words() -> str:
    items = "".join(
        f"<dt>{status.word}</dt><dd>{text_cell(status.meaning)}</dd>" for status in EdgeStatus
    )
    return (
        '<section class="card" aria-label="Words"><h2>Five words for how an edge stands</h2>'
        f'<dl class="words">{items}</dl></section>'
    )


def _rounds(rounds: Sequence[tuple[int, str, str]]) -> str:
    cells = (
        (
            f'<a href="{address}">round {number}</a>' if address else f"round {number}",
            text_cell(outcome),
        )
        for number, outcome, address in sorted(rounds, reverse=True)
    )
    table = table_of("", ("round", "what became of it"), cells, fold=True)
    return f'<section class="card" aria-label="Rounds"><h2>Rounds</h2>{table}</section>'
