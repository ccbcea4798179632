"""Write the small parts of a page: cells, tables, bars. All text is escaped here."""

from collections.abc import Iterable, Sequence
from html import escape

from hyperfed.report.wording import short_digest, signed, visible

__all__ = ["digest_cell", "meter_of", "table_of", "text_cell", "vote_cell"]

_FIRST = 14  # a folding table shows this many rows at first


def text_cell(text: str, limit: int = 400) -> str:
    """Return a text from outside, made visible and escaped, at most `limit` characters long."""
    return escape(visible(text, limit))


def table_of(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    fold: bool = False,
    marks: Sequence[str] = (),
) -> str:
    """Return a table of HTML cells, in which the first cell of each row is its header.

    The columns that `numbers` lists align right. With `fold`, the rows after the first `_FIRST`
    fold away where they are more than four. `marks` holds the attributes of each row's element; a
    table with them does not fold.
    """
    all_rows = list(rows)
    unfolded, folded = (
        (all_rows[:_FIRST], all_rows[_FIRST:])
        if fold and not marks and len(all_rows) > _FIRST + 4
        else (all_rows, [])
    )

    def render(part: Sequence[Sequence[str]], words: str) -> str:
        kind = ['class="n"' if i in numbers else "" for i in range(len(columns))]
        head = "".join(
            f'<th scope="col" {kind[i]}>{text_cell(column)}</th>'
            for i, column in enumerate(columns)
        )
        body = "".join(
            (f"<tr {marks[number]}>" if marks else "<tr>")
            + "".join(
                f'<th scope="row" {kind[i]}>{c}</th>' if i == 0 else f"<td {kind[i]}>{c}</td>"
                for i, c in enumerate(row)
            )
            + "</tr>"
            for number, row in enumerate(part)
        )
        label = f"<caption>{text_cell(words)}</caption>" if words else ""
        name = text_cell(words) if words else f"Table by {text_cell(columns[0] or 'row')}"
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>'
            f"{label}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    more = (
        f"<details><summary>{len(folded):,} "
        f"more</summary>{render(folded, caption + ', continued')}</details>"
        if folded
        else ""
    )
    return render(unfolded, caption) + more


def meter_of(share: float, look: str = "") -> str:
    """Return a bar that shows a share in [0, 1]; a number stands beside it in the page."""
    return (
        f'<span class="meter" aria-hidden="true"><i class="{look}" '
        f'style="width:{100 * min(max(share, 0.0), 1.0):.0f}%"></i></span>'
    )


def vote_cell(value: float | None) -> str:
    """Return a vote with its sign, or a dash where there is none."""
    if value is None:
        return '<span class="none">\u2014</span>'
    return f'<span class="{"plus" if value >= 0 else "minus"}">{signed(value)}</span>'


def digest_cell(digest: bytes) -> str:
    """Return the beginning of a digest, with the whole of it as a title."""
    return f'<code title="{digest.hex()}">{short_digest(digest)}</code>'
