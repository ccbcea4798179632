"""Implement `hyperfed discover`, which runs as `submit` would, without a round, store or key.

1. Every column of numbers is used, or those of --columns. Nothing is held back, nothing is sent.
2. --out writes what was found as the CSV that `submit --edges` takes: edges with marks, shared
   causes, interactions, experiments, which variables were measured, at which lags, in which units.
   Nothing has to be stated twice, and the same bytes leave as by a `submit` of the data.

What it does not do: read a plan. What a round asks for (its variables, lags and policy) is judged
when the file is submitted. What a plan knows of the graph is given with --knowledge.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.client.data_shown import read_pairs
from hyperfed.cli.client.source_options import source_options
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, config_option, output_options
from hyperfed.cli.output import listed, show_pairs, show_table
from hyperfed.client.finding import discover_here, listed_lags
from hyperfed.client.sources import given_source, read_source
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.engines import Discovery

__all__ = ["discover"]

_SHOWN_ROWS = 20
_COLUMNS = ("source", "target", "lag", "effect", "confidence", "stability", "hits", "n")


@click.command(cls=Command)
@source_options
@click.option(
    "--out",
    type=FILE,
    help="Write the edges to this file, as CSV for `hyperfed submit --edges`.",
)
@click.option(
    "--knowledge",
    type=FILE,
    help="Prior knowledge of the graph: a file of tiers, forbidden and required edges, such as the "
    "coordinator's.",
)
@config_option
@output_options
@pass_invocation
def discover(invocation: Invocation, out: Path | None, knowledge: Path | None) -> None:
    """Discover edges in your data and show them. Nothing is sent, and no round is needed.

    Every engine of `hyperfed submit` works here too.

    \b
      hyperfed discover --data series.csv
      hyperfed discover --data series.parquet --columns output,employment --lags 1,2 --out edges.csv
      hyperfed discover --data patients.csv --engine pc --out edges.csv
      hyperfed submit --edges edges.csv --dry-run
    """
    from hyperfed.cli.files import replace_file
    from hyperfed.engines.knowledge import read_knowledge
    from hyperfed.engines.readers.remarks import edges_text

    source = read_source(invocation.settings, given_source(invocation.options))
    if source is None:
        raise ConfigError(
            "nothing to discover in",
            subject="discover",
            remedy="Give --data FILE, or --engine module:factory",
        )
    prior_knowledge = None if knowledge is None else read_knowledge(knowledge)
    with invocation.out.long_step("Discovering") as progress:
        discovery, series = discover_here(source, knowledge=prior_knowledge, progress=progress)
    of_data = series.notes if series else ()
    notes = (*of_data, *discovery.notes)
    for note in notes:
        invocation.out.note(note)
    if out is not None:
        units = series.units if series else {}
        replace_file(out, edges_text(discovery, units=units, notes=of_data).encode())
    rows = discovery.rows()
    document: dict[str, Any] = {
        "read": series.document if series else None,
        "measured": discovery.variables,
        "lags": discovery.lags,
        "columns_left_out": series.left_out if series else (),
        "edges": rows,
        "shared_causes": [list(pair) for pair in discovery.bidirected],
        "interactions": discovery.interactions,
        "intervened": discovery.intervened,
        "notes": notes,
        "out": out,
    }

    def render(to: "Console") -> None:
        strongest = sorted(rows, key=lambda row: -row["confidence"] * row["stability"])
        more = f", the strongest {_SHOWN_ROWS} of them" if len(rows) > _SHOWN_ROWS else ""
        shown = (*_COLUMNS, *(() if discovery.endpoints is None else ("endpoints",)))
        show_table(
            to,
            f"{len(rows)} edge{'s' * (len(rows) != 1)}{more}",
            shown,
            ([row[name] for name in shown] for row in strongest[:_SHOWN_ROWS]),
            right=_COLUMNS[2:],
        )
        pairs = read_pairs(document["read"]) | {
            "Measured": listed(discovery.variables),
            "Lags": listed_lags(discovery.lags) or "none",
        }
        if document["columns_left_out"]:
            pairs["Columns left out"] = listed(document["columns_left_out"])
        pairs |= _beside(discovery)
        pairs["Confidence"] = "1 - p of the sign: .50 on average where there is nothing, not 0"
        pairs["Next"] = (
            "hyperfed discover ... --out edges.csv keeps them"
            if out is None
            else f"hyperfed submit --edges {out} --dry-run"
        )
        show_pairs(to, pairs)

    invocation.out.finish(document, render)


def _beside(discovery: "Discovery") -> dict[str, Any]:
    """Return what was found beside the edges, as pairs to show."""
    pairs: dict[str, Any] = {}
    if discovery.bidirected:
        pairs["Shared causes"] = listed([f"{a} <-> {b}" for a, b, _ in discovery.bidirected])
    if discovery.interactions:
        interactions = (
            f"{' * '.join(one.sources)} on {one.target}" for one in discovery.interactions
        )
        pairs["Interactions"] = listed(list(interactions))
    if discovery.intervened:
        pairs["Experiments"] = f"{listed(discovery.intervened)}: edges into these are left out"
    return pairs
