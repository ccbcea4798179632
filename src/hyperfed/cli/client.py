"""`hyperfed client`: set a client up on its machine, run its night, and say how the machine runs it every night."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from hyperfed.cli.files import create
from hyperfed.cli.invocation import Invocation, client_options, config_option, output_options, pass_invocation, store_options
from hyperfed.cli.output import show_pairs, show_table
from hyperfed.errors import ConfigError

__all__ = ["client", "init", "night", "timer"]

_FILE = click.Path(path_type=Path)


@click.group()
def client() -> None:
    """A client on its own machine: keys and settings, a check of its access, and its nights.

    \b
      hyperfed client init --client-id hospital-1 --store s3://fed --fingerprint ... --dir hospital
      hyperfed client night --config hospital/hyperfed.toml --data series.csv
      hyperfed client timer --config hospital/hyperfed.toml --data series.csv
    """


@client.command()
@click.option("--dir", "directory", type=_FILE, default=".", show_default=True, help="Folder for the key and hyperfed.toml.")
@click.option("--check/--no-check", default=True, show_default=True, help="Look at the drop-box: whose it is, clock, and where this client can write.")
@client_options
@store_options
@output_options
@pass_invocation
def init(invocation: Invocation, directory: Path, check: bool) -> int:
    """Make a key and hyperfed.toml where there are none, and check this client's access. Again only checks.

    Writing must work in the own inbox and be refused elsewhere; the clock must agree with the store's. Exit code 1 where a check fails.

    \b
      hyperfed client init --client-id hospital-1 --store s3://fed --endpoint https://s3.example --access-key-file store.toml --fingerprint ...
      hyperfed client init --client-id hospital-1 --links hospital-1.hfl --fingerprint ...
    """
    from hyperfed.cli.access_check import check_access
    from hyperfed.cli.settings import load_settings
    from hyperfed.keys import KeyPair

    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "hyperfed.toml"
    made = not config.exists()
    if made:
        settings = invocation.settings
        client_id = settings.need("client.id")
        key = settings.file("client.key") or directory / f"{client_id}.key"
        if not key.exists():
            KeyPair.generate().save(key)
        create(config, _settings_text(invocation, client_id, key))
    invocation.settings = load_settings(config).with_overrides(invocation.options)
    checks = check_access(invocation) if check else []
    good = all(c.good for c in checks)
    document = {"config": config, "made": made, "checks": [{"check": c.name, "good": c.good, "said": c.said} for c in checks]}

    def render(to: Any) -> None:
        show_pairs(to, {"Settings": f"{config} ({'made' if made else 'there already'})", "Key": invocation.settings.file("client.key")})
        if checks:
            show_table(to, "", ("check", "good", "what was found"), ((c.name, c.good, c.said) for c in checks))
        show_pairs(to, {"Next": "hyperfed enroll --organisation ... and send the file to the operator" if made else "hyperfed client timer"})

    invocation.out.finish(document, render)
    return 0 if good else 1


def _settings_text(invocation: Invocation, client_id: str, key: Path) -> str:
    """hyperfed.toml from what was given; absolute paths, so that a timer may run it anywhere. Raises ConfigError where a drop-box is missing."""
    settings = invocation.settings
    if settings.text("store.url") is None and settings.file("store.links") is None:
        raise ConfigError("no drop-box is given", subject="client init", remedy="Give --store URL, or --links FILE where the operator sent one")
    lines = ["[store]"]
    for name in ("url", "endpoint", "region"):
        if (text := settings.text(f"store.{name}")) is not None:
            lines.append(f"{name} = {_toml(text)}")
    for name in ("access_key_file", "links"):
        if (path := settings.file(f"store.{name}")) is not None:
            lines.append(f"{name} = {_toml(str(path.resolve()))}")
    lines += ["", "[federation]", f"fingerprint = {_toml(settings.need_fingerprint())}", "", "[client]", f"id = {_toml(client_id)}"]
    memory = settings.file("client.memory") or key.with_name(f"{client_id}.memory.json")
    lines += [f"key = {_toml(str(key.resolve()))}", f"memory = {_toml(str(memory.resolve()))}", ""]
    return "\n".join(lines)


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@client.command()
@click.option("--data", type=_FILE, help="The time series as CSV.")
@click.option("--below", type=_FILE, help="In its place: hyperfed.toml of a federation below, whose newest result is this client's update.")
@click.option("--out", type=_FILE, default="model", show_default=True, help="Folder for the global model.")
@click.option("--max-lag", type=click.IntRange(1), default=1, show_default=True, help="The longest lag to look at, in steps.")
@click.option("--correct", is_flag=True, help="Submit although an update of this round is there: it replaces that one.")
@client_options
@store_options
@output_options
@pass_invocation
def night(invocation: Invocation, data: Path | None, below: Path | None, out: Path, max_lag: int, correct: bool) -> None:
    """Pull the newest model, discover, submit: what a timer runs. Again in the same round sends nothing.

    A federation can be a client of another: what it submits there is its own newest result, verified as its clients verify it.

    \b
      hyperfed client night --data series.csv --out model
      hyperfed client night --config country/hyperfed.toml --below region/hyperfed.toml
    """
    from hyperfed.cli.night import fetch_model, open_session, submit_update

    with invocation.out.step("Pulling, discovering, submitting"):
        session = invocation.session(signing=True)
        model = fetch_model(session, out, now=invocation.now)
        source = None if below is None else open_session(below, signing=False)
        sent = submit_update(session, data, below=source, max_lag=max_lag, correct=correct, now=invocation.now)
    said = f"update {sent['sequence']} with {sent['edges']} edges sent" if sent["sent"] else "an update is there already; nothing was sent"
    invocation.out.finish({"model": model, "update": sent}, lambda to: show_pairs(to, {"Model": model["said"], f"Round {sent['round']}": said}))


@client.command()
@click.option("--kind", type=click.Choice(["systemd", "cron", "prefect"]), default="systemd", show_default=True, help="What this machine runs things with.")
@click.option("--at", "moment", default="20:00", show_default=True, metavar="HH:MM", help="When, in UTC; inside the round's window.")
@click.option("--data", type=_FILE, help="The time series as CSV.")
@click.option("--below", type=_FILE, help="In its place: hyperfed.toml of a federation below, whose newest result is this client's update.")
@click.option("--out", type=_FILE, default="model", show_default=True, help="Folder for the global model.")
@config_option
@output_options
@pass_invocation
def timer(invocation: Invocation, kind: str, moment: str, data: Path | None, below: Path | None, out: Path) -> None:
    """Print what runs this client every night: a systemd service and timer, a cron line, or a Prefect deployment. Changes nothing.

    \b
      hyperfed --config hyperfed.toml client timer --data series.csv
      hyperfed client timer --config hyperfed.toml --kind cron --at 21:30 --data series.csv
      hyperfed client timer --config country/hyperfed.toml --below region/hyperfed.toml
    """
    from hyperfed.cli.timers import timer_text

    config = invocation.settings.path
    if config is None:
        raise ConfigError("no hyperfed.toml was found", subject="client timer", remedy="Make it with `hyperfed client init`, or give --config")
    if (data is None) == (below is None):
        raise ConfigError("one source is needed", subject="client timer", remedy="Give the series (--data), or the settings of a federation below (--below)")
    source, file = ("data", data.resolve()) if data is not None else ("below", (below or Path()).resolve())
    paths = ["--config", str(config.resolve()), f"--{source}", str(file), "--out", str(out.resolve())]
    command = shlex.join([str(Path(sys.argv[0]).resolve()), "client", "night", *paths])
    text = timer_text(kind, moment=moment, command=command, config=config.resolve(), source=source, file=file, out=out.resolve())
    invocation.out.finish({"kind": kind, "text": text}, lambda to: to.print(text, soft_wrap=True))
