"""Write and read the messages between processes of resamples: bytes with their size."""

import struct
from typing import IO

__all__ = ["read_message", "write_message"]

_SIZE = struct.Struct("<Q")


def write_message(to: IO[bytes], data: bytes) -> None:
    """Write one message."""
    to.write(_SIZE.pack(len(data)))
    to.write(data)
    to.flush()


def read_message(source: IO[bytes]) -> bytes:
    """Return one message. Raises EOFError where the other side ended."""
    head = source.read(_SIZE.size)
    if len(head) < _SIZE.size:
        raise EOFError
    (size,) = _SIZE.unpack(head)
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data
