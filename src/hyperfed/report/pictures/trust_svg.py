"""Draw how the clients of a round agree with one another, as a dot plot.

Clients that agree with the others stand together on the right; those that oppose them stand apart
on the left.

1. Each client is one dot. Its place is the client's agreement (the cosine of its votes with the
   others'), and its colour says whether its weight in the merge is full, partial or none.
2. Dots of one column stand on top of each other. The colours change where bounded trust begins to
   give weight.
3. Client ids are in the tooltips, made visible and escaped. Where a column has too many dots for
   the picture's height, all dots shrink.

Source: DESIGN section 5, bounded trust.

What it does not do: judge a client.
"""

from html import escape

from hyperfed.report.pictures.graph_svg import STYLE
from hyperfed.report.rows import TrustRow
from hyperfed.report.view import RoundView
from hyperfed.report.wording import MINUS, count, fixed, signed, visible

__all__ = ["trust_svg"]

_LEFT, _WIDTH, _TOP, _BINS = 30.0, 700.0, 92.0, 50
_FULL = 0.995
_LOOKS = (("hfp-up", "full weight"), ("hfp-part", "part of it"), ("hfp-down", "no weight"))


def trust_svg(view: RoundView) -> str:
    """Return the dot plot of a committed round's counted clients."""
    rows = [row for row in view.trust if row.weight is not None]
    columns: dict[int, list[TrustRow]] = {}
    for row in sorted(rows, key=lambda r: (r.weight or 0.0, r.client)):
        columns.setdefault(
            min(int(((row.agreement or 0.0) + 1) / 2 * _BINS), _BINS - 1), []
        ).append(row)
    tallest = max((len(c) for c in columns.values()), default=1)
    pitch = min(_WIDTH / _BINS, 180.0 / tallest)
    floor = _TOP + max(tallest * pitch, 40.0) + 4
    dots = [
        _dot(row, _LEFT + (column + 0.5) * _WIDTH / _BINS, floor - (rank + 0.5) * pitch, pitch)
        for column, c in columns.items()
        for rank, row in enumerate(c)
    ]
    heading = (
        f"Round {view.round}: how far each of {count(len(rows), 'client')} agrees with the others"
    )
    height, width = floor + 52, _WIDTH + 2 * _LEFT
    return (
        f'<svg class="hfp" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} '
        f'{height:.1f}" width="{width:.1f}" height="{height:.1f}" role="img"'
        f' aria-label="{escape(heading)}"><style>{STYLE}</style><title>{escape(heading)}</title>'
        f'<rect class="hfp-page" x="0.5" y="0.5" width="{width - 1:.1f}" '
        f'height="{height - 1:.1f}" rx="12"/>'
        '<text x="24" y="32" font-size="15" '
        f'font-weight="600">{escape(heading)}</text>{_legend(rows)}{"".join(dots)}{_axis(floor)}</svg>'
    )


def _look(weight: float) -> str:
    return _LOOKS[0][0] if weight >= _FULL else _LOOKS[1][0] if weight > 0 else _LOOKS[2][0]


def _dot(row: TrustRow, x: float, y: float, pitch: float) -> str:
    tip = escape(
        f"{visible(row.client)}: agreement {signed(row.agreement or 0.0)}, weight "
        f"{fixed(row.weight or 0.0)}"
    )
    radius = max(pitch / 2 - 1, 0.6)
    return (
        f'<circle class="hfp-solid {_look(row.weight or 0.0)}" cx="{x:.1f}" cy="{y:.1f}" '
        f'r="{radius:.1f}"><title>{tip}</title></circle>'
    )


def _legend(rows: list[TrustRow]) -> str:
    out, x = [], 24.0
    for look, words in _LOOKS:
        text = f"{words}: {sum(_look(r.weight or 0.0) == look for r in rows):,}"
        out.append(
            f'<circle class="hfp-solid {look}" cx="{x + 6:.1f}" cy="56" r="6"/><text '
            f'class="hfp-soft" x="{x + 19:.1f}" y="60" font-size="12">{text}</text>'
        )
        x += 40 + 7.2 * len(text)
    return "".join(out)


def _axis(y: float) -> str:
    out = [
        f'<line class="hfp-axis" x1="{_LEFT:.1f}" x2="{_LEFT + _WIDTH:.1f}" y1="{y:.1f}" '
        f'y2="{y:.1f}"/>'
    ]
    ticks = {
        -1.0: f"{MINUS}1 opposes",
        -0.5: f"{MINUS}0.5",
        0.0: "0 unrelated",
        0.5: "0.5",
        1.0: "1 agrees",
    }
    for value, words in ticks.items():
        x = _LEFT + (value + 1) / 2 * _WIDTH
        anchor = "start" if value == -1 else "end" if value == 1 else "middle"
        out.append(
            f'<line class="hfp-axis" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{y + 5:.1f}"/>'
        )
        out.append(
            f'<text class="hfp-soft" x="{x:.1f}" y="{y + 22:.1f}" font-size="12" '
            f'text-anchor="{anchor}">{words}</text>'
        )
    return "".join(out)
