"""Check a client's access to its drop-box.

The checks say whose drop-box it is, whether the clocks agree, whether the client can write where it
should and nowhere else, and whether the coordinator's state is closed to it.

1. The write to the client's own inbox goes to round 0, which no round ever looks at. The write
   elsewhere goes to `probe/`, where leftovers mean nothing.
2. What cannot be found out (a share has no clock, links carry their own rights) is reported, and is
   no failure.
"""

import secrets
from dataclasses import dataclass

from hyperfed.cli.invocation import Invocation
from hyperfed.config import DEFAULT_LIMITS
from hyperfed.errors import AccessDenied, HyperfedError, ObjectNotFound, TransportError
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.clock import said_of

__all__ = ["Check", "check_access"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Holds one check and its outcome."""

    name: str
    """What was checked."""
    good: bool
    """Whether the outcome is as it should be."""
    said: str
    """What was found, in words."""


def check_access(invocation: Invocation) -> list[Check]:
    """Return the checks in order, or only that of the registry where it cannot be read."""
    try:
        registry = invocation.reader.registry
    except HyperfedError as error:
        return [Check(name="registry", good=False, said=str(error))]
    client_id = invocation.settings.need("client.id")
    is_registered = any(c.client_id == client_id for c in registry.clients)
    standing = (
        f"federation {registry.federation}, version {registry.version}; {client_id} is "
        f"{'in it' if is_registered else 'not in it yet: enrol'}"
    )
    return [
        Check(name="registry", good=True, said=standing),
        _clock(invocation),
        *_writes(invocation, client_id),
        _reads(invocation),
    ]


def _clock(invocation: Invocation) -> Check:
    """Compare the clocks by the store's answers so far: the registry was read before."""
    skew, most = invocation.store.clock_skew_s, DEFAULT_LIMITS.clock_skew_s
    if skew is None:
        folder = (invocation.settings.text("store.url") or "").startswith("file:")
        why = "answers have no date that can be read"
        return Check(
            name="clock",
            good=True,
            said="this drop-box has no clock of its own to compare with"
            if folder
            else f"could not be compared: the store's {why}",
        )
    return Check(
        name="clock", good=abs(skew) <= most, said=f"{said_of(skew)}; {most:.0f} s are tolerated"
    )


def _writes(invocation: Invocation, client_id: str) -> list[Check]:
    if invocation.settings.file("store.links") is not None:
        return [
            Check(
                name="writing",
                good=True,
                said="links write into this client's own slots and nowhere else",
            )
        ]
    own_key, other_key = Keys.inbox(0, client_id, 0), f"probe/client-check-{secrets.token_hex(8)}"
    out = []
    try:
        invocation.store.put_if_absent(own_key, b"hyperfed client init\n")
        out.append(Check(name="own inbox", good=True, said="can be written"))
    except TransportError as error:
        out.append(Check(name="own inbox", good=False, said=str(error)))
    try:
        invocation.store.put_if_absent(other_key, b"hyperfed client init\n")
        wide = (
            "can be written too: this access is wider than a client needs; see `hyperfed "
            "iam --role client`"
        )
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
        return Check(
            name="the coordinator's state", good=True, said="cannot be read, as it should be"
        )
    except ObjectNotFound:
        return Check(
            name="the coordinator's state",
            good=True,
            said="is not there yet, so nothing can be said",
        )
    except TransportError:
        pass
    return Check(
        name="the coordinator's state",
        good=not _is_bucket(invocation),
        said="can be read: this access is wider than a client needs",
    )


def _is_bucket(invocation: Invocation) -> bool:
    return (invocation.settings.text("store.url") or "").startswith("s3:")
