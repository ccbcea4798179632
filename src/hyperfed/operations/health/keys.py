"""Check the keys and links that settings name against the registry that says what they are worth.

1. A key file is there, only this user can reach it (R-20), and it holds a pair of keys. Its secret
   half stays closed: no passphrase is asked for.
2. The registry knows the pair for the running round, under the client's id or as a coordinator's.
   A key or a registry version that ends within `SOON` windows is a warning.
3. Links and the store's access key are opened when the store is; what is wrong with them is
   reported there. Links lead to newer ones while they live. They are a warning where they end
   before the next round's can be there, or where the running round brought none and half of their
   life is over. No links outlast a window of almost seven days or more (R-53): there each window
   needs a file by hand, and they are a warning once half of their life is over.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path

from hyperfed.config import DEFAULT_LIMITS
from hyperfed.crypto.keys import PublicKeys
from hyperfed.errors import ConfigError, HyperfedError
from hyperfed.links.bundle import SLACK, Links, outlast
from hyperfed.links.link_table import NEW_LINKS
from hyperfed.operations.health.finding import Finding, Level
from hyperfed.registry.records import KeyRecord
from hyperfed.registry.registry import Registry
from hyperfed.storage.private_files import read_private

__all__ = ["SOON", "key_finding", "links_finding", "registry_finding"]

SOON = 7
"""Windows before its end in which a key, a registry version or a budget is a warning."""
_MAX_FILE_BYTES = 1 << 16
_FILE = (
    "Correct the path in hyperfed.toml, or restore the file. `hyperfed keygen` makes a new key, "
    "which the registry must name"
)


def key_finding(
    registry: Registry | None, path: Path, *, name: str, client: str | None, running: int
) -> Finding:
    """Return how a key stands: that of `client`, or a coordinator's where `client` is None.

    `registry` is None where it could not be read, and `running` is the round that runs.
    """
    try:
        public = _public(path)
    except HyperfedError as error:
        return Finding.of_error(name, error)
    if registry is None:
        said = f"{public.key_id} is there; the registry could not be asked about it"
        return Finding(name=name, level=Level.UNKNOWN, said=said, remedy="See the first line")
    records = registry.coordinators if client is None else registry.keys_of(client)
    mine = [record for record in records if record.keys == public]
    if not mine and (owner := _owner(registry, public)):
        said = f"{public.key_id} is a key of {owner}, not of {client or 'a coordinator'}"
        remedy = "Correct [client] id or the path of the key in hyperfed.toml"
        return Finding(name=name, level=Level.CRITICAL, said=said, remedy=remedy)
    return _standing(mine, public, name=name, client=client, running=running)


def _owner(registry: Registry, public: PublicKeys) -> str:
    """Return who has a pair of keys in the registry, in words; "" where nobody has."""
    if any(record.keys == public for record in registry.coordinators):
        return "the coordinator"
    return next(
        (c.client_id for c in registry.clients if any(r.keys == public for r in c.keys)), ""
    )


def _public(path: Path) -> PublicKeys:
    """Return the public half in a key file. Raises ConfigError, RegistryError."""
    text = read_private(
        path,
        what="key",
        max_bytes=_MAX_FILE_BYTES,
        remedy=_FILE,
    )
    try:
        return PublicKeys.from_json(json.loads(text)["public"], str(path))
    except (ValueError, KeyError, TypeError) as exc:
        raise ConfigError("is not a key file", subject=str(path), remedy=_FILE) from exc


def _standing(
    records: list[KeyRecord], public: PublicKeys, *, name: str, client: str | None, running: int
) -> Finding:
    whose = "a coordinator's" if client is None else f"a key of {client}"
    last = max((record.valid_until for record in records), default=0)
    first = min((record.valid_from for record in records), default=0)
    if last < running:
        said = f"{public.key_id} " + (
            f"ended with round {last}" if records else f"is not {whose} in the registry"
        )
        remedy = (
            "Ask the operator: the roots must name a new key (`hyperfed enroll`)"
            if client is not None
            else "If it is the right file, the roots must name it: `hyperfed registry add "
            "--coordinator FILE.pub --replace-key`"
        )
        return Finding(name=name, level=Level.CRITICAL, said=said, remedy=remedy)
    if first > running:
        said = f"{public.key_id} is registered from round {first} on; round {running} runs"
        return Finding(name=name, level=Level.GOOD, said=said)
    if last < running + SOON:
        said = f"{public.key_id} ends with round {last}; round {running} runs"
        remedy = "Make the next key (`hyperfed keygen`) and have the registry name it before then"
        return Finding(name=name, level=Level.WARNING, said=said, remedy=remedy)
    said = f"{public.key_id} is registered for round {running}; only this user reaches the file"
    return Finding(name=name, level=Level.GOOD, said=said)


def registry_finding(registry: Registry, now: datetime) -> Finding:
    """Return how the newest registry version stands: whether it holds, and for how long."""
    said = f"federation {registry.federation}, version {registry.version}"
    try:
        registry.check_fresh(now, skew_s=int(DEFAULT_LIMITS.clock_skew_s))
    except HyperfedError as error:
        return Finding.of_error("registry", error)
    if registry.expires is None:
        return Finding(name="registry", level=Level.GOOD, said=f"{said}, which does not expire")
    soon = registry.expires - now < timedelta(seconds=SOON * registry.window_s)
    return Finding(
        name="registry",
        level=Level.WARNING if soon else Level.GOOD,
        said=f"{said}, which expires at {registry.expires:%Y-%m-%d %H:%M} UTC",
        remedy="Have the roots renew it before then: `hyperfed registry renew`" if soon else "",
    )


def links_finding(links: Links, registry: Registry, now: datetime) -> Finding:
    """Return how long the newest links live, and whether newer ones come in time."""
    running = registry.windows.round_at(max(now, registry.genesis))
    next_s = registry.window_s / SLACK
    too_short = links.expires < registry.windows.deadline(running) + timedelta(seconds=next_s)
    half_over = links.expires - now < (links.expires - links.issued) / 2
    by_hand = not outlast(registry.window_s)
    forgotten = links.round < running and half_over and not by_hand
    soon = forgotten or (too_short and (half_over or not by_hand))
    said = f"those of round {links.round} expire at {links.expires:%Y-%m-%d %H:%M} UTC"
    if by_hand:
        said += f"; links live 7 days at most, and windows of {registry.window_s / 86_400:.3g} days"
        said += " outlast them"
    return Finding(
        name="links",
        level=Level.WARNING if soon else Level.GOOD,
        said=said + (f", and round {running} brought no newer ones" if forgotten else ""),
        remedy=f"{NEW_LINKS}{', each window' if by_hand else ''}" if soon else "",
    )
