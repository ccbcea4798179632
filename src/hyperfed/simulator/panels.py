"""Draw panels side by side as one SVG: means with standard errors, and what is promised.

1. A dot is an estimate, its bar two standard errors to either side. Places lie at equal distances,
   in the order given.
2. A band is what a number promises, a dashed line the truth.
3. A value outside a panel's scale stands at its edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Estimate", "Panel", "panels_svg"]

Estimate = tuple[float, float]
"""An estimate and its standard error."""

_WIDE, _TALL, _LEFT, _TOP, _GAP = 320.0, 170.0, 48.0, 76.0, 72.0
_COLOURS = ("#1b6ca8", "#c25d1e", "#2b7a4b", "#8a3f8f")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}"
    ".page{fill:#ffffff;stroke:#d0d7de}.name{font-weight:600}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Describes a small picture with one scale."""

    title: str
    """What is drawn."""
    across: str
    """What the places are."""
    series: Mapping[str, Mapping[str, Estimate]]
    """Series -> place -> estimate. All series have the same places in the same order."""
    ticks: Sequence[float]
    """The marks of the scale; the first and the last are its ends."""
    band: tuple[float, float] | None = None
    """What is promised."""
    truth: float | None = None
    """The true value."""


def panels_svg(title: str, panels: Sequence[Panel]) -> str:
    """Return a picture with two panels a row."""
    rows = -(-len(panels) // 2)
    width = 2 * (_LEFT + _WIDE) + 50
    height = 40 + rows * (_TOP + _TALL + 46)
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    escaped_title = escape(title)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escaped_title}">',
        f"<style>{_STYLE}</style><title>{escaped_title}</title>",
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}"/>',
        f'<text class="name" x="16" y="26">{escaped_title}</text>',
    ]
    for i, panel in enumerate(panels):
        left = _LEFT + (i % 2) * (_WIDE + _LEFT + 12)
        parts += _drawn(panel, left, 36 + (i // 2) * (_TOP + _TALL + 46))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _drawn(panel: Panel, left: float, above: float) -> list[str]:
    """Return the lines of one panel, whose corner is at (left, above)."""
    top, low, high = above + _TOP, panel.ticks[0], panel.ticks[-1]

    def y(value: float) -> float:
        return top + _TALL * (1 - (min(max(value, low), high) - low) / (high - low))

    parts = [f'<text class="name" x="{left:.1f}" y="{above + 18:.1f}">{escape(panel.title)}</text>']
    if panel.band is not None:
        tall = y(panel.band[0]) - y(panel.band[1])
        parts.append(
            f'<rect fill="#e3ecf7" x="{left:.1f}" y="{y(panel.band[1]):.1f}" '
            f'width="{_WIDE:.1f}" height="{tall:.1f}"/>'
        )
    for tick in panel.ticks:
        parts.append(_line((left, y(tick)), (left + _WIDE, y(tick)), "#d8dee4"))
        parts.append(_text(left - 6, y(tick) + 4, f"{tick:g}", "end"))
    if panel.truth is not None:
        at = y(panel.truth)
        dashed = _line((left, at), (left + _WIDE, at), "#6b6b6b")
        parts.append(dashed.replace("<line", '<line stroke-dasharray="5 4"'))
    places = list(next(iter(panel.series.values())))
    x_of = {place: left + _WIDE * (i + 0.5) / len(places) for i, place in enumerate(places)}
    parts += [_text(x, top + _TALL + 18, place, "middle") for place, x in x_of.items()]
    parts.append(_text(left + _WIDE / 2, top + _TALL + 36, panel.across, "middle"))
    for i, (name, line) in enumerate(panel.series.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        legend = (left + 6 + (i % 2) * _WIDE / 2, above + 38 + 18 * (i // 2))
        parts += [_dot(legend[0], legend[1] - 4, colour), _text(legend[0] + 9, legend[1], name)]
        before = None
        for place, (mean, error) in line.items():
            x = x_of[place] + 4.0 * (i - (len(panel.series) - 1) / 2)
            if before is not None:
                parts.append(_line(before, (x, y(mean)), colour))
            parts.append(_line((x, y(mean - 2 * error)), (x, y(mean + 2 * error)), colour, 2))
            parts.append(_dot(x, y(mean), colour))
            before = (x, y(mean))
    return parts


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle fill="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, width: int = 1) -> str:
    (x1, y1), (x2, y2) = start, end
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line stroke="{colour}" stroke-width="{width}" {ends}/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
