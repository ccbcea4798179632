"""Implement `hyperfed registry sign | merge | publish | show`: from a draft to a published version.

1. `sign` needs no network: it runs on a root's offline machine, shows what will be signed and what
   differs from the version before, which lies beside the draft, and asks.
2. `merge` joins signatures of one draft, and refuses signatures of different drafts.
3. `publish` verifies the whole chain first and then creates the object. A version that exists is
   never changed. Before version 1 the store itself is checked, because the protocol's safety rests
   on create-only writes.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hyperfed.cli.files import Armour, before_in, create, read_armour, wrap
from hyperfed.cli.invocation import Invocation, load_key, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.operator.registry_drafts import confirm
from hyperfed.cli.operator.registry_view import show_changes, show_registry, summary_of
from hyperfed.cli.options import FILE, config_option, output_options, store_options
from hyperfed.cli.output import console, show_pairs
from hyperfed.errors import ConfigError, RegistryError

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.registry.registry import Registry

__all__ = ["merge", "publish", "show", "sign"]


@click.command(cls=Command)
@click.argument("draft", type=FILE)
@click.option(
    "--root-key",
    "key_files",
    type=FILE,
    multiple=True,
    help="A root's key file; by default those of [root] keys.",
)
@click.option(
    "--out",
    type=FILE,
    help="Where to write it; by default DRAFT's name with the key id and .signed.",
)
@click.option(
    "--outgoing-root",
    is_flag=True,
    help="Sign although this draft removes the key from the roots: the old roots must sign too.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether you have read what is signed.")
@config_option
@output_options
@pass_invocation
def sign(
    invocation: Invocation,
    draft: Path,
    key_files: tuple[Path, ...],
    out: Path | None,
    outgoing_root: bool,
    yes: bool,
) -> None:
    """Sign DRAFT, or a version that others have already signed, with a root key.

    Signing needs no network: do it on the root's offline machine.

    \b
      hyperfed registry sign registry-000001.draft --root-key root-1.key
    """
    from hyperfed.registry.registry import merge_signatures, sign_registry

    kind, data = read_armour(draft, Armour.DRAFT, Armour.REGISTRY)
    drafted = _content(kind, data, draft)
    files = key_files or invocation.settings.files("root.keys")
    if not files:
        raise ConfigError(
            "no root key is given",
            subject="registry sign",
            remedy="Give --root-key FILE, or [root] keys in hyperfed.toml",
        )
    pairs = [load_key(file) for file in files]
    for pair, file in zip(pairs, files, strict=True):
        if not outgoing_root and all(root.key_id != pair.key_id for root in drafted.roots):
            raise ConfigError(
                f"key {pair.key_id} is not among the roots of this version",
                subject=str(file),
                rule="R-23",
                remedy="Use a root's key; where this version replaces that root, give "
                "--outgoing-root",
            )
    before = before_in(draft)
    changes = _changes(drafted, before, draft)
    if not (yes or invocation.as_json):
        show_registry(console(stderr=True), drafted)
        if drafted.version > 1:
            show_changes(console(stderr=True), changes)
    confirm(
        invocation,
        [f"version {drafted.version} of federation {drafted.federation}"],
        "Sign this version of the registry?",
        yes=yes,
    )
    signed = sign_registry(drafted, pairs)
    if kind is Armour.REGISTRY:
        signed = merge_signatures([data, signed])
    path = out or draft.with_name(
        f"{draft.name.removesuffix('.draft').removesuffix('.signed')}.{pairs[0].key_id[:8]}.signed"
    )
    beside = wrap(Armour.BEFORE, before) if before else ""
    create(path, wrap(Armour.REGISTRY, signed) + beside)
    _say_signed(invocation, drafted, signed, path, changes=changes)


def _changes(drafted: "Registry", before: bytes, draft: Path) -> list[str] | None:
    """Return what differs from the version before; None where it does not lie beside the draft.

    Raises RegistryError where another version lies there than the one that the draft names.
    """
    from hyperfed.crypto.envelope import PacketType, digest_of, open_envelope
    from hyperfed.crypto.sealing import bind_body
    from hyperfed.registry.differences import differences
    from hyperfed.registry.registry import registry_header

    if not before:
        return None
    earlier = _content(Armour.REGISTRY, before, draft)
    body = bytes(open_envelope(before, subject=str(draft)).body)
    header = bind_body(registry_header(earlier), body).to_bytes()
    if digest_of(PacketType.REGISTRY, header) != drafted.previous:
        raise RegistryError(
            "shows another version beside the draft than the one that it follows",
            subject=str(draft),
            rule="R-23",
            remedy="Nothing was signed. Ask for the draft again, from whoever made it",
        )
    return differences(earlier, drafted)


@click.command(cls=Command)
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--out", type=FILE, help="Where to write it; by default registry-VERSION.signed.")
@output_options
@pass_invocation
def merge(invocation: Invocation, files: tuple[Path, ...], out: Path | None) -> None:
    """Join the signatures in FILES, which several roots made of the same draft.

    \b
      hyperfed registry merge registry-000001.*.signed
    """
    signed, merged = _merged(files)
    path = out or Path(f"registry-{merged.version:06d}.signed")
    create(path, wrap(Armour.REGISTRY, signed))
    _say_signed(invocation, merged, signed, path)


@click.command(cls=Command)
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option(
    "--no-probe",
    is_flag=True,
    help="Version 1 only: do not check first that the store honours create-only writes.",
)
@store_options
@output_options
@pass_invocation
def publish(invocation: Invocation, files: tuple[Path, ...], no_probe: bool) -> None:
    """Create the signed version in the drop-box, where everybody can find it.

    Several FILES are merged first.

    \b
      hyperfed registry publish registry-000001.signed
    """
    from hyperfed.dropbox.registries import publish_registry
    from hyperfed.registry.registry import read_registry, root_fingerprint
    from hyperfed.storage.probe import probe

    signed, merged = _merged(files)
    if merged.version == 1:
        read_registry(
            signed, before=None, fingerprint=invocation.settings.fingerprint, subject=str(files[0])
        )
        if not no_probe:
            with invocation.out.step("Checking that the store honours create-only writes"):
                probe(invocation.store)
    else:
        # verify the chain so far, against the fingerprint where one is configured
        _ = invocation.reader.registry
    key = publish_registry(invocation.store, signed)
    fingerprint = root_fingerprint(merged.roots, merged.threshold)
    document = {
        "key": key,
        "version": merged.version,
        "federation": merged.federation,
        "root_fingerprint": fingerprint,
        "clients": len(merged.clients),
    }

    def render(to: "Console") -> None:
        show_registry(to, merged)
        show_pairs(to, {"Published": key})

    invocation.out.finish(document, render)


@click.command(cls=Command)
@click.argument("file", type=FILE, required=False)
@click.option("--version", "version", type=click.IntRange(min=1), help="An earlier version.")
@store_options
@output_options
@pass_invocation
def show(invocation: Invocation, file: Path | None, version: int | None) -> None:
    """Show a registry and its root fingerprint.

    By default it is the newest version in the drop-box. You can name an earlier version, or a FILE,
    which is a draft or a signed version.

    \b
      hyperfed registry show
      hyperfed registry show --version 3
      hyperfed registry show registry-000002.draft
    """
    if file is not None:
        kind, data = read_armour(file, Armour.DRAFT, Armour.REGISTRY)
        shown = _content(kind, data, file)
        status = "not signed yet" if kind is Armour.DRAFT else _signatures(shown, data)
    else:
        reader = invocation.reader
        newest = reader.registry
        shown = reader.registry_at(version) if version else newest
        status = "verified from its root" + (
            ", which is the one compared"
            if invocation.settings.fingerprint
            else "; no fingerprint was compared"
        )

    def render(to: "Console") -> None:
        show_registry(to, shown)
        show_pairs(to, {"Status": status})

    invocation.out.finish({**summary_of(shown), "status": status}, render)


def _content(kind: Armour, data: bytes, path: Path) -> "Registry":
    """Return the registry in a draft or in a version with signatures.

    The signatures are not verified here.
    """
    from hyperfed.codec import PayloadCodec
    from hyperfed.crypto.envelope import PacketType, open_envelope
    from hyperfed.registry.registry import Registry

    if kind is Armour.DRAFT:
        return PayloadCodec().decode(data, Registry)
    envelope = open_envelope(data, subject=str(path))
    if envelope.type != PacketType.REGISTRY:
        raise ConfigError(
            f"holds a {envelope.type!r:.60}",
            subject=str(path),
            remedy="Give the file of a version of the registry",
        )
    return PayloadCodec().decode(envelope.body, Registry)


def _merged(files: tuple[Path, ...]) -> "tuple[bytes, Registry]":
    """Return the envelope that joins the signatures of one draft, and its registry."""
    from hyperfed.registry.registry import merge_signatures

    parts = []
    for file in files:
        kind, data = read_armour(file, Armour.REGISTRY, Armour.DRAFT)
        if kind is Armour.DRAFT:
            raise RegistryError(
                "is not signed",
                subject=str(file),
                rule="R-23",
                remedy=f"Have the roots sign it first: hyperfed registry sign {file}",
            )
        parts.append(data)
    signed = merge_signatures(parts)
    return signed, _content(Armour.REGISTRY, signed, files[0])


def _signatures(of: "Registry", signed: bytes) -> str:
    from hyperfed.crypto.envelope import open_envelope

    signer_ids = {key_id for key_id, _ in open_envelope(signed).signatures}
    root_count = sum(root.key_id in signer_ids for root in of.roots)
    other_count = len(signer_ids) - root_count
    also = f", and {other_count} by other keys" if other_count else ""
    return (
        f"{root_count} of the {of.threshold} signatures that this version's roots must give{also}"
    )


def _say_signed(
    invocation: Invocation,
    of: "Registry",
    signed: bytes,
    path: Path,
    *,
    changes: list[str] | None = None,
) -> None:
    from hyperfed.crypto.envelope import open_envelope

    signers = [key_id for key_id, _ in open_envelope(signed).signatures]
    complete = sum(root.key_id in signers for root in of.roots) >= of.threshold
    document = {
        "file": path,
        "federation": of.federation,
        "version": of.version,
        "signers": signers,
        "threshold": of.threshold,
        "complete": complete,
        "changes": changes,
    }
    following = (
        f"hyperfed registry publish {path}"
        if complete
        else "the other roots sign, then `hyperfed registry merge`"
    )
    invocation.out.finish(
        document,
        lambda to: show_pairs(
            to,
            {
                "Signed": path,
                "Version": f"{of.version} of federation {of.federation}",
                "Signatures": _signatures(of, signed),
                "Next": following,
            },
        ),
    )
