"""Implement `hyperfed enroll`.

It writes the file by which a client hands its public keys to the operator.
"""

from pathlib import Path

import click

from hyperfed.cli.files import Armour, create, wrap
from hyperfed.cli.invocation import Invocation, load_key, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, client_options, config_option, output_options
from hyperfed.cli.output import clean, grouped, show_pairs

__all__ = ["enroll"]


@click.command(cls=Command)
@click.option(
    "--organisation", required=True, help="Your organisation's name, as others will read it."
)
@click.option(
    "--basket",
    default="default",
    show_default=True,
    help="The group of clients, by domain, that your data belong to.",
)
@click.option(
    "--out",
    type=FILE,
    help="Where to write it; by default CLIENT-ID.enrolment.",
)
@client_options
@config_option
@output_options
@pass_invocation
def enroll(invocation: Invocation, organisation: str, basket: str, out: Path | None) -> None:
    """Write an enrolment: client id, organisation, basket and public keys.

    The key itself signs the enrolment, as proof that you hold it. Send the file to the operator by
    any means, and read its fingerprint to them on another channel, such as the telephone: only this
    proves that the file is yours.

    \b
      hyperfed enroll --client-id hospital-1 --organisation "General Hospital" \\
          --basket hospitals --key hospital.key
    """
    from hyperfed.registry.enrolment import Enrolment, read_enrolment, sign_enrolment

    settings = invocation.settings
    client_id, key_path = settings.need("client.id"), settings.need("client.key")
    key_pair = load_key(key_path)
    enrolment = Enrolment(
        client_id=client_id, organisation=organisation, basket=basket, keys=key_pair.public
    )
    data = sign_enrolment(enrolment, key_pair, now=invocation.now)
    _, fingerprint = read_enrolment(data, now=invocation.now)
    path = out or Path(f"{client_id}.enrolment")
    create(path, wrap(Armour.ENROLMENT, data))
    document = {
        "file": path,
        "client_id": client_id,
        "organisation": organisation,
        "basket": basket,
        "key_id": key_pair.key_id,
        "fingerprint": fingerprint,
    }
    invocation.out.finish(
        document,
        lambda to: show_pairs(
            to,
            {
                "Enrolment": path,
                "Client": f"{client_id} ({clean(organisation)}, basket {clean(basket)})",
                "Key id": key_pair.key_id,
                "Fingerprint": grouped(fingerprint),
                "Next": "send the file to the operator, and compare the fingerprint on another "
                "channel",
            },
        ),
    )
