"""Let Python's garbage collector run less often while a stage works.

A stage of a large round makes many small objects that live on, and hardly any cycles. After every
700 of them Python would look for cycles, and now and then search everything that a process holds.
That would take an eighth of the time of a small message.

1. The threshold belongs to the process, so it is set back when the last stage that asked for it has
   ended, in whatever thread.
2. A process whose collector is rarer already, or switched off, keeps its setting.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["seldom_collecting"]

_OBJECTS = 100_000  # how many are made and not let go between two collections

_lock = threading.Lock()
_stages = 0
_before = (0, 0, 0)


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Raise the collector's threshold for the time of a stage.

    It is a context manager, and serves as a decorator of functions too.
    """
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
