"""Implement `hyperfed upgrade check`, which says what a version changes before it is installed."""

from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.checkout import find_checkout, import_for_server, server_is_named
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.options import client_options, output_options, store_options
from hyperfed.cli.output import show_pairs, show_table
from hyperfed.errors import ConfigError, HyperfedError

if TYPE_CHECKING:
    from hyperfed.operations.upgrading import UpgradeStep

__all__ = ["check_upgrade", "upgrade"]


@click.group(cls=Group)
def upgrade() -> None:
    """Prepare an upgrade.

    \b
      hyperfed upgrade check
    """


@upgrade.command("check")
@client_options
@store_options
@output_options
@pass_invocation
def check_upgrade(invocation: Invocation) -> None:
    """Say what this version changes for the federation, before it replaces another.

    Install the new version beside the old one, in an environment of its own, and run its command
    with your hyperfed.toml. It compares formats, the merge's formula, rounds under way, keys and
    Prefect, and only reads. The exit code is 1 if something is to be done first. It needs the
    rights of the operator or an auditor.

    \b
      python3 -m venv next && next/bin/pip install hyperfed-0.2.0-py3-none-any.whl
      next/bin/hyperfed upgrade check --config hyperfed.toml
    """
    from hyperfed.operations.upgrading import upgrade_steps

    invocation.warn_unless_compared()
    with invocation.out.step("Reading the drop-box"):
        steps = upgrade_steps(invocation.reader, invocation.now)
        if not any(step.name == "newer format" for step in steps):
            steps += _keys(invocation)
        if invocation.settings.file("coordinator.key") is not None:
            steps.append(_prefect())
    to_do = [step for step in steps if step.before]
    version = metadata.version("hyperfed")
    because = "; ".join(f"{step.name}: {step.said}" for step in to_do)

    def render(to: Any) -> None:
        rows = [(s.name, "yes" if s.changes else "no", s.said, s.before) for s in steps]
        show_table(to, "", ("what", "changes", "how", "to do before"), rows)
        verdict = f"{len(to_do)} to do before" if to_do else "upgrade at any time"
        show_pairs(to, {"Version": version, "Verdict": verdict})

    document = {"version": version, "steps": steps}
    invocation.out.finish(document, render, code=1 if to_do else 0, because=because)


def _keys(invocation: Invocation) -> "list[UpgradeStep]":
    """Return what this version makes of the configured key files."""
    from hyperfed.cli.operator.registry_view import current_round
    from hyperfed.operations.health.keys import key_finding
    from hyperfed.operations.upgrading import UpgradeStep

    settings, registry = invocation.settings, invocation.reader.registry
    running, client = current_round(registry, invocation.now), settings.text("client.id")
    steps = []
    for name, whose in (("client", client), ("coordinator", None)):
        path = settings.file(f"{name}.key")
        if path is None or (name == "client" and client is None):
            continue
        found = key_finding(registry, path, name=f"{name} key", client=whose, running=running)
        steps.append(UpgradeStep(name=found.name, said=found.said, before=found.remedy))
    return steps


def _prefect() -> "UpgradeStep":
    from hyperfed.operations.upgrading import prefect_step

    if not server_is_named():
        return prefect_step(None, None)
    here = metadata.version("prefect") if find_spec("prefect") else None
    try:
        find_checkout()
    except ConfigError:
        here = None
    if here is None:  # a clone around this folder may be the old version's: it is not asked
        return prefect_step(None, "")
    try:
        _, server = import_for_server("flows.service.health", "server_versions")()
    except HyperfedError as error:
        return prefect_step(here, error)
    return prefect_step(here, server)
