"""Bytes <-> values: `PayloadCodec` for packets and protocol objects, `pack`/`unpack` for the canonical form beneath them."""

from hyperfed.codec.canonical import pack, unpack
from hyperfed.codec.payload import SCHEMA_VERSION, PayloadCodec
from hyperfed.codec.records import from_record, to_record

__all__ = ["SCHEMA_VERSION", "PayloadCodec", "from_record", "pack", "to_record", "unpack"]
