"""Say what differs between two versions of a registry, one line for each change.

A root signs what it has looked at, and a list of four hundred clients hides one that was added.
Every field is compared, and so is each client and each key by itself. A field that this module does
not know is shown whole, so that no later field is left out.

What it does not do: it does not say whether a change is right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from hyperfed.registry.registry import ClientRecord, KeyRecord, Registry
from hyperfed.registry.secure_sums import HelperRecord

__all__ = ["differences"]

_APART = (
    "roots",
    "coordinators",
    "auditors",
    "clients",
    "budget",
    "floors",
    "secure_sums",
    "annulled",
    "least_sequences",
)
_EACH_VERSION = ("version", "previous", "issued")
_FOREVER = (1 << 53) - 1


def differences(before: Registry, after: Registry) -> list[str]:
    """Return what differs from `before` to `after`, one line each; empty where nothing does."""
    return list(_differences(before, after))


def _differences(before: Registry, after: Registry) -> Iterator[str]:
    for one in fields(Registry):
        if one.name in (*_APART, *_EACH_VERSION):
            continue
        yield from _changed(one.name, getattr(before, one.name), getattr(after, one.name))
    roots = [{keys.key_id for keys in version.roots} for version in (before, after)]
    yield from (f"root {key_id}: signs no more" for key_id in sorted(roots[0] - roots[1]))
    yield from (f"root {key_id}: is new" for key_id in sorted(roots[1] - roots[0]))
    for name in ("budget", "floors", "secure_sums"):
        yield from _record(name, getattr(before, name), getattr(after, name))
    for annulment in after.annulled:
        if annulment not in before.annulled:
            charge = ", of an abandoned branch: its charge carries over" if annulment.entry else ""
            name = f"entry {annulment.sequence}, {annulment.digest.hex()[:16]}"
            yield f"{name}: decides nothing any more{charge}"
    least = [dict(version.least_sequences) for version in (before, after)]
    for name in sorted(least[0].keys() | least[1].keys()):
        yield from _changed(f"least sequence of {name}", *(side.get(name) for side in least))
    for role in ("coordinator", "auditor"):
        yield from _keys(role, getattr(before, f"{role}s"), getattr(after, f"{role}s"))
    clients = [{c.client_id: c for c in version.clients} for version in (before, after)]
    for client_id in sorted(clients[0].keys() | clients[1].keys()):
        yield from _client(client_id, *(side.get(client_id) for side in clients))


def _changed(name: str, old: Any, new: Any) -> Iterator[str]:
    if old != new:
        yield f"{name}: {_said(old)} -> {_said(new)}"


def _said(value: Any) -> str:
    if isinstance(value, HelperRecord):
        return f"{value.client_id} from round {value.first_round}"
    if isinstance(value, tuple):
        return "; ".join(", ".join(v) if isinstance(v, tuple) else _said(v) for v in value)
    return "none" if value is None else str(value)


def _record(name: str, old: Any, new: Any) -> Iterator[str]:
    """Yield the fields of a record that differ; all of them where there was none, or is none."""
    shape = new if new is not None else old
    for one in fields(shape) if shape is not None else ():
        yield from _changed(
            f"{name}, {one.name}", getattr(old, one.name, None), getattr(new, one.name, None)
        )


def _client(client_id: str, old: ClientRecord | None, new: ClientRecord | None) -> Iterator[str]:
    subject = f"client {client_id}"
    if new is None:
        yield f"{subject}: is gone"
    elif old is None:
        yield f"{subject}: is new, of {new.organisation!r}, in basket {new.basket!r}"
    else:
        yield from _changed(f"{subject}, organisation", old.organisation, new.organisation)
        yield from _changed(f"{subject}, basket", old.basket, new.basket)
    yield from _keys(subject, old.keys if old else (), new.keys if new else ())


def _keys(subject: str, old: Sequence[KeyRecord], new: Sequence[KeyRecord]) -> Iterator[str]:
    before, after = (
        {(r.keys.signing, r.keys.sealing): (r.keys.key_id, _rounds(r)) for r in side}
        for side in (old, new)
    )
    for points, (key_id, rounds) in before.items():
        if points in after:
            yield from _changed(f"{subject}, rounds of key {key_id}", rounds, after[points][1])
        else:
            yield f"{subject}: key {key_id} is gone; it was for rounds {rounds}"
    for points, (key_id, rounds) in after.items():
        if points not in before:
            yield f"{subject}: key {key_id} is new, in rounds {rounds}"


def _rounds(record: KeyRecord) -> str:
    end = "on" if record.valid_until == _FOREVER else f"to {record.valid_until}"
    return f"{record.valid_from} {end}"
