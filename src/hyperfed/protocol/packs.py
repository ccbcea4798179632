"""Make packs and take them apart: copies of admitted updates, several in one object (R-66).

A pack is the canonical array [1, [[packet digest, envelope], ...]], at
`rounds/{round:08d}/accepted/{SHA-256 of the pack's bytes}`.

1. Packs are filled in the order in which updates come, and each is full as soon as it holds
   `pack_bytes`. So n bytes of updates are at most n / pack_bytes + 1 packs, whatever their sizes,
   and whoever fills them holds less than one pack and one update at a time. The same updates in the
   same order make the same packs.
2. A pack is not signed: its name is its digest, the freeze names it, and every update in it is
   verified by whoever reads it.
3. Making a pack copies each envelope once. Reading copies none: it returns views of the
   pack's bytes, which keep those bytes alive.

What it does not do: fill packs (`dropbox.pack_writer`), read them from the store
(`dropbox.accepted`), or verify an update (`validator`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from hyperfed.codec import is_array, leading_int, pack, unpack
from hyperfed.errors import SchemaError

__all__ = ["BYTES_BESIDE", "Pack", "is_pack", "make_pack", "read_pack"]

_VERSION = 1
# an entry's bytes beside its envelope: two array or length heads, and the digest
BYTES_BESIDE = 40
_PAIR = 0x92  # the first byte of a pack; an envelope is an array of five


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Holds a pack and what is in it."""

    digest: bytes
    """SHA-256 of `data`, 32 bytes."""
    data: bytes
    """The pack's bytes."""
    holds: tuple[bytes, ...]
    """Packet digests of its updates, in their order."""


def make_pack(updates: Sequence[tuple[bytes, bytes | memoryview]]) -> Pack:
    """Return the pack of some updates, each given as (packet digest, envelope)."""
    data = pack([_VERSION, updates])
    return Pack(
        digest=hashlib.sha256(data).digest(),
        data=data,
        holds=tuple(digest for digest, _ in updates),
    )


def is_pack(data: bytes | memoryview) -> bool:
    """Return whether the bytes begin as a pack does. No envelope begins so."""
    return len(data) > 0 and data[0] == _PAIR


def read_pack(data: bytes | memoryview, *, subject: str) -> dict[bytes, memoryview]:
    """Return packet digest -> envelope, in the order of the pack.

    It verifies none of the updates. Raises SchemaError where the bytes are not a pack, hold no
    update, or hold one twice.
    """
    version = leading_int(data)
    if version is not None and version > _VERSION:
        raise SchemaError(
            f"pack version {version}; this library reads up to {_VERSION}",
            subject=subject,
            rule="R-12",
            remedy="Update hyperfed",
        )
    try:
        parts = unpack(data)
    except SchemaError as exc:
        raise SchemaError(exc.problem, subject=subject, rule=exc.rule) from None
    if (
        not is_array(parts, int, list)
        or parts[0] != _VERSION
        or not all(is_array(entry, bytes, bytes) and len(entry[0]) == 32 for entry in parts[1])
    ):
        raise SchemaError("not [1, [[packet digest, envelope], ...]]", subject=subject, rule="R-66")
    envelopes = {bytes(digest): memoryview(envelope) for digest, envelope in parts[1]}
    if not envelopes or len(envelopes) != len(parts[1]):
        raise SchemaError("holds no update, or one twice", subject=subject, rule="R-66")
    return envelopes
