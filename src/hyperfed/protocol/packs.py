"""Packs: admitted updates as they lie in `accepted/`, several an object (R-66, ADR 0020).

A pack is the canonical array [1, [[packet digest, envelope], ...]], at `rounds/{round:08d}/accepted/{SHA-256 of the pack's bytes}`.

1. Packs are filled in the order in which updates come, and each is full as soon as it holds `pack_bytes`: n bytes of updates are at most n / pack_bytes + 1
   packs, whatever their sizes, and who fills them holds less than one pack and one update. The same updates in the same order are the same packs.
2. A pack is not signed: its name is its digest, the freeze names it, and every update in it is verified by whoever reads it.
3. Writing copies each envelope once, into the pack; reading copies none: what is read are views of the pack's bytes, which they keep.

What it does not do: read or write the store (`coordinator.accepted`), or verify an update (`validator`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hyperfed.codec import is_array, leading_int, pack
from hyperfed.codec.canonical import read_strictly
from hyperfed.errors import SchemaError

__all__ = ["Pack", "filled", "is_pack", "make_pack", "read_pack"]

_VERSION = 1
_BESIDE = 40  # bytes of an entry that are not its envelope's: two array or length heads, and the digest
_PAIR = 0x92  # the first byte of a pack; an envelope is an array of five


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """digest: SHA-256 of `data`; holds: the packet digests of its updates, in their order."""

    digest: bytes
    data: bytes
    holds: tuple[bytes, ...]


def make_pack(updates: Sequence[tuple[bytes, bytes | memoryview]]) -> Pack:
    """updates: (packet digest, envelope)."""
    data = pack([_VERSION, updates])
    return Pack(digest=hashlib.sha256(data).digest(), data=data, holds=tuple(digest for digest, _ in updates))


def filled(updates: Iterable[tuple[bytes, bytes | memoryview]], *, pack_bytes: int) -> Iterator[list[tuple[bytes, bytes | memoryview]]]:
    """What each pack is to be made of (`make_pack`), as soon as it is full; of the last one when there are no more. updates: (packet digest, envelope)."""
    waiting: list[tuple[bytes, bytes | memoryview]] = []
    held = 0
    for digest, envelope in updates:
        waiting.append((digest, envelope))
        held += len(envelope) + _BESIDE
        if held >= pack_bytes:
            yield waiting
            waiting, held = [], 0
    if waiting:
        yield waiting


def is_pack(data: bytes | memoryview) -> bool:
    """Whether the bytes begin as a pack does, and no envelope."""
    return len(data) > 0 and data[0] == _PAIR


def read_pack(data: bytes | memoryview, *, subject: str) -> dict[bytes, memoryview]:
    """packet digest -> envelope, in the order of the pack; nothing of them is verified. Raises SchemaError."""
    version = leading_int(data)
    if version is not None and version > _VERSION:
        raise SchemaError(f"pack version {version}; this library reads up to {_VERSION}", subject=subject, rule="R-12", remedy="Update hyperfed")
    try:
        parts = read_strictly(data)
    except SchemaError as exc:
        raise SchemaError(exc.problem, subject=subject, rule=exc.rule) from None
    if not is_array(parts, int, list) or parts[0] != _VERSION or not all(is_array(entry, bytes, bytes) and len(entry[0]) == 32 for entry in parts[1]):
        raise SchemaError("not [1, [[packet digest, envelope], ...]]", subject=subject, rule="R-66")
    found = {bytes(digest): envelope for digest, envelope in parts[1]}
    if not found or len(found) != len(parts[1]):
        raise SchemaError("holds no update, or one twice", subject=subject, rule="R-66")
    return found
