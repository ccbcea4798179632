"""Make notification blocks from a terminal.

They are Prefect's own, so that its server sends by itself and no code of ours has to run.

1. A webhook gets a JSON document with `title` and `text`, which chat servers and alert managers
   accept.
2. An e-mail goes through any SMTP server. Prefect's blocks pass their address to the library
   Apprise. Only the Slack Webhook block accepts an address of any kind, so that block holds a
   `mailto:` address. (Sendgrid Email is bound to that company.)
3. Addresses and passwords lie encrypted in Prefect's database, with the key beside them
   (docs/operations.md).

What it does not do: decide when to send (`automations`).
"""

from urllib.parse import quote, urlencode

from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from pydantic import SecretStr

from hyperfed.errors import ConfigError, TransportError

__all__ = ["mail_address", "save_mail", "save_webhook"]

_TEST = (
    "Hyperfed: a test",
    "Whoever reads this is told of failed, late and void rounds, a low budget, absent clients "
    "and equivocation.",
)
_MODES = {
    "starttls": ("mailtos", "starttls"),
    "tls": ("mailtos", "ssl"),
    "none": ("mailto", "insecure"),
}


def save_webhook(name: str, url: str, *, test: bool) -> str:
    """Save a Custom Webhook block, and return its name, "custom-webhook/NAME".

    With `test` a message is sent at once. Raises TransportError where it is not accepted; nothing
    is saved then.
    """
    block = CustomWebhookNotificationBlock(
        name=name,
        url=url,
        json_data={"title": "{{subject}}", "text": "{{subject}}\n{{body}}"},
        headers=None,
        cookies=None,
    )
    return _save(block, "custom-webhook", name, test=test)


def save_mail(
    name: str,
    *,
    server: str,
    sender: str,
    to: tuple[str, ...],
    security: str,
    login: tuple[str, str] | None,
    test: bool,
) -> str:
    """Save a block that sends e-mail, and return its name, "slack-webhook/NAME".

    With `test` a message is sent at once. Raises ConfigError where the login would travel in the
    clear, and TransportError where the message is not accepted; nothing is saved then.
    """
    address = mail_address(server=server, sender=sender, to=to, security=security, login=login)
    return _save(SlackWebhook(url=SecretStr(address)), "slack-webhook", name, test=test)


def mail_address(
    *, server: str, sender: str, to: tuple[str, ...], security: str, login: tuple[str, str] | None
) -> str:
    """Return Apprise's address of a mailbox. `security` is starttls, tls or none.

    Raises ConfigError where a login would travel in the clear.
    """
    if login and security == "none":
        raise ConfigError(
            "would send the password in the clear",
            subject=server,
            remedy="Use starttls or tls, or no login",
        )
    scheme, mode = _MODES[security]
    who = "{}:{}@".format(*(quote(part, safe="") for part in login)) if login else ""
    return f"{scheme}://{who}{server}?" + urlencode(
        {"from": sender, "to": ",".join(to), "format": "text", "mode": mode}
    )


def _save(
    block: CustomWebhookNotificationBlock | SlackWebhook, slug: str, name: str, *, test: bool
) -> str:
    if test:
        with block.raise_on_failure():
            try:
                block.notify(subject=_TEST[0], body=_TEST[1])
            # each kind of block has its own errors: Prefect's, httpx's, or the operating system's
            except Exception as exc:
                raise TransportError(
                    f"does not take the test message: {exc!s:.200}",
                    subject=f"{slug}/{name}",
                    remedy="Nothing was saved: check the address and what listens",
                ) from exc
    block.save(name, overwrite=True)
    return f"{slug}/{name}"
