"""Render the page of one edge: what is known of it, how surely, by whom, and in which rounds.

1. The plot has the pooled effect with its interval, where another client's effect would lie, and
   the range when any one client is left out. Single clients are lines below: under their names on
   the operator's own page, under pseudonyms where the plan shows them to members, and otherwise not
   at all, because with three clients a nameless line is a named one.
2. Each basket's own estimate is a line, where the round published one.
3. What is not known is said in a word of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hyperfed.hypergraph.direction import DISPUTED
from hyperfed.hypergraph.explanation import edge_sentences
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.model_summary import q_words
from hyperfed.report.html_cells import table_of, text_cell, vote_cell
from hyperfed.report.pictures.forest_svg import ForestRow, forest_svg
from hyperfed.report.site.frame import framed
from hyperfed.report.site.history import EdgeKey, RoundOfEdge
from hyperfed.report.site.own_lines import ClientLines
from hyperfed.report.wording import count, significant, visible
from hyperfed.tables.tables import pack_keys

__all__ = ["edge_page"]

_DRAWN, _LINES = 14, 40

ClientRow = tuple[str, dict[str, Any]]


def edge_page(
    model: GlobalModel,
    row: Mapping[str, Any],
    history: Sequence[RoundOfEdge],
    neighbours: Sequence[tuple[EdgeKey, str]],
    lines: ClientLines | None = None,
) -> str:
    """Return the page of one edge of the newest model.

    `neighbours` are (edge, address) of the edges that share its variables. `lines` are single
    clients' estimates, where this reader may see them.
    """
    name = f"{visible(row['source'])} \u2192 {visible(row['target'])}, lag {row['lag']}"
    said = edge_sentences(model, dict(row))
    items = "".join(f"<li>{text_cell(sentence, 2000)}</li>" for sentence in said)
    disputed = (
        f'<p class="disputed">Direction disputed: {100 * row["direction"]:.0f} % of the votes run '
        "this way.</p>"
        if row["direction"] < DISPUTED
        else ""
    )
    single = [] if lines is None else lines.rows(_place(model, row))
    body = "".join(
        [
            f'<header><h1>{text_cell(name)}</h1><p class="soft">Round {model.round} of '
            f"{text_cell(model.federation)}</p></header>",
            f'<section class="card" aria-label="What is known"><h2>What is known</h2>{disputed}'
            f'<ul class="said">{items}</ul></section>',
            '<section class="card" aria-label="Estimates"><h2>Estimates</h2>',
            f'<figure class="wide">{_forest(model, row, single)}</figure>',
            f'<p class="soft">{_who_sees(model, lines)}</p>',
            f"{_numbers(model, row)}</section>",
            _clients(row, lines, single),
            _baskets(model, row),
            _rounds(history),
            _others(neighbours),
        ]
    )
    return framed(
        title=name,
        description=said[0],
        trail=[("The graph", "../index.html")],
        body=body,
    )


def _who_sees(model: GlobalModel, lines: ClientLines | None) -> str:
    """Return who may see single clients here, as a sentence."""
    if lines is not None and lines.names:
        return (
            "This is the operator's own page: it names single clients. Members never see names, "
            "whatever the plan says."
        )
    if lines is not None:
        return (
            "The signed plan lets members see each client's estimates under a pseudonym. The "
            "numbers are dealt anew every night."
        )
    if model.privacy is not None:
        return "This release is private: single clients are not released to anybody."
    return (
        "The signed plan does not let members see single clients. The spread is told without names."
    )


def _clients(row: Mapping[str, Any], lines: ClientLines | None, single: Sequence[ClientRow]) -> str:
    if lines is None:
        return ""
    rows = []
    for name, one in single:
        agrees = "agrees" if one["effect"] * row["effect"] > 0 else "differs"
        low, high = one["ci_low"], one["ci_high"]
        interval = "not known" if low is None else f"{significant(low)} to {significant(high)}"
        rows.append(
            (
                text_cell(name),
                agrees,
                significant(one["effect"]),
                interval,
                f"{100 * one['weight']:.1f} %",
            )
        )
    silent = row["measured_by"] - len(single)
    more = (
        f"<p>{count(silent, 'client')} measured both ends and sent no estimate: "
        "found no edge, or held it back.</p>"
        if silent > 0
        else ""
    )
    columns = ("client", "its sign", "effect", "95 % interval", "weight")
    said = "Heaviest first. The weight is the client's share of all clients' weight in the merge."
    table = table_of(said, columns, rows, numbers=(2, 3, 4), fold=len(rows) > _LINES)
    return (
        f'<section class="card" aria-label="Clients"><h2>Client by client</h2>{table}{more}'
        "</section>"
    )


def _forest(model: GlobalModel, row: Mapping[str, Any], single: Sequence[ClientRow]) -> str:
    rows = [
        ForestRow(
            words="pooled effect",
            estimate=row["effect"],
            low=row["ci_low"],
            high=row["ci_high"],
            pooled=True,
        ),
        ForestRow(words="at another client", low=row["predict_low"], high=row["predict_high"]),
        ForestRow(words="without any one client", low=row["without_low"], high=row["without_high"]),
    ]
    rows += [
        ForestRow(words=f"basket {name}", estimate=effect, low=low, high=high)
        for name, effect, low, high in _basket_estimates(model, row)
    ]
    rows += [
        ForestRow(words=name, estimate=one["effect"], low=one["ci_low"], high=one["ci_high"])
        for name, one in single[:_LINES]
    ]
    return forest_svg(rows, title="Effect and 95 % intervals")


def _key(model: GlobalModel, row: Mapping[str, Any]) -> Any:
    source, target = (
        np.array([model.vocabulary.index(row[end])], np.uint32) for end in ("source", "target")
    )
    return pack_keys(source, target, np.array([row["lag"]], np.uint16))[0]


def _place(model: GlobalModel, row: Mapping[str, Any]) -> int:
    """Return the row of an edge in the model's edges."""
    return int(np.searchsorted(model.edges.keys, _key(model, row)))


def _basket_estimates(
    model: GlobalModel, row: Mapping[str, Any]
) -> list[tuple[str, float, float | None, float | None]]:
    """Return (basket, effect, low, high) of each basket whose own model has the edge."""
    key, found = _key(model, row), []
    for basket in model.baskets:
        at = int(np.searchsorted(basket.edges.keys, key))
        if at == len(basket.edges) or basket.edges.keys[at] != key:
            continue
        low, high = basket.edges.ci_low, basket.edges.ci_high
        ends: tuple[float | None, float | None] = (None, None)
        if low is not None and high is not None and basket.evidence.pooled[at]:
            ends = (float(low[at]), float(high[at]))
        found.append((basket.name or "common group", float(basket.edges.effect[at]), *ends))
    return found


def _numbers(model: GlobalModel, row: Mapping[str, Any]) -> str:
    unknown = "not known" if model.privacy is None else "not released"
    released = "not released" if row["support"] is None else f"{row['support']:,}"
    rows = [
        ("weighted mean vote", vote_cell(row["vote"]), "from \u22121 to 1"),
        (
            "q-value",
            unknown if row["q"] is None else q_words(row["q"]),
            "of the edges as sure as this one, the share that is false",
        ),
        (
            "I\u00b2",
            unknown if row["i2"] is None else f"{100 * row['i2']:.0f} %",
            "of the spread between clients, what chance does not explain",
        ),
        (
            "direction share",
            f"{100 * row['direction']:.0f} %",
            f"of the votes on this pair; below {100 * DISPUTED:.0f} % it is disputed",
        ),
        ("support", f"{released} of {row['measured_by']:,}", "of those that measured it"),
        (
            "effects above 0, below 0",
            unknown if row["positive"] is None else f"{row['positive']}, {row['negative']}",
            "clients, whether they weigh or not",
        ),
        (
            "samples",
            "not released" if row["samples"] is None else f"{row['samples']:,}",
            "behind the clients that report it",
        ),
    ]
    return table_of("The numbers", ("what", "value", "what it says"), rows, numbers=(1,))


def _baskets(model: GlobalModel, row: Mapping[str, Any]) -> str:
    if not model.support_by:
        return ""
    at = _place(model, row)
    rows = [
        (text_cell(one.name or "common group"), f"{int(one.support[at])}", f"{one.clients}")
        for one in model.support_by
    ]
    table = table_of(
        "Clients that report it with its sign; counts that the minimum support hides read 0",
        ("basket", "support", "clients counted"),
        rows,
        numbers=(1, 2),
    )
    return f'<section class="card" aria-label="By basket"><h2>By basket</h2>{table}</section>'


def _rounds(history: Sequence[RoundOfEdge]) -> str:
    drawn = [one for one in history if one.row is not None][-_DRAWN:]
    plot = forest_svg(
        [
            ForestRow(
                words=f"round {one.round}",
                estimate=one.row["effect"],
                low=one.row["ci_low"],
                high=one.row["ci_high"],
            )
            for one in drawn
            if one.row is not None
        ],
        title="Effect by round",
    )
    rows = []
    for one in reversed(history):
        if one.row is None:
            rows.append((f"{one.round}", one.status.word, "", "", ""))
            continue
        low, high = one.row["ci_low"], one.row["ci_high"]
        interval = "" if low is None else f"{significant(low)} to {significant(high)}"
        support = "not released" if one.row["support"] is None else f"{one.row['support']}"
        rows.append(
            (
                f"{one.round}",
                one.status.word,
                f"{significant(one.row['effect'])} {interval and f'({interval})'}",
                vote_cell(one.row["vote"]),
                f"{support} of {one.row['measured_by']}",
            )
        )
    columns = ("round", "the edge is", "effect (95 % interval)", "vote", "support")
    table = table_of("Every round shown", columns, rows, numbers=(2, 3, 4), fold=True)
    return (
        '<section class="card" aria-label="Over rounds"><h2>Over rounds</h2>'
        f'<figure class="wide">{plot}</figure>{table}</section>'
    )


def _others(neighbours: Sequence[tuple[EdgeKey, str]]) -> str:
    if not neighbours:
        return ""
    links = "".join(
        f'<li><a href="../{address}">{text_cell(source)} \u2192 {text_cell(target)}, lag {lag}</a>'
        "</li>"
        for (source, target, lag), address in neighbours
    )
    return (
        '<section class="card" aria-label="Neighbours"><h2>Edges of the same variables</h2>'
        f'<ul class="near">{links}</ul></section>'
    )
