"""Implement `hyperfed client`: set a client up, run its night, and say how to run it nightly."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from hyperfed.cli.client.data_shown import read_pairs
from hyperfed.cli.client.rebut import rebut
from hyperfed.cli.client.source_options import source_options
from hyperfed.cli.files import create
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.options import (
    FILE,
    client_options,
    config_option,
    model_options,
    output_options,
    round_option,
    scheduler_option,
    store_options,
)
from hyperfed.cli.output import listed, show_pairs, show_table
from hyperfed.cli.values import Duration
from hyperfed.client.sources import Source, arguments_of, given_source, option_words, read_source
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from hyperfed.client.settings import Settings

__all__ = ["client", "init", "night", "timer"]


@click.group(cls=Group)
def client() -> None:
    """Set up a client on its own machine, check its access, and run its nights.

    \b
      hyperfed client init --client-id hospital-1 --store s3://fed --fingerprint ... --dir hospital
      hyperfed client night --config hospital/hyperfed.toml --data series.csv
      hyperfed client timer --config hospital/hyperfed.toml --data series.csv
    """


@client.command()
@click.option(
    "--dir",
    "directory",
    type=FILE,
    default=".",
    show_default=True,
    help="Folder for the key and hyperfed.toml.",
)
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Check whose drop-box it is, the clock, and where this client can write.",
)
@client_options
@store_options
@output_options
@pass_invocation
def init(invocation: Invocation, directory: Path, check: bool) -> None:
    """Make a key and hyperfed.toml if they are missing, and check this client's access.

    Running it again only checks. Writing must work in the client's own inbox and be refused
    elsewhere, and the clock must agree with the store's. The exit code is 1 if a check fails.

    \b
      hyperfed client init --client-id hospital-1 --store s3://fed \\
          --endpoint https://s3.example --access-key-file store.toml --fingerprint ...
      hyperfed client init --client-id hospital-1 --links hospital-1.hfl --fingerprint ...
    """
    from hyperfed.cli.client.access_check import check_access
    from hyperfed.client.settings import load_settings
    from hyperfed.crypto.keys import KeyPair

    if "store.url" in invocation.options:
        invocation.options["store.url"] = _from_anywhere(invocation.options["store.url"])
    config = directory / "hyperfed.toml"
    is_new = not config.exists()
    # Use only what is given here: settings of another client, whose folder this may be, must not
    # lend this one its key.
    settings = load_settings(invocation.config).with_overrides(invocation.options)
    if is_new:
        client_id = settings.need("client.id")
        key = settings.file("client.key") or directory / f"{client_id}.key"
        text = _settings_text(settings, client_id, key)
        key.parent.mkdir(parents=True, exist_ok=True)
        if not key.exists():
            KeyPair.generate().save(key)
        create(config, text)
    invocation.settings = load_settings(config)
    _refuse_other(invocation.settings, invocation.options)
    checks = check_access(invocation) if check else []
    document = {
        "config": config,
        "made": is_new,
        "checks": [{"check": c.name, "good": c.good, "said": c.said} for c in checks],
    }

    def render(to: Any) -> None:
        show_pairs(
            to,
            {
                "Settings": f"{config} ({'made' if is_new else 'there already'})",
                "Key": invocation.settings.file("client.key"),
            },
        )
        if checks:
            show_table(
                to,
                "",
                ("check", "good", "what was found"),
                ((c.name, c.good, c.said) for c in checks),
            )
        where = "" if directory.resolve() == Path.cwd() else f"--config {config} "
        enrol = f"hyperfed enroll {where}--organisation NAME, and send the file to the operator"
        following = f"correct what is wrong, here or in {config}; then hyperfed client init again"
        show_pairs(
            to,
            {
                "Next": following
                if failed
                else enrol
                if is_new
                else f"hyperfed submit {where}--data FILE.csv; hyperfed client timer "
                f"{where}--data FILE.csv"
            },
        )

    failed = ", ".join(f"{c.name}: {c.said}" for c in checks if not c.good)
    invocation.out.finish(document, render, code=1 if failed else 0, because=failed)


def _refuse_other(settings: "Settings", options: Mapping[str, Any]) -> None:
    """Raise ConfigError where an option contradicts the file that is there.

    What was checked must be what counts later.
    """
    overridden = settings.with_overrides(options)
    for name in options:
        settings_said, asked_for = (
            (v.resolve() if isinstance(v, Path) else v)
            for v in (settings.values.get(name), overridden.values[name])
        )
        if settings_said != asked_for:
            section, _, key = name.partition(".")
            raise ConfigError(
                f"says [{section}] {key} = {settings_said or 'nothing'}, and {asked_for} is given",
                subject=str(settings.path),
                remedy="Correct the file, which stays as it is, or leave the option out",
            )


def _settings_text(settings: "Settings", client_id: str, key: Path) -> str:
    """Return the text of hyperfed.toml for what was given.

    Its paths are absolute, so that a timer may run it anywhere. Raises ConfigError where no
    drop-box is given.
    """
    if settings.text("store.url") is None and settings.file("store.links") is None:
        raise ConfigError(
            "no drop-box is given",
            subject="client init",
            remedy="Give --store URL, or --links FILE where the operator sent one",
        )
    lines = ["[store]"]
    for name in ("url", "endpoint", "region", "addressing"):
        if (text := settings.text(f"store.{name}")) is not None:
            lines.append(f"{name} = {_toml(text)}")
    for name in ("access_key_file", "ca_file", "links"):
        if (path := settings.file(f"store.{name}")) is not None:
            lines.append(f"{name} = {_toml(str(path.resolve()))}")
    lines += [
        "",
        "[federation]",
        f"fingerprint = {_toml(settings.need_fingerprint())}",
        "",
        "[client]",
        f"id = {_toml(client_id)}",
    ]
    memory = settings.file("client.memory") or key.parent / f"{client_id}.memory.json"
    lines += [f"key = {_toml(str(key.resolve()))}", f"memory = {_toml(str(memory.resolve()))}", ""]
    return "\n".join(lines)


def _from_anywhere(url: str) -> str:
    """Return the address with a relative `file:` path made absolute.

    hyperfed.toml may lie in another folder.
    """
    path = url.removeprefix("file:")
    return url if path == url or path.startswith("/") else f"file://{quote(str(Path.cwd()))}/{path}"


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@client.command()
@source_options
@model_options
@click.option(
    "--correct",
    is_flag=True,
    help="Submit although this round already has your update, which is then replaced.",
)
@round_option
@client_options
@store_options
@output_options
@pass_invocation
def night(
    invocation: Invocation, below: Path | None, out: Path, correct: bool, round_id: int | None
) -> None:
    """Pull the newest model, discover and submit. A timer runs this command.

    Running it again in the same round sends nothing. Data, edges and engine are the options of
    `hyperfed submit`, or come from section [data] of hyperfed.toml.

    A federation can be a client of another federation. It then submits its own newest result there,
    verified as its clients verify it.

    \b
      hyperfed client night --data series.csv --out model
      hyperfed client night --config country/hyperfed.toml --below region/hyperfed.toml
    """
    from hyperfed.client.night import fetch_model, open_session, submit_update

    origin = _source(invocation, below)
    source = None if below is None else open_session(below, signing=False)
    with invocation.out.step("Pulling, discovering, submitting"):
        session = invocation.session(signing=True)
        model = fetch_model(session, out, now=invocation.now)
        sent = submit_update(
            session, origin, below=source, correct=correct, round_id=round_id, now=invocation.now
        )
    for note in sent.get("notes", ()):
        invocation.out.note(note)
    outcome = (
        f"update {sent['sequence']} with {sent['edges']} edges sent"
        if sent["sent"]
        else "an update is there already; nothing was sent"
    )
    pairs = {"Model": model["said"], f"Round {sent['round']}": outcome}
    pairs |= read_pairs(sent.get("read"))
    if sent.get("send_again_for"):
        pairs["Send again"] = (
            f"your update for round {sent['send_again_for']} has the lower sequence now: "
            "`hyperfed client night --correct` replaces it"
        )
    for name, title in (
        ("not_measured", "Not measured here"),
        ("columns_left_out", "Columns left out"),
    ):
        if sent.get(name):
            pairs[title] = listed(sent[name])
    invocation.out.finish({"model": model, "update": sent}, lambda to: show_pairs(to, pairs))


def _source(invocation: Invocation, below: Path | None) -> Source | None:
    """Return where a night's edges come from, or None where a federation below is named.

    Raises ConfigError unless exactly one source is named.
    """
    options = given_source(invocation.options)
    source = read_source(invocation.settings, options) if below is None or options else None
    if (source is None) == (below is None):
        raise ConfigError(
            "one source is needed",
            subject="options",
            remedy="Give the series (--data), finished edges (--edges), an engine (--engine) "
            "or section [data] of hyperfed.toml; "
            "or the settings of a federation below (--below)",
        )
    return source


@client.command()
@scheduler_option
@click.option(
    "--at",
    "moment",
    metavar="[DAY] HH:MM",
    help="When to run, in UTC and inside the round's window: 20:00 by default, 'Mon 20:00' for a "
    "week.",
)
@click.option(
    "--window",
    "every_s",
    type=Duration(least=3600, whole=True),
    default="1d",
    show_default=True,
    metavar="TIME",
    help="The window's length: 1h, 2h, 3h, 4h, 6h, 8h, 12h, 1d or 7d.",
)
@click.option(
    "--gossip-frequency",
    type=click.IntRange(1, 24),
    metavar="N",
    help="Instead of the night: run `hyperfed gossip run` this many times a window, at even "
    "intervals.",
)
@source_options
@model_options
@config_option
@output_options
@pass_invocation
def timer(
    invocation: Invocation,
    kind: str,
    moment: str | None,
    every_s: float,
    gossip_frequency: int | None,
    below: Path | None,
    out: Path,
) -> None:
    """Print what runs this client every night: for systemd, cron or Prefect.

    The answer is a systemd service and timer, a cron line, or a Prefect deployment. Nothing is
    changed. The data options are those of `hyperfed submit`. You can leave out any that section
    [data] of hyperfed.toml sets.

    \b
      hyperfed --config hyperfed.toml client timer --data series.csv
      hyperfed client timer --config hyperfed.toml --kind cron --at 21:30 --data series.csv
      hyperfed client timer --window 7d --at "Sun 06:00" --data series.csv
      hyperfed client timer --config country/hyperfed.toml --below region/hyperfed.toml
      hyperfed client timer --kind cron --gossip-frequency 6 --data series.csv
    """
    from hyperfed.cli.client.timers import GOSSIP, NIGHT, Times, timer_text

    weekly = every_s == 7 * 86_400 and gossip_frequency is None
    times = Times.of(
        moment or ("Mon 20:00" if weekly else "20:00"), every_s / (gossip_frequency or 1)
    )
    config = invocation.settings.path
    if config is None:
        raise ConfigError(
            "no hyperfed.toml was found",
            subject="client timer",
            remedy="Make it with `hyperfed client init`, or give --config",
        )
    if gossip_frequency is not None and below is not None:
        raise ConfigError(
            "gossip is between the clients of one federation, and looks at data of their own",
            subject="--below",
            remedy="Leave --below or --gossip-frequency out",
        )
    _source(invocation, below)
    source_words = (
        arguments_of(given_source(invocation.options))
        if below is None
        else {"below": below.resolve()}
    )
    if source_words.get("file") == Path("-").resolve():
        raise ConfigError(
            "the standard input holds no data at night",
            subject="--data -",
            remedy="Name the file that holds your data at that time",
        )
    words = option_words(source_words) if below is None else ["--below", str(below.resolve())]
    paths = ["--config", str(config.resolve()), *words, "--out", str(out.resolve())]
    parameters: dict[str, Any] = {
        "config": config.resolve(),
        **source_words,
        "model_folder": out.resolve(),
    }
    what = ["client", "night", *paths]
    if gossip_frequency is not None:
        what = ["gossip", "run", *paths[:-2]]
        parameters = {"config": config.resolve(), "source": source_words}
    command = [str(Path(sys.argv[0]).resolve()), *what]
    here = datetime.now(UTC).astimezone()
    job = NIGHT if gossip_frequency is None else GOSSIP
    text = timer_text(kind, times=times, words=command, parameters=parameters, here=here, job=job)
    invocation.out.finish({"kind": kind, "text": text}, lambda to: to.print(text, soft_wrap=True))


client.add_command(rebut)
