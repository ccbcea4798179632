"""The columnar core under every merge: rows of many clients, grouped by key, in key ranges.

`segments` groups rows, `electorate` says who could have voted, `pooling` averages effects. Source: DESIGN section 5.
It knows neither stores nor strategies: that is `hyperfed.reconciler`.
"""

from hyperfed.merge.electorate import Electorate, PairElectorate, PatternElectorate
from hyperfed.merge.pooling import Pooled, pool_effects
from hyperfed.merge.segments import Derived, Part, common, split

__all__ = ["Derived", "Electorate", "PairElectorate", "Part", "PatternElectorate", "Pooled", "common", "pool_effects", "split"]
