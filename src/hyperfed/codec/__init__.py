"""Bytes <-> values: `PayloadCodec` for packets and protocol objects, `pack`/`unpack` for the canonical form beneath them.

`leading_int` reads the version that begins every array of ours; `from_record`, `to_record` go between plain values and typed ones.
"""

from hyperfed.codec.canonical import is_array, leading_int, pack, pack_around, unpack, unpack_around
from hyperfed.codec.payload import SCHEMA_VERSION, PayloadCodec
from hyperfed.codec.records import from_record, to_record

__all__ = ["SCHEMA_VERSION", "PayloadCodec", "from_record", "is_array", "leading_int", "pack", "pack_around", "to_record", "unpack", "unpack_around"]
