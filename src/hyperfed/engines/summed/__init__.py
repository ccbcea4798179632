"""Discover on sums of clients' statistics: engines that see no row, and find what rows would show.

`make_summed_engine` makes one by the name that a plan states.
"""

from hyperfed.engines.summed.engine import SummedEngine
from hyperfed.engines.summed.graphs import SummedFci, SummedGes, SummedPc
from hyperfed.engines.summed.named import SUMMED_ENGINES, make_summed_engine
from hyperfed.engines.summed.var import SummedVar

__all__ = [
    "SUMMED_ENGINES",
    "SummedEngine",
    "SummedFci",
    "SummedGes",
    "SummedPc",
    "SummedVar",
    "make_summed_engine",
]
