"""Implement `hyperfed check store`, which tries a store of the user's own.

1. It runs the conformance suite that every adapter passes (`hyperfed.testing.store_suite`), each
   rule in a folder of its own below `probe/`. Nothing else of the store is read or written.
2. The rules are run in fewer and smaller trials than in the tests, so that a slow share answers in
   a minute.
3. On a share the folder is removed again. In a bucket it stays, because nobody may erase there but
   housekeeping; objects below `probe/` may expire.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.options import output_options, store_options
from hyperfed.cli.output import show_pairs, show_table
from hyperfed.errors import ConfigError

__all__ = ["check", "store"]


@click.group(cls=Group)
def check() -> None:
    """Test what a federation will rely on, before it does.

    \b
      hyperfed check store file:///mnt/share
      hyperfed check store s3://bucket --endpoint https://s3.example.org
    """


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
