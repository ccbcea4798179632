"""Write the tables of a page's edges: what was found, how far it could be off, and what changed.

The second table is left out where no edge's spread is known, as in a private release.
"""

from hyperfed.hypergraph.change import Change, Turn
from hyperfed.report.html_cells import meter_of, table_of, text_cell, vote_cell
from hyperfed.report.rows import EdgeRow
from hyperfed.report.view import RoundView
from hyperfed.report.wording import count, significant

__all__ = ["Q_IN_WORDS", "SUPPORT_IN_WORDS", "changes_table", "edges_section"]

SUPPORT_IN_WORDS = (
    "Support: clients that report the edge with this sign, of those that measured both ends and "
    "looked at the lag."
)
"""What the support of an edge says."""
Q_IN_WORDS = "q: of the edges as sure as this one, the share that is false."
"""What the q-value of an edge says."""


def edges_section(view: RoundView) -> str:
    """Return the merged edges of a round; nothing where it has no model."""
    if view.change is None:
        return ""
    rows = (
        (
            _name(e),
            str(e.lag),
            meter_of(abs(e.vote), "" if e.vote >= 0 else "down") + vote_cell(e.vote),
            e.support_words,
            significant(e.effect),
            _range(e.ci_low, e.ci_high),
            "" if e.i2 is None else f"{100 * e.i2:.0f} %",
            e.q_words,
            "" if e.samples is None else f"{e.samples:,}",
            text_cell(e.notes),
        )
        for e in view.edges
    )
    edges_left_out = view.edge_count - len(view.edges)
    columns = (
        "edge",
        "lag",
        "vote",
        "support",
        "effect",
        "95 % interval",
        "I\u00b2",
        "q",
        "samples",
        "note",
    )
    caption = f"{SUPPORT_IN_WORDS} I\u00b2: how much the clients' effects differ. {Q_IN_WORDS}"
    table = (
        table_of(caption, columns, rows, numbers=range(1, 9), fold=True)
        if view.edges
        else "<p>The model has no edge yet.</p>"
    )
    few = "".join(f"<p><strong>{text_cell(warning)}</strong></p>" for warning in view.warnings)
    left_out = (
        f'<p class="soft">{count(edges_left_out, "weaker edge")} left out.</p>'
        if edges_left_out
        else ""
    )
    return f"<h3>Merged edges ({view.edge_count:,})</h3>{few}{table}{left_out}{_spread(view)}"


def _spread(view: RoundView) -> str:
    """Return how far clients differ on each edge; nothing where that is not known."""
    rows = (
        (
            _name(e),
            str(e.lag),
            "" if e.tau2 is None else significant(e.tau2),
            "" if e.predict_low == e.predict_high else _range(e.predict_low, e.predict_high),
            _range(e.without_low, e.without_high),
            f"{e.positive} : {e.negative}",
        )
        for e in view.edges
        if e.positive is not None
    )
    caption = (
        "tau\u00b2: the variance of the effect between clients. Another "
        "client: where its effect lies, in 95 of 100 cases; nothing where fewer than three clients "
        "say how much they differ. Without one: the effects that are found when any one client is "
        "left out. Directions: clients whose effect is above and below 0."
    )
    columns = ("edge", "lag", "tau\u00b2", "another client", "without one", "directions")
    found = list(rows)
    if not found:
        return ""
    table = table_of(caption, columns, found, numbers=range(1, 6), fold=True)
    return f"<h3>How far clients differ</h3>{table}"


def _name(edge: EdgeRow) -> str:
    return f"{text_cell(edge.source)} \u2192 {text_cell(edge.target)}"


def _range(low: float | None, high: float | None) -> str:
    """Return a range in words; nothing where it is not known."""
    if low is None or high is None:
        return ""
    return f"{significant(low)} to {significant(high)}"


def changes_table(change: Change, *, name: str = "") -> str:
    """Return the edges that came, went or turned, and the words on them; "" for none."""
    edges = change.of(*(turn for turn in Turn if turn is not Turn.SAME))
    if not edges:
        return ""
    rows = (
        (
            f"{text_cell(e.source)} \u2192 {text_cell(e.target)}",
            str(e.lag),
            e.turn.value,
            vote_cell(e.before),
            vote_cell(e.after),
        )
        for e in edges
    )
    columns = ("edge", "lag", "what", "vote before", "vote now")
    words = f"<p>{text_cell(change.words)}</p>" if change.words else ""
    return words + table_of(name, columns, rows, numbers=(1, 3, 4), fold=True)
