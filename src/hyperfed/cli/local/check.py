"""Implement `hyperfed check`, for people and for monitors, and `hyperfed check store`.

`hyperfed check` checks what its settings name (`operations.health`). Its exit codes are those of
monitoring plugins, and its first line says the worst.

`hyperfed check store` tries a store of the user's own.

1. It runs the conformance suite that every adapter passes (`hyperfed.testing.store_suite`), each
   rule in a folder of its own below `probe/`. Nothing else of the store is read or written.
2. The rules are run in fewer and smaller trials than in the tests, so that a slow share answers in
   a minute.
3. On a share the folder is removed again. In a bucket it stays, because only housekeeping may erase
   there; objects below `probe/` may expire.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hyperfed.cli.checkout import import_for_server, server_is_named
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.options import client_options, output_options, store_options
from hyperfed.cli.output import clean, show_pairs, show_table
from hyperfed.errors import ConfigError, HyperfedError

__all__ = ["check", "store"]


@click.group(cls=Group, invoke_without_command=True)
@client_options
@store_options
@output_options
@pass_invocation
@click.pass_context
def check(ctx: click.Context, invocation: Invocation) -> None:
    """Check whether tonight can go well: store, clock, keys, registry, rounds, budget, disk and
    versions; for the operator also the schedules and the worker on a Prefect server.

    What is checked follows from what hyperfed.toml names. Everything that is not good has its
    remedy. No passphrase is asked for, except where links or a relay need the key itself.

    The exit code is that of monitoring plugins: 0 all is good, 1 a warning, 2 critical (also for
    wrong options or settings), 3 something could not be found out. --json has the same for
    programs. One small object is written, at most once a day.

    \b
      hyperfed check
      hyperfed check --json
      hyperfed check store file:///mnt/share
    """
    if not ctx.invoked_subcommand:
        _check_health(invocation)


def _check_health(invocation: Invocation) -> None:
    from hyperfed.operations.health import EXIT_CODES, Finding, Level, ServerFacts, health, worst
    from hyperfed.registry.registry import Registry

    def ask_server(registry: Registry) -> ServerFacts:
        facts: ServerFacts = import_for_server("flows.service.health", "server_facts")(registry)
        return facts

    try:
        operator = invocation.settings.file("coordinator.key") is not None
        invocation.opening.hurried = True  # monitors end what takes longer than a minute
        with invocation.out.step("Checking"):
            findings = health(
                invocation.opening,
                ask_server=ask_server if operator and server_is_named() else None,
            )
    except HyperfedError as error:  # a monitor reads the first line, also of wrong settings
        findings = [Finding.of_error("settings", error)]
    state = worst(findings)
    bad = [finding for finding in findings if finding.level is not Level.GOOD]
    because = "; ".join(f"{finding.name}: {finding.said}" for finding in bad)
    headline = f"HYPERFED {state.value.upper()}: {because or f'{len(findings)} checks are good'}"

    def render(to: Any) -> None:
        click.echo(clean(headline))
        rows = [(f.name, f.level.value, f.said, f.remedy) for f in findings]
        show_table(to, "", ("check", "state", "what was found", "what to do"), rows)

    document = {"state": state, "checks": findings}
    invocation.out.finish(document, render, code=EXIT_CODES[state], because=because)


@check.command()
@click.argument("url", required=False)
@store_options
@output_options
@pass_invocation
def store(invocation: Invocation, url: str | None) -> None:
    """Test a store against every rule that the protocol relies on, and say which one it breaks.

    URL is s3://bucket/prefix or file:///folder, by default the configured one. The command needs
    the coordinator's rights to read, list and create below probe/. The exit code is 3 if a rule is
    broken.

    \b
      hyperfed check store file:///mnt/share
      hyperfed check store s3://bucket --endpoint https://s3.example.org --addressing virtual
    """
    from hyperfed.testing.store_suite import failures_of

    if url is not None:
        invocation.options["store.url"] = url
    with _places(invocation) as places, invocation.out.step("Trying the store"):
        outcomes = failures_of(lambda: next(places))
    broken = [(rule, problem) for rule, problem in outcomes if problem]
    because = "; ".join(f"{rule}: {problem}" for rule, problem in broken)[:1000]
    document = {
        "store": invocation.settings.need("store.url"),
        "rules": [{"rule": r, "good": not problem, "said": problem} for r, problem in outcomes],
    }

    def render(to: Any) -> None:
        rows = [(rule, not problem, problem or "") for rule, problem in outcomes]
        show_table(to, "", ("rule", "good", "what was found"), rows)
        fit = "no: a federation would lose updates, or have two results" if broken else "yes"
        show_pairs(to, {"Store": document["store"], "Fit": fit})

    invocation.out.finish(document, render, code=3 if broken else 0, because=because)


@contextmanager
def _places(invocation: Invocation) -> Iterator[Iterator[Any]]:
    """Yield stores without objects, one after the other, in folders of one probe."""
    from hyperfed.client.opening import Opening

    token = f"probe/check-{secrets.token_hex(8)}"
    settings, options = invocation.settings, frozenset(invocation.options)
    address = settings.need("store.url").rstrip("/")
    if address.startswith("grpc:"):
        raise ConfigError(
            "a relay serves one folder, and each trial needs one of its own",
            subject=address[:120],
            remedy="Check the folder on the relay's machine: `hyperfed check store file:///FOLDER`",
        )
    folders: list[Path] = []

    def places() -> Iterator[Any]:
        for number in range(1000):
            there = f"{address}/{token}/{number:02d}"
            if address.startswith("file:"):
                folders.append(_made(invocation, f"{token}/{number:02d}", token))
            yield Opening(
                settings.with_overrides({"store.url": there}),
                given=options,
                tell=invocation.out.note,
            ).store

    try:
        yield places()
    finally:
        for folder in set(folders):
            shutil.rmtree(folder, ignore_errors=True)


def _made(invocation: Invocation, path: str, token: str) -> Path:
    """Make a folder below the share's root, with the root's permissions; the probe's folder."""
    from hyperfed.storage.filesystem import FilesystemStore
    from hyperfed.storage.retrying import RetryingStore

    share = invocation.store
    while isinstance(share, RetryingStore):
        share = share.inner
    assert isinstance(share, FilesystemStore)  # noqa: S101 - by its address
    share.put_if_absent(f"{path}/begun", b"")
    (share.root / path / "begun").unlink()
    return share.root / token
