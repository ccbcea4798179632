"""Group the rows of many clients by key, in key ranges, for every merge.

`segments` groups rows, `eligible_voters` says who could have voted, `pooling` averages effects, and
`false_discovery` says how often what stays is wrong.
The rules come from DESIGN section 5. This package knows neither graphs nor strategies:
`hyperfed.reconciler.reconcile` does.
"""

from hyperfed.merge.eligible_voters import EligibleVoters, PairVoters, PatternVoters
from hyperfed.merge.false_discovery import q_values
from hyperfed.merge.pooling import Pooled, pool_effects
from hyperfed.merge.segments import Derived, common

__all__ = [
    "Derived",
    "EligibleVoters",
    "PairVoters",
    "PatternVoters",
    "Pooled",
    "common",
    "pool_effects",
    "q_values",
]
