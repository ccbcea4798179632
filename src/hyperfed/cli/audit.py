"""`hyperfed audit`: re-reads the drop-box and says what was checked, or which object is the first broken one."""

import importlib
from pathlib import Path
from typing import Any

import click

from hyperfed.cli.invocation import Invocation, load_key, output_options, pass_invocation, store_options
from hyperfed.cli.output import plain, show_pairs
from hyperfed.errors import ConfigError

__all__ = ["audit"]


@click.command()
@click.option("--open-with", type=click.Path(path_type=Path), help="Key file of a coordinator or an auditor, to recompute results from sealed updates.")
@store_options
@output_options
@pass_invocation
def audit(invocation: Invocation, open_with: Path | None) -> int:
    """Check every signature, chain and digest of the drop-box, and recompute every result that carries no noise.

    Exits with 1 and the key of the first broken object where something does not hold.

    \b
      hyperfed audit
      hyperfed audit --open-with auditor.key
    """
    try:
        check: Any = importlib.import_module("hyperfed.audit").audit
    except ModuleNotFoundError as exc:
        raise ConfigError("this version of hyperfed has no audit yet", subject="hyperfed audit", remedy="Update hyperfed") from exc
    path = open_with or invocation.settings.file("coordinator.key")
    keys = load_key(path) if path is not None else None
    invocation.warn_unless_compared()
    with invocation.out.step("Reading and checking every object"):
        report = check(invocation.store, fingerprint=invocation.settings.fingerprint, keys=keys)
    document: dict[str, Any] = plain(report)
    invocation.out.finish(document, lambda to: show_pairs(to, document))
    return 0
