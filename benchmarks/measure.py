"""Timing side by side: candidates take turns, and what counts is the ratio of their best times
within one run.

1. Every candidate runs in turn with the others, once to warm up and `repeats` times more: a slow
   minute of the machine slows all of them. One that takes more than SLOW_S runs once.
2. The figure is the best: whatever else the machine does can only add to it. Absolute times drift
   with the machine; ratios hardly do.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["SLOW_S", "best_of", "machine"]

SLOW_S = 5.0


def best_of(
    candidates: Mapping[str, Callable[[], Any]],
    *,
    repeats: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Seconds by name. clock: `time.process_time` for CPU seconds of all threads, which other work
    on the machine hardly changes.
    """
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats + 1):
        for name, work in candidates.items():
            if min(taken[name], default=0.0) <= SLOW_S:
                began = clock()
                work()
                taken[name].append(clock() - began)
    return {name: min(seconds) for name, seconds in taken.items()}


def machine() -> dict[str, Any]:
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "",
    )
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
