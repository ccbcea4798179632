"""A whole federation in one process, attacked: what `hyperfed simulate` and docs/robustness.md run."""

from hyperfed.testing.simulator.run import Night, Simulation, simulate
from hyperfed.testing.simulator.score import Score, score
from hyperfed.testing.simulator.worlds import WORLDS, World, build_world

__all__ = ["WORLDS", "Night", "Score", "Simulation", "World", "build_world", "score", "simulate"]
