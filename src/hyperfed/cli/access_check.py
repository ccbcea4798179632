"""A client's first look at its drop-box: whose it is, whether the clock agrees, and whether it can write where it should and nowhere else.

1. The write in the own inbox goes to round 0, which no round ever looks at; the write elsewhere goes to `probe/`, where leftovers mean nothing.
2. What cannot be found out (a share has no clock, links carry their own rights) is said and no failure.
"""

import email.utils
import secrets
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime

from hyperfed.cli.invocation import Invocation
from hyperfed.config import DEFAULT_LIMITS
from hyperfed.errors import AccessDenied, HyperfedError, ObjectNotFound, TransportError
from hyperfed.rounds import Keys

__all__ = ["Check", "check_access", "skew_s"]

_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its name, whether it is good, what was found."""

    name: str
    good: bool
    said: str


def check_access(invocation: Invocation) -> list[Check]:
    """The checks, in order; where the drop-box cannot be read, only that one."""
    try:
        registry = invocation.reader.registry
    except HyperfedError as error:
        return [Check(name="registry", good=False, said=str(error))]
    client_id = invocation.settings.need("client.id")
    known = any(c.client_id == client_id for c in registry.clients)
    said = f"federation {registry.federation}, version {registry.version}; {client_id} is {'in it' if known else 'not in it yet: enrol'}"
    return [Check(name="registry", good=True, said=said), _clock(invocation), *_writes(invocation, client_id), _reads(invocation)]


def skew_s(answer_date: str, now: datetime) -> float:
    """Seconds that `now` is ahead of an HTTP Date header, which counts whole seconds."""
    return (now - email.utils.parsedate_to_datetime(answer_date)).total_seconds()


def _clock(invocation: Invocation) -> Check:
    settings = invocation.settings
    url = settings.text("store.url") or ""
    endpoint = settings.text("store.endpoint") or (f"https://s3.{settings.text('store.region') or 'us-east-1'}.amazonaws.com" if url.startswith("s3:") else "")
    if not endpoint.startswith(("http://", "https://")):
        return Check(name="clock", good=True, said="this drop-box has no clock of its own to compare with")
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_TIMEOUT_S) as answer:  # noqa: S310 - http(s) only, checked above
            date = answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        date = error.headers.get("Date")
    except OSError as error:
        return Check(name="clock", good=True, said=f"could not be compared: {error}")
    if not date:
        return Check(name="clock", good=True, said="could not be compared: the store's answer has no date")
    skew = skew_s(date, datetime.now(UTC))
    most = DEFAULT_LIMITS.clock_skew_s
    return Check(name="clock", good=abs(skew) <= most, said=f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the store's; {most:.0f} are tolerated")


def _writes(invocation: Invocation, client_id: str) -> list[Check]:
    if invocation.settings.file("store.links") is not None:
        return [Check(name="writing", good=True, said="links write into this client's own slots and nowhere else")]
    own, other = Keys.inbox(0, client_id, 0), f"probe/client-check-{secrets.token_hex(8)}"
    out = []
    try:
        invocation.store.put_if_absent(own, b"hyperfed client init\n")
        out.append(Check(name="own inbox", good=True, said="can be written"))
    except TransportError as error:
        out.append(Check(name="own inbox", good=False, said=str(error)))
    try:
        invocation.store.put_if_absent(other, b"hyperfed client init\n")
        wide = "can be written too: this access is wider than a client needs; see `hyperfed iam --role client`"
        out.append(Check(name="elsewhere", good=not _is_bucket(invocation), said=wide))
    except AccessDenied:
        out.append(Check(name="elsewhere", good=True, said="is refused, as it should be"))
    except TransportError as error:
        out.append(Check(name="elsewhere", good=False, said=str(error)))
    return out


def _reads(invocation: Invocation) -> Check:
    try:
        invocation.store.read(Keys.state(1), max_bytes=1)
    except AccessDenied:
        return Check(name="the coordinator's state", good=True, said="cannot be read, as it should be")
    except ObjectNotFound:
        return Check(name="the coordinator's state", good=True, said="is not there yet, so nothing can be said")
    except TransportError:
        pass
    return Check(name="the coordinator's state", good=not _is_bucket(invocation), said="can be read: this access is wider than a client needs")


def _is_bucket(invocation: Invocation) -> bool:
    return (invocation.settings.text("store.url") or "").startswith("s3:")
