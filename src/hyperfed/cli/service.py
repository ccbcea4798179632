"""`hyperfed service`: what a coordinator needs on a Prefect server, made or brought up to date from hyperfed.toml and the drop-box."""

from pathlib import Path
from typing import Any

import click

from hyperfed.cli.checkout import find_checkout, import_from_checkout
from hyperfed.cli.durations import duration
from hyperfed.cli.invocation import Invocation, output_options, pass_invocation, store_options
from hyperfed.cli.output import show_pairs
from hyperfed.errors import ConfigError

__all__ = ["install", "notify", "service"]


@click.group()
def service() -> None:
    """A federation in service: blocks, work pool, deployments, schedules and automations on the Prefect server of $PREFECT_API_URL.

    Needs the checkout and `pip install 'hyperfed[coordinator]'`.
    """


@service.command()
@click.option("--variables", metavar="A,B,...", help="The vocabulary of the rounds to come; by default that of the newest plan.")
@click.option("--quorum", type=click.IntRange(min=1), help="How many clients must be counted; by default as in the newest plan, else more than half.")
@click.option("--aggregation-delay", metavar="TIME", help="How long stragglers are awaited after the window, at most 1h; at first 30m.")
@click.option("--poll", metavar="TIME", help="How often the inbox is looked at meanwhile; at first 30s.")
@click.option("--set", "overrides", metavar="NAME=VALUE", multiple=True, help="A field of the policy pack, such as vote_min=0.25; once for each.")
@click.option("--by-link", metavar="CLIENT", multiple=True, help="A client without a cloud account: each round brings it new links; once for each.")
@click.option(
    "--notify",
    metavar="TYPE/NAME",
    multiple=True,
    help="Whom automations tell: a saved notification block, such as custom-webhook/ops; once for each. off: nobody.",
)
@click.option("--name", default="hyperfed", show_default=True, help="The blocks' name; deployments use hyperfed.")
@store_options
@output_options
@pass_invocation
def install(
    invocation: Invocation,
    variables: str | None,
    quorum: int | None,
    aggregation_delay: str | None,
    poll: str | None,
    overrides: tuple[str, ...],
    by_link: tuple[str, ...],
    notify: tuple[str, ...],
    name: str,
) -> None:
    """Install, or bring up to date; again is harmless. On a new machine with the bucket and a key that the registry names, this is the restore.

    What is not given stays as the blocks and automations on the server have it; where there are none, as in the newest plan.

    \b
      hyperfed service install --variables output,employment,unemployment
      hyperfed service install --notify custom-webhook/ops --notify slack-webhook/mail
    """
    from hyperfed.scheduling import schedules_of

    settings = invocation.settings
    wanted_type = import_from_checkout("flows.service", "Wanted")
    delay_s = duration(aggregation_delay, subject="--aggregation-delay") if aggregation_delay else None
    registry = invocation.reader.registry

    def schedules(delay_s: float) -> Any:
        return schedules_of(genesis=registry.genesis, round_duration=float(registry.window_s), gossip_frequency=0, aggregation_delay=delay_s)

    if delay_s is not None:
        schedules(delay_s)  # refuses what cannot be scheduled before anything is installed
    wanted = wanted_type(
        checkout=find_checkout(),
        url=settings.need("store.url"),
        endpoint=settings.text("store.endpoint"),
        region=settings.text("store.region"),
        access_key_file=settings.file("store.access_key_file"),
        key_file=settings.need("coordinator.key"),
        fingerprint=settings.need_fingerprint(),
        name=name,
        variables=tuple(v.strip() for v in variables.split(",") if v.strip()) if variables else (),
        quorum=quorum,
        aggregation_delay_s=delay_s,
        poll_s=duration(poll, subject="--poll") if poll else None,
        policy=dict(_override(text) for text in overrides),
        clients_by_link=by_link or None,
        notify=tuple(block for block in notify if block != "off") if notify else None,
    )
    with invocation.out.step("Saving blocks, deploying, creating automations"):
        done: dict[str, Any] = import_from_checkout("flows.service", "install")(wanted)
        done["schedules"] = import_from_checkout("flows.service", "apply_schedules")(schedules(done["aggregation_delay_s"]))
    on = [n for n, enabled in done["automations"].items() if enabled]
    pairs = {
        "Federation": f"{done['federation']}, registry version {done['registry_version']}",
        "Blocks": f"{done['blocks']} (Drop-Box, Coordinator Keys, Federation Policy, Stage Results), {done['variables']} variables",
        "Schedules": ", ".join(n for n, applied in done["schedules"].items() if applied),
        "Automations": f"{len(done['automations'])}, on: {', '.join(on)}",
        "Next": f"prefect worker start --pool {done['work_pool']}",
    }
    invocation.out.finish(done, lambda to: show_pairs(to, pairs))


@service.command()
@click.argument("name")
@click.option("--webhook", metavar="URL", help="Post a JSON document with title and text there.")
@click.option("--mail-to", metavar="ADDRESS", multiple=True, help="Send e-mail there; once for each.")
@click.option("--mail-from", metavar="ADDRESS", help="The sender's address.")
@click.option("--smtp", metavar="HOST[:PORT]", help="The mail server.")
@click.option("--smtp-security", type=click.Choice(["starttls", "tls", "none"]), default="starttls", show_default=True, help="How it is spoken to.")
@click.option("--smtp-login-file", type=click.Path(path_type=Path), help="A file of two lines, user and password, where the server asks for them.")
@click.option("--test/--no-test", default=True, show_default=True, help="Send a message at once; nothing is saved where it is not taken.")
@output_options
@pass_invocation
def notify(
    invocation: Invocation,
    name: str,
    webhook: str | None,
    mail_to: tuple[str, ...],
    mail_from: str | None,
    smtp: str | None,
    smtp_security: str,
    smtp_login_file: Path | None,
    test: bool,
) -> None:
    """Save a notification block of Prefect's own on the server: a webhook, or e-mail through your mail server. `service install --notify` turns it on.

    \b
      hyperfed service notify ops --webhook https://chat.example/hooks/fed
      hyperfed service notify mail --mail-to ops@example.org --mail-from fed@example.org --smtp smtp.example.org:587 --smtp-login-file smtp.login
    """
    mail = (mail_to, mail_from, smtp)
    if bool(webhook) == any(mail) or (any(mail) and not all(mail)):
        raise ConfigError("says neither one webhook nor one mailbox", subject=name, remedy="Give --webhook, or --mail-to, --mail-from and --smtp")
    with invocation.out.step("Sending a test and saving the block" if test else "Saving the block"):
        if webhook:
            made = import_from_checkout("flows.service", "save_webhook")(name, webhook, test=test)
        else:
            login = _login(smtp_login_file) if smtp_login_file else None
            made = import_from_checkout("flows.service", "save_mail")(
                name, server=smtp, sender=mail_from, to=mail_to, security=smtp_security, login=login, test=test
            )
    pairs = {"Block": made, "Test": "sent" if test else "not sent", "Next": f"hyperfed service install --notify {made}"}
    invocation.out.finish({"block": made, "tested": test}, lambda to: show_pairs(to, pairs))


def _login(path: Path) -> tuple[str, str]:
    """(user, password). Raises ConfigError."""
    try:
        user, password = path.read_text(encoding="utf-8").splitlines()[:2]
    except (OSError, ValueError) as exc:
        raise ConfigError("is no file of two lines, user and password", subject=str(path), remedy="Write one, mode 0600") from exc
    return user, password


def _override(text: str) -> tuple[str, Any]:
    """("vote_min", 0.25) of "vote_min=0.25". Raises ConfigError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ConfigError(f"{text!r:.60} is not NAME=VALUE", subject="--set", remedy="Write it as vote_min=0.25")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value
