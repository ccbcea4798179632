"""Send or read several objects in one call to a relay (`GRPCStore.read_many` and `put_many`).

1. One call costs as much processor time as the bytes of a message, on both sides. So many objects
   share a stream, and the figures of benchmarks/relay.py say what that gains (docs/adr/0059).
2. Keys and answers have one order. An answer that is not a success says only that: the object is
   then asked for alone, and that call says why. So errors have one place.
3. An object that does not fit into a message goes alone too.
4. At most `_AHEAD` objects of a caller have no answer yet. A stream ends after `_MOST`, so that its
   deadline is one of a bounded amount of work.
5. The caller's own thread asks for its objects; gRPC's threads only take what lies in a queue.

What it does not do: try again, or decide what a failed stream means for its objects.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from queue import SimpleQueue
from typing import Any

from hyperfed.errors import TransportError
from hyperfed.storage.grpc_messages import (
    CREATED,
    EXISTS,
    PIECE_BYTES,
    Malformed,
    pack_key,
    pack_many,
    unpack_answer,
)
from hyperfed.storage.store import check_key

__all__ = ["created_in_order", "read_in_order"]

_AHEAD = 16  # more than a relay works on at once in one stream, or both would wait
_MOST = 64

Alone = Callable[[str], bytes | TransportError]
Failed = Callable[[str, Exception], TransportError]


def read_in_order(
    keys: Iterable[str],
    *,
    max_bytes: int,
    call: Callable[[bytes], Any],
    alone: Alone,
    failed: Failed,
) -> Iterator[tuple[str, bytes | TransportError]]:
    """Yield (key, bytes or error) for each key, in order.

    `call` opens a stream of answers to one request. `alone` reads one object, and `failed` returns
    the error that a stream which broke off means for a key.
    """
    import grpc

    waiting = iter(keys)
    while batch := [check_key(key) for key in islice(waiting, _MOST)]:
        answers, broken = call(pack_many(batch, max_bytes)), None
        try:
            for key in batch:
                found: bytes | TransportError | None = None
                if broken is None:
                    try:
                        found = unpack_answer(next(answers, b""), max_bytes)
                    except (grpc.RpcError, Malformed) as error:
                        broken = error
                if broken is not None:
                    found = failed(key, broken)
                yield key, alone(key) if found is None else found
        finally:
            answers.cancel()


def created_in_order(
    objects: Iterable[tuple[str, bytes | memoryview]],
    *,
    call: Callable[[Iterator[bytes]], Any],
    alone: Callable[[str, bytes | memoryview], bool | TransportError],
    failed: Failed,
) -> Iterator[tuple[str, bool | TransportError]]:
    """Yield (key, whether it was created, or error) for each object, in order.

    `call` opens a stream, `alone` creates one object, and `failed` is as for `read_in_order`.
    """
    waiting = iter(objects)
    for first in waiting:
        if len(first[1]) > PIECE_BYTES:
            yield first[0], alone(*first)
            continue
        large: list[tuple[str, bytes | memoryview]] = []
        yield from _stream(
            _until_large(chain([first], islice(waiting, _MOST - 1)), large), call, alone, failed
        )
        for key, data in large:
            yield key, alone(key, data)


def _until_large(
    objects: Iterable[tuple[str, bytes | memoryview]],
    large: list[tuple[str, bytes | memoryview]],
) -> Iterator[tuple[str, bytes | memoryview]]:
    """Yield the objects up to the first one that fits into no message, which goes into `large`."""
    for key, data in objects:
        if len(data) > PIECE_BYTES:
            large.append((key, data))
            return
        yield key, data


def _stream(
    objects: Iterator[tuple[str, bytes | memoryview]],
    call: Callable[[Iterator[bytes]], Any],
    alone: Callable[[str, bytes | memoryview], bool | TransportError],
    failed: Failed,
) -> Iterator[tuple[str, bool | TransportError]]:
    import grpc

    messages: SimpleQueue[bytes | None] = SimpleQueue()
    answers = call(iter(messages.get, None))
    sent: deque[tuple[str, bytes | memoryview]] = deque()
    broken: Exception | None = None

    def take() -> tuple[str, bool | TransportError]:
        nonlocal broken
        key, data = sent.popleft()
        answer = b""
        if broken is None:
            try:
                answer = next(answers, b"")
            except grpc.RpcError as error:
                broken = error
        if broken is not None:
            return key, failed(key, broken)
        if answer in (CREATED, EXISTS):
            return key, answer == CREATED
        return key, alone(key, data)

    try:
        for key, data in objects:
            if len(sent) == _AHEAD:
                yield take()
            messages.put(pack_key(check_key(key), data))
            sent.append((key, data))
        messages.put(None)
        while sent:
            yield take()
    finally:
        messages.put(None)  # gRPC's thread waits at the queue
        answers.cancel()
