"""Implement `hyperfed report`: write the dossier site, a folder of pages.

Each file is replaced at once or not at all, and the home page last, so that a reader of the folder
finds no link to a page that does not exist yet.
"""

from pathlib import Path

import click

from hyperfed.cli.files import replace_file
from hyperfed.cli.invocation import Invocation, load_key, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, client_options, last_option, output_options, store_options
from hyperfed.cli.output import show_pairs

__all__ = ["report"]


@click.command(cls=Command)
@click.option(
    "--out", "folder", type=FILE, default="site", show_default=True, help="Folder to write into."
)
@click.option(
    "--open-with",
    type=FILE,
    help="A coordinator's or an auditor's key file: the pages then name single clients.",
)
@last_option(30, "How many committed rounds to show.")
@client_options
@store_options
@output_options
@pass_invocation
def report(invocation: Invocation, folder: Path, open_with: Path | None, last: int) -> None:
    """Write what the federation knows as a folder of pages: the graph, a page an edge, a page a
    round.

    The pages need no server and no network: open index.html, or put the folder into a bucket. A
    round has a page where you may read its state, as the operator and auditors may. With a key that
    opens updates, an edge's page has a line for each client under its name: keep such a folder to
    yourself.

    \b
      hyperfed report --out site/
      hyperfed report --out own/ --open-with coordinator.key
    """
    from hyperfed.config import DEFAULT_LIMITS
    from hyperfed.coordinator.frozen import FrozenSets
    from hyperfed.report.site import SiteContent, site_files

    key_pair = None if open_with is None else load_key(open_with)
    with invocation.out.step("Fetching and verifying"):
        session = invocation.session(signing=False)
        ledger, reader = session.check_ledger(), session.reader
        sets = None
        if key_pair is not None:
            sets = FrozenSets(
                store=reader.store, reader=reader, key_pair=key_pair, limits=DEFAULT_LIMITS
            )
        content = SiteContent.read(reader, ledger, last=last, sets=sets)
    files = site_files(content)
    for path, text in sorted(files.items(), key=lambda item: item[0] == "index.html"):
        replace_file(folder / path, text.encode())
    document = {
        "folder": folder,
        "home": folder / "index.html",
        "pages": len(files),
        "edges": sum(path.startswith("edges/") for path in files),
        "rounds": sum(path.startswith("rounds/") for path in files),
        "names_clients": content.lines is not None and bool(content.lines.names),
    }
    if content.lines is not None and content.lines.names:
        invocation.out.note("the pages name single clients: keep the folder to yourself")
    pairs = {
        "Written": f"{folder}/index.html and {len(files) - 1} more pages",
        "Pages": f"{document['edges']} of edges, {document['rounds']} of rounds",
    }
    invocation.out.finish(document, lambda to: show_pairs(to, pairs))
