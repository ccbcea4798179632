"""Implement `hyperfed relay`: a small process before a folder, in place of an object store.

`serve` runs it. `certificate` makes the certificate that it shows its callers, and `access` the one
that a caller on a machine without its own key shows the relay.
"""

import logging
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import click

from hyperfed.cli.invocation import Invocation, load_key, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.options import FILE, POSITIVE, config_option, fingerprint_option, output_options
from hyperfed.cli.output import show_pairs
from hyperfed.errors import ConfigError

__all__ = ["relay"]

_GRACE_S = 20.0  # what a call may still take once the relay is told to end


@click.group(cls=Group)
def relay() -> None:
    """Run a relay: a small process in front of a folder, for a federation without an object store.

    Clients and coordinators reach it with [store] url = "grpc://host:port". The keys of the
    registry decide who may read and create what, as `hyperfed iam` prints it. The command needs the
    extra grpc.

    \b
      hyperfed relay certificate --host relay.example.org --out relay.pem --key-out relay.key
      hyperfed relay serve --folder /srv/fed --address 0.0.0.0:8443 \\
          --certificate relay.pem --key relay.key --fingerprint FINGERPRINT
    """


@relay.command()
@click.option("--folder", type=FILE, required=True, help="The folder that holds the drop-box.")
@click.option(
    "--address", required=True, metavar="HOST:PORT", help="The address and port to listen on."
)
@click.option(
    "--certificate",
    type=FILE,
    required=True,
    help="The relay's certificate in PEM form; a renewed one is used without a restart.",
)
@click.option(
    "--key",
    "private_key",
    type=FILE,
    required=True,
    help="The private key of the certificate, in a file that others cannot read.",
)
@fingerprint_option
@click.option(
    "--health",
    metavar="HOST:PORT",
    help="A port of this machine that answers gRPC's health service without TLS.",
)
@click.option(
    "--calls-per-second",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="How many calls a second a client may make in the long run; by default 100.",
)
@click.option(
    "--open-calls",
    type=POSITIVE,
    help="How many calls may be open at the same time; by default 64.",
)
@click.option(
    "--max-object",
    "max_object_bytes",
    type=POSITIVE,
    metavar="BYTES",
    help="The largest object that anybody may create; by default 64 MiB for clients, 256 MiB for "
    "others.",
)
@config_option
@output_options
@pass_invocation
def serve(
    invocation: Invocation,
    folder: Path,
    address: str,
    certificate: Path,
    private_key: Path,
    health: str | None,
    calls_per_second: float | None,
    open_calls: int | None,
    max_object_bytes: int | None,
) -> None:
    """Serve a folder until Ctrl-C or SIGTERM ends it.

    The folder must hold a registry: publish the first version with --store file:///FOLDER. A relay
    that is killed loses nothing, and several relays may serve one folder.

    \b
      hyperfed relay serve --folder /srv/fed --address 0.0.0.0:8443 \\
          --certificate relay.pem --key relay.key --health 127.0.0.1:8444
    """
    from hyperfed.relay.authority import Authority
    from hyperfed.relay.limits import RelayLimits
    from hyperfed.relay.server import RelayServer, ServerCertificate, host_of
    from hyperfed.storage.filesystem import FilesystemStore
    from hyperfed.storage.grpc_access import need_extra

    need_extra()
    invocation.warn_unless_compared()
    base, given = RelayLimits(), max_object_bytes
    limits = RelayLimits(
        calls_per_s=calls_per_second or base.calls_per_s,
        open_calls=open_calls or base.open_calls,
        max_update_bytes=min(base.max_update_bytes, given or base.max_update_bytes),
        max_object_bytes=given or base.max_object_bytes,
    )
    store = FilesystemStore(folder)
    authority = Authority(store, fingerprint=invocation.settings.fingerprint)
    server = RelayServer(
        store,
        authority,
        address=address,
        certificate=ServerCertificate(certificate=certificate, private_key=private_key),
        limits=limits,
        health_address=health,
    )
    ended = threading.Event()
    with suppress(ValueError):  # not in the main thread: whoever called ends it
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
    _log_to_stderr()
    server.start()
    where = f"{host_of(address)}:{server.port}"
    invocation.out.note(
        f"Serving {store.location} at grpc://{where} for {authority.federation}, registry version "
        f"{authority.version}" + (f"; health at {health}" if health else "")
    )
    ended.wait()
    invocation.out.note(f"Ending; open calls have {_GRACE_S:.0f} s")
    server.stop(_GRACE_S)
    invocation.out.finish({"address": where, "folder": store.location}, lambda to: None)


def _log_to_stderr() -> None:
    """Write what the relay logs on stderr, one line each, without control characters."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    relay_log = logging.getLogger("hyperfed.relay")
    relay_log.addHandler(handler)
    relay_log.setLevel(logging.INFO)
    relay_log.propagate = False


@relay.command()
@click.option(
    "--host",
    "hosts",
    multiple=True,
    required=True,
    metavar="NAME",
    help="A name or an address by which callers reach the relay, once for each.",
)
@click.option(
    "--out",
    type=FILE,
    required=True,
    help="The file for the certificate, which callers name in [store] ca_file.",
)
@click.option("--key-out", type=FILE, required=True, help="The file for its private key.")
@click.option(
    "--days", type=POSITIVE, default=1095, show_default=True, help="How many days it is valid."
)
@output_options
@pass_invocation
def certificate(
    invocation: Invocation, hosts: tuple[str, ...], out: Path, key_out: Path, days: int
) -> None:
    """Make a certificate for the relay, if your organisation has no certificate authority.

    \b
      hyperfed relay certificate --host relay.example.org --out relay.pem --key-out relay.key
    """
    from hyperfed.relay.certificates import make_certificate

    digest = make_certificate(
        hosts, certificate=out, private_key=key_out, now=invocation.now, days=days
    )
    pairs = {
        "Certificate": f"{out}, for {', '.join(hosts)}, {days} days",
        "SHA-256": digest,
        "Private key": str(key_out),
        "Next": f'give {out.name} to every party: [store] ca_file = "{out.name}"',
    }
    invocation.out.finish(
        {"certificate": str(out), "key": str(key_out), "sha256": digest},
        lambda to: show_pairs(to, pairs),
    )


@relay.command()
@click.option("--key", "key_file", type=FILE, help="The party's key file; by default [client] key.")
@click.option(
    "--out",
    type=FILE,
    required=True,
    help="The file to write, which [store] access_key_file then names.",
)
@click.option(
    "--days",
    type=POSITIVE,
    help="How many days it is valid; by default until the registry ends the key.",
)
@config_option
@output_options
@pass_invocation
def access(invocation: Invocation, key_file: Path | None, out: Path, days: int | None) -> None:
    """Make a file that proves to a relay which party you are, without holding your key.

    You need it only if the key itself is not at hand or has a passphrase, as on a coordinator's
    worker. Anyone who has the file has the rights of the key's role at the relay.

    \b
      hyperfed relay access --key coordinator.key --out coordinator.relay.pem
    """
    from hyperfed.storage.grpc_access import access_of_key, need_extra

    need_extra()
    path = key_file or invocation.settings.file("client.key")
    if path is None:
        raise ConfigError(
            "no key is named", subject="relay access", remedy="Give --key FILE, or [client] key"
        )
    pair = load_key(path)
    access_of_key(pair, now=invocation.now, days=days).save(out)
    until = "until the registry ends the key" if days is None else f"{days} days"
    pairs = {
        "Access": f"{out}, valid {until}",
        "Key": pair.key_id,
        "Next": f'[store] access_key_file = "{out.name}"',
    }
    invocation.out.finish(
        {"access": str(out), "key_id": pair.key_id, "days": days},
        lambda to: show_pairs(to, pairs),
    )
