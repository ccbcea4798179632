"""Implement `hyperfed metrics`, which exports the newest round's figures to Prometheus.

Rounds on a Prefect server write the same file themselves, with the seconds of their stages
(`HYPERFED_METRICS_DIR`). This command is for rounds without Prefect, and for other machines.
"""

from pathlib import Path
from typing import Any

import click

from hyperfed.cli.files import replace_file
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, output_options, store_options
from hyperfed.cli.output import show_pairs
from hyperfed.errors import ObjectNotFound

__all__ = ["metrics"]


@click.command(cls=Command)
@click.option(
    "--out",
    "folder",
    type=FILE,
    help="Folder of the node exporter's textfile collector; by default the figures are printed.",
)
@store_options
@output_options
@pass_invocation
def metrics(invocation: Invocation, folder: Path | None) -> None:
    """Export the figures of the newest ended round to Prometheus.

    The file has the federation's name and is replaced as a whole. A private round exports nothing
    that its messages move before noise. The command needs the rights of the operator or an auditor.

    \b
      hyperfed metrics
      hyperfed metrics --out /var/lib/prometheus/node-exporter
    """
    from hyperfed.protocol.entries import EntryKind
    from hyperfed.report.metrics import file_name, metrics_text
    from hyperfed.report.view import view_of

    with invocation.out.step("Reading the newest round"):
        ledger = invocation.reader.ledger()
        ended = [c.entry.round for c in ledger if c.entry.kind is not EntryKind.RESERVE]
        if not ended:
            raise ObjectNotFound(
                "no round has ended yet",
                subject=invocation.store.location,
                remedy="Run it after the first round; `hyperfed check` looks before it",
            )
        view = view_of(invocation.reader, max(ended))
        text = metrics_text(view, ledger)
    if folder is not None:
        replace_file(folder / file_name(view.federation), text.encode())

    def render(to: Any) -> None:
        if folder is None:
            click.echo(text, nl=False)
        else:
            show_pairs(to, {"Written": folder / file_name(view.federation)})

    document = {"federation": view.federation, "round": view.round, "file": None, "text": text}
    if folder is not None:
        document["file"] = folder / file_name(view.federation)
    invocation.out.finish(document, render)
