"""Implement `hyperfed service`, which sets up what a coordinator needs on a Prefect server.

The command makes or updates it from hyperfed.toml and the drop-box.
"""

from pathlib import Path
from typing import Any

import click

from hyperfed.cli.checkout import find_checkout, import_for_server, import_from_checkout
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.options import FILE, config_option, output_options, setting_option, store_options
from hyperfed.cli.output import show_pairs
from hyperfed.cli.values import Assignment, Block, Duration, Names, Override, Range
from hyperfed.errors import ConfigError

__all__ = ["install", "notify", "service", "units", "worker"]

_WITHOUT_LOGIN = click.option(
    "--without-login",
    is_flag=True,
    help="Accept a Prefect server without a login: anyone who reaches it decides what runs here.",
)


@click.group(cls=Group)
def service() -> None:
    """Put a federation into service on the Prefect server of $PREFECT_API_URL.

    The federation needs blocks, a work pool, deployments, schedules and automations there. The
    commands run from a clone of the repository, where `make setup` installs what they need.

    \b
      hyperfed service install --variables output,employment,unemployment
      hyperfed service worker
      hyperfed service units
      hyperfed service notify ops --webhook https://chat.example/hooks/fed
    """


@service.command()
@setting_option(
    "--keys",
    setting="coordinator.key",
    metavar="FILE",
    type=FILE,
    help="The coordinator's key file, by its path on the workers.",
)
@click.option(
    "--variables",
    type=Names(),
    metavar="A,B,...",
    help="The vocabulary of future rounds; by default that of the newest plan.",
)
@click.option(
    "--unit",
    "units",
    type=Assignment("output=EUR"),
    metavar="NAME=UNIT",
    multiple=True,
    help="The unit in which all clients count a variable, once for each variable.",
)
@click.option(
    "--range",
    "ranges",
    type=Range(),
    metavar="NAME=LOW:HIGH",
    multiple=True,
    help="The plausible range of a variable in its unit, such as output=0:1000 or output=0:, once "
    "for each variable. Clients compare their data with it before they send.",
)
@click.option(
    "--quorum",
    type=click.IntRange(min=1),
    help="How many clients must be counted; by default as in the newest plan, otherwise more than "
    "half.",
)
@click.option(
    "--aggregation-delay",
    "delay_s",
    type=Duration(),
    metavar="TIME",
    help="How long to wait for stragglers after the window, at most 1h; at first 30m or a quarter "
    "of the window.",
)
@click.option(
    "--poll",
    "poll_s",
    type=Duration(least=1),
    metavar="TIME",
    help="The time between two looks at the inbox while waiting; at first 30s, at most the whole "
    "wait.",
)
@click.option(
    "--set",
    "overrides",
    type=Override(),
    metavar="NAME=VALUE",
    multiple=True,
    help="A field of the policy pack, such as vote_min=0.25, once for each field.",
)
@click.option(
    "--by-link",
    metavar="CLIENT",
    multiple=True,
    help="A client without a cloud account, once for each. It gets new links with each round.",
)
@click.option(
    "--housekeeping-key-file",
    type=FILE,
    help="The file with the housekeeping role's access key, by its path on the workers. Nobody "
    "else may erase in a bucket.",
)
@click.option(
    "--notify",
    type=Block(),
    metavar="TYPE/NAME",
    multiple=True,
    help="The saved notification block that automations use, such as custom-webhook/ops, once for "
    "each. off: none.",
)
@click.option(
    "--name",
    default="hyperfed",
    show_default=True,
    help="The name of the blocks; deployments use hyperfed.",
)
@_WITHOUT_LOGIN
@store_options
@output_options
@pass_invocation
def install(
    invocation: Invocation,
    variables: tuple[str, ...] | None,
    units: tuple[tuple[str, str], ...],
    ranges: tuple[tuple[str, list[float | None]], ...],
    quorum: int | None,
    delay_s: float | None,
    poll_s: float | None,
    overrides: tuple[tuple[str, Any], ...],
    by_link: tuple[str, ...],
    housekeeping_key_file: Path | None,
    notify: tuple[str, ...],
    name: str,
    without_login: bool,
) -> None:
    """Install the federation on the server, or bring it up to date.

    Running it again is harmless: late and running runs remain. On a new machine with the bucket and
    a key that the registry names, this restores the service.

    Options that you leave out keep the values of the blocks and automations on the server. If there
    are none, they come from the newest plan.

    \b
      hyperfed service install --variables output,employment,unemployment
      hyperfed service install --unit output=EUR --range unemployment=0:100
      hyperfed service install --notify custom-webhook/ops --notify slack-webhook/mail
    """
    settings = invocation.settings
    wanted_type = import_for_server("flows.service", "Wanted")
    parameters = wanted_type(
        checkout=find_checkout(),
        url=settings.need("store.url"),
        endpoint=settings.text("store.endpoint"),
        region=settings.text("store.region"),
        addressing=settings.text("store.addressing"),
        ca_file=settings.file("store.ca_file"),
        access_key_file=settings.file("store.access_key_file"),
        housekeeping_key_file=housekeeping_key_file and housekeeping_key_file.absolute(),
        key_file=settings.need("coordinator.key"),
        fingerprint=settings.need_fingerprint(),
        name=name,
        variables=variables or (),
        units=dict(units),
        ranges=dict(ranges),
        quorum=quorum,
        aggregation_delay_s=delay_s,
        poll_s=poll_s,
        policy=dict(overrides),
        clients_by_link=by_link or None,
        notify=tuple(block for block in notify if block != "off") if notify else None,
        without_login=without_login,
    )
    with invocation.out.step("Saving blocks, deploying, creating automations"):
        state: dict[str, Any] = import_from_checkout("flows.service", "install")(parameters)
    on = [n for n, enabled in state["automations"].items() if enabled]
    pairs = {
        "Federation": f"{state['federation']}, registry version {state['registry_version']}",
        "Blocks": f"{state['blocks']} (Drop-Box, Coordinator Keys, Federation Policy, Stage "
        f"Results), {state['variables']} variables",
        "Schedules": ", ".join(n for n, applied in state["schedules"].items() if applied),
        "Housekeeping": f"by the block {state['housekeeping']}",
        "Automations": f"{len(state['automations'])}, on: {', '.join(on)}",
        "Next": "hyperfed service worker",
    }
    invocation.out.finish(state, lambda to: show_pairs(to, pairs))


@service.command()
@click.option(
    "--pool", default="hyperfed", show_default=True, help="The work pool to take runs from."
)
@click.option("--name", metavar="NAME", help="The worker's name on the server.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="How many runs may go on at the same time; by default any number.",
)
@click.option("--once", is_flag=True, help="Look for runs once, and stop when they have ended.")
@_WITHOUT_LOGIN
@config_option
@output_options
@pass_invocation
def worker(
    invocation: Invocation,
    pool: str,
    name: str | None,
    limit: int | None,
    once: bool,
    without_login: bool,
) -> None:
    """Run the flows of this clone that are due, until Ctrl-C or SIGTERM ends it.

    It follows the Prefect server's deployments within the limits of hyperfed.toml: its drop-box,
    its keys and its section [worker]. Prefect's own worker has no such limits.

    \b
      hyperfed service worker
      hyperfed service worker --config client/hyperfed.toml --pool hyperfed-client
    """
    path = invocation.settings.path
    if path is None:
        raise ConfigError(
            "a worker needs a hyperfed.toml, which says what it may do",
            subject="service worker",
            remedy="Give --config FILE, or run it where hyperfed.toml lies",
        )
    run = import_for_server("flows.service", "run_worker")
    invocation.out.note(f"Taking runs of the work pool {pool}; bounded by {path}")
    run(path, pool=pool, name=name, limit=limit, once=once, without_login=without_login)
    invocation.out.finish({"pool": pool, "bounded_by": str(path)}, lambda to: None)


@service.command()
@click.argument("parts", nargs=-1, type=click.Choice(["server", "worker"]), metavar="[PART]...")
@click.option(
    "--checkout",
    type=FILE,
    help="The folder of the clone on the machine that runs them; by default this clone's.",
)
@click.option(
    "--settings",
    type=FILE,
    default="/etc/hyperfed",
    show_default=True,
    help="The folder of hyperfed.toml, the keys, server.env and worker.env.",
)
@click.option(
    "--server-user",
    default="prefect",
    show_default=True,
    metavar="NAME",
    help="The system user of Prefect's server.",
)
@click.option(
    "--worker-user",
    default="hyperfed",
    show_default=True,
    metavar="NAME",
    help="The system user of the worker, which reads the coordinator's key.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=4200,
    show_default=True,
    help="The port of Prefect's server on the loopback address.",
)
@click.option(
    "--write",
    "root",
    type=FILE,
    metavar="ROOT",
    help="Write the files below this folder, / for this machine, instead of printing them.",
)
@output_options
@pass_invocation
def units(
    invocation: Invocation,
    parts: tuple[str, ...],
    checkout: Path | None,
    settings: Path,
    server_user: str,
    worker_user: str,
    port: int,
    root: Path | None,
) -> None:
    """Print the systemd units of Prefect's server and of the worker, and their system users.

    PART is server or worker, where they run on different machines; by default both. The units see
    everything read-only but their own state, and are started again whenever they end. A file that
    is there already is replaced; what you change of a unit belongs into `systemctl edit`.

    \b
      hyperfed service units
      hyperfed service units worker --checkout /opt/hyperfed
      hyperfed service units --write /
    """
    from hyperfed.cli.operator.units import PARTS, Installation, unit_files, write_files

    installation = Installation(
        checkout=checkout or find_checkout(),
        settings=settings,
        server_user=server_user,
        worker_user=worker_user,
        port=port,
    )
    chosen = tuple(part for part in PARTS if part in parts or not parts)
    files = unit_files(installation, chosen)
    if root is None:
        text = "\n".join(f"# {path}\n{content}" for path, content in files.items())
        invocation.out.finish({"files": files}, lambda to: to.print(text, soft_wrap=True))
    written = write_files(files, root)
    names = " ".join(f"hyperfed-{part}" for part in chosen)
    pairs = {
        "Written": ", ".join(written),
        "Next": f"systemd-sysusers && systemctl daemon-reload && systemctl enable --now {names}",
    }
    invocation.out.finish({"files": files, "written": written}, lambda to: show_pairs(to, pairs))


@service.command()
@click.argument("name")
@click.option(
    "--webhook", metavar="URL", help="Post a JSON document with title and text to this URL."
)
@click.option(
    "--mail-to",
    metavar="ADDRESS",
    multiple=True,
    help="Send e-mail to this address, once for each address.",
)
@click.option("--mail-from", metavar="ADDRESS", help="The sender's address.")
@click.option("--smtp", metavar="HOST[:PORT]", help="The mail server.")
@click.option(
    "--smtp-security",
    type=click.Choice(["starttls", "tls", "none"]),
    default="starttls",
    show_default=True,
    help="How to connect to the mail server.",
)
@click.option(
    "--smtp-login-file",
    type=FILE,
    help="A file of two lines, user and password, if the mail server asks for them.",
)
@click.option(
    "--test/--no-test",
    default=True,
    show_default=True,
    help="Send a message at once; if it is not accepted, nothing is saved.",
)
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
    """Save a notification block of Prefect's own on the server.

    The block holds a webhook, or an e-mail address and your mail server. `service install --notify`
    turns it on.

    \b
      hyperfed service notify ops --webhook https://chat.example/hooks/fed
      hyperfed service notify mail --mail-to ops@example.org \\
          --mail-from fed@example.org --smtp smtp.example.org:587 --smtp-login-file smtp.login
    """
    mail = (mail_to, mail_from, smtp)
    if bool(webhook) == any(mail) or (any(mail) and not all(mail)):
        raise ConfigError(
            "says neither one webhook nor one mailbox",
            subject=name,
            remedy="Give --webhook, or --mail-to, --mail-from and --smtp",
        )
    with invocation.out.step("Sending a test and saving the block" if test else "Saving the block"):
        if webhook:
            saved = import_for_server("flows.service", "save_webhook")(name, webhook, test=test)
        else:
            login = _login(smtp_login_file) if smtp_login_file else None
            saved = import_for_server("flows.service", "save_mail")(
                name,
                server=smtp,
                sender=mail_from,
                to=mail_to,
                security=smtp_security,
                login=login,
                test=test,
            )
    pairs = {
        "Block": saved,
        "Test": "sent" if test else "not sent",
        "Next": f"hyperfed service install --notify {saved}",
    }
    invocation.out.finish({"block": saved, "tested": test}, lambda to: show_pairs(to, pairs))


def _login(path: Path) -> tuple[str, str]:
    """Return the user and the password in a file of two lines. Raises ConfigError."""
    try:
        user, password = path.read_text(encoding="utf-8-sig").splitlines()[:2]
    except (OSError, ValueError) as exc:
        raise ConfigError(
            "is no file of two lines, user and password",
            subject=str(path),
            remedy="Write such a file, with mode 0600",
        ) from exc
    return user, password
