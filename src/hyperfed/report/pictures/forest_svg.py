"""Draw a forest plot: the estimates of one effect below each other, on one scale.

1. A square is an estimate and a line its interval; the pooled effect is a diamond. A prediction
   interval and a range are dashed lines without an estimate.
2. The scale has 0 in it, which is the question. The numbers stand above each line, so that nothing
   must be read off the picture, and the plot is narrow enough for a telephone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from hyperfed.report.pictures.graph_svg import STYLE
from hyperfed.report.wording import significant, visible

__all__ = ["ForestRow", "forest_svg"]

_LEFT, _WIDTH, _STEP, _TOP = 20.0, 400.0, 46.0, 42.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """Describes one line of the plot."""

    words: str
    """What it is."""
    low: float | None
    """The lower end of its interval; None where it is not known."""
    high: float | None
    """The upper end."""
    estimate: float | None = None
    """The estimate; None where the line is a range."""
    pooled: bool = False
    """Whether it is the pooled effect, drawn as a diamond."""


def forest_svg(rows: Sequence[ForestRow], *, title: str) -> str:
    """Return the plot of these lines."""
    values = [0.0]
    values += [v for row in rows for v in (row.low, row.high, row.estimate) if v is not None]
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 1.0
    low, high = low - pad, high + pad

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * _WIDTH

    bottom = _TOP + _STEP * len(rows)
    parts = [
        f'<line class="hfp-axis" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{_TOP - 8:.1f}" '
        f'y2="{bottom:.1f}" stroke-dasharray="4 4"/>',
        f'<text class="hfp-soft" x="{x(0):.1f}" y="{bottom + 18:.1f}" font-size="12" '
        'text-anchor="middle">0</text>',
    ]
    for end in (low + pad, high - pad):
        if abs(x(end) - x(0)) > 24:
            parts.append(
                f'<text class="hfp-soft" x="{x(end):.1f}" y="{bottom + 18:.1f}" font-size="12" '
                f'text-anchor="middle">{significant(end)}</text>'
            )
    for i, row in enumerate(rows):
        parts.append(_line(row, _TOP + _STEP * (i + 0.6), x))
    width, height = 2 * _LEFT + _WIDTH, bottom + 30
    said = "; ".join(f"{row.words}: {_numbers(row)}" for row in rows)
    return (
        f'<svg class="hfp" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} '
        f'{height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{escape(title)}. {escape(visible(said, 2000))}"><style>{STYLE}</style>'
        f"<title>{escape(title)}</title>"
        f'<rect class="hfp-page" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}" '
        f'rx="12"/><text x="20" y="26" font-size="15" font-weight="600">{escape(title)}</text>'
        f"{''.join(parts)}</svg>"
    )


def _line(row: ForestRow, y: float, x: Callable[[float], float]) -> str:
    parts = [
        f'<text x="{_LEFT:.0f}" y="{y - 10:.1f}" font-size="14">'
        f"{escape(visible(row.words, 26))}</text>",
        f'<text x="{_LEFT + _WIDTH:.0f}" y="{y - 10:.1f}" font-size="14" text-anchor="end">'
        f"{escape(_numbers(row))}</text>",
    ]
    if row.low is not None and row.high is not None:
        dash = ' stroke-dasharray="6 4"' if row.estimate is None else ""
        parts.append(
            f'<line class="hfp-ink" x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y:.1f}" '
            f'y2="{y:.1f}" stroke-width="2"{dash}/>'
        )
    if row.estimate is not None:
        at, size = x(row.estimate), 7.0 if row.pooled else 5.0
        corners = (
            ((at - size, y), (at, y - size), (at + size, y), (at, y + size))
            if row.pooled
            else ((at - 5, y - 5), (at + 5, y - 5), (at + 5, y + 5), (at - 5, y + 5))
        )
        points = " ".join(f"{px:.1f},{py:.1f}" for px, py in corners)
        parts.append(f'<polygon class="hfp-solid hfp-up" points="{points}"/>')
    return "".join(parts)


def _numbers(row: ForestRow) -> str:
    """Return a line's numbers in words."""
    estimate = "" if row.estimate is None else significant(row.estimate)
    if row.low is None or row.high is None:
        return f"{estimate}, interval not known" if estimate else "not known"
    interval = f"{significant(row.low)} to {significant(row.high)}"
    return f"{estimate} ({interval})" if estimate else interval
