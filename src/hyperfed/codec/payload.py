"""Encode packets and protocol objects as bytes with a schema version, and decode them again.

A document is the canonical array [schema version, kind, compression, raw size, payload]. The
payload is the canonical form of the record (`records`). Where compression is "zstd", the payload is
the canonical array [size, record, planes] instead. The record is in a zstd frame, or as it is where
a frame would be no shorter; its large columns are byte planes (`planes`).

1. The version is read first: a newer one is refused naming both versions, an older known one stays
   readable (R-12). Each kind has its own version (`versions`).
2. The raw size, of record and columns, is declared and enforced: no byte beyond it is inflated, and
   no smaller amount is accepted (R-13).
3. Decoding gives exactly the type asked for; a document of another kind is refused.
4. Without compression, decoding makes views of what it was given, and encoding joins its parts
   once.

What it does not do: it does not say who wrote a document (`signing`) or whether it may count
(`validator`).
"""

import typing
from collections.abc import Callable
from typing import Any, TypeVar

from hyperfed.codec.planes import PlaneReader, PlaneWriter, deflate, inflate
from hyperfed.codec.reading import is_array, leading_int, unpack
from hyperfed.codec.records import from_record, to_record
from hyperfed.codec.versions import lowered, newest, raised
from hyperfed.codec.writing import pack_around, pack_parts
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.errors import ConfigError, SchemaError

__all__ = ["SCHEMA_VERSION", "PayloadCodec"]

SCHEMA_VERSION = 8
"""The newest version that any kind of document has."""

T = TypeVar("T")


def _kind(of: Any) -> str:
    return str(getattr(of, "__name__", of))


def _newer(version: int, newest_known: int, kind: str = "") -> SchemaError:
    return SchemaError(
        f"schema version {version}; this library reads up to {newest_known}",
        subject=kind,
        rule="R-12",
        remedy="Update hyperfed",
    )


class PayloadCodec:
    """Encodes and decodes packets, lists of packets, Updates and protocol objects.

    The packets are PathPack, EdgeDelta, PolicyPack and CausalSemanticPack.

    Args:
        compression: None or "zstd".
        limits: The sizes that decoding accepts at most.

    Raises ConfigError for another compression.
    """

    def __init__(
        self,
        *,
        compression: str | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if compression not in (None, "zstd"):
            raise ConfigError(
                f"compression {compression!r} is unknown", remedy="Pass None or 'zstd'"
            )
        self._compression, self._limits = compression, limits

    def encode(self, packet: Any) -> bytes:
        """Return the document of a packet, an update or a protocol object, or of a list of packets.

        All packets of a list have one type. Raises SchemaError.
        """
        if isinstance(packet, list | tuple):
            kinds = {type(item) for item in packet}
            if len(kinds) > 1:
                raise SchemaError(
                    "a batch holds one kind of packet, not "
                    f"{', '.join(sorted(_kind(k) for k in kinds))}"
                )
            kind = f"list[{_kind(kinds.pop())}]" if kinds else "list[]"
        else:
            kind = _kind(type(packet))
        planes = PlaneWriter() if self._compression else None
        version, record = lowered(type(packet), to_record(packet, planes=planes))
        columns = planes.finish() if planes is not None else []
        parts = pack_parts(record)
        size = sum(len(part) for part in parts)
        raw_size = size + (planes.raw_bytes if planes is not None else 0)
        if raw_size > self._limits.max_raw_bytes:
            raise SchemaError(
                f"takes {raw_size} bytes; at most {self._limits.max_raw_bytes} are accepted",
                subject=kind,
                rule="R-13",
                remedy="Share less",
            )
        if planes is not None:
            parts = [pack_around([size, deflate(b"".join(parts))], columns)]
        return pack_around([version, kind, self._compression or "", raw_size], parts)

    def decode(
        self,
        data: bytes | memoryview,
        kind: type[T],
        *,
        check: Callable[[Any], None] | None = None,
    ) -> T:
        """Return the packet of type `kind`, or list[kind], that is in `data`.

        `check` is given the record's plain values before anything is made of them, and may raise a
        PacketError.

        Its columns may be views of `data`. Whatever `data` is, only SchemaError and BoundsError are
        raised. Raises TypeError where this library cannot read `kind`.
        """
        version, name, compression, raw_size, payload = self._open(data)
        item = typing.get_args(kind)[0] if typing.get_origin(kind) is list else None
        kind_name = f"list[{_kind(item)}]" if item else _kind(kind)
        if name != kind_name and not (item and name == "list[]"):
            raise SchemaError(f"a {name!r:.60} where a {kind_name} belongs", rule="R-12")
        if version > newest(kind):
            raise _newer(version, newest(kind), kind_name)
        record, planes = self._payload(compression, raw_size, payload)
        plain = unpack(record, max_values=self._limits.max_values)
        if item and (name == "list[]") != (plain == []):
            raise SchemaError(
                "a batch names the kind of its entries, and none where it is empty", rule="R-12"
            )
        if check is not None:
            check(plain)
        value: T = from_record(kind, raised(kind, version, plain), kind_name, planes=planes)
        if planes is not None:
            planes.close()
        return value

    def kind_of(self, data: bytes | memoryview) -> str:
        """Return the kind that a document names, without reading its payload.

        Raises SchemaError.
        """
        return str(self._open(data)[1])

    def _open(self, data: bytes | memoryview) -> tuple[int, str, str, int, memoryview]:
        # The version comes before anything else: a newer one may have changed the rest.
        """Return the five fields of a document, with its version checked.

        Raises SchemaError (R-12).
        """
        version = leading_int(data)
        if version is None:
            raise SchemaError(
                "not a Hyperfed document",
                rule="R-12",
                remedy="Give a document that PayloadCodec wrote",
            )
        if version > SCHEMA_VERSION:
            raise _newer(version, SCHEMA_VERSION)
        if version < 1:
            raise SchemaError(f"schema version {version} never existed", rule="R-12")
        document = unpack(data, max_values=8)
        if not is_array(document, int, str, str, int, bytes):
            raise SchemaError("not [version, kind, compression, raw size, payload]", rule="R-12")
        version, kind, compression, raw_size, payload = document
        return version, kind, compression, raw_size, memoryview(payload)

    def _payload(
        self, compression: str, raw_size: int, payload: memoryview
    ) -> tuple[bytes | memoryview, PlaneReader | None]:
        """Return the record's canonical bytes, and the reader of its columns.

        The reader is None without compression. Raises SchemaError (R-13).
        """
        if raw_size > self._limits.max_raw_bytes:
            raise SchemaError(
                f"declares {raw_size} raw bytes; at most {self._limits.max_raw_bytes} are accepted",
                rule="R-13",
            )
        if compression == "":
            if raw_size != len(payload):
                raise SchemaError(
                    f"declares {raw_size} raw bytes and holds {len(payload)}", rule="R-13"
                )
            return payload, None
        if compression != "zstd":
            raise SchemaError(
                f"compression {compression!r:.40} is unknown",
                rule="R-13",
                remedy="Use '' or 'zstd'",
            )
        try:
            parts = unpack(payload, max_values=10)
        except SchemaError:
            parts = None
        if not is_array(parts, int, bytes, bytes):
            raise SchemaError("a compressed payload is [size, record, planes]", rule="R-13")
        size, record, planes = parts
        if not 0 <= size <= raw_size:
            raise SchemaError(f"declares {raw_size} raw bytes and a record of {size}", rule="R-13")
        return inflate(memoryview(record), size), PlaneReader(memoryview(planes), raw_size - size)
