"""Judging a round's objects on more than one core: this process judges, and so do processes that it starts and feeds (ADR 0019)."""

from hyperfed.judging.judges import HEAVY_BYTES, MOST, Judges, seconds_of, worth
from hyperfed.judging.messages import Part

__all__ = ["HEAVY_BYTES", "MOST", "Judges", "Part", "seconds_of", "worth"]
