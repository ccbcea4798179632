"""Turn values into bytes and back.

`PayloadCodec` encodes packets and protocol objects; `pack` and `unpack` are the canonical form
beneath them, one writer and one reader, whose refusals `explaining` explains. `leading_int` reads
the version that begins every array of Hyperfed. `from_record` and `to_record` convert between plain
values and typed ones.
"""

from hyperfed.codec.payload import SCHEMA_VERSION, PayloadCodec
from hyperfed.codec.reading import is_array, leading_int, unpack
from hyperfed.codec.records import from_record, to_record
from hyperfed.codec.writing import pack, pack_around

__all__ = [
    "SCHEMA_VERSION",
    "PayloadCodec",
    "from_record",
    "is_array",
    "leading_int",
    "pack",
    "pack_around",
    "to_record",
    "unpack",
]
