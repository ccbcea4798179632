"""Run a whole federation's servers on one machine, for `hyperfed dev up`."""

from hyperfed.dev.processes import Process, Recorded, carrying
from hyperfed.dev.stack import Stack

__all__ = ["Process", "Recorded", "Stack", "carrying"]
