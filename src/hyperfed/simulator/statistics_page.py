"""Make the tables and pictures of docs/statistics.md from the numbers kept: `make statistics`.

1. The page's words stand in the page. What lies between two marks, and the pictures, are replaced.
2. Every figure stands with its standard error, in its cell or in the last row of its table.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hyperfed.simulator.panels import Estimate, Panel, panels_svg

__all__ = ["pages"]

_PAGE = "statistics.md"
_END = "<!-- end -->"
_COVERAGE = (
    ("interval", "interval", ".3f"),
    ("prediction", "prediction", ".3f"),
    ("std_error / error", "stated", ".2f"),
    ("tau², mean", "tau2_mean", ".4f"),
    ("tau², median", "tau2_median", ".4f"),
    ("true share", "share", ".3f"),
    ("I², mean", "i2_mean", ".3f"),
    ("I², median", "i2_median", ".3f"),
)
_KEPT = (
    ("kept", "kept", ".2f"),
    ("interval, kept", "interval_kept", ".3f"),
    ("bias, kept", "bias_kept", "+.3f"),
)
_I2 = {"mean": "i2_mean", "median": "i2_median", "true share": "share"}

Numbers = Mapping[str, Any]
Column = tuple[str, str, str]


def pages(page: str, numbers: Numbers) -> dict[str, str]:
    """Return the text of each file, by its name in docs/; `page` is the page as it is."""
    tables: dict[str, Callable[[Numbers], list[str]]] = {
        "coverage": _coverage,
        "clients": _clients,
        "noise": _noise,
        "systems": _systems,
        "standing": _standing,
        "sizes": _sizes,
    }
    for part, lines in tables.items():
        page = _replaced(page, part, lines(numbers[part]))
    return {
        _PAGE: page,
        "statistics-coverage.svg": _coverage_picture(numbers["coverage"]),
        "statistics-clients.svg": _clients_picture(numbers),
        "statistics-errors.svg": _errors_picture(numbers),
    }


def _replaced(page: str, part: str, lines: Sequence[str]) -> str:
    """Return the page with what lies between a part's marks written again."""
    mark = f"<!-- made: {part} -->"
    before, rest = page.split(f"{mark}\n", 1)
    _, after = rest.split(_END, 1)
    body = "\n".join(lines)
    return f"{before}{mark}\n\n{body}\n\n{_END}{after}"


def _coverage(part: Numbers) -> list[str]:
    said = (
        f"{part['replicates']:,} replicates of {part['clients']} clients with {part['rows']} rows; "
        f"true tau² {part['tau2']:g}."
    )
    return [said, "", *_table("true effect", "effect", part["effects"], (*_COVERAGE, *_KEPT))]


def _clients(part: Numbers) -> list[str]:
    estimates = part["rows"][0]["estimates"]
    said = f"{part['replicates']:,} replicates, {estimates:,} estimates a row."
    return [said, "", *_table("clients", "clients", part["rows"], _COVERAGE)]


def _table(title: str, name: str, rows: Sequence[Numbers], columns: Sequence[Column]) -> list[str]:
    """Return a row for each of `rows`, and one with the largest standard error of each column."""
    titles = " | ".join(column for column, *_ in columns)
    lines = [f"| {title} | {titles} |", "|---" * (1 + len(columns)) + "|"]
    for row in rows:
        cells = (format(row[key][0], form) if row[key] else "-" for _, key, form in columns)
        lines.append(f"| {row[name]:g} | {' | '.join(cells)} |")
    largest = (
        f"± {max(row[key][1] for row in rows if row[key]):{form.lstrip('+')}}"
        for _, key, form in columns
    )
    return [*lines, f"| *standard error* | {' | '.join(largest)} |"]


def _noise(part: Numbers) -> list[str]:
    said = f"{part['replicates']:,} outcomes of noise a row:"
    return [
        said,
        "",
        *_cuts(part["rows"], (("false edges", "false_edges"), ("outcomes with one", "any_false"))),
    ]


def _systems(part: Numbers) -> list[str]:
    said = f"{part['replicates']:,} systems a row:"
    return [
        said,
        "",
        *_cuts(part["rows"], (("power", "power"), ("false share", "false_share"))),
    ]


def _cuts(rows: Sequence[Numbers], columns: Sequence[tuple[str, str]]) -> list[str]:
    """Return the columns of both cuts, a row for each number of clients."""
    titles = (f"{cut}: {title}" for cut in ("vote", "fdr") for title, _ in columns)
    lines = [f"| clients | {' | '.join(titles)} |", "|---" * (1 + 2 * len(columns)) + "|"]
    for row in rows:
        cells = (_said(row[cut][name], 3) for cut in ("vote", "fdr") for _, name in columns)
        lines.append(f"| {row['clients']} | {' | '.join(cells)} |")
    return lines


def _standing(part: Numbers) -> list[str]:
    seeds, rounds = part["seeds"], part["rounds"]
    said = f"{seeds} federations of each world, {rounds} rounds each. Weights and trust are means \
over the federations; where several clients are meant, it is the honest one with the least, and \
the liar with the most."
    lines = [
        *textwrap.wrap(said, 100),
        "",
        "| world | honest clients expelled | weight of the odd one | trust of the odd one | "
        "least honest trust | liars' trust | liars expelled |",
        "|---" * 7 + "|",
    ]
    for world in part["worlds"]:
        cells = [
            str(world["honest_expelled"]),
            *(
                _said(world[name], 2)
                for name in ("odd_weight", "odd_trust", "honest_trust", "liars_trust")
            ),
            f"{world['liars_expelled']} of {world['liars']}" if world["liars"] else "",
        ]
        lines.append(f"| {world['world']} | {' | '.join(cells)} |")
    return lines


def _sizes(part: Numbers) -> list[str]:
    said = (
        f"{part['clients']} clients with {part['rows']} rows and {part['resamples']} resamples, "
        "one lag. A merge's seconds are of one core."
    )
    columns = [(name, kind) for name in ("rows", "bytes") for kind in ("votes", "all")]
    titles = (f"{name}, {'votes alone' if kind == 'votes' else 'all'}" for name, kind in columns)
    lines = [
        said,
        "",
        f"| variables | {' | '.join(titles)} | seconds per merge, all |",
        "|---" * (2 + len(columns)) + "|",
    ]
    for row in part["widths"]:
        cells = (f"{row[name][kind]:,}" for name, kind in columns)
        lines.append(f"| {row['variables']} | {' | '.join(cells)} | {row['seconds']:.2g} |")
    return lines


def _said(number: Sequence[float], digits: int) -> str:
    """Return a number and its standard error, such as 0.044 ± 0.008; nothing for no number."""
    return f"{number[0]:.{digits}f} ± {number[1]:.{digits}f}" if number else ""


def _series(
    rows: Sequence[Numbers], place: str, names: Mapping[str, str]
) -> dict[str, dict[str, Estimate]]:
    """Return the estimates of each series; a row without one is left out of it."""
    return {
        title: {f"{row[place]:g}": (row[name][0], row[name][1]) for row in rows if row[name]}
        for title, name in names.items()
    }


def _coverage_picture(part: Numbers) -> str:
    rows, across = part["effects"], "true effect"
    return panels_svg(
        f"Simulated and promised: {part['clients']} clients of {part['rows']} rows",
        [
            Panel(
                title="Coverage of the 95 % interval",
                across=across,
                series=_series(
                    rows,
                    "effect",
                    {"all measured pairs": "interval", "kept edges alone": "interval_kept"},
                ),
                ticks=(0.8, 0.85, 0.9, 0.95, 1.0),
                band=(0.93, 0.97),
            ),
            Panel(
                title="Coverage of the 95 % prediction interval",
                across=across,
                series=_series(rows, "effect", {"all measured pairs": "prediction"}),
                ticks=(0.8, 0.85, 0.9, 0.95, 1.0),
                truth=0.95,
            ),
            Panel(
                title="tau², the variance between clients",
                across=across,
                series=_series(rows, "effect", {"mean": "tau2_mean", "median": "tau2_median"}),
                ticks=(0.006, 0.008, 0.01, 0.012, 0.014),
                band=(0.008, 0.012),
                truth=part["tau2"],
            ),
            Panel(
                title="I², the share of the variation",
                across=across,
                series=_series(rows, "effect", _I2),
                ticks=(0.6, 0.65, 0.7, 0.75, 0.8, 0.85),
                band=(0.70, 0.76),
            ),
        ],
    )


def _clients_picture(numbers: Numbers) -> str:
    rows, across = numbers["clients"]["rows"], "clients"
    tau2 = numbers["coverage"]["tau2"]
    return panels_svg(
        "Simulated and promised, by the number of clients",
        [
            Panel(
                title="Coverage of 95 % intervals",
                across=across,
                series=_series(
                    rows, "clients", {"of the effect": "interval", "prediction": "prediction"}
                ),
                ticks=(0.8, 0.85, 0.9, 0.95, 1.0),
                truth=0.95,
            ),
            Panel(
                title="Stated standard error over the error's own",
                across=across,
                series=_series(rows, "clients", {"all measured pairs": "stated"}),
                ticks=(0.8, 1.0, 1.2, 1.4, 1.6),
                truth=1.0,
            ),
            Panel(
                title="tau², the variance between clients",
                across=across,
                series=_series(rows, "clients", {"mean": "tau2_mean", "median": "tau2_median"}),
                ticks=(0.0, 0.01, 0.02, 0.03),
                truth=tau2,
            ),
            Panel(
                title="I², the share of the variation",
                across=across,
                series=_series(rows, "clients", _I2),
                ticks=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
            ),
        ],
    )


def _errors_picture(numbers: Numbers) -> str:
    def both(part: str, name: str) -> dict[str, dict[str, Estimate]]:
        return {
            f"cut by {cut}": {
                str(row["clients"]): (row[cut][name][0], row[cut][name][1])
                for row in numbers[part]["rows"]
            }
            for cut in ("vote", "fdr")
        }

    return panels_svg(
        "Error rates of the two cuts: 40 rows a client, 36 possible edges",
        [
            Panel(
                title="Noise: outcomes with a false edge (dashed: 0.05)",
                across="clients",
                series=both("noise", "any_false"),
                ticks=(0.0, 0.25, 0.5, 0.75, 1.0),
                truth=0.05,
            ),
            Panel(
                title="Systems: edges found, of the true ones",
                across="clients",
                series=both("systems", "power"),
                ticks=(0.0, 0.25, 0.5, 0.75, 1.0),
            ),
            Panel(
                title="Systems: false edges, of those found (dashed: 0.05)",
                across="clients",
                series=both("systems", "false_share"),
                ticks=(0.0, 0.02, 0.04, 0.06, 0.08, 0.1),
                truth=0.05,
            ),
        ],
    )
