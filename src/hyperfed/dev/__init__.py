"""A whole federation's servers on one machine: what `hyperfed dev up` starts, watches and ends."""

from hyperfed.dev.processes import Process, Recorded, carrying
from hyperfed.dev.stack import Stack

__all__ = ["Process", "Recorded", "Stack", "carrying"]
