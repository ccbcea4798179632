"""Which parts of secure sums' openings a stick carries, for a client or a helper without a network.

1. In go helpers' round keys, to which a client seals its seeds, and what they confirm. A helper's
   stick also holds the freeze, all boxes, what all helpers answer and refuse, and the manifest; and
   plan and freeze of each round that was ever reserved (R-212).
2. Out come the client's own boxes and rebuttals; of a helper also its keys, confirmations, answers
   and refusals.
3. Each part is verified before it is copied. A part of somebody else that does not verify is left
   behind and named: it must not keep the others from the site.

What it does not do: copy (`offline_transfer`).
"""

from collections.abc import Iterator
from typing import Any

from hyperfed.config import Limits
from hyperfed.crypto.envelope import PacketType, open_envelope, verify_envelope
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import ObjectNotFound, PacketError, RefusedError, RegistryError, RoundError
from hyperfed.protocol.ledger import reserved_rounds
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Registry
from hyperfed.storage.store import ObjectStore

__all__ = ["AHEAD", "own_parts", "parts_to_read", "reserved_before"]

AHEAD = 2
"""For how many rounds after the running one a helper's keys are carried."""
_WRITTEN_BY_HELPERS = {
    PacketType.HELPER_KEY: Keys.helper_key,
    PacketType.CONFIRMATION: Keys.confirmation,
    PacketType.OPENING: Keys.opening,
    PacketType.HELPER_REFUSAL: Keys.helper_refusal,
}


def _helpers(registry: Registry) -> tuple[str, ...]:
    named = registry.secure_sums
    return () if named is None else tuple(helper.client_id for helper in named.helpers)


def parts_to_read(
    reader: DropBoxReader, round_id: int, client: str
) -> Iterator[tuple[str, bytes | str]]:
    """Yield (key, its verified bytes, or why it is left behind) of what a client reads of a round.

    Nothing is yielded for a round without secure sums. Raises what `DropBoxReader` raises for the
    coordinator's own objects.
    """
    plan = reader.plan(round_id, or_none=True)
    if plan is None or plan.value.policy.aggregation != "secure-sum":
        return
    openings = OpeningReader(reader, plan)
    helpers = _helpers(openings.registry)
    keys = [Keys.helper_key(round_id, helper) for helper in helpers]
    keys += [Keys.confirmation(round_id, helper) for helper in helpers]
    if client not in helpers:
        keys.append(Keys.boxes(round_id, client))
    else:
        keys += [Keys.boxes(round_id, one) for one in plan.value.cohort]
        for key_of in (Keys.opening, Keys.helper_refusal):
            keys += [key_of(round_id, helper) for helper in helpers]
        keys.append(Keys.manifest(round_id))
        frozen = reader.freeze(round_id)
        if frozen is not None:
            yield frozen.key, _as_it_lies(reader, frozen)
    for key in keys:
        part = openings.part_at(key)
        if part is not None:
            yield key, _as_it_lies(reader, part)
        elif key in openings.why_not:
            yield key, openings.why_not[key]


def reserved_before(reader: DropBoxReader, client: str) -> Iterator[tuple[str, bytes | str]]:
    """Yield (key, bytes or why not) of plan and freeze of each round that the ledger reserves.

    Nothing is yielded for who is no helper. What is gone is for the helper to say.
    """
    if client not in _helpers(reader.registry):
        return
    for round_id in reserved_rounds(reader.ledger()):
        for key, read in (
            (Keys.plan(round_id), reader.plan_as_it_lies),
            (Keys.freeze(round_id), reader.freeze),
        ):
            try:
                stored: Stored[Any] | None = read(round_id)
            except (PacketError, RoundError) as error:
                yield key, str(error)
                continue
            if stored is not None:
                yield key, _as_it_lies(reader, stored)


def _as_it_lies(reader: DropBoxReader, stored: Stored[Any]) -> bytes | str:
    """Return the envelope of a verified object, or what is wrong where it is another one now."""
    data = reader.store.read(stored.key, max_bytes=reader.limits.max_object_bytes)
    envelope = open_envelope(data, subject=stored.key)
    verified = stored.signed
    if (envelope.header_bytes, envelope.body) != (verified.header_bytes, verified.body):
        return "changed while it was read"
    return data


def own_parts(
    stick: ObjectStore, registry: Registry, round_id: int, client: str, *, limits: Limits
) -> Iterator[tuple[str, bytes | str]]:
    """Yield (key, its bytes, or why it is left behind) of what a client wrote for a round.

    Its key must be valid in the round.
    """
    written = {
        PacketType.BOXES: Keys.boxes(round_id, client),
        PacketType.REBUTTAL: Keys.rebuttal(round_id, client),
    }
    if client in _helpers(registry):
        written |= {
            type_: key_of(round_id, client) for type_, key_of in _WRITTEN_BY_HELPERS.items()
        }
    for type_, key in written.items():
        try:
            data = stick.read(key, max_bytes=limits.max_object_bytes)
        except ObjectNotFound:
            continue
        try:
            records = registry.client(client).keys
            keys = {r.keys.key_id: r.keys.signing for r in records if r.valid_in(round_id)}
            envelope = open_envelope(data, subject=key)
            header = verify_envelope(envelope, expect=type_, key_of=keys.get, subject=key).header
            stated = (header.federation, header.round, header.sender)
            if stated != (registry.federation, round_id, client):
                raise RefusedError(
                    f"made by {header.sender!r:.40} for round {header.round}",
                    subject=key,
                    rule="R-84",
                    remedy="It lies in the wrong place",
                )
        except (PacketError, RegistryError) as error:
            yield key, str(error)
        else:
            yield key, data
