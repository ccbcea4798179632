"""Implement `hyperfed inspect`, which lists the drop-box, or verifies one object and shows it."""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from hyperfed.cli.invocation import Invocation, load_key, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, output_options, store_options
from hyperfed.cli.output import show_pairs, show_table
from hyperfed.errors import ObjectNotFound
from hyperfed.protocol.object_keys import Keys, page_of, top_of

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.cli.operator.inspection import View
    from hyperfed.crypto.keys import KeyPair
    from hyperfed.storage.store import ObjectInfo

__all__ = ["inspect"]

# an update in a pack, which is no object of its own
_OF_A_PACK = re.compile(r"(?<=/accepted/[0-9a-f]{64})/[0-9a-f]{64}$")
_RECEIPT = re.compile(r"rounds/([0-9]{8})/receipts/([^/]+)")
_SHOWN_ROWS = 30
_SHOWN_OBJECTS = 200


@click.command(cls=Command)
@click.argument("key", default="")
@click.option(
    "--open-with",
    type=FILE,
    help="The key file that opens sealed objects; by default [coordinator] key, if there is one.",
)
@store_options
@output_options
@pass_invocation
def inspect(invocation: Invocation, key: str, open_with: Path | None) -> None:
    """Show the object at KEY: what it says, who signed it, and whether the signature holds.

    If something could not be verified, the answer says what and why. If KEY is the beginning of
    several keys, or is not given, they are listed. The exit code is 1 if an object does not verify.

    \b
      hyperfed inspect
      hyperfed inspect rounds/00000328/
      hyperfed inspect rounds/00000328/result
      hyperfed inspect inbox/00000328/hospital-1/0
      hyperfed inspect rounds/00000328/accepted/PACK/UPDATE
    """
    key = key.strip("/") + "/" if key.endswith("/") else key
    if not key or key.endswith("/"):
        _list(invocation, key.removeprefix("/"))
    try:
        key, data = _read(invocation, key)
    except ObjectNotFound:
        _list(invocation, key)
    from hyperfed.cli.operator.inspection import inspect_object

    with invocation.out.step("Verifying"):
        view = inspect_object(
            data, key=key, reader=invocation.reader, keys_for=lambda: _keys(invocation, open_with)
        )
    invocation.warn_unless_compared()
    is_sound = view.verified or view.kind == "probe"
    invocation.out.finish(
        view.document(),
        lambda to: _show(to, view),
        code=0 if is_sound else 1,
        because=f"does not verify: {view.why}",
    )


def _read(invocation: Invocation, key: str) -> tuple[str, bytes]:
    """Return the key and the bytes of an object.

    A receipt without an object of its own lies in a page; then the page is returned. Raises
    ObjectNotFound.
    """
    most = invocation.reader.limits.max_object_bytes
    try:
        return key, invocation.store.read(_OF_A_PACK.sub("", key), max_bytes=most)
    except ObjectNotFound:
        if not (receipt := _RECEIPT.fullmatch(key)):
            raise
        page = Keys.receipt_page(int(receipt[1]), page_of(receipt[2]))
        return page, invocation.store.read(page, max_bytes=most)


def _keys(invocation: Invocation, key_file: Path | None) -> "KeyPair | None":
    path = key_file or invocation.settings.file("coordinator.key")
    return None if path is None else load_key(path)


def _list(invocation: Invocation, prefix: str) -> NoReturn:
    """List what lies under a prefix, and end the command.

    Raises ObjectNotFound where nothing lies under a prefix that was given.
    """
    objects = list(invocation.store.list(prefix))
    if not objects and prefix:
        raise ObjectNotFound(
            "there is no such object, and nothing below it",
            subject=prefix,
            remedy="List what is there with `hyperfed inspect` without a key",
        )
    document = {
        "prefix": prefix,
        "count": len(objects),
        "bytes": sum(info.size for info in objects),
        "objects": objects,
    }
    invocation.out.finish(document, lambda to: _show_list(to, prefix, objects))


def _show_list(to: "Console", prefix: str, objects: "list[ObjectInfo]") -> None:
    if not objects:
        show_pairs(to, {"Drop-box": "empty; `hyperfed registry init` begins a federation"})
        return
    title = f"{len(objects)} objects, {sum(info.size for info in objects)} bytes" + (
        f" under {prefix}" if prefix else ""
    )
    if len(objects) <= _SHOWN_OBJECTS and prefix:
        show_table(
            to,
            title,
            ("key", "bytes"),
            ((info.key, info.size) for info in objects),
            right=("bytes",),
        )
        return
    depth = prefix.count("/") + 1
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for info in objects:
        folder = top_of(info.key, depth)
        folder += "/" if folder != info.key else ""
        count[folder] += 1
        size[folder] += info.size
    show_table(
        to,
        title,
        ("under", "objects", "bytes"),
        ((name, count[name], size[name]) for name in sorted(count)),
        right=("objects", "bytes"),
    )


def _show(to: "Console", view: "View") -> None:
    document = view.document()
    show_pairs(
        to,
        {
            "Object": view.key,
            "Kind": view.kind,
            "Size": f"{view.size} bytes, SHA-256 {view.sha256}",
            "Verified": "yes" if view.verified else f"NO: {view.why}",
        },
    )
    for name in ("header", "content"):
        if document[name]:
            to.print()
            to.print(f"{name.capitalize()}{'' if view.verified else ' (unverified)'}", style="bold")
            _show_value(to, document[name])
    for note in view.notes:
        show_pairs(to, {"Note": note})


def _show_value(to: "Console", value: dict[str, Any]) -> None:
    """Show a document: single values first, then each list of rows as a table."""
    single: dict[str, Any] = {}
    tables: dict[str, list[dict[str, Any]]] = {}
    for name, item in value.items():
        if isinstance(item, list) and item and all(isinstance(row, dict) for row in item):
            tables[name] = item
        elif (flat := _flat(item)) not in ("", None):
            single[name] = flat
    show_pairs(to, single)
    for name, rows in tables.items():
        columns = list(rows[0])
        more = f", the first {_SHOWN_ROWS} (--json shows all)" if len(rows) > _SHOWN_ROWS else ""
        show_table(
            to,
            f"{name}: {len(rows)}{more}",
            columns,
            ([_short(row.get(c)) for c in columns] for row in rows[:_SHOWN_ROWS]),
        )


def _flat(item: Any) -> Any:
    """Return a nested value in one line."""
    if isinstance(item, dict):
        return ", ".join(
            f"{name} {_flat(inner)}"
            for name, inner in item.items()
            if inner not in ("", None, [], {})
        )
    if isinstance(item, list):
        texts = [
            f"({_flat(inner)})" if isinstance(inner, dict) else str(_flat(inner))
            for inner in item[:_SHOWN_ROWS]
        ]
        return ", ".join(texts) + (
            f" and {len(item) - _SHOWN_ROWS} more" if len(item) > _SHOWN_ROWS else ""
        )
    return item


def _short(item: Any) -> Any:
    """Return a cell, in which a digest is cut to its beginning."""
    flat = _flat(item)
    return (
        f"{flat[:16]}..."
        if isinstance(flat, str) and len(flat) == 64 and all(c in "0123456789abcdef" for c in flat)
        else flat
    )
