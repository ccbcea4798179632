"""Provide additive sufficient statistics, which clients may send in place of votes, and sums."""

from hyperfed.statistics.making import Scaling, statistics_of
from hyperfed.statistics.record import Statistics, block_lags
from hyperfed.statistics.sums import Summed, Sums, leave_one_out

__all__ = [
    "Scaling",
    "Statistics",
    "Summed",
    "Sums",
    "block_lags",
    "leave_one_out",
    "statistics_of",
]
