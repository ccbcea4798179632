"""`PayloadCodec`: packets and protocol objects <-> bytes, with a schema version and optional compression.

A document is the canonical array [schema version, kind, compression, raw size, payload]; the payload is the canonical form of the
record (`records`), zstd-compressed where compression says so.

1. The version is read first: a newer one is refused naming both versions, an older known one stays readable (R-12).
2. The raw size is declared and enforced: no byte beyond it is inflated, and none less is accepted (R-13).
3. Decoding gives exactly the type asked for; a document of another kind is refused.

What it does not do: say who wrote it (`signing`) or whether it may count (`validator`).
"""

import typing
from typing import Any, TypeVar

import zstandard

from hyperfed.codec.canonical import leading_int, pack, unpack
from hyperfed.codec.records import from_record, to_record
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.errors import ConfigError, SchemaError

__all__ = ["SCHEMA_VERSION", "PayloadCodec"]

SCHEMA_VERSION = 1
_ZSTD_LEVEL = 1  # level 10 buys about 1 % on these columns

T = TypeVar("T")


def _kind(of: Any) -> str:
    return str(getattr(of, "__name__", of))


class PayloadCodec:
    """Encode and decode packets (PathPack, EdgeDelta, PolicyPack, CausalSemanticPack), lists of them, Updates and protocol objects.

    compression: None or "zstd". limits: what decoding accepts at most.
    """

    def __init__(self, *, compression: str | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        if compression not in (None, "zstd"):
            raise ConfigError(f"compression {compression!r} is unknown", remedy="Use None or 'zstd'")
        self._compression, self._limits = compression, limits

    def encode(self, packet: Any) -> bytes:
        """The document of a packet, of a list of packets of one type, or of an update or protocol object. Raises SchemaError."""
        if isinstance(packet, list | tuple):
            kinds = {type(item) for item in packet}
            if len(kinds) > 1:
                raise SchemaError(f"a batch holds one kind of packet, not {', '.join(sorted(_kind(k) for k in kinds))}")
            kind = f"list[{_kind(kinds.pop())}]" if kinds else "list[]"
        else:
            kind = _kind(type(packet))
        payload = pack(to_record(packet))
        raw_size = len(payload)
        if raw_size > self._limits.max_raw_bytes:
            raise SchemaError(f"takes {raw_size} bytes; at most {self._limits.max_raw_bytes} are accepted", subject=kind, rule="R-13", remedy="Share less")
        if self._compression == "zstd":
            payload = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_content_size=True).compress(payload)
        return pack([SCHEMA_VERSION, kind, self._compression or "", raw_size, payload])

    def decode(self, data: bytes | memoryview, kind: type[T]) -> T:
        """The packet of type `kind` (or list[kind]) in `data`; columns are views of it. Raises SchemaError and BoundsError only."""
        _, name, compression, raw_size, payload = self._open(data)
        item = typing.get_args(kind)[0] if typing.get_origin(kind) is list else None
        wanted = f"list[{_kind(item)}]" if item else _kind(kind)
        if name != wanted and not (item and name == "list[]"):
            raise SchemaError(f"a {name!r:.60} where a {wanted} belongs", rule="R-12")
        plain = unpack(self._inflate(compression, raw_size, payload), max_values=self._limits.max_values)
        if item and (name == "list[]") != (plain == []):
            raise SchemaError("a batch names the kind of its entries, and none where it is empty", rule="R-12")
        value: T = from_record(kind, plain, wanted)
        return value

    def kind_of(self, data: bytes | memoryview) -> str:
        """The kind a document says it holds, read without its payload. Raises SchemaError."""
        return str(self._open(data)[1])

    def _open(self, data: bytes | memoryview) -> tuple[int, str, str, int, memoryview]:
        version = leading_int(data)  # before anything else: a newer version may have changed the rest
        if version is None:
            raise SchemaError("not a Hyperfed document", rule="R-12", remedy="It must be written by PayloadCodec")
        if version > SCHEMA_VERSION:
            raise SchemaError(f"schema version {version}; this library reads up to {SCHEMA_VERSION}", rule="R-12", remedy="Update hyperfed")
        if version < 1:
            raise SchemaError(f"schema version {version} never existed", rule="R-12")
        document = unpack(data, max_values=8)
        if not isinstance(document, list) or [type(part) for part in document] != [int, str, str, int, memoryview]:
            raise SchemaError("not [version, kind, compression, raw size, payload]", rule="R-12")
        return typing.cast("tuple[int, str, str, int, memoryview]", tuple(document))

    def _inflate(self, compression: str, raw_size: int, payload: memoryview) -> bytes | memoryview:
        if raw_size > self._limits.max_raw_bytes:
            raise SchemaError(f"declares {raw_size} raw bytes; at most {self._limits.max_raw_bytes} are accepted", rule="R-13")
        if compression == "":
            if raw_size != len(payload):
                raise SchemaError(f"declares {raw_size} raw bytes and holds {len(payload)}", rule="R-13")
            return payload
        if compression != "zstd":
            raise SchemaError(f"compression {compression!r:.40} is unknown", rule="R-13", remedy="Use '' or 'zstd'")
        try:
            frame = zstandard.get_frame_parameters(payload)
            if frame.content_size != raw_size:
                raise SchemaError(f"declares {raw_size} raw bytes, its frame says {frame.content_size}", rule="R-13")
            raw: bytes = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress(payload, max_output_size=raw_size, allow_extra_data=False)
        except zstandard.ZstdError as exc:
            raise SchemaError("the zstd frame is broken", rule="R-13") from exc
        if len(raw) != raw_size:
            raise SchemaError(f"declares {raw_size} raw bytes and inflates to {len(raw)}", rule="R-13")
        return raw
