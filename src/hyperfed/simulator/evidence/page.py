"""Write docs/evidence.md and its pictures from the study's numbers alone (`make evidence`)."""

from collections.abc import Mapping, Sequence
from typing import Any

from hyperfed.simulator.evidence.networks_page import networks_section
from hyperfed.simulator.evidence.pictures import dots_svg, lines_svg, mean_and_error
from hyperfed.simulator.evidence.study import ALONE, LIARS, TOTALS
from hyperfed.simulator.evidence.sums_page import sums_section
from hyperfed.simulator.evidence.truths import DRIFT, TABLE_BOOTSTRAPS

__all__ = ["pages"]

_WORLDS = {
    ("var", 100): "VAR, 100",
    ("var", 40): "VAR, 40",
    ("sem", 150): "SEM, 150",
    ("sem", 60): "SEM, 60",
}
_TITLES = {"var": "VAR(2), 10 variables", "sem": "linear SEM, 20 variables"}
_ENGINES = {
    "pc": "PC",
    "ges": "GES",
    "fci": "FCI",
    "lingam": "DirectLiNGAM, uniform noise",
}
_LINES = ("consensus", "fdr cut", "majority", "averaged network", "pooled", ALONE)

_OPENING = """
# Evidence: how well a merge finds a known truth

    make evidence        # plays everything again and writes this page; takes half an hour of a core

![F1 by way of merging](evidence-merging.svg)

The shipped engine plays federations with a known truth, at the lags that the plan names. Every
number is a mean over {seeds} seeds, or as many as its table says, with its standard error. Nothing
in the library was tuned on these seeds. The numbers behind the page are in
benchmarks/results/evidence.json.

## What is played

**VAR**: a stable VAR(2) of 10 variables, with about 20 of 200 possible edges, of sizes .2 to .5.
Ten clients have 100 or 40 rows each. The engine is `VarEngine` at lags 1 and 2.

**SEM**: a linear structural equation model of 20 variables on an Erdos-Renyi graph with 40 edges
expected, of sizes .3 to .8, at lag 0. Ten clients have 150 or 60 rows each. Clients regress each
variable on its predecessors in the true order, which they all know. This world therefore tests
strengths, not directions; [four engines](#sem-by-engines-without-a-known-order) look for both.

Each client has coefficients of its own, {drift:g} (standard deviation) around the common ones, and
standardises its columns. The liars' data come from the same world with every sign flipped. What
they send is the sign flip of an honest client's update, with a claim to be sure of all of it.
[robustness.md](robustness.md) has the other attacks.

## Ways of merging

- `client alone`: the edges on which one honest client's vote reaches `vote_min`, .3; mean over the
  clients. `union`, `intersection` and `majority` count these graphs.
- `mean`, `median`, `consensus`: the library's merges with the default policy. `fdr cut`: consensus
  with `cut = "fdr"` at .05.
- `averaged network`: the method that bnlearn documents for bootstrapped graphs, with its
  significance threshold (Scutari & Nagarajan 2013), over all clients' resamples.
- `pooled`: the same engine on all rows at once, as if data could be shared; it keeps the edges of
  more than half of the resamples. `pooled, vote`: the same, cut by `vote_min`, which is lax for one
  voter.

`F1` is that of signed edges. `SHD` counts edges that are missing, too many or of the wrong sign.
The table shows in bold the best F1 of a column among the ways that need nobody's rows.
"""
_LAGS = """
## The lags are the plan's

These are the same VAR federations merged by `consensus`. In one case, each client's BIC chooses its
own order, 1 or 2; in the other, the plan names both lags. With BIC, short series look at lag 1
alone, and the edges at lag 2 are lost, whether or not silence counts as a vote of 0.
"""
_TABLES = """
## SEM by engines without a known order

The model is the same, but clients run PC, GES, FCI or DirectLiNGAM and nobody knows an order. The
noise is normal, except for DirectLiNGAM, which finds no direction in normal noise: there it is
uniform. There are {resamples} resamples a client and few seeds, because a fit takes 0.2 to 1.3
seconds. With two seeds, a standard error is half the distance between them, and rough.

`directed` is the F1 of signed edges: an edge that an engine leaves without direction counts as two,
and one of them is wrong. `pairs` is the F1 of the pairs that are joined, in either direction. The
vote cut needs .3 of the weight, and half votes of edges without direction seldom reach it. Nor do
they make up more than half of the resamples, as `pooled` requires. The cut `fdr` uses effects.
"""
_LIMITS = """
## What this does not show

All but the last worlds are linear, and all but DirectLiNGAM's are Gaussian. Their clients are alike
except for small differences, and every client measures everything: FCI allows for causes that
nobody measured, and there are none here. Only two attacks are played. Whether false edges stay at a
nominal rate is another question, for other federations.
"""

Cell = Mapping[str, Any]


def pages(numbers: Mapping[str, Any], sums: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the text of each file, by its name in docs/.

    numbers: benchmarks/results/evidence.json. sums: benchmarks/results/sums.json.
    """
    cells = numbers["cells"]
    return {"evidence.md": _page(numbers, sums)} | {
        "evidence-merging.svg": dots_svg(
            "F1 by way of merging: 10 clients, VAR(2), 40 rows each",
            {
                name: {
                    f"{liars:.0%} lie": cell["f1"]
                    for liars in LIARS
                    if (cell := _find(cells, "var", 10, 40, liars, name)) is not None
                }
                for name in _strategies(cells)
            },
        ),
        **{
            f"evidence-clients-{kind}.svg": lines_svg(
                f"F1 where {total:,} rows are shared by 2 to 64 clients: {_TITLES[kind]}",
                {
                    name: {
                        cell["clients"]: cell["f1"]
                        for cell in cells
                        if cell["world"] == kind
                        and cell["strategy"] == name
                        and cell["clients"] * cell["rows"] == total
                        and not cell["liars"]
                    }
                    for name in _LINES
                },
            )
            for kind, total in TOTALS.items()
        },
    }


def _strategies(cells: Sequence[Cell]) -> list[str]:
    """Return the ways of merging, in the order of their table."""
    return list(dict.fromkeys(cell["strategy"] for cell in cells))


def _find(
    cells: Sequence[Cell], kind: str, clients: int, rows: int, liars: float, strategy: str
) -> Cell | None:
    """Return a cell, or None where it was not played."""
    about = {"world": kind, "clients": clients, "rows": rows, "liars": liars, "strategy": strategy}
    return next((cell for cell in cells if all(cell[k] == v for k, v in about.items())), None)


def _page(numbers: Mapping[str, Any], sums: Sequence[dict[str, Any]]) -> str:
    cells = numbers["cells"]
    parts = [_OPENING.format(seeds=len(numbers["seeds"]), drift=DRIFT).strip()]
    for liars in LIARS:
        parts += ["", f"## {'Nobody lies' if not liars else f'{liars:.0%} lie'}", ""]
        parts += _by_world(cells, liars)
    parts += ["", _LAGS.strip(), "", *_lags(numbers["lags"])]
    parts += ["", *_tables(numbers["tables"])]
    parts += ["", "## The same rows, shared by more clients"]
    for kind, total in TOTALS.items():
        caption = f"{total:,} rows in all, {_TITLES[kind]}; F1 by the number of clients:"
        picture = f"![F1 by clients](evidence-clients-{kind}.svg)"
        parts += ["", caption, "", picture, "", *_by_clients(cells, kind, total)]
    parts += ["", *sums_section(sums), "", *networks_section(numbers["networks"], numbers["genes"])]
    parts += ["", _LIMITS.strip()]
    return "\n".join(parts) + "\n"


def _by_world(cells: Sequence[Cell], liars: float) -> list[str]:
    names = _strategies(cells)
    cells_of = {
        name: [_find(cells, kind, 10, rows, liars, name) for kind, rows in _WORLDS]
        for name in names
    }
    best = _best({name: [_f1(cell) for cell in row] for name, row in cells_of.items()})
    rows = [
        f"| {name} | "
        + " | ".join(_scores(cell, best=name in best[i]) for i, cell in enumerate(cells_of[name]))
        + " |"
        for name in names
    ]
    head = " | ".join(f"{title} rows: F1, SHD" for title in _WORLDS.values())
    return [f"| | {head} |", f"|---|{'---|' * len(_WORLDS)}", *rows]


def _tables(cells: Sequence[Cell]) -> list[str]:
    """Return the section about clients that are told no order."""
    lines = [_TABLES.format(resamples=TABLE_BOOTSTRAPS).strip()]
    for liars in dict.fromkeys(cell["liars"] for cell in cells):
        for rows in dict.fromkeys(cell["rows"] for cell in cells):
            who_lies = "nobody lies" if not liars else f"{liars:.0%} lie"
            lines += ["", f"{rows} rows a client, {who_lies}; directed, pairs:", ""]
            lines += _by_engine(
                [cell for cell in cells if cell["liars"] == liars and cell["rows"] == rows]
            )
    return lines


def _by_engine(cells: Sequence[Cell]) -> list[str]:
    """Return the table of one number of rows and one share of liars."""
    found = {(cell["strategy"], cell["engine"]): cell for cell in cells}
    names = list(dict.fromkeys(name for name, _ in found))
    engines = [engine for engine in _ENGINES if (names[0], engine) in found]
    best = {
        kind: _best({name: [found[name, engine][kind] for engine in engines] for name in names})
        for kind in ("directed", "pairs")
    }
    head = " | ".join(
        f"{_ENGINES[engine]}, {len(found[names[0], engine]['seeds'])} seeds" for engine in engines
    )
    lines = [f"| | {head} |", f"|---|{'---|' * len(engines)}"]
    for name in names:
        scores = (
            ", ".join(
                _said(found[name, engine][kind], best=name in best[kind][i])
                for kind in ("directed", "pairs")
            )
            for i, engine in enumerate(engines)
        )
        lines.append(f"| {name} | {' | '.join(scores)} |")
    return lines


def _by_clients(cells: Sequence[Cell], kind: str, total: int) -> list[str]:
    counts = sorted(
        {c["clients"] for c in cells if c["world"] == kind and c["clients"] * c["rows"] == total}
    )
    scores = {
        name: [_f1(_find(cells, kind, count, total // count, 0.0, name)) for count in counts]
        for name in _strategies(cells)
    }
    best = _best(scores)
    rows = [
        f"| {name} | "
        + " | ".join(_said(f1, best=name in best[i]) for i, f1 in enumerate(row))
        + " |"
        for name, row in scores.items()
    ]
    return [
        f"| | {' | '.join(map(str, counts))} |",
        f"|---|{'---|' * len(counts)}",
        *rows,
    ]


def _lags(lags: Sequence[Cell]) -> list[str]:
    rows = sorted({one["rows"] for one in lags})
    ways = list(dict.fromkeys(one["way"] for one in lags))
    scores = {(one["way"], one["rows"]): one["f1"] for one in lags}
    return [
        f"| F1 of consensus | {' | '.join(f'{n} rows' for n in rows)} |",
        f"|---|{'---|' * len(rows)}",
        *(f"| {way} | {' | '.join(_said(scores[way, n]) for n in rows)} |" for way in ways),
    ]


def _best(scores: Mapping[str, Sequence[Sequence[float] | None]]) -> list[set[str]]:
    """Return for each column the ways of merging that share no data and have the best mean F1."""
    columns = len(next(iter(scores.values())))
    best = []
    for i in range(columns):
        means = {
            name: mean_and_error(values)[0]
            for name, row in scores.items()
            if (values := row[i]) and not name.startswith("pooled")
        }
        best.append({name for name, mean in means.items() if mean == max(means.values())})
    return best


def _f1(cell: Cell | None) -> Sequence[float] | None:
    return cell["f1"] if cell else None


def _scores(cell: Cell | None, *, best: bool) -> str:
    if cell is None:
        return "-"
    return f"{_said(cell['f1'], best=best)}, {mean_and_error(cell['shd'])[0]:.1f}"


def _said(values: Sequence[float] | None, *, best: bool = False) -> str:
    """Return a mean and its standard error, such as .888 ± .012; the best in bold."""
    if not values:
        return "-"
    mean, error = mean_and_error(values)
    shown = f"{mean:.3f} ± {error:.3f}".replace("0.", ".")
    return f"**{shown}**" if best else shown
