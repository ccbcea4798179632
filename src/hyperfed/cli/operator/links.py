"""Implement `hyperfed links`, which makes presigned URLs for clients without a cloud account.

`first` writes a client's first bundle. `issue` makes new ones for a client that was away too long.

1. A file of links is sealed to its client. It may travel by mail, and is of no use to anybody else.
2. Every later round brings new links by itself, where the Drop-Box block names the client in
   `clients_by_link` (`flows.open_round`).

What it does not do: use links. For that a client writes [store] links = "FILE" instead of a url.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.files import create, replace_file
from hyperfed.cli.invocation import Invocation, load_key, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.options import FILE, add_options, output_options, store_options
from hyperfed.cli.output import instant, show_pairs, show_table

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.links.issuing import LinkIssuer

__all__ = ["first", "issue", "links"]


@click.group(cls=Group)
def links() -> None:
    """Make presigned URLs for clients that have no cloud account.

    Such a client needs a file of links and its own key. Later, opening a round gives new links to
    the clients that the Drop-Box block names in clients_by_link. The URLs have the rights of the
    access key that signs them, and expire with it.

    \b
      hyperfed links first hospital-1           once, at enrolment: hospital-1.hfl for hospital-1
      hyperfed links issue hospital-1           when hospital-1 was away for more than a week
    """


def issuing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that both commands have."""
    return add_options(
        command,
        click.option(
            "--days",
            type=click.IntRange(1, 7),
            default=7,
            show_default=True,
            help="How many days the URLs are valid; the signature allows no more.",
        ),
        click.option(
            "--keys",
            "--coordinator-key",
            "coordinator_key",
            metavar="FILE",
            type=FILE,
            help="The coordinator's key file; by default [coordinator] key.",
        ),
        store_options,
        output_options,
        pass_invocation,
    )


@links.command()
@click.argument("client")
@click.option("--out", type=FILE, help="Where to write it; by default CLIENT.hfl.")
@issuing_options
def first(
    invocation: Invocation, client: str, out: Path | None, coordinator_key: Path | None, days: int
) -> None:
    """Write CLIENT's first file of links, which you give to it when it is enrolled.

    The client must be in the published registry.

    \b
      hyperfed links first hospital-1
    """
    from hyperfed.links.bundle import outlast

    path = out or Path(f"{client}.hfl")
    with invocation.out.step("Signing URLs"):
        issuer = _issuer(invocation, coordinator_key, days)
        data = issuer.file(client)
    create(path, data)
    expires = issuer.now + timedelta(days=days)
    document = {
        "file": path,
        "client_id": client,
        "round": issuer.round_id,
        "expires": expires,
        "bytes": len(data),
    }

    def render(to: "Console") -> None:
        pairs = {
            "Links": path,
            "For": f"{client}, sealed to its key; to be used before {instant(expires)}",
        }
        pairs["Its hyperfed.toml"] = f'[store] links = "{path.name}" instead of url and the like'
        show_pairs(
            to,
            {
                **pairs,
                "Next": f"send it the file; `hyperfed service install --by-link {client} ...` "
                "so that each round brings new links"
                if outlast(issuer.reader.registry.window_s)
                else "send it the file, and another in each window (`hyperfed links issue "
                f"{client}`): windows as long as these outlast all links",
            },
        )

    invocation.out.finish(document, render)


@links.command()
@click.argument("clients", nargs=-1, required=True, metavar="CLIENT...")
@click.option(
    "--out-dir",
    type=FILE,
    default=".",
    help="Folder for CLIENT.hfl; an existing file is replaced.",
)
@issuing_options
def issue(
    invocation: Invocation,
    clients: tuple[str, ...],
    out_dir: Path,
    coordinator_key: Path | None,
    days: int,
) -> None:
    """Make new links for CLIENTs.

    The links go into the drop-box, if the running round has none for the client yet, and into a
    file for a client that can no longer reach anything.

    \b
      hyperfed links issue hospital-1 hospital-2
    """
    from hyperfed.links.issuing import issue_links

    client_ids = sorted(set(clients))
    with invocation.out.step("Signing URLs"):
        issuer = _issuer(invocation, coordinator_key, days)
        # where one client cannot have links, nobody gets new ones
        files = {client: issuer.file(client) for client in client_ids}
        issued = issue_links(
            issuer.store,
            client_ids,
            round_id=issuer.round_id,
            now=issuer.now,
            key_pair=issuer.key_pair,
            fingerprint=None,
            reader=issuer.reader,
            lifetime_s=issuer.lifetime_s,
            mail=issuer.mail,
        )
    for client, data in files.items():
        replace_file(out_dir / f"{client}.hfl", data)
    expires = issuer.now + timedelta(days=days)
    rows = [
        {
            "client_id": client,
            "file": out_dir / f"{client}.hfl",
            "in_drop_box": "written" if client in issued.written else "there",
        }
        for client in client_ids
    ]

    def render(to: "Console") -> None:
        title = f"Links of round {issuer.round_id}, until {instant(expires)}"
        show_table(
            to,
            title,
            ("client", "file", "in the drop-box"),
            ((r["client_id"], r["file"], r["in_drop_box"]) for r in rows),
        )
        show_pairs(
            to,
            {
                "Next": "who was away for more than a week gets its file by mail, and puts it "
                "where [store] links says"
            },
        )

    invocation.out.finish({"round": issuer.round_id, "expires": expires, "links": rows}, render)


def _issuer(invocation: Invocation, coordinator_key: Path | None, days: int) -> "LinkIssuer":
    from hyperfed.cli.operator.registry_view import current_round
    from hyperfed.gossip.reach import GossipReach
    from hyperfed.links.issuing import LinkIssuer, presigner_of

    key_pair = load_key(coordinator_key or invocation.settings.need("coordinator.key"))
    presigner_of(invocation.store)  # refuses before anything is read
    reader = invocation.reader
    invocation.warn_unless_compared()
    round_id = current_round(reader.registry, invocation.now)
    return LinkIssuer(
        store=invocation.store,
        reader=reader,
        key_pair=key_pair,
        round_id=round_id,
        now=invocation.now,
        lifetime_s=days * 86_400,
        mail=GossipReach(reader, round_id),
    )
