"""Draw the budget's burn-down: what was left after each charged round, and how long it lasts.

1. Each charged round is one step. The height is the share of the budget that is left by the rule
   that is enforced (`privacy.accountant`). It is not an epsilon, because under RDP epsilons do not
   add up, and shares do.
2. Where the shown round cost anything, a dashed line goes on at its rate, up to the first round
   that the budget no longer pays for.

What it does not do: promise that line. Later rounds may cost more or less.
"""

from html import escape

from hyperfed.report.pictures.graph_svg import STYLE
from hyperfed.report.view import RoundView
from hyperfed.report.wording import count

__all__ = ["burn_svg"]

_LEFT, _TOP, _WIDTH, _HEIGHT = 64.0, 56.0, 660.0, 160.0


def burn_svg(view: RoundView) -> str:
    """Return the chart of a round's budget. At least one round up to it must be charged."""
    burnt, budget = view.budget.burnt, view.budget
    first = burnt[0].round
    end = max(view.round, first) + (budget.nights_left or 0)
    span = max(end - first + 1, 1)

    def x(round_id: float) -> float:
        return _LEFT + (round_id - first) / span * _WIDTH

    def y(share: float) -> float:
        return _TOP + min(max(share, 0.0), 1.0) * _HEIGHT

    path, last = [f"M{x(first):.1f} {y(0):.1f}"], 0.0
    for step in burnt:
        path.append(f"L{x(step.round):.1f} {y(last):.1f} L{x(step.round):.1f} {y(step.share):.1f}")
        last = step.share
    path.append(f"L{x(view.round + 1):.1f} {y(last):.1f}")
    line = f"M{x(view.round + 1):.1f} {y(last):.1f} L{x(end + 1):.1f} {y(1):.1f}"
    ahead = (
        f'<path class="hfp-axis" stroke-dasharray="5 5" fill="none" d="{line}"/>'
        if budget.nights_left
        else ""
    )
    words = f"{100 * (1 - last):.1f} % left after round {view.round}"
    if budget.nights_left is not None:
        words += f", {count(budget.nights_left, 'more night')} at its rate"
    heading = (
        f"Privacy budget of {budget.epsilon} epsilon and {budget.delta} delta for each "
        f"{budget.unit}"
    )
    ticks = "".join(
        f'<text class="hfp-soft" x="{_LEFT - 8:.1f}" y="{y(share) + 4:.1f}" font-size="12" '
        f'text-anchor="end">{100 * (1 - share):.0f} %</text>'
        f'<line class="hfp-axis" x1="{_LEFT:.1f}" x2="{_LEFT + _WIDTH:.1f}" y1="{y(share):.1f}" '
        f'y2="{y(share):.1f}" stroke-opacity="0.35"/>'
        for share in (0.0, 0.5, 1.0)
    )
    floor = _TOP + _HEIGHT + 20
    rounds = (
        f'<text class="hfp-soft" x="{_LEFT:.1f}" y="{floor:.1f}" font-size="12">round '
        f"{first}</text>"
        f'<text class="hfp-soft" x="{_LEFT + _WIDTH:.1f}" y="{floor:.1f}" font-size="12" '
        f'text-anchor="end">round {end}</text>'
    )
    width, height = _LEFT + _WIDTH + 36, floor + 20
    return (
        f'<svg class="hfp" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} '
        f'{height:.1f}" width="{width:.1f}" height="{height:.1f}" role="img"'
        f' aria-label="{escape(heading)}: '
        f'{escape(words)}"><style>{STYLE}</style><title>{escape(heading)}: {escape(words)}</title>'
        f'<rect class="hfp-page" x="0.5" y="0.5" width="{width - 1:.1f}" '
        f'height="{height - 1:.1f}" rx="12"/>'
        f'<text x="24" y="28" font-size="15" font-weight="600">{escape(heading)}</text>'
        f'<text class="hfp-soft" x="24" y="46" font-size="12">{escape(words)}</text>'
        f'{ticks}<path class="hfp-up" fill="none" stroke-width="2.5" '
        f'd="{" ".join(path)}"/>{ahead}{rounds}</svg>'
    )
