"""Implement `hyperfed convert`, which reads a graph of another library for `submit --edges`."""

from pathlib import Path

import click

from hyperfed.cli.files import replace_file
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, output_options
from hyperfed.cli.output import show_pairs

__all__ = ["convert"]


@click.command(cls=Command)
@click.argument("graph", type=FILE)
@click.option(
    "--from", "name", metavar="FORMAT", help="Its format, if its suffix does not show it."
)
@click.option(
    "--rows",
    type=FILE,
    help="The data that it was found in, if it has no effects; they are estimated from these data.",
)
@click.option(
    "--out",
    type=FILE,
    default="edges.csv",
    show_default=True,
    help="The file to write, for submit --edges.",
)
@output_options
@pass_invocation
def convert(
    invocation: Invocation, graph: Path, name: str | None, rows: Path | None, out: Path
) -> None:
    """Read a graph that another library exported, and write it as edges that can be submitted.

    The formats are those of `hyperfed export`. Nothing is sent. A bare graph has no effects: then
    give the data that it was found in.

    \b
      hyperfed convert strength.csv
      hyperfed convert graph.dagitty --rows patients.csv
      hyperfed submit --edges edges.csv
    """
    from hyperfed.engines import Discovery, read_table
    from hyperfed.engines.readers.remarks import edges_text
    from hyperfed.evidence import read_file

    table = read_file(graph, name)
    data = None
    if rows is not None:
        held = read_table(rows, columns=table.variables)
        data = held.values[:, [held.names.index(name) for name in table.variables]]
    discovery = Discovery.from_evidence(table, data)
    replace_file(out, edges_text(discovery, units={}).encode())
    document = {
        "file": out,
        "variables": table.variables,
        "edges": len(discovery.source),
        "notes": discovery.notes,
    }
    pairs = {
        "Written": f"{out}: {len(discovery.source)} edges between {len(table.variables)} variables",
        "Next": f"hyperfed submit --edges {out}",
        **{f"Note {i}": note for i, note in enumerate(discovery.notes, 1)},
    }
    invocation.out.finish(document, lambda to: show_pairs(to, pairs))
