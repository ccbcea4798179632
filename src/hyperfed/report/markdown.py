"""Render a round's page as markdown, for a Prefect artifact.

1. The heading says the outcome. Sentences, pictures and tables follow. Pictures are `data:` images,
   because Prefect's page strips inline SVG.
2. Nothing from outside can become markup (`wording.markdown_text`). Pictures escape their own text.
3. Long tables are cut after `max_rows` rows (the edges' after twice as many) and say how much is
   left out.

What it does not do: store the artifact (the report task does).
"""

import base64
from collections.abc import Iterable, Sequence

from hyperfed.errors import ConfigError
from hyperfed.hypergraph.change import Turn
from hyperfed.report.pictures.burn_svg import burn_svg
from hyperfed.report.pictures.graph_svg import change_svg, graph_svg
from hyperfed.report.pictures.trust_svg import trust_svg
from hyperfed.report.rows import Outcome
from hyperfed.report.summary import (
    budget_words,
    headline,
    sentences,
    suppressed_words,
    uncounted_rows,
)
from hyperfed.report.view import RoundView
from hyperfed.report.wording import (
    count,
    fixed,
    markdown_text,
    short_digest,
    signed,
    significant,
    when,
)

__all__ = ["markdown_page"]

_t = markdown_text


def markdown_page(
    view: RoundView,
    *,
    timings: Sequence[tuple[str, float]] = (),
    links: Sequence[tuple[str, str]] = (),
    max_rows: int = 20,
) -> str:
    """Return the page.

    Args:
        view: The round.
        timings: The seconds that each stage took, as (stage, seconds).
        links: Links to show below the sentences, as (words, address).
        max_rows: The number of rows after which tables are cut.

    Raises ConfigError for an address that is not http(s), or that markdown cannot carry.
    """
    parts = [
        f"# {_t(headline(view))}",
        _window(view),
        "\n".join(f"- {_t(s)}" for s in sentences(view)),
        _links(links),
    ]
    if view.change is not None:
        parts += [
            _image(graph_svg(view), f"Merged graph of round {view.round}"),
            _edges(view, max_rows),
        ]
        if view.change.any:
            parts += [
                "## What changed",
                _image(change_svg(view), f"Changes since round {view.change.base_round}"),
                _changes(view, max_rows),
            ]
    parts += [
        _suppressed(view, max_rows),
        _refused(view, max_rows),
        _absent(view, max_rows),
        _trust(view, max_rows),
        _more_structure(view, max_rows),
        _budget(view),
    ]
    parts += [
        _timings(timings),
        _ledger(view),
        f"## What this protects\n\n{_t(view.statement, 4000)}" if view.statement else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left_aligned: int = 1,
    limit: int | None = None,
    what: str = "row",
) -> str:
    """Return a table of cells that are escaped already.

    The first `left_aligned` columns hold text, the others hold numbers and align right. `limit`
    cuts the table, and `what` names the rows that are left out.
    """
    all_rows = list(rows)
    shown = all_rows if limit is None else all_rows[:limit]
    rule = ["---" if i < left_aligned else "---:" for i in range(len(columns))]
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, rule, *shown)]
    cut = (
        f"\n\n*{count(len(all_rows) - len(shown), f'more {what}')} left out.*"
        if len(shown) < len(all_rows)
        else ""
    )
    return "\n".join(lines) + cut


def _image(svg: str, words: str) -> str:
    return f"![{_t(words)}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _links(links: Sequence[tuple[str, str]]) -> str:
    out = []
    for words, address in links:
        if not address.startswith(("http://", "https://")) or any(
            c in "<>()\\\"'` " or not c.isprintable() for c in address
        ):
            raise ConfigError(
                "not an http(s) address that markdown can carry", subject=repr(address)[:120]
            )
        out.append(f"[{_t(words)}]({address})")
    return " \u00b7 ".join(out)


def _window(view: RoundView) -> str:
    rows = [
        ("Federation", view.federation),
        ("Window", f"{when(view.opens)} to {when(view.deadline)}"),
    ]
    if view.close_by is not None:
        rows.append(("May be retried until", when(view.close_by)))
    if view.frozen_at is not None:
        rows.append(("Decided at", when(view.frozen_at)))
    if view.policy is not None:
        rows.append(("Quorum", f"{view.quorum} of {count(len(view.cohort), 'client')}"))
        stay = f"edges with |vote| of {view.policy.vote_min:g} or more stay"
        rows.append(("Merge", f"{view.policy.strategy}; {stay}"))
    return _table(("", ""), ((f"**{name}**", _t(value)) for name, value in rows), left_aligned=2)


def _edges(view: RoundView, limit: int) -> str:
    if not view.edge_count:
        return "## Merged edges\n\nThe model has no edge yet."
    rows = (
        (
            _t(e.source),
            _t(e.target),
            str(e.lag),
            signed(e.vote),
            e.support_words,
            significant(e.effect),
            f"{significant(e.ci_low)} to {significant(e.ci_high)}"
            if e.ci_low is not None and e.ci_high is not None
            else "",
            e.q_words,
            "" if e.samples is None else f"{e.samples:,}",
            _t(e.notes),
        )
        for e in view.edges[: limit * 2]
    )
    more = view.edge_count - min(len(view.edges), limit * 2)
    table = _table(
        (
            "source",
            "target",
            "lag",
            "vote",
            "support",
            "effect",
            "95 % interval",
            "q",
            "samples",
            "note",
        ),
        rows,
        left_aligned=2,
    )
    few = "".join(f"**{warning}**\n\n" for warning in view.warnings)
    return f"## Merged edges ({view.edge_count:,})\n\n{few}{table}" + (
        f"\n\n*{count(more, 'weaker edge')} left out.*" if more > 0 else ""
    )


def _suppressed(view: RoundView, limit: int) -> str:
    if not view.suppressed and not view.few:
        return ""
    words = _t(suppressed_words(view))
    rows = ((_t(e.source), _t(e.target), str(e.lag)) for e in view.suppressed)
    table = (
        _table(("source", "target", "lag"), rows, left_aligned=2, limit=limit, what="edge")
        if view.suppressed
        else ""
    )
    return "\n\n".join(part for part in ("## Suppressed", words, table) if part)


def _changes(view: RoundView, limit: int) -> str:
    if view.change is None:
        return ""
    edges = view.change.of(Turn.NEW, Turn.GONE, Turn.FLIPPED, Turn.STRONGER, Turn.WEAKER)
    rows = (
        (
            _t(e.turn.value),
            _t(e.source),
            _t(e.target),
            str(e.lag),
            *("" if v is None else signed(v) for v in (e.before, e.after)),
        )
        for e in edges
    )
    words = f"{view.change.words}\n\n" if view.change.words else ""
    return words + _table(
        ("what", "source", "target", "lag", "vote before", "vote now"),
        rows,
        left_aligned=3,
        limit=limit,
        what="change",
    )


def _refused(view: RoundView, limit: int) -> str:
    if not view.refused:
        return ""
    rows = ((_t(r.key), _t(r.rule), _t(r.reason), _t(r.remedy)) for r in view.refused)
    return f"## Refused ({len(view.refused):,})\n\n" + _table(
        ("object", "rule", "reason", "what to do"), rows, left_aligned=4, limit=limit, what="object"
    )


def _absent(view: RoundView, limit: int) -> str:
    rows = uncounted_rows(view)
    if not rows:
        return ""
    return f"## Not counted ({len(rows):,})\n\n" + _table(
        ("client", "what", "why"),
        ([_t(c) for c in row] for row in rows),
        left_aligned=3,
        limit=limit,
        what="client",
    )


def _trust(view: RoundView, limit: int) -> str:
    if not view.trust or view.outcome is Outcome.OPEN:
        return ""
    rows = (
        (
            _t(r.client) + (" **(out next round)**" if r.barred else ""),
            _t(r.fate.value),
            "" if r.weight is None else fixed(r.weight),
            "" if r.agreement is None else signed(r.agreement),
            fixed(r.before),
            "" if r.after is None else fixed(r.after),
            "" if r.after is None else signed(r.after - r.before),
        )
        for r in view.trust
    )
    picture = _image(trust_svg(view), "Agreement of the clients") + "\n\n" if view.weighed else ""
    columns = ("client", "tonight", "weight", "agreement", "trust before", "trust now", "change")
    order = (
        "Least weight first. Out next round: its trust is below what the policy asks for."
        if view.barred
        else "Least weight first."
    )
    return f"## Trust\n\n{picture}{order}\n\n" + _table(
        columns, rows, left_aligned=2, limit=limit, what="client"
    )


def _more_structure(view: RoundView, limit: int) -> str:
    parts = []
    if view.hyperedge_count:
        rows = (
            (
                _t(", ".join(h.sources)),
                _t(h.target),
                str(h.lag),
                signed(h.vote),
                f"{h.support} of {h.measured_by}",
            )
            for h in view.hyperedges
        )
        table = _table(
            ("sources together", "target", "lag", "vote", "support"),
            rows,
            left_aligned=2,
            limit=limit,
            what="row",
        )
        parts.append(f"## Joint effects ({view.hyperedge_count:,})\n\n{table}")
    if view.confounders:
        rows_ = ((_t(name), f"{100 * share:.0f} %") for name, share in view.confounders)
        parts.append(
            "## Suspected confounders\n\n"
            + _table(("variable", "named by"), rows_, limit=limit, what="variable")
        )
    return "\n\n".join(parts)


def _budget(view: RoundView) -> str:
    if view.outcome is Outcome.NOT_OPENED:
        return ""
    b = view.budget
    rows = [("epsilon", str(b.cost_epsilon), str(b.spent_epsilon), b.left_words[0], str(b.epsilon))]
    rows.append(("delta", str(b.cost_delta), str(b.spent_delta), b.left_words[1], str(b.delta)))
    words = _t(budget_words(view))
    chart = (
        f"{_image(burn_svg(view), 'Privacy budget left, round by round')}\n\n" if b.burnt else ""
    )
    return f"## Privacy budget\n\n{words}\n\n{chart}" + _table(
        ("", "this round", "spent in all", "left", "budget"), rows
    )


def _timings(timings: Sequence[tuple[str, float]]) -> str:
    if not timings:
        return ""
    return "## Timings\n\n" + _table(
        ("stage", "seconds"), ((_t(stage), f"{seconds:.1f}") for stage, seconds in timings)
    )


def _ledger(view: RoundView) -> str:
    parts = []
    if view.ledger:
        rows = (
            (str(e.sequence), _t(e.kind.value), when(e.time), f"`{short_digest(e.digest)}`")
            for e in view.ledger
        )
        parts.append(
            "## Ledger\n\n" + _table(("entry", "kind", "time", "digest"), rows, left_aligned=4)
        )
    if view.digests:
        parts.append(
            "Objects: "
            + ", ".join(f"{name} `{short_digest(digest)}`" for name, digest in view.digests)
            + "."
        )
    return "\n\n".join(parts)
