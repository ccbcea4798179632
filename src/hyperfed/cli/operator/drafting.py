"""Change a registry's draft by pure functions.

A draft follows the newest version, or is amended before anyone has signed it.

1. What a record said about past rounds stays: a key is closed at a round and never removed, so that
   old rounds can still be verified.
2. A key that replaces another overlaps with it: the new one is valid from `from_round` on, and the
   old one until `from_round + overlap - 1`.
3. A revocation holds from the round it names (R-25).

What it does not do: sign, read or write (`registry`, `registry_signing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hyperfed.crypto.keys import PublicKeys
from hyperfed.errors import ConfigError
from hyperfed.registry.enrolment import Enrolment
from hyperfed.registry.registry import ClientRecord, KeyRecord, Registry

__all__ = ["Draft", "add_client", "add_party", "replace_roots", "revoke_client", "revoke_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Holds a version that nobody has signed yet."""

    registry: Registry
    """The registry of that version."""

    @classmethod
    def after(cls, newest: Registry, digest: bytes, *, issued: datetime) -> "Draft":
        """Return the draft of the version that follows `newest`, whose digest is `digest`."""
        return cls(
            registry=replace(newest, version=newest.version + 1, previous=digest, issued=issued)
        )


def _with_new_key(
    records: Sequence[KeyRecord], keys: PublicKeys, *, from_round: int, until: int, subject: str
) -> tuple[KeyRecord, ...]:
    """Return the records with a new key that speaks from `from_round` on.

    The earlier keys end with round `until`. Raises ConfigError where the key is registered already,
    or where an earlier key begins to speak only after `until`.
    """
    if any(r.keys.key_id == keys.key_id for r in records):
        raise ConfigError(
            f"key {keys.key_id} is registered already",
            subject=subject,
            remedy="Make a new one with `hyperfed keygen`",
        )
    valid_records = tuple(
        replace(r, valid_until=min(r.valid_until, until)) if r.valid_from <= until else r
        for r in records
    )
    later = [r.keys.key_id for r in records if r.valid_from > until]
    if later:
        raise ConfigError(
            f"key {later[0]} is registered for later rounds than {until}",
            subject=subject,
            remedy="Choose a later --from-round",
        )
    return (*valid_records, KeyRecord(keys=keys, valid_from=from_round))


def add_client(
    draft: Draft, enrolment: Enrolment, *, from_round: int, replace_key: bool, overlap: int = 1
) -> Draft:
    """Return the draft with an enrolled client.

    With `replace_key` the client gets a new key instead. Raises ConfigError, RegistryError.
    """
    registry, subject = draft.registry, f"client {enrolment.client_id}"
    registered = next((c for c in registry.clients if c.client_id == enrolment.client_id), None)
    if registered is None and replace_key:
        raise ConfigError(
            "is not in the registry, so there is no key to replace",
            subject=subject,
            remedy="Leave out --replace-key",
        )
    if registered is not None and not replace_key:
        raise ConfigError(
            "is in the registry already",
            subject=subject,
            remedy="If this is the client's next key give --replace-key; another client needs "
            "another id",
        )
    earlier = registered.keys if registered else ()
    keys = _with_new_key(
        earlier,
        enrolment.keys,
        from_round=from_round,
        until=from_round + overlap - 1,
        subject=subject,
    )
    record = ClientRecord(
        client_id=enrolment.client_id,
        organisation=enrolment.organisation,
        basket=enrolment.basket,
        keys=keys,
    )
    other_clients = [c for c in registry.clients if c is not registered]
    return Draft(
        registry=replace(
            registry, clients=tuple(sorted((*other_clients, record), key=lambda c: c.client_id))
        )
    )


def add_party(
    draft: Draft, role: str, keys: PublicKeys, *, from_round: int, until: int | None = None
) -> Draft:
    """Return the draft with one more coordinator or auditor key.

    `role` is "coordinators" or "auditors". With `until` the earlier keys of that role end with that
    round. Raises ConfigError for a key that is registered already.
    """
    keys.check_points()
    records: tuple[KeyRecord, ...] = getattr(draft.registry, role)
    if any(r.keys.key_id == keys.key_id for r in records):
        raise ConfigError(f"key {keys.key_id} is registered already", subject=role)
    changed = (
        _with_new_key(records, keys, from_round=from_round, until=until, subject=role)
        if until is not None
        else (*records, KeyRecord(keys=keys, valid_from=from_round))
    )
    return Draft(
        registry=replace(draft.registry, coordinators=changed)
        if role == "coordinators"
        else replace(draft.registry, auditors=changed)
    )


def _closed(
    records: Sequence[KeyRecord], key_id: str | None, from_round: int
) -> tuple[KeyRecord, ...]:
    """Return the records with the key `key_id` closed before `from_round`; None closes all keys.

    A record that would have become valid only later is removed.
    """
    return tuple(
        replace(r, valid_until=min(r.valid_until, from_round - 1))
        if key_id in (None, r.keys.key_id)
        else r
        for r in records
        if not (key_id in (None, r.keys.key_id) and r.valid_from >= from_round)
    )


def revoke_client(draft: Draft, client_id: str, *, from_round: int) -> Draft:
    """Return the draft in which no key of the client is valid from `from_round` on.

    Raises RegistryError for an unknown client.
    """
    registry = draft.registry
    record = registry.client(client_id)
    keys = _closed(record.keys, None, from_round)
    other_clients = tuple(c for c in registry.clients if c is not record)
    clients = (*other_clients, replace(record, keys=keys)) if keys else other_clients
    return Draft(
        registry=replace(registry, clients=tuple(sorted(clients, key=lambda c: c.client_id)))
    )


def revoke_key(draft: Draft, key_id: str, *, from_round: int) -> Draft:
    """Return the draft in which one key, whosever it is, is not valid from `from_round` on.

    Raises ConfigError for an unknown key.
    """
    registry = draft.registry
    for role in ("coordinators", "auditors"):
        records: tuple[KeyRecord, ...] = getattr(registry, role)
        if any(r.keys.key_id == key_id for r in records):
            closed = _closed(records, key_id, from_round)
            return Draft(
                registry=replace(registry, coordinators=closed)
                if role == "coordinators"
                else replace(registry, auditors=closed)
            )
    for client in registry.clients:
        if any(r.keys.key_id == key_id for r in client.keys):
            keys = _closed(client.keys, key_id, from_round)
            if not keys:
                return revoke_client(draft, client.client_id, from_round=from_round)
            clients = tuple(replace(c, keys=keys) if c is client else c for c in registry.clients)
            return Draft(registry=replace(registry, clients=clients))
    raise ConfigError(
        "no such key in the registry",
        subject=f"key {key_id:.64}",
        remedy="Name one that `hyperfed registry show` lists",
    )


def replace_roots(draft: Draft, roots: Sequence[PublicKeys], threshold: int) -> Draft:
    """Return the draft with other root keys.

    It needs the signatures of both the old threshold and the new one (R-24).
    """
    for keys in roots:
        keys.check_points()
    return Draft(registry=replace(draft.registry, roots=tuple(roots), threshold=threshold))
