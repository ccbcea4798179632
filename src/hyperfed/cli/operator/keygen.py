"""Implement `hyperfed keygen`, which writes a key pair to a file of mode 0600, and a public one."""

import os
from pathlib import Path

import click

from hyperfed.cli.files import create, public_keys_text
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, output_options
from hyperfed.cli.output import show_pairs
from hyperfed.client.opening import PASSPHRASE_VARIABLE
from hyperfed.errors import ConfigError

__all__ = ["keygen"]


@click.command(cls=Command)
@click.argument("path", type=FILE, default="hyperfed.key")
@click.option(
    "--passphrase/--no-passphrase",
    "locked",
    default=None,
    help="Lock the key with a passphrase; by default if $HYPERFED_PASSPHRASE is set.",
)
@output_options
@pass_invocation
def keygen(invocation: Invocation, path: Path, locked: bool | None) -> None:
    """Make a key pair: PATH (mode 0600, never overwritten) and PATH.pub, which you may give to
    others.

    Clients, coordinators, auditors and roots all use the same kind. A lost key cannot be restored:
    keep a backup, or enrol a new one.

    \b
      hyperfed keygen hospital.key
      hyperfed keygen --passphrase root-1.key
    """
    from hyperfed.crypto.keys import KeyPair

    passphrase = _passphrase(locked)
    public_path = path.parent / f"{path.name}.pub"
    if public_path.exists():
        raise ConfigError(
            "there is a file already, and it is not overwritten",
            subject=str(public_path),
            remedy="Choose another path, or move it away",
        )
    pair = KeyPair.generate()
    pair.save(path, passphrase)
    create(public_path, public_keys_text(pair.public))
    document = {
        "key_file": path,
        "public_key_file": public_path,
        "key_id": pair.key_id,
        "locked": passphrase is not None,
    }
    invocation.out.finish(
        document,
        lambda to: show_pairs(
            to,
            {
                "Key": f"{path}  (secret; only you can read "
                f"it{', locked with a passphrase' if passphrase else ''})",
                "Public half": f"{public_path}  (for the operator)",
                "Key id": pair.key_id,
            },
        ),
    )


def _passphrase(locked: bool | None) -> str | None:
    """Return what to lock the key with, or None. Raises ConfigError for an empty passphrase."""
    from_environment = os.environ.get(PASSPHRASE_VARIABLE)
    if locked is False or (locked is None and from_environment is None):
        return None
    passphrase: str = (
        from_environment
        if from_environment is not None
        else click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    )
    if not passphrase:
        raise ConfigError(
            "an empty passphrase protects nothing",
            subject=f"${PASSPHRASE_VARIABLE}",
            remedy="Set one, or give --no-passphrase",
        )
    return passphrase
