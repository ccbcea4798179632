"""Simulate a whole federation under attack in one process, for `hyperfed simulate` and
docs/robustness.md.
"""

from hyperfed.simulator.run import SimulatedNight, Simulation, simulate
from hyperfed.simulator.score import Score, score
from hyperfed.simulator.worlds import WORLDS, World, build_world

__all__ = [
    "WORLDS",
    "Score",
    "SimulatedNight",
    "Simulation",
    "World",
    "build_world",
    "score",
    "simulate",
]
