"""Rounds as one HTML file that needs nothing else: no script, no font, no request; it can be mailed, printed and archived.

1. Text from outside is made visible and escaped (`_t`); a content security policy in the file forbids everything but its own style.
2. Several rounds are compared first, then shown one by one, the newest first.
3. Tables have captions and scoped headers, pictures a label, colours a second sign; what is long folds, and unfolds on paper.

What it does not do: write the file, know of Prefect.
"""

from collections.abc import Iterable, Sequence
from html import escape

from hyperfed.errors import ConfigError
from hyperfed.report.burn_svg import burn_svg
from hyperfed.report.change import Turn
from hyperfed.report.graph_svg import change_svg, graph_svg
from hyperfed.report.html_style import STYLE
from hyperfed.report.rows import Outcome, TrustRow
from hyperfed.report.summary import budget_words, headline, sentences, suppressed_words
from hyperfed.report.trust_svg import trust_svg
from hyperfed.report.view import RoundView
from hyperfed.report.wording import count, fixed, short_digest, signed, significant, visible, when

__all__ = ["html_report"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_FIRST = 14  # rows of a table that are seen at once


def html_report(views: Sequence[RoundView]) -> str:
    """The whole document. Of two views of one round the later given counts. Raises ConfigError without a round, or with rounds of two federations."""
    names = {v.federation for v in views}
    ordered = [v for _, v in sorted({v.round: v for v in views}.items())]
    if len(names) != 1:
        raise ConfigError(f"a report is about the rounds of one federation, not of {len(names)}", subject="report")
    first, last = ordered[0], ordered[-1]
    rounds = f"round {last.round}" if len(ordered) == 1 else f"rounds {first.round} to {last.round}"
    title = f"{last.federation}, {rounds}"
    several = _comparison(ordered) if len(ordered) > 1 else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{_t(title)}</title><style>{STYLE}</style></head><body><main>"
        f'<header><h1>Federation {_t(last.federation)}</h1><p class="soft">{_t(rounds.capitalize())}, {when(first.opens)} to {when(last.deadline)}</p></header>'
        f"{several}{''.join(_round(view) for view in reversed(ordered))}"
        "<footer>Everything on this page was read from the drop-box, its signatures verified, and is what the ledger names.</footer></main></body></html>\n"
    )


def _t(text: str, limit: int = 400) -> str:
    return escape(visible(text, limit))


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = (), fold: bool = False) -> str:
    """A table of HTML cells, the first of each row its header. numbers: columns that align right; fold: rows after `_FIRST` fold away."""
    given = list(rows)
    seen, folded = (given[:_FIRST], given[_FIRST:]) if fold and len(given) > _FIRST + 4 else (given, [])

    def render(part: Sequence[Sequence[str]], words: str) -> str:
        kind = ['class="n"' if i in numbers else "" for i in range(len(columns))]
        head = "".join(f'<th scope="col" {kind[i]}>{_t(column)}</th>' for i, column in enumerate(columns))
        body = "".join(
            "<tr>" + "".join(f'<th scope="row" {kind[i]}>{c}</th>' if i == 0 else f"<td {kind[i]}>{c}</td>" for i, c in enumerate(row)) + "</tr>"
            for row in part
        )
        label = f"<caption>{_t(words)}</caption>" if words else ""
        return f'<div class="scroll"><table>{label}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

    more = f"<details><summary>{len(folded):,} more</summary>{render(folded, caption + ', continued')}</details>" if folded else ""
    return render(seen, caption) + more


def _meter(share: float, look: str = "") -> str:
    return f'<span class="meter" aria-hidden="true"><i class="{look}" style="width:{100 * min(max(share, 0.0), 1.0):.0f}%"></i></span>'


def _vote(value: float | None) -> str:
    if value is None:
        return '<span class="none">\u2014</span>'
    return f'<span class="{"plus" if value >= 0 else "minus"}">{signed(value)}</span>'


def _digest(digest: bytes) -> str:
    return f'<code title="{digest.hex()}">{short_digest(digest)}</code>'


def _comparison(views: Sequence[RoundView]) -> str:
    rows = []
    for v in views:
        moved = "" if v.change is None else "the first"
        if v.change is not None and v.change.base_round:
            said = [f"{n:,} {turn.value}" for turn, n in v.change.counts.items() if n and turn is not Turn.SAME]
            moved = ", ".join(said) or "unchanged"
        outcome = f'<span class="{_look(v.outcome)}">{v.outcome.value}</span>'
        people = [f"{len(v.counted)} of {len(v.cohort)}", f"{len(v.refused)}", f"{len(v.silenced)}"]
        rows.append((f'<a href="#round-{v.round}">{v.round}</a>', outcome, *people, f"{v.edge_count:,}", moved, f"{100 * v.budget.left_share:.1f} %"))
    columns = ("round", "outcome", "counted", "refused", "no weight", "edges", "since the round before", "budget left")
    table = _table("What became of each round", columns, rows, numbers=(2, 3, 4, 5, 7))
    return f'<section class="card" aria-label="Comparison"><h2>All rounds</h2><p></p>{table}{_votes_by_round(views)}</section>'


def _votes_by_round(views: Sequence[RoundView]) -> str:
    """Each edge's vote in each committed round."""
    committed = [v for v in views if v.outcome is Outcome.COMMITTED]
    votes: dict[tuple[str, str, int], dict[int, float]] = {}
    for v in committed:
        for e in v.edges:
            votes.setdefault((e.source, e.target, e.lag), {})[v.round] = e.vote
    if len(committed) < 2 or not votes:
        return ""
    order = sorted(votes, key=lambda k: (-max(map(abs, votes[k].values())), k))
    rows = ((f"{_t(s)} \u2192 {_t(t)}", str(lag), *(_vote(votes[s, t, lag].get(v.round)) for v in committed)) for s, t, lag in order)
    columns = ("edge", "lag", *(f"round {v.round}" for v in committed))
    return "<h3>Votes by round</h3>" + _table(f"Weighted mean vote of {count(len(order), 'edge')}", columns, rows, numbers=range(1, len(columns)), fold=True)


def _look(outcome: Outcome) -> str:
    return outcome.value.replace(" ", "-")


def _round(view: RoundView) -> str:
    said = "".join(f"<li>{_t(s, 2000)}</li>" for s in sentences(view))
    parts = [
        f'<section class="card" id="round-{view.round}" aria-labelledby="head-{view.round}">',
        f'<span class="badge {_look(view.outcome)}">{view.outcome.value}</span><h2 id="head-{view.round}">{_t(headline(view))}</h2>',
        _times(view),
        _tiles(view),
        f'<ul class="said">{said}</ul>',
        _pictures(view),
        _edges(view),
        _suppressed(view),
        _changes(view),
        _trust(view),
        _refused(view),
        _absent(view),
        _more_structure(view),
        _budget(view),
        _ledger(view),
        f'<h3>What this protects, and what not</h3><p class="statement">{_t(view.statement, 4000)}</p>' if view.statement else "",
        "</section>",
    ]
    return "".join(parts)


def _times(view: RoundView) -> str:
    said = [f"Window {when(view.opens)} to {when(view.deadline)}"]
    if view.frozen_at is not None:
        said.append(f"decided {when(view.frozen_at)}")
    if view.policy is not None:
        said.append(f"quorum {view.quorum}")
        said.append(f"strategy {view.policy.strategy}, an edge stays from a vote of {view.policy.vote_min:g}")
    return f'<p class="soft">{" &#183; ".join(map(_t, said))}</p>'


def _tiles(view: RoundView) -> str:
    if view.outcome is Outcome.NOT_OPENED:
        return ""
    there = ("updates there", len(view.arrived)) if view.outcome is Outcome.OPEN else ("counted", len(view.counted))
    tiles = [(there[0], f"{there[1]} <small>of {len(view.cohort)}</small>", False), ("refused", f"{len(view.refused)}", bool(view.refused))]
    tiles.append(("missing", f"{len(view.missing)}", bool(view.missing) and view.outcome is not Outcome.OPEN))
    if view.change is not None:
        tiles.append(("without weight", f"{len(view.silenced)}", bool(view.silenced)))
        tiles.append(("edges", f"{view.edge_count:,}", False))
    tiles.append(("budget left", f"{100 * view.budget.left_share:.1f} % <small>of epsilon {view.budget.epsilon}</small>", False))
    look = {True: ' class="alert"', False: ""}
    cells = "".join(f"<div{look[alert]}><dt>{name}</dt><dd>{value}</dd></div>" for name, value, alert in tiles)
    return f'<dl class="tiles">{cells}</dl>'


def _pictures(view: RoundView) -> str:
    if view.change is None:
        return ""
    change = f"<figure>{change_svg(view)}</figure>" if view.change.any else ""
    alone = "" if change else " alone"
    return f'<div class="pictures{alone}"><figure>{graph_svg(view)}</figure>{change}</div>'


def _edges(view: RoundView) -> str:
    if view.change is None:
        return ""
    rows = (
        (
            f"{_t(e.source)} \u2192 {_t(e.target)}",
            str(e.lag),
            _meter(abs(e.vote), "" if e.vote >= 0 else "down") + _vote(e.vote),
            e.support_words,
            significant(e.effect),
            f"{significant(e.ci_low)} to {significant(e.ci_high)}" if e.ci_low is not None and e.ci_high is not None else "",
            "" if e.i2 is None else f"{100 * e.i2:.0f} %",
            "" if e.samples is None else f"{e.samples:,}",
        )
        for e in view.edges
    )
    left = view.edge_count - len(view.edges)
    columns = ("edge", "lag", "vote", "support", "effect", "95 % interval", "I\u00b2", "samples")
    caption = (
        "Support: clients that report the edge with this sign, of those with weight that measured both ends. I\u00b2: how much the clients' effects differ."
    )
    table = _table(caption, columns, rows, numbers=range(1, 8), fold=True) if view.edges else "<p>No edge stands.</p>"
    return f"<h3>Merged edges ({view.edge_count:,})</h3>{table}" + (f'<p class="soft">{count(left, "weaker edge")} left out.</p>' if left else "")


def _suppressed(view: RoundView) -> str:
    if not view.suppressed and not view.few:
        return ""
    rows = ((f"{_t(e.source)} \u2192 {_t(e.target)}", str(e.lag)) for e in view.suppressed)
    table = _table("Named without values", ("edge", "lag"), rows, numbers=(1,), fold=True) if view.suppressed else ""
    return f"<h3>Suppressed</h3><p>{_t(suppressed_words(view))}</p>{table}"


def _changes(view: RoundView) -> str:
    if view.change is None or not view.change.any:
        return ""
    edges = view.change.of(*(turn for turn in Turn if turn is not Turn.SAME))
    rows = ((f"{_t(e.source)} \u2192 {_t(e.target)}", str(e.lag), e.turn.value, _vote(e.before), _vote(e.after)) for e in edges)
    columns = ("edge", "lag", "what", "vote before", "vote now")
    return f"<h3>What changed since round {view.change.base_round}</h3>" + _table("", columns, rows, numbers=(1, 3, 4), fold=True)


def _trust(view: RoundView) -> str:
    if view.outcome is not Outcome.COMMITTED:
        return ""
    picture = f'<figure class="wide">{trust_svg(view)}</figure><p></p>' if view.weighed else ""
    columns = ("client", "tonight", "weight", "agreement", "trust before", "trust now", "change", "nights seen")
    caption = "Least weight first. Weight and agreement are of this round's merge; trust is what a client's past adds up to."
    return f"<h3>Trust</h3>{picture}" + _table(caption, columns, map(_trust_row, view.trust), numbers=range(2, 8), fold=True)


def _trust_row(row: TrustRow) -> tuple[str, ...]:
    name = _t(row.client) + ('<span class="tag">out next round</span>' if row.barred else "")
    if row.organisation and row.organisation != row.client:
        name += f'<br><span class="soft">{_t(row.organisation)}</span>'
    weight = "" if row.weight is None else _meter(row.weight, "" if row.weight >= 0.995 else "mid") + fixed(row.weight)
    after = ("", "") if row.after is None else (fixed(row.after), signed(row.after - row.before))
    return name, row.fate.value, weight, _vote(row.agreement), fixed(row.before), *after, f"{row.rounds_seen}"


def _refused(view: RoundView) -> str:
    if not view.refused:
        return ""
    rows = ((f"<code>{_t(r.key)}</code>", _t(r.rule), _t(r.reason), _t(r.remedy)) for r in view.refused)
    return f"<h3>Refused ({len(view.refused):,})</h3>" + _table("", ("object", "rule", "reason", "what to do"), rows, fold=True)


def _absent(view: RoundView) -> str:
    rows = [(client, "missing", "nothing yet" if view.outcome is Outcome.OPEN else "no update") for client in view.missing]
    rows += [(client, "left out", "reputation too low") for client in view.excluded]
    rows += [(client, "after the freeze", "may count in the next round") for client in view.late]
    if not rows:
        return ""
    return f"<h3>Not counted ({len(rows):,})</h3>" + _table("", ("client", "what", "why"), ([_t(c) for c in row] for row in rows), fold=True)


def _more_structure(view: RoundView) -> str:
    parts = []
    if view.hyperedge_count:
        rows = ((f"{_t(', '.join(h.sources))} \u2192 {_t(h.target)}", str(h.lag), _vote(h.vote), f"{h.support} of {h.measured_by}") for h in view.hyperedges)
        table = _table("Several variables that act together", ("sources and target", "lag", "vote", "support"), rows, numbers=(1, 2, 3), fold=True)
        parts.append(f"<h3>Joint effects ({view.hyperedge_count:,})</h3>{table}")
    if view.confounders:
        named = ((_t(name), f"{100 * share:.0f} %") for name, share in view.confounders)
        parts.append("<h3>Suspected confounders</h3>" + _table("", ("variable", "named by"), named, numbers=(1,), fold=True))
    return "".join(parts)


def _budget(view: RoundView) -> str:
    if view.outcome is Outcome.NOT_OPENED:
        return ""
    b = view.budget
    used = b.share
    bar = f'<span class="meter wide" role="img" aria-label="{100 * used:.0f} % of the budget spent"><i style="width:{100 * used:.1f}%"></i></span>'
    rows = [("epsilon", str(b.cost_epsilon), str(b.spent_epsilon), b.left_words[0], str(b.epsilon))]
    rows.append(("delta", str(b.cost_delta), str(b.spent_delta), b.left_words[1], str(b.delta)))
    chart = f'<figure class="wide">{burn_svg(view)}</figure><p></p>' if b.burnt else ""
    table = _table(f"Unit: one {b.unit}", ("", "this round", "spent in all", "left", "budget"), rows, numbers=range(1, 5))
    return f"<h3>Privacy budget</h3><p>{_t(budget_words(view))}</p>{bar}{chart}{table}"


def _ledger(view: RoundView) -> str:
    rows = ((f"{e.sequence}", e.kind.value, when(e.time), _digest(e.digest)) for e in view.ledger)
    table = _table("", ("entry", "kind", "time", "digest"), rows) if view.ledger else ""
    objects = ", ".join(f"{name} {_digest(digest)}" for name, digest in view.digests)
    return f"<h3>Ledger and objects</h3>{table}" + (f'<p class="soft">Objects: {objects}</p>' if objects else "") if table or objects else ""
