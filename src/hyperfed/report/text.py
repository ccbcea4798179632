"""Show a round in the terminal, as rich renderables.

1. Everything from outside is made visible and put into `Text`, so that neither rich's markup nor
   the terminal's escape sequences get through.
2. Long tables are cut after `max_rows` rows, and a caption says how many are left out.

What it does not do: print them (the command does).
"""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hyperfed.hypergraph.change import Turn
from hyperfed.report.rows import Outcome
from hyperfed.report.summary import headline, sentences
from hyperfed.report.view import RoundView
from hyperfed.report.wording import count, fixed, short_digest, signed, significant, visible, when

__all__ = ["render_edges", "render_round", "render_rounds", "render_trust"]

_COLOURS = {
    Outcome.COMMITTED: "green",
    Outcome.VOID: "yellow",
    Outcome.NOT_OPENED: "red",
    Outcome.FROZEN: "cyan",
    Outcome.RELEASED: "cyan",
    Outcome.OPEN: "cyan",
}


def render_round(view: RoundView, *, max_rows: int = 12) -> Group:
    """Return the whole round: its headline, its sentences and its tables."""
    parts: list[RenderableType] = [
        Text(visible(headline(view)), style=f"bold {_COLOURS[view.outcome]}")
    ]
    parts += [Text.assemble("  ", _text(sentence)) for sentence in sentences(view)]
    if view.edges:
        parts += ["", render_edges(view, max_rows=max_rows)]
    if view.change is not None and view.change.any:
        parts += ["", _changes(view, max_rows)]
    if view.refused:
        parts += ["", _refused(view, max_rows)]
    if view.outcome is Outcome.COMMITTED:
        parts += ["", render_trust(view, max_rows=max_rows)]
    if view.ledger:
        parts += ["", _ledger(view)]
    return Group(*parts)


def render_rounds(views: Sequence[RoundView]) -> Table:
    """Return a table with one row for each round."""
    rows = []
    for v in views:
        change = v.change.counts if v.change is not None else {}
        moved = (
            ", ".join(
                f"{n} {turn.value}" for turn, n in change.items() if n and turn is not Turn.SAME
            )
            if v.change is not None and v.change.base_round
            else ""
        )
        counts = f"{len(v.counted)} of {len(v.cohort)}"
        rows.append(
            (
                f"{v.round}",
                Text(v.outcome.value, style=_COLOURS[v.outcome]),
                counts,
                f"{len(v.refused)}",
                f"{len(v.silenced)}",
                f"{v.edge_count}",
                moved,
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
    )
    return _table("Rounds", columns, rows, right=(0, 2, 3, 4, 5))


def render_edges(view: RoundView, *, max_rows: int = 12) -> Table:
    """Return the table of the merged edges, the strongest first."""
    rows = (
        (
            _text(e.source),
            _text(e.target),
            str(e.lag),
            Text(signed(e.vote), style="blue" if e.vote >= 0 else "dark_orange"),
            e.support_words,
            significant(e.effect),
            f"{significant(e.ci_low)} to {significant(e.ci_high)}"
            if e.ci_low is not None and e.ci_high is not None
            else "",
            e.q_words,
        )
        for e in view.edges[:max_rows]
    )
    columns = ("source", "target", "lag", "vote", "support", "effect", "95 % interval", "q")
    return _table(
        f"Merged edges of round {view.round}",
        columns,
        rows,
        right=(2, 3, 4, 5, 6, 7),
        left_out=view.edge_count - min(max_rows, len(view.edges)),
    )


def render_trust(view: RoundView, *, max_rows: int = 12) -> Table:
    """Return the table of the clients, the one with the least weight first."""
    rows = []
    for r in view.trust[:max_rows]:
        weight = "" if r.weight is None else fixed(r.weight)
        style = "dark_orange" if r.weight is not None and r.weight <= 0 else ""
        after = Text("" if r.after is None else fixed(r.after), style="red" if r.barred else "")
        agreement = "" if r.agreement is None else signed(r.agreement)
        rows.append(
            (
                _text(r.client),
                r.fate.value,
                Text(weight, style=style),
                agreement,
                fixed(r.before),
                after,
            )
        )
    columns = ("client", "tonight", "weight", "agreement", "trust before", "trust now")
    return _table(
        f"Trust in round {view.round}, least weight first",
        columns,
        rows,
        right=(2, 3, 4, 5),
        left_out=len(view.trust) - len(rows),
    )


def _changes(view: RoundView, limit: int) -> Table:
    edges = (
        view.change.of(*(turn for turn in Turn if turn is not Turn.SAME))
        if view.change is not None
        else ()
    )
    base = view.change.base_round if view.change is not None else 0
    rows = (
        (
            e.turn.value,
            _text(e.source),
            _text(e.target),
            str(e.lag),
            *("" if v is None else signed(v) for v in (e.before, e.after)),
        )
        for e in edges[:limit]
    )
    return _table(
        f"Changes since round {base}",
        ("what", "source", "target", "lag", "before", "now"),
        rows,
        right=(3, 4, 5),
        left_out=len(edges) - limit,
    )


def _refused(view: RoundView, limit: int) -> Table:
    rows = (
        (_text(r.key), _text(r.rule), _text(r.reason), _text(r.remedy))
        for r in view.refused[:limit]
    )
    return _table(
        "Refused",
        ("object", "rule", "reason", "what to do"),
        rows,
        left_out=len(view.refused) - limit,
    )


def _ledger(view: RoundView) -> Table:
    rows = (
        (str(e.sequence), e.kind.value, when(e.time), short_digest(e.digest)) for e in view.ledger
    )
    return _table("Ledger", ("entry", "kind", "time", "digest"), rows, right=(0,))


def _text(words: str) -> Text:
    return Text(visible(words))


def _table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[RenderableType]],
    *,
    right: Sequence[int] = (),
    left_out: int = 0,
) -> Table:
    caption = f"{count(left_out, 'more row')}" if left_out > 0 else None
    table = Table(
        title=Text(title, style="bold"),
        caption=caption,
        title_justify="left",
        caption_justify="left",
        header_style="bold",
    )
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
