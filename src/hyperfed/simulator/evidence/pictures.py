"""Draw two pictures of the evidence as SVG: F1 by way of merging, and by how many share the rows.

1. A dot is a mean over the seeds, its bar one standard error to either side.
2. Every series has its name beside its colour.
"""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean, stdev

__all__ = ["dots_svg", "lines_svg", "mean_and_error"]

_LEFT, _WIDTH, _ROW, _TALL = 150.0, 520.0, 24.0, 260.0
_COLOURS = ("#1b6ca8", "#c25d1e", "#2b7a4b", "#8a3f8f", "#6b6b6b", "#b0912b")
_GRID = "#d8dee4"
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}"
    ".page{fill:#ffffff;stroke:#d0d7de}.name{font-weight:600}"
)
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean over the seeds and its standard error; 0 where there is one seed."""
    return fmean(values), stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def dots_svg(title: str, rows: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return a dot plot: a row for each way of merging, a colour for each series.

    rows: name of the row -> name of the series -> F1 of each seed.
    """
    series = list(dict.fromkeys(name for row in rows.values() for name in row))
    top = 64.0 + 20.0 * len(series)
    height = top + _ROW * len(rows) + 40
    parts = _opened(title, height, series)
    for tick in _TICKS:
        x = _LEFT + tick * _WIDTH
        parts.append(_line((x, top - 8), (x, height - 30), _GRID))
        parts.append(_text(x, height - 12, f"{tick:.1f}"))
    for i, (name, row) in enumerate(rows.items()):
        y = top + _ROW * (i + 0.5)
        parts.append(_text(_LEFT - 10, y + 4, name, anchor="end"))
        for j, (label, values) in enumerate(row.items()):
            mean, error = mean_and_error(values)
            x, at = _LEFT + mean * _WIDTH, y + (j - (len(row) - 1) / 2) * 5.0
            colour = _colour(series.index(label))
            parts.append(_line((x - error * _WIDTH, at), (x + error * _WIDTH, at), colour))
            parts.append(_dot(x, at, colour))
    return _closed(parts)


def lines_svg(
    title: str,
    lines: Mapping[str, Mapping[int, Sequence[float]]],
    *,
    axis: str = "clients that share the rows",
) -> str:
    """Return a line for each way of merging over how many clients share the rows (log scale).

    lines: name of the line -> number of clients -> F1 of each seed. axis: what the numbers count.
    """
    counts = sorted({count for line in lines.values() for count in line})
    top = 64.0 + 20.0 * len(lines)
    parts = _opened(title, top + _TALL + 50, list(lines))
    step = _WIDTH / max(1, len(counts) - 1)
    x_of = {count: _LEFT + i * step for i, count in enumerate(counts)}
    for tick in _TICKS:
        y = top + (1 - tick) * _TALL
        parts.append(_line((_LEFT, y), (_LEFT + _WIDTH, y), _GRID))
        parts.append(_text(_LEFT - 10, y + 4, f"{tick:.1f}", anchor="end"))
    parts += [_text(x, top + _TALL + 20, str(count)) for count, x in x_of.items()]
    parts.append(_text(_LEFT + _WIDTH / 2, top + _TALL + 40, axis))
    for i, line in enumerate(lines.values()):
        colour, before = _colour(i), None
        for count, values in sorted(line.items()):
            mean, error = mean_and_error(values)
            x, y = x_of[count], top + (1 - mean) * _TALL
            if before is not None:
                parts.append(_line(before, (x, y), colour, width=2))
            parts.append(_line((x, y - error * _TALL), (x, y + error * _TALL), colour))
            parts.append(_dot(x, y, colour))
            before = (x, y)
    return _closed(parts)


def _opened(title: str, height: float, series: Sequence[str]) -> list[str]:
    """Return the opening of a picture: its page, its title and its legend."""
    width, escaped_title = _LEFT + _WIDTH + 30, escape(title)
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escaped_title}">',
        f"<style>{_STYLE}</style><title>{escaped_title}</title>",
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}"/>',
        f'<text class="name" x="20" y="28">{escaped_title}</text>',
    ]
    for i, name in enumerate(series):
        y = 52.0 + 20.0 * i
        parts += [_dot(26, y - 4, _colour(i)), _text(38, y, name, anchor="start")]
    return parts


def _colour(i: int) -> str:
    return _COLOURS[i % len(_COLOURS)]


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle fill="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'


def _line(
    start: tuple[float, float], end: tuple[float, float], colour: str, *, width: int = 1
) -> str:
    (x1, y1), (x2, y2) = start, end
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line stroke="{colour}" stroke-width="{width}" {ends}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _closed(parts: list[str]) -> str:
    return "\n".join([*parts, "</svg>"]) + "\n"
