"""Define the options that commands share, each once.

1. Options override hyperfed.toml, whether they stand before or after the command's name.
2. Options of several commands that mean the same thing have the same words. Where only the default
   or the help differs, a function takes it as an argument.

What it does not do: open what the options name (`invocation`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hyperfed.cli.invocation import Invocation
from hyperfed.cli.values import Assignment

__all__ = [
    "FILE",
    "POSITIVE",
    "add_options",
    "client_options",
    "committed_round_option",
    "config_option",
    "fingerprint_option",
    "last_option",
    "model_options",
    "nights_option",
    "output_options",
    "round_option",
    "scheduler_option",
    "setting_option",
    "store_options",
    "threshold_option",
]

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
POSITIVE = click.IntRange(min=1)


def add_options(command: F, *options: Callable[[F], F]) -> F:
    """Add options to a command. Its help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is not None and value != ():
            pairs = isinstance(parameter.type, Assignment)
            ctx.ensure_object(Invocation).options[name] = dict(value) if pairs else value
        return value

    return callback


def setting_option(*names: str, setting: str, **kwargs: Any) -> Callable[[F], F]:
    """Return an option that overrides the setting of that name in hyperfed.toml."""
    return click.option(*names, expose_value=False, callback=_remember(setting), **kwargs)


def _set_json(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Invocation).as_json = True


def _set_config(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(Invocation).config = value


def output_options(command: F) -> F:
    """Add --json and --debug, which every command has."""
    return add_options(
        command,
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_set_json,
            help="Print one JSON document on stdout and nothing else.",
        ),
        click.option(
            "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
        ),
    )


def config_option(command: F) -> F:
    """Add --config, which the root and every command that reads settings have."""
    option = click.option(
        "--config",
        type=FILE,
        expose_value=False,
        callback=_set_config,
        help="Configuration file, instead of ./hyperfed.toml.",
    )
    return option(command)


def fingerprint_option(command: F) -> F:
    """Add --fingerprint, for commands that verify a registry."""
    option = setting_option(
        "--fingerprint",
        setting="federation.fingerprint",
        metavar="HEX",
        help="Root fingerprint, compared out of band.",
    )
    return option(command)


def store_options(command: F) -> F:
    """Add the options that say where the drop-box is."""
    return add_options(
        command,
        config_option,
        setting_option(
            "--store",
            setting="store.url",
            metavar="URL",
            help="s3://bucket/prefix, file:///folder or grpc://host:port.",
        ),
        setting_option(
            "--links",
            setting="store.links",
            type=FILE,
            help="File of links instead of a URL: for clients without a cloud account.",
        ),
        setting_option(
            "--endpoint",
            setting="store.endpoint",
            metavar="URL",
            help="S3 endpoint; by default AWS.",
        ),
        setting_option("--region", setting="store.region", help="S3 region."),
        setting_option(
            "--addressing",
            setting="store.addressing",
            type=click.Choice(["path", "virtual", "auto"]),
            help="Whether the bucket's name is in the path or in the host's name.",
        ),
        setting_option(
            "--ca-file",
            setting="store.ca_file",
            type=FILE,
            help="Certificates to trust instead of the system's.",
        ),
        setting_option(
            "--access-key-file",
            setting="store.access_key_file",
            type=FILE,
            help="TOML file with access_key and secret_key; by default the environment decides. "
            "For a relay, the file that `hyperfed relay access` made; by default the party's own "
            "key.",
        ),
        fingerprint_option,
    )


def client_options(command: F) -> F:
    """Add the options that say which client this is."""
    return add_options(
        command,
        setting_option("--client-id", setting="client.id", metavar="ID", help="This client's id."),
        setting_option(
            "--key",
            setting="client.key",
            type=FILE,
            help="This client's key file.",
        ),
        setting_option(
            "--memory",
            setting="client.memory",
            type=FILE,
            help="The file that records what this client has seen; by default beside the key.",
        ),
    )


def round_option(command: F) -> F:
    """Add --round, for commands that send an update."""
    option = click.option(
        "--round",
        "round_id",
        type=POSITIVE,
        metavar="N",
        help="An earlier round that is below quorum, until its close_by; by default the running "
        "round.",
    )
    return option(command)


def committed_round_option(command: F) -> F:
    """Add --round, for commands that read a committed model."""
    option = click.option(
        "--round",
        "round_id",
        type=POSITIVE,
        metavar="N",
        help="The round of the model; by default the newest.",
    )
    return option(command)


def model_options(command: F) -> F:
    """Add --below and --out: what a client sends instead of data, and where its model lies."""
    return add_options(
        command,
        click.option(
            "--below",
            type=FILE,
            help="Instead of data: the hyperfed.toml of a federation below. Its newest result "
            "becomes this client's update.",
        ),
        click.option(
            "--out",
            type=FILE,
            default="model",
            show_default=True,
            help="Folder for the global model.",
        ),
    )


def threshold_option(command: F) -> F:
    """Add --threshold, for commands that draft a registry with other roots."""
    option = click.option(
        "--threshold", type=POSITIVE, help="How many roots must sign; by default more than half."
    )
    return option(command)


def scheduler_option(command: F) -> F:
    """Add --kind, what runs commands by the clock on this machine."""
    option = click.option(
        "--kind",
        type=click.Choice(["systemd", "cron", "prefect"]),
        default="systemd",
        show_default=True,
        help="The scheduler of this machine.",
    )
    return option(command)


def last_option(default: int, help_: str) -> Callable[[F], F]:
    """Return --last, the number of rounds; it is `default` unless it is given."""
    return click.option("--last", type=POSITIVE, default=default, show_default=True, help=help_)


def nights_option(most: int, help_: str, default: int | None = None) -> Callable[[F], F]:
    """Return --nights, a number of at most `most`.

    It is required where it has no default.
    """
    # click takes default=None for a default
    settings: dict[str, Any] = (
        {"required": True} if default is None else {"default": default, "show_default": True}
    )
    return click.option("--nights", type=click.IntRange(1, most), help=help_, **settings)
