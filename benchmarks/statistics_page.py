"""Write docs/statistics.md's tables and picture again: `make statistics`.

Everything follows from the seeds below. `--quick` plays a tenth, to see that it works.
The page's words stand in the page; this replaces what lies between its markers, and the pictures.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hyperfed.simulator.standing_worlds import standing_worlds
from hyperfed.simulator.statistics import (
    Coverage,
    coverage,
    error_rates,
    sparse_coefficients,
    standing,
)

DOCS = Path(__file__).parents[1] / "docs"
SEED = 17
TARGET = (0.93, 0.97)
PARTS = ("coverage", "errors", "standing")


def coverage_table(found: dict[float, Coverage]) -> list[str]:
    """A row for each true effect: all measured pairs, and the kept ones beside them."""
    lines = [
        "| true effect | interval | prediction | tau², mean | tau², median | true share | "
        "I², mean | I², median | kept | interval, kept | bias, kept |",
        "|---" * 11 + "|",
    ]
    for effect, one in found.items():
        kept, inside, error = (np.array(x) for x in (one.kept, one.inside, one.error))
        lines.append(
            f"| {effect:g} | {inside.mean():.3f} | {np.mean(one.predicted):.3f} | "
            f"{np.mean(one.tau2):.4f} | {np.median(one.tau2):.4f} | {np.mean(one.share):.2f} | "
            f"{np.mean(one.i2):.2f} | {np.median(one.i2):.2f} | "
            f"{kept.mean():.2f} | {inside[kept].mean():.3f} | {error[kept].mean():+.3f} |"
        )
    return lines


def coverage_picture(found: dict[float, Coverage]) -> str:
    """The coverage of each effect's interval, all pairs and kept ones, as SVG."""
    width, height, left, top = 640, 300, 60, 20
    low, high = 0.75, 1.0

    def x(effect: float) -> float:
        return left + (width - left - 20) * effect / 0.55

    def y(share: float) -> float:
        return top + (height - top - 40) * (high - share) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<rect x="{left}" y="{y(TARGET[1]):.1f}" width="{width - left - 20}" '
        f'height="{y(TARGET[0]) - y(TARGET[1]):.1f}" fill="#e3ecf7"/>',
    ]
    for share in (0.75, 0.8, 0.85, 0.9, 0.95, 1.0):
        parts.append(
            f'<line x1="{left}" x2="{width - 20}" y1="{y(share):.1f}" y2="{y(share):.1f}" '
            f'stroke="#ccc"/><text x="{left - 8}" y="{y(share) + 4:.1f}" '
            f'text-anchor="end">{share:.2f}</text>'
        )
    for effect in found:
        parts.append(
            f'<text x="{x(effect):.1f}" y="{height - 22}" text-anchor="middle">{effect:g}</text>'
        )
    series = (
        ("all measured pairs", "#1f5fa8", [np.mean(o.inside) for o in found.values()]),
        (
            "kept edges alone",
            "#c4622d",
            [np.mean(np.array(o.inside)[np.array(o.kept)]) for o in found.values()],
        ),
    )
    for place, (name, colour, values) in enumerate(series):
        points = " ".join(
            f"{x(e):.1f},{y(max(low, v)):.1f}" for e, v in zip(found, values, strict=True)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts += [
            f'<circle cx="{x(e):.1f}" cy="{y(max(low, v)):.1f}" r="3.5" fill="{colour}"/>'
            for e, v in zip(found, values, strict=True)
        ]
        parts.append(
            f'<text x="{width - 24}" y="{y(0.80) - 18 * place:.1f}" text-anchor="end" '
            f'fill="{colour}">{name}</text>'
        )
    parts.append(
        f'<text x="{(width + left) / 2:.0f}" y="{height - 5}" text-anchor="middle">'
        "true effect</text></svg>"
    )
    return "\n".join(parts) + "\n"


def error_tables(scale: float) -> list[str]:
    """False edges on noise, and power."""
    rng = np.random.default_rng(SEED + 1)
    lines = [
        "| clients | vote: false edges | vote: outcomes with one | fdr: false edges | "
        "fdr: outcomes with one |",
        "|---" * 5 + "|",
    ]
    for clients in (2, 5, 10, 30):
        found = error_rates(
            np.zeros((6, 6)), rng, clients=clients, rows=40, replicates=max(5, int(400 * scale))
        )
        vote, fdr = found["vote"], found["fdr"]
        lines.append(
            f"| {clients} | {vote.false_edges:.2f} | {vote.any_false:.3f} | "
            f"{fdr.false_edges:.2f} | {fdr.any_false:.3f} |"
        )
    lines += [
        "",
        "| clients | systems | vote: power | vote: false share | fdr: power | fdr: false share |",
        "|---" * 6 + "|",
    ]
    for clients, systems in ((5, 100), (10, 100), (30, 300)):
        parts = [
            error_rates(
                sparse_coefficients(rng, 6),
                rng,
                clients=clients,
                rows=40,
                replicates=1,
                tau2=0.0025,
            )
            for _ in range(max(5, int(systems * scale)))
        ]
        cells = [
            _mean_and_error([getattr(part[cut], name) for part in parts])
            for cut in ("vote", "fdr")
            for name in ("power", "false_share")
        ]
        lines.append(f"| {clients} | {len(parts)} | " + " | ".join(cells) + " |")
    return lines


def _mean_and_error(values: Sequence[float]) -> str:
    """A mean and its standard error."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.3f} ± {error:.3f}"


def standing_table(scale: float) -> list[str]:
    """Thirty rounds of each world that once silenced or expelled honest clients."""
    rng = np.random.default_rng(SEED + 2)
    rounds = max(5, int(30 * scale))
    lines = [
        "| world | honest clients expelled | weight of the odd one | trust of the odd one | "
        "least honest trust | liars' trust | liars expelled |",
        "|---" * 7 + "|",
    ]
    for world in standing_worlds(rng):
        liars = world.liars
        found = standing(world.night, rng, rounds=rounds, liars=liars, baskets=world.baskets)
        honest = [c for c in found.trust if c not in liars]
        odd = [c for c in honest if c.startswith("odd")]
        lines.append(
            f"| {world.name} | {len(found.expelled - set(liars))} | {_least(found.weight, odd)} | "
            f"{_least(found.trust, odd)} | {_least(found.trust, honest)} | "
            f"{_least(found.trust, liars)} | {len(found.expelled & set(liars))} of {len(liars)} |"
        )
    return lines


def _least(values, clients: Sequence[str]) -> str:  # type: ignore[no-untyped-def]
    return f"{min(values[c] for c in clients):.2f}" if clients else ""


def replaced(page: str, part: str, lines: list[str]) -> str:
    """The page with what lies between a part's markers written again."""
    before, rest = page.split(f"<!-- made: {part} -->\n", 1)
    _, after = rest.split("<!-- end -->", 1)
    body = "\n".join(lines)
    return f"{before}<!-- made: {part} -->\n\n{body}\n\n<!-- end -->{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS, action="append", help="a table, to make it alone")
    given = parser.parse_args()
    scale = 0.1 if given.quick else 1.0
    page = DOCS / "statistics.md"
    for part in given.only or PARTS:
        if part == "coverage":
            found = coverage(np.random.default_rng(SEED), replicates=int(2000 * scale))
            (DOCS / "statistics-coverage.svg").write_text(coverage_picture(found))
            lines = coverage_table(found)
        else:
            make = {"errors": error_tables, "standing": standing_table}
            lines = make[part](scale)
        page.write_text(replaced(page.read_text(), part, lines))


if __name__ == "__main__":
    main()
