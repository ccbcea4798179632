"""Python's collector of cycles while a stage works, or a process that judges beside it: it looks less often.

A stage of a large round makes many small objects that live on, and no cycles to speak of; after every 700 of them Python would look for some, and now and then
through everything that a process holds: an eighth of a small message's time.

1. It is the process' setting, so it is set back when the last stage that asked for it has ended, in whatever thread.
2. Who has asked for less already, or switched it off, keeps that.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["seldom_collecting"]

_OBJECTS = 100_000  # made and not let go, between two looks

_lock = threading.Lock()
_stages = 0
_before = (0, 0, 0)


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """For the time of a stage; a method's decorator, too."""
    global _stages, _before
    with _lock:
        if not _stages:
            _before = gc.get_threshold()
            if 0 < _before[0] < _OBJECTS:
                gc.set_threshold(_OBJECTS, *_before[1:])
        _stages += 1
    try:
        yield
    finally:
        with _lock:
            _stages -= 1
            if not _stages:
                gc.set_threshold(*_before)
