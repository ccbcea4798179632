"""`PayloadCodec`: packets and protocol objects <-> bytes, with a schema version and optional compression.

A document is the canonical array [schema version, kind, compression, raw size, payload]; the payload is the canonical form of the
record (`records`). Where compression says "zstd" it is the canonical array [size, record, planes] instead: the record, whose large columns lie as
byte planes in `planes` (`planes`), in a zstd frame or, where that is no shorter than its size, as it is.

1. The version is read first: a newer one is refused naming both versions, an older known one stays readable (R-12). It is that of the kind (`versions`).
2. The raw size, of record and columns, is declared and enforced: no byte beyond it is inflated, and none less is accepted (R-13).
3. Decoding gives exactly the type asked for; a document of another kind is refused.
4. Without compression decoding makes views of what it was given, and encoding joins its parts once.

What it does not do: say who wrote it (`signing`) or whether it may count (`validator`).
"""

import typing
from typing import Any, TypeVar

from hyperfed.codec.canonical import is_array, leading_int, pack_around, pack_parts, unpack, unpack_around
from hyperfed.codec.planes import PlaneReader, PlaneWriter, deflate, inflate
from hyperfed.codec.records import from_record, to_record
from hyperfed.codec.versions import lowered, newest, raised
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.errors import ConfigError, SchemaError

__all__ = ["SCHEMA_VERSION", "PayloadCodec"]

SCHEMA_VERSION = 2
"""The newest version that any kind of document has."""

T = TypeVar("T")


def _kind(of: Any) -> str:
    return str(getattr(of, "__name__", of))


def _newer(version: int, known: int, kind: str = "") -> SchemaError:
    return SchemaError(f"schema version {version}; this library reads up to {known}", subject=kind, rule="R-12", remedy="Update hyperfed")


class PayloadCodec:
    """Encode and decode packets (PathPack, EdgeDelta, PolicyPack, CausalSemanticPack), lists of them, Updates and protocol objects.

    compression: None or "zstd". unit_bits: 16 or 8 rounds confidence and stability to k / (2**bits - 1), off by at most 7.7e-6 or 0.002; None: nothing is
    rounded. A row near the policy's `stability_min` may fall below it: choose with that in mind. limits: what decoding accepts at most.
    """

    def __init__(self, *, compression: str | None = None, unit_bits: int | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        if compression not in (None, "zstd"):
            raise ConfigError(f"compression {compression!r} is unknown", remedy="Use None or 'zstd'")
        if unit_bits not in (None, 8, 16):
            raise ConfigError(f"unit_bits is {unit_bits!r}", remedy="Use None, 16 or 8")
        self._compression, self._unit_bits, self._limits = compression, unit_bits, limits

    def encode(self, packet: Any) -> bytes:
        """The document of a packet, of a list of packets of one type, or of an update or protocol object. Raises SchemaError."""
        if isinstance(packet, list | tuple):
            kinds = {type(item) for item in packet}
            if len(kinds) > 1:
                raise SchemaError(f"a batch holds one kind of packet, not {', '.join(sorted(_kind(k) for k in kinds))}")
            kind = f"list[{_kind(kinds.pop())}]" if kinds else "list[]"
        else:
            kind = _kind(type(packet))
        planes = PlaneWriter() if self._compression else None
        version, record = lowered(type(packet), to_record(packet, planes=planes, unit_bits=self._unit_bits))
        columns = planes.finish() if planes is not None else []
        parts = pack_parts(record)
        size = sum(len(part) for part in parts)
        raw_size = size + (planes.raw_bytes if planes is not None else 0)
        if raw_size > self._limits.max_raw_bytes:
            raise SchemaError(f"takes {raw_size} bytes; at most {self._limits.max_raw_bytes} are accepted", subject=kind, rule="R-13", remedy="Share less")
        if planes is not None:
            parts = [pack_around([size, deflate(b"".join(parts))], columns)]
        return pack_around([version, kind, self._compression or "", raw_size], parts)

    def decode(self, data: bytes | memoryview, kind: type[T]) -> T:
        """The packet of type `kind` (or list[kind]) in `data`; columns are views of it. Raises SchemaError and BoundsError only."""
        version, name, compression, raw_size, payload = self._open(data)
        item = typing.get_args(kind)[0] if typing.get_origin(kind) is list else None
        wanted = f"list[{_kind(item)}]" if item else _kind(kind)
        if name != wanted and not (item and name == "list[]"):
            raise SchemaError(f"a {name!r:.60} where a {wanted} belongs", rule="R-12")
        if version > newest(kind):
            raise _newer(version, newest(kind), wanted)
        record, planes = self._payload(compression, raw_size, payload)
        plain = unpack(record, max_values=self._limits.max_values)
        if item and (name == "list[]") != (plain == []):
            raise SchemaError("a batch names the kind of its entries, and none where it is empty", rule="R-12")
        value: T = from_record(kind, raised(kind, version, plain), wanted, planes=planes)
        if planes is not None:
            planes.close()
        return value

    def kind_of(self, data: bytes | memoryview) -> str:
        """The kind a document says it holds, read without its payload. Raises SchemaError."""
        return str(self._open(data)[1])

    def _open(self, data: bytes | memoryview) -> tuple[int, str, str, int, memoryview]:
        version = leading_int(data)  # before anything else: a newer version may have changed the rest
        if version is None:
            raise SchemaError("not a Hyperfed document", rule="R-12", remedy="It must be written by PayloadCodec")
        if version > SCHEMA_VERSION:
            raise _newer(version, SCHEMA_VERSION)
        if version < 1:
            raise SchemaError(f"schema version {version} never existed", rule="R-12")
        document = unpack_around(data, max_values=8)
        if not is_array(document, int, str, str, int, bytes):
            raise SchemaError("not [version, kind, compression, raw size, payload]", rule="R-12")
        return typing.cast("tuple[int, str, str, int, memoryview]", tuple(document))

    def _payload(self, compression: str, raw_size: int, payload: memoryview) -> tuple[bytes | memoryview, PlaneReader | None]:
        """The record's canonical bytes, and what its columns are read from."""
        if raw_size > self._limits.max_raw_bytes:
            raise SchemaError(f"declares {raw_size} raw bytes; at most {self._limits.max_raw_bytes} are accepted", rule="R-13")
        if compression == "":
            if raw_size != len(payload):
                raise SchemaError(f"declares {raw_size} raw bytes and holds {len(payload)}", rule="R-13")
            return payload, None
        if compression != "zstd":
            raise SchemaError(f"compression {compression!r:.40} is unknown", rule="R-13", remedy="Use '' or 'zstd'")
        try:
            parts = unpack_around(payload, max_values=10)
        except SchemaError:
            parts = None
        if not is_array(parts, int, bytes, bytes):
            raise SchemaError("a compressed payload is [size, record, planes]", rule="R-13")
        size, record, planes = parts
        if not 0 <= size <= raw_size:
            raise SchemaError(f"declares {raw_size} raw bytes and a record of {size}", rule="R-13")
        return inflate(memoryview(record), size), PlaneReader(planes, raw_size - size)
