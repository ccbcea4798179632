"""Provide real data for trying Hyperfed: the public capital of 48 US states (`munnell`)."""

from hyperfed.demo.munnell import VARIABLES, flip_signs, series, series_csv, states

__all__ = ["VARIABLES", "flip_signs", "series", "series_csv", "states"]
