"""A line between two of our own processes on one machine: whole messages, in order, over a pair of sockets without a name.

1. A message is pickled, its arrays beside it and not copied into it. Only this process and the child it started hold the ends: nobody else can write
   into a line, and nothing that was read from a store is ever unpickled (ADR 0019).
2. Where the other end is gone, `receive` raises EOFError and `send` an OSError.

Frame: uint32 parts, uint64 bytes of each part, the parts; the first is the pickle, the others its buffers, in order.
"""

import pickle  # noqa: TID251 - between our own processes, see above
import socket
import struct
from collections.abc import Sequence
from typing import Any

__all__ = ["receive", "send"]

_AT_ONCE = 1 << 16  # bytes below which parts are joined: one call instead of several


def send(line: socket.socket, message: Any) -> None:
    """Send one message. Raises OSError where nobody receives it any more."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    frame = struct.pack(f"<I{len(parts)}Q", len(parts), *(part.nbytes for part in parts))
    _send_all(line, [memoryview(frame), *parts])


def receive(line: socket.socket) -> Any:
    """The next message; its arrays may not be written. Raises EOFError where none will come."""
    (count,) = struct.unpack("<I", _read(line, 4))
    sizes = struct.unpack(f"<{count}Q", _read(line, 8 * count))
    head, *buffers = [_read(line, size) for size in sizes]
    return pickle.loads(head, buffers=[buffer.toreadonly() for buffer in buffers])  # noqa: S301 - nobody else can write into a line


def _send_all(line: socket.socket, parts: Sequence[memoryview]) -> None:
    small: list[memoryview] = []
    held = 0
    for part in parts:
        if part.nbytes >= _AT_ONCE or held >= _AT_ONCE:
            line.sendall(b"".join(small))
            small, held = [], 0
        if part.nbytes >= _AT_ONCE:
            line.sendall(part)
        else:
            small.append(part)
            held += part.nbytes
    line.sendall(b"".join(small))


def _read(line: socket.socket, size: int) -> memoryview:
    whole = memoryview(bytearray(size))
    at = 0
    while at < size:
        got = line.recv_into(whole[at:])
        if not got:
            raise EOFError("the other process has ended")
        at += got
    return whole
