"""Implement `hyperfed demo`, which runs `flows.demo` of the checkout."""

from pathlib import Path

import click

from hyperfed.cli.checkout import import_from_checkout
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, nights_option, output_options

__all__ = ["demo"]


@click.command(cls=Command)
@click.option(
    "--dir",
    "directory",
    type=FILE,
    default=".hyperfed",
    show_default=True,
    help="The folder for everything that the demo writes.",
)
@nights_option(30, "How many nights to run; from the third on, 14 states lie.", default=3)
@click.option(
    "--privacy",
    type=click.Choice(["none", "central", "local"]),
    default="none",
    show_default=True,
    help="Who adds noise: nobody, the coordinator to the sum, or each state to its own message.",
)
@click.option(
    "--payload",
    type=click.Choice(["edges", "statistics", "both"]),
    default="edges",
    show_default=True,
    help="The states' payload: votes on edges, sums of products of their rows, or both.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Leave the object store running until Ctrl-C, for you to look at.",
)
@output_options
@pass_invocation
def demo(
    invocation: Invocation, directory: Path, nights: int, privacy: str, payload: str, keep: bool
) -> int:
    """Run a whole federation here: 48 US states with real data, a real S3 server, the real flows.

    Three nights take about a minute. The command runs from a clone of the repository; `make demo`
    installs what it needs and starts it.

    \b
      hyperfed demo
      hyperfed demo --keep
      hyperfed demo --privacy central
      hyperfed demo --privacy local
      hyperfed demo --payload statistics
      hyperfed demo --payload statistics --privacy central
    """
    run_demo = import_from_checkout("flows.demo", "run_demo")
    code: int = run_demo(
        directory,
        nights=nights,
        privacy=privacy,
        payload=payload,
        as_json=invocation.as_json,
        keep=keep,
    )
    return code
