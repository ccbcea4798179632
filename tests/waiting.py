"""Wait for what a running installation does in its own time: one loop, and one limit for all tests.

The limit says only when a test gives up. It is far above what an idle machine needs, because CI
runs several lanes on two cores, and a schedule, a heartbeat or a notification is then minutes late.
"""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE_S", "eventually"]

T = TypeVar("T")

PATIENCE_S = 240.0
"""How long a test waits before it gives up, in seconds; below the shortest limit of a test."""


def eventually(
    found: Callable[[], T | None],
    why: str | Callable[[], str],
    *,
    most_s: float = PATIENCE_S,
    every_s: float = 0.3,
) -> T:
    """Return the first value that is true, and fail after `most_s` seconds without one.

    why: what did not come, or a function that says so when it is needed. every_s: the pause between
    two looks, in seconds.
    """
    over = time.monotonic() + most_s
    while not (value := found()):
        assert time.monotonic() < over, (
            f"in vain for {most_s:g} s: {why() if callable(why) else why}"
        )
        time.sleep(every_s)
    return value
