"""Fit resamples for the process that started this one (`resampling`).

    python -m hyperfed.engines.resampling_child

It receives a fit and the data, then the number of one resample after the other, and answers with
the votes in each. It ends when its standard input does.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hyperfed.engines.messages import read_message, write_message
from hyperfed.engines.resampling import Fit, one_resample, one_thread

__all__ = ["main"]


def main() -> None:
    """Answer until the standard input ends."""
    source, to = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # what a library prints is no answer
    try:
        task = json.loads(read_message(source))
        shape = json.loads(read_message(source))
        data = np.frombuffer(read_message(source), dtype=np.float64).reshape(shape)
        fit: Fit = _named(task["fit"])(**task["fields"])
        while True:
            resample = int(read_message(source))
            try:
                fit.prepare()
                with one_thread():
                    votes = np.ascontiguousarray(one_resample(fit, data, task["seed"], resample))
            except Exception as exc:  # whatever a library raises is told to the parent
                write_message(to, b"error")
                write_message(to, f"{type(exc).__name__}: {exc}"[:500].encode())
                continue
            write_message(to, json.dumps(votes.shape).encode())
            write_message(to, votes.astype(np.float64).tobytes())
    except (EOFError, BrokenPipeError):
        return


def _named(name: str) -> Any:
    """Return the class that a name says."""
    module, _, attribute = name.partition(":")
    named_object: Any = importlib.import_module(module)
    for part in attribute.split("."):
        named_object = getattr(named_object, part)
    return named_object


if __name__ == "__main__":
    main()
