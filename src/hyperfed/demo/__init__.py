"""Real data to try Hyperfed on: `munnell`, the public capital of 48 US states."""

from hyperfed.demo.munnell import VARIABLES, flip_signs, series, states

__all__ = ["VARIABLES", "flip_signs", "series", "states"]
