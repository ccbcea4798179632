"""Summarise a model in a few lines, as text and as HTML.

1. The summary names federation, round, clients and edges, the strongest edges with their intervals,
   and each warning. Suppressed edges are counted, so that nobody takes them for absent.
2. Names come from outside. Vocabularies take printable text only, and HTML is escaped.
"""

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperfed.hypergraph.global_model import GlobalModel

__all__ = ["interval_words", "number_words", "q_words", "summary_html", "summary_text"]

_SHOWN = 10
_HEAD = ("edge", "lag", "effect", "95 % interval", "q", "vote", "support")


def number_words(value: float | None) -> str:
    """Return a number with three significant digits, or "not known"."""
    return "not known" if value is None else f"{value:.3g}"


def interval_words(low: float | None, high: float | None) -> str:
    """Return an interval as "0.1 to 0.3", or "not known"."""
    return "not known" if low is None or high is None else f"{low:.3g} to {high:.3g}"


def q_words(q: float | None) -> str:
    """Return a q-value with two digits, or "not known"."""
    if q is None:
        return "not known"
    return "below 0.0001" if q < 0.0001 else f"{q:.2g}"


def _title(model: "GlobalModel") -> str:
    edges = len(model.edges)
    when = f" ({model.time:%Y-%m-%d})" if model.freeze else ""  # in-process there is no night
    return (
        f"Global model of {model.federation}, round {model.round}{when}: "
        f"{edges:,} edge{'' if edges == 1 else 's'} between {len(model.measured):,} variables, of "
        f"{model.clients:,} clients"
    )


def _remarks(model: "GlobalModel") -> list[str]:
    """Return what a reader must know beside the edges, as sentences."""
    remarks = list(model.warnings)
    more = len(model.edges) - _SHOWN
    if more > 0:
        remarks.insert(0, f"{more:,} weaker edges are not shown; to_dataframe() has them.")
    if len(model.suppressed):
        remarks.append(
            f"{len(model.suppressed):,} edges are suppressed: too few clients stand behind them."
        )
    if len(model.few):
        remarks.append(f"Too few clients measured {len(model.few):,} of the variables.")
    kind = "not private" if model.privacy is None else "differentially private"
    remarks.append(f"The release is {kind}; `statement` says what that means.")
    return remarks


def _cells(row: dict[str, Any], *, private: bool) -> tuple[str, ...]:
    support = "not released" if row["support"] is None else str(row["support"])
    return (
        f"{row['source']} -> {row['target']}",
        str(row["lag"]),
        f"{row['effect']:.3g}",
        interval_words(row["ci_low"], row["ci_high"]),
        "not released" if private and row["q"] is None else q_words(row["q"]),
        f"{row['vote']:+.2f}",
        f"{support} of {row['measured_by']}",
    )


def summary_text(model: "GlobalModel") -> str:
    """Return the summary as lines of text."""
    private = model.privacy is not None
    table = [_HEAD, *(_cells(row, private=private) for row in model.rows()[:_SHOWN])]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    lines = [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return "\n".join([_title(model), *(lines if len(table) > 1 else []), *_remarks(model)])


def summary_html(model: "GlobalModel") -> str:
    """Return the summary as a fragment of HTML without script, style sheet or request."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in _HEAD)
    private = model.privacy is not None
    body = "".join(
        "<tr>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(row, private=private))
        + "</tr>"
        for row in model.rows()[:_SHOWN]
    )
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in _remarks(model))
    return (
        f"<div><p><strong>{escape(_title(model))}</strong></p><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table><ul>{remarks}</ul></div>"
    )
