"""`hyperfed demo`: runs `flows.demo` of the checkout."""

from pathlib import Path

import click

from hyperfed.cli.checkout import import_from_checkout
from hyperfed.cli.invocation import Invocation, output_options, pass_invocation

__all__ = ["demo"]


@click.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), default=".hyperfed", show_default=True, help="Everything the demo writes lies below it.")
@click.option("--nights", type=click.IntRange(1, 30), default=3, show_default=True, help="How many nights to run; from the third on 14 states lie.")
@click.option(
    "--privacy",
    type=click.Choice(["none", "central", "local"]),
    default="none",
    show_default=True,
    help="Who adds noise: nobody, the coordinator to the sum, or each state to its own message.",
)
@click.option("--keep", is_flag=True, help="Leave the object store running until Ctrl-C, to look around in it.")
@output_options
@pass_invocation
def demo(invocation: Invocation, directory: Path, nights: int, privacy: str, keep: bool) -> int:
    """Run a whole federation here: 48 US states with real data, a real S3 server, the real flows, three nights. About a minute.

    Needs the checkout and `pip install 'hyperfed[coordinator]'`; `make demo` sees to both.

    \b
      hyperfed demo
      hyperfed demo --keep
      hyperfed demo --privacy central
      hyperfed demo --privacy local
    """
    run_demo = import_from_checkout("flows.demo", "run_demo")
    code: int = run_demo(directory, nights=nights, privacy=privacy, as_json=invocation.as_json, keep=keep)
    return code
