"""Render rounds as one HTML file that can be mailed, printed and archived.

The file stands alone: it has no script, loads no font and sends no request.

1. Text from outside is made visible and escaped (`html_cells`). A content security policy in the
   file forbids everything but the file's own style.
2. Several rounds are compared first, then shown one by one, the newest first.
3. Tables have captions and scoped headers, and pictures have a label. No meaning is carried by
   colour alone. Long tables fold on the screen and unfold on paper.
4. The head names the newest round's headline and outcome (`description`, `OUTCOME_META`), so that a
   list of reports can show them without reading the drop-box.

What it does not do: write the file, or know of Prefect.
"""

from collections.abc import Sequence
from html import escape

from hyperfed.errors import ConfigError
from hyperfed.hypergraph.change import Turn
from hyperfed.report.html_budget import budget_bar, budget_table
from hyperfed.report.html_cells import digest_cell, meter_of, table_of, text_cell, vote_cell
from hyperfed.report.html_edges import changes_table, edges_section
from hyperfed.report.html_style import STYLE
from hyperfed.report.pictures.burn_svg import burn_svg
from hyperfed.report.pictures.graph_svg import change_svg, graph_svg
from hyperfed.report.pictures.trust_svg import trust_svg
from hyperfed.report.rows import Outcome, TrustRow
from hyperfed.report.summary import (
    budget_words,
    headline,
    sentences,
    suppressed_words,
    uncounted_rows,
)
from hyperfed.report.view import RoundView
from hyperfed.report.wording import agrees_word, count, fixed, signed, when

__all__ = ["OUTCOME_META", "html_report"]

OUTCOME_META = "hyperfed-outcome"
"""The name of the meta element that holds the newest round's outcome."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def html_report(views: Sequence[RoundView], *, home: str = "") -> str:
    """Return the whole document.

    `home` is the address of the site's home page, where the report is a page of a site. Of two
    views of one round, the one that stands later in `views` is shown. Raises ConfigError
    where `views` is empty or holds rounds of two federations.
    """
    names = {v.federation for v in views}
    ordered = [v for _, v in sorted({v.round: v for v in views}.items())]
    if len(names) != 1:
        raise ConfigError(
            f"a report is about the rounds of one federation, not of {len(names)}", subject="report"
        )
    first, last = ordered[0], ordered[-1]
    rounds = f"round {last.round}" if len(ordered) == 1 else f"rounds {first.round} to {last.round}"
    title = f"{last.federation}, {rounds}"
    several = _comparison(ordered) if len(ordered) > 1 else ""
    way = f'<nav aria-label="Site"><a href="{escape(home)}">The graph</a></nav>' if home else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta '
        f'http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta '
        'name="color-scheme" content="light dark">'
        f'<meta name="description" content="{text_cell(headline(last))}">'
        f'<meta name="{OUTCOME_META}" content="{last.outcome.value}">'
        f"<title>{text_cell(title)}</title><style>{STYLE}</style></head><body><main>{way}"
        f"<header><h1>Federation {text_cell(last.federation)}</h1><p "
        f'class="soft">{text_cell(rounds.capitalize())}, {when(first.opens)} to '
        f"{when(last.deadline)}</p></header>"
        f"{several}{''.join(_round(view) for view in reversed(ordered))}"
        "<footer>Everything on this page was read from the drop-box, its signatures verified, "
        "and is what the ledger names.</footer></main></body></html>\n"
    )


def _comparison(views: Sequence[RoundView]) -> str:
    rows = []
    for v in views:
        moved = "" if v.change is None else "the first"
        if v.change is not None and v.change.base_round:
            differences = [
                f"{n:,} {turn.value}"
                for turn, n in v.change.counts.items()
                if n and turn is not Turn.SAME
            ]
            moved = ", ".join(differences) or "unchanged"
        outcome = f'<span class="{_look(v.outcome)}">{v.outcome.value}</span>'
        people = [f"{len(v.counted)} of {len(v.cohort)}", f"{len(v.refused)}", f"{len(v.silenced)}"]
        rows.append(
            (
                f'<a href="#round-{v.round}">{v.round}</a>',
                outcome,
                *people,
                f"{v.edge_count:,}",
                moved,
                f"{100 * v.budget.left_share:.1f} %",
            )
        )
    columns = (
        "round",
        "outcome",
        "counted",
        "refused",
        "no weight",
        "edges",
        "since the round before",
        "budget left",
    )
    table = table_of("What became of each round", columns, rows, numbers=(2, 3, 4, 5, 7))
    return (
        '<section class="card" aria-label="Comparison"><h2>All '
        f"rounds</h2><p></p>{table}{_votes_by_round(views)}</section>"
    )


def _votes_by_round(views: Sequence[RoundView]) -> str:
    """Return the table of each edge's vote in each committed round."""
    committed = [v for v in views if v.outcome is Outcome.COMMITTED]
    votes: dict[tuple[str, str, int], dict[int, float]] = {}
    for v in committed:
        for e in v.edges:
            votes.setdefault((e.source, e.target, e.lag), {})[v.round] = e.vote
    if len(committed) < 2 or not votes:
        return ""
    order = sorted(votes, key=lambda k: (-max(map(abs, votes[k].values())), k))
    rows = (
        (
            f"{text_cell(s)} \u2192 {text_cell(t)}",
            str(lag),
            *(vote_cell(votes[s, t, lag].get(v.round)) for v in committed),
        )
        for s, t, lag in order
    )
    columns = ("edge", "lag", *(f"round {v.round}" for v in committed))
    return "<h3>Votes by round</h3>" + table_of(
        f"Weighted mean vote of {count(len(order), 'edge')}",
        columns,
        rows,
        numbers=range(1, len(columns)),
        fold=True,
    )


def _look(outcome: Outcome) -> str:
    return outcome.value.replace(" ", "-")


def _round(view: RoundView) -> str:
    items = "".join(f"<li>{text_cell(s, 2000)}</li>" for s in sentences(view))
    parts = [
        f'<section class="card" id="round-{view.round}" aria-labelledby="head-{view.round}">',
        f'<span class="badge {_look(view.outcome)}">{view.outcome.value}</span><h2 '
        f'id="head-{view.round}">{text_cell(headline(view))}</h2>',
        _times(view),
        _tiles(view),
        f'<ul class="said">{items}</ul>',
        _pictures(view),
        edges_section(view),
        _suppressed(view),
        _changes(view),
        _trust(view),
        _refused(view),
        _absent(view),
        _more_structure(view),
        _budget(view),
        _ledger(view),
        "<h3>What this protects, and what it does not</h3><p "
        f'class="statement">{text_cell(view.statement, 4000)}</p>'
        if view.statement
        else "",
        "</section>",
    ]
    return "".join(parts)


def _times(view: RoundView) -> str:
    times = [f"Window {when(view.opens)} to {when(view.deadline)}"]
    if view.frozen_at is not None:
        times.append(f"decided {when(view.frozen_at)}")
    if view.policy is not None:
        times.append(f"quorum {view.quorum}")
        times.append(
            f"strategy {view.policy.strategy}; edges with |vote| of {view.policy.vote_min:g} or "
            "more stay"
        )
    return f'<p class="soft">{" &#183; ".join(map(text_cell, times))}</p>'


def _tiles(view: RoundView) -> str:
    if view.outcome is Outcome.NOT_OPENED:
        return ""
    there = (
        ("updates there", len(view.arrived))
        if view.outcome is Outcome.OPEN
        else ("counted", len(view.counted))
    )
    tiles = [
        (there[0], f"{there[1]} <small>of {len(view.cohort)}</small>", False),
        ("refused", f"{len(view.refused)}", bool(view.refused)),
    ]
    tiles.append(
        ("missing", f"{len(view.missing)}", bool(view.missing) and view.outcome is not Outcome.OPEN)
    )
    if view.change is not None:
        tiles.append(("without weight", f"{len(view.silenced)}", bool(view.silenced)))
        tiles.append(("edges", f"{view.edge_count:,}", False))
    tiles.append(
        (
            "budget left",
            f"{100 * view.budget.left_share:.1f} % <small>of epsilon {view.budget.epsilon}</small>",
            False,
        )
    )
    look = {True: ' class="alert"', False: ""}
    cells = "".join(
        f"<div{look[alert]}><dt>{name}</dt><dd>{value}</dd></div>" for name, value, alert in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _pictures(view: RoundView) -> str:
    if view.change is None:
        return ""
    change = f"<figure>{change_svg(view)}</figure>" if view.change.any else ""
    alone = "" if change else " alone"
    return f'<div class="pictures{alone}"><figure>{graph_svg(view)}</figure>{change}</div>'


def _suppressed(view: RoundView) -> str:
    if not view.suppressed and not view.few:
        return ""
    rows = (
        (f"{text_cell(e.source)} \u2192 {text_cell(e.target)}", str(e.lag)) for e in view.suppressed
    )
    table = (
        table_of("Named without values", ("edge", "lag"), rows, numbers=(1,), fold=True)
        if view.suppressed
        else ""
    )
    return f"<h3>Suppressed</h3><p>{text_cell(suppressed_words(view))}</p>{table}"


def _changes(view: RoundView) -> str:
    if view.change is None or not view.change.any:
        return ""
    head = f"<h3>What changed since round {view.change.base_round}</h3>"
    return head + changes_table(view.change)


def _trust(view: RoundView) -> str:
    if view.outcome is not Outcome.COMMITTED:
        return ""
    picture = f'<figure class="wide">{trust_svg(view)}</figure><p></p>' if view.weighed else ""
    columns = (
        "client",
        "tonight",
        "with the others",
        "weight",
        "agreement",
        "trust before",
        "trust now",
        "change",
        "nights seen",
    )
    caption = (
        "Least weight first. Weight and agreement are of this round's merge; trust is "
        "what a client's past adds up to."
    )
    return f"<h3>Trust</h3>{picture}" + table_of(
        caption,
        columns,
        (_trust_row(row, weighed=view.weighed) for row in view.trust),
        numbers=range(3, 9),
        fold=True,
    )


def _trust_row(row: TrustRow, *, weighed: bool) -> tuple[str, ...]:
    name = text_cell(row.client) + ('<span class="tag">out next round</span>' if row.barred else "")
    if row.organisation and row.organisation != row.client:
        name += f'<br><span class="soft">{text_cell(row.organisation)}</span>'
    weight = (
        ""
        if row.weight is None
        else meter_of(row.weight, "" if row.weight >= 0.995 else "mid") + fixed(row.weight)
    )
    after = ("", "") if row.after is None else (fixed(row.after), signed(row.after - row.before))
    return (
        name,
        row.fate.value,
        agrees_word(row.weight, row.agreement) if weighed else "not judged",
        weight,
        vote_cell(row.agreement),
        fixed(row.before),
        *after,
        f"{row.rounds_seen}",
    )


def _refused(view: RoundView) -> str:
    if not view.refused:
        return ""
    rows = (
        (
            f"<code>{text_cell(r.key)}</code>",
            text_cell(r.rule),
            text_cell(r.reason),
            text_cell(r.remedy),
        )
        for r in view.refused
    )
    return f"<h3>Refused ({len(view.refused):,})</h3>" + table_of(
        "", ("object", "rule", "reason", "what to do"), rows, fold=True
    )


def _absent(view: RoundView) -> str:
    rows = uncounted_rows(view)
    if not rows:
        return ""
    return f"<h3>Not counted ({len(rows):,})</h3>" + table_of(
        "", ("client", "what", "why"), ([text_cell(c) for c in row] for row in rows), fold=True
    )


def _more_structure(view: RoundView) -> str:
    parts = []
    if view.hyperedge_count:
        rows = (
            (
                f"{text_cell(', '.join(h.sources))} \u2192 {text_cell(h.target)}",
                str(h.lag),
                vote_cell(h.vote),
                f"{h.support} of {h.measured_by}",
            )
            for h in view.hyperedges
        )
        table = table_of(
            "Several variables that act together",
            ("sources and target", "lag", "vote", "support"),
            rows,
            numbers=(1, 2, 3),
            fold=True,
        )
        parts.append(f"<h3>Joint effects ({view.hyperedge_count:,})</h3>{table}")
    if view.confounders:
        named = ((text_cell(name), f"{100 * share:.0f} %") for name, share in view.confounders)
        parts.append(
            "<h3>Suspected confounders</h3>"
            + table_of("", ("variable", "named by"), named, numbers=(1,), fold=True)
        )
    return "".join(parts)


def _budget(view: RoundView) -> str:
    if view.outcome is Outcome.NOT_OPENED:
        return ""
    b = view.budget
    chart = f'<figure class="wide">{burn_svg(view)}</figure><p></p>' if b.burnt else ""
    return (
        f"<h3>Privacy budget</h3><p>{text_cell(budget_words(view))}</p>{budget_bar(b)}{chart}"
        f"{budget_table(b)}"
    )


def _ledger(view: RoundView) -> str:
    rows = (
        (f"{e.sequence}", e.kind.value, when(e.time), digest_cell(e.digest)) for e in view.ledger
    )
    table = table_of("", ("entry", "kind", "time", "digest"), rows) if view.ledger else ""
    objects = ", ".join(f"{name} {digest_cell(digest)}" for name, digest in view.digests)
    return (
        f"<h3>Ledger and objects</h3>{table}"
        + (f'<p class="soft">Objects: {objects}</p>' if objects else "")
        if table or objects
        else ""
    )
