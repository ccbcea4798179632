"""Implement `hyperfed export`, which writes a round's model for another library."""

from pathlib import Path

import click

from hyperfed.cli.client.committed import committed_models
from hyperfed.cli.files import replace_file
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import (
    FILE,
    client_options,
    committed_round_option,
    output_options,
    store_options,
)
from hyperfed.cli.output import show_pairs

__all__ = ["export"]


@click.command(cls=Command)
@click.option(
    "--to", "name", required=True, metavar="FORMAT", help="The format, one of those above."
)
@click.option(
    "--out", type=FILE, help="The file to write; by default model with the format's suffix."
)
@committed_round_option
@client_options
@store_options
@output_options
@pass_invocation
def export(invocation: Invocation, name: str, out: Path | None, round_id: int | None) -> None:
    """Verify the federation's graph, and write it for another library.

    Formats with everything that is known of each edge: json, csv (bnlearn's bn.strength first),
    parquet, graphml, gexf, gml, dot, cytoscape. Formats of causal graphs: dagitty, lavaan, tetrad,
    tigramite, bif, caugi. Format with effects of several causes: hif. The answer names what a
    format cannot hold.

    \b
      hyperfed export --to graphml
      hyperfed export --to dagitty --round 12 --out round12.dagitty
    """
    from hyperfed.errors import ConfigError
    from hyperfed.evidence import FORMATS, EdgeEvidence, write

    if name not in FORMATS:
        raise ConfigError(
            f"there is no format {name!r:.40}",
            subject="--to",
            remedy=f"Choose one of {', '.join(FORMATS)}",
        )
    (model,) = committed_models(invocation, round_id)
    path = out or Path(f"model{FORMATS[name].suffix}")
    table = EdgeEvidence.of_model(model)
    data = write(table, name)
    replace_file(path, data)
    left_out = FORMATS[name].loses
    document = {
        "round": model.round,
        "format": name,
        "file": path,
        "bytes": len(data),
        "edges": len(model.edges),
        "suppressed": len(model.suppressed),
        "not_in_it": left_out,
    }
    pairs = {
        "Written": f"{path}, {len(data):,} bytes: round {model.round}, {len(model.edges):,} edges",
        "Not in it": left_out or "nothing is left out",
    }
    invocation.out.finish(document, lambda to: show_pairs(to, pairs))
