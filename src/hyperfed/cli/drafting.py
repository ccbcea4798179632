"""Changes to a registry's draft, as pure functions: the next version from the newest one, or the same draft amended before anyone has signed it.

1. What a record said about past rounds stays: keys are closed at a round, never removed, so that old rounds can still be verified.
2. A key that replaces another overlaps with it: from `from_round` on the new one speaks, until `from_round + overlap - 1` the old one as well.
3. A revocation holds from the round it names (R-25).

What it does not do: sign, read, write (`registry`, `registry_signing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hyperfed.enrolment import Enrolment
from hyperfed.errors import ConfigError
from hyperfed.keys import PublicKeys
from hyperfed.registry import ClientRecord, KeyRecord, Registry

__all__ = ["Draft", "add_client", "add_party", "replace_roots", "revoke_client", "revoke_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A version that nobody has signed yet."""

    registry: Registry

    @classmethod
    def after(cls, newest: Registry, digest: bytes, *, issued: datetime) -> "Draft":
        """The draft of the version that follows `newest`."""
        return cls(registry=replace(newest, version=newest.version + 1, previous=digest, issued=issued))


def _with_new_key(records: Sequence[KeyRecord], keys: PublicKeys, *, from_round: int, until: int, subject: str) -> tuple[KeyRecord, ...]:
    """The records with a new key that speaks from `from_round` on; the earlier ones end with round `until`."""
    if any(r.keys.key_id == keys.key_id for r in records):
        raise ConfigError(f"key {keys.key_id} is registered already", subject=subject, remedy="Make a new one with `hyperfed keygen`")
    kept = tuple(replace(r, valid_until=min(r.valid_until, until)) if r.valid_from <= until else r for r in records)
    later = [r.keys.key_id for r in records if r.valid_from > until]
    if later:
        raise ConfigError(f"key {later[0]} is registered for later rounds than {until}", subject=subject, remedy="Choose a later --from-round")
    return (*kept, KeyRecord(keys=keys, valid_from=from_round))


def add_client(draft: Draft, enrolment: Enrolment, *, from_round: int, replace_key: bool, overlap: int = 1) -> Draft:
    """The draft with an enrolled client; replace_key: its new key instead. Raises ConfigError, RegistryError."""
    registry, subject = draft.registry, f"client {enrolment.client_id}"
    known = next((c for c in registry.clients if c.client_id == enrolment.client_id), None)
    if known is None and replace_key:
        raise ConfigError("is not in the registry, so there is no key to replace", subject=subject, remedy="Leave out --replace-key")
    if known is not None and not replace_key:
        raise ConfigError(
            "is in the registry already", subject=subject, remedy="If this is the client's next key give --replace-key; another client needs another id"
        )
    earlier = known.keys if known else ()
    keys = _with_new_key(earlier, enrolment.keys, from_round=from_round, until=from_round + overlap - 1, subject=subject)
    record = ClientRecord(client_id=enrolment.client_id, organisation=enrolment.organisation, basket=enrolment.basket, keys=keys)
    others = [c for c in registry.clients if c is not known]
    return Draft(registry=replace(registry, clients=tuple(sorted((*others, record), key=lambda c: c.client_id))))


def add_party(draft: Draft, role: str, keys: PublicKeys, *, from_round: int, until: int | None = None) -> Draft:
    """The draft with one more coordinator or auditor key; until: the earlier ones of that role end with that round."""
    keys.check_points()
    known: tuple[KeyRecord, ...] = getattr(draft.registry, role)
    if any(r.keys.key_id == keys.key_id for r in known):
        raise ConfigError(f"key {keys.key_id} is registered already", subject=role)
    changed = (
        _with_new_key(known, keys, from_round=from_round, until=until, subject=role)
        if until is not None
        else (*known, KeyRecord(keys=keys, valid_from=from_round))
    )
    return Draft(registry=replace(draft.registry, coordinators=changed) if role == "coordinators" else replace(draft.registry, auditors=changed))


def _closed(records: Sequence[KeyRecord], key_id: str | None, from_round: int) -> tuple[KeyRecord, ...]:
    """The records with one key (None: all) closed before `from_round`; what would only have been valid later is gone."""
    return tuple(
        replace(r, valid_until=min(r.valid_until, from_round - 1)) if key_id in (None, r.keys.key_id) else r
        for r in records
        if not (key_id in (None, r.keys.key_id) and r.valid_from >= from_round)
    )


def revoke_client(draft: Draft, client_id: str, *, from_round: int) -> Draft:
    """The draft in which no key of the client speaks from `from_round` on. Raises RegistryError for an unknown client."""
    registry = draft.registry
    record = registry.client(client_id)
    keys = _closed(record.keys, None, from_round)
    others = tuple(c for c in registry.clients if c is not record)
    clients = (*others, replace(record, keys=keys)) if keys else others
    return Draft(registry=replace(registry, clients=tuple(sorted(clients, key=lambda c: c.client_id))))


def revoke_key(draft: Draft, key_id: str, *, from_round: int) -> Draft:
    """The draft in which one key, whosever it is, does not speak from `from_round` on. Raises ConfigError for an unknown key."""
    registry = draft.registry
    for role in ("coordinators", "auditors"):
        known: tuple[KeyRecord, ...] = getattr(registry, role)
        if any(r.keys.key_id == key_id for r in known):
            closed = _closed(known, key_id, from_round)
            return Draft(registry=replace(registry, coordinators=closed) if role == "coordinators" else replace(registry, auditors=closed))
    for client in registry.clients:
        if any(r.keys.key_id == key_id for r in client.keys):
            keys = _closed(client.keys, key_id, from_round)
            if not keys:
                return revoke_client(draft, client.client_id, from_round=from_round)
            clients = tuple(replace(c, keys=keys) if c is client else c for c in registry.clients)
            return Draft(registry=replace(registry, clients=clients))
    raise ConfigError("no such key in the registry", subject=f"key {key_id:.64}", remedy="`hyperfed registry show` lists them")


def replace_roots(draft: Draft, roots: Sequence[PublicKeys], threshold: int) -> Draft:
    """The draft with other root keys; it needs the signatures of both the old threshold and the new one (R-24)."""
    for keys in roots:
        keys.check_points()
    return Draft(registry=replace(draft.registry, roots=tuple(roots), threshold=threshold))
