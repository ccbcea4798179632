"""Timing side by side: candidates take turns, and what counts is the ratio of their best times within one run.

1. Every candidate runs once unmeasured, then in turn with the others `repeats` times: a slow minute of the machine slows all of them.
2. The figure is the best: whatever else the machine does can only add to it. Absolute times drift with the machine; ratios hardly do.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["best_of"]


def best_of(candidates: Mapping[str, Callable[[], Any]], *, repeats: int = 5) -> dict[str, float]:
    """Seconds by name."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(repeats + 1):
        for name, work in candidates.items():
            began = time.perf_counter()
            work()
            if turn:
                taken[name].append(time.perf_counter() - began)
    return {name: min(seconds) for name, seconds in taken.items()}
