"""Provide causal discovery engines.

`Engine` is the one method that a library must offer. `VarEngine` comes with Hyperfed; the engines
by causal-learn import it when they run. `FederationEngine` offers a federation below. `catalogue`
names the engines that can be chosen.
"""

from hyperfed.engines.base import Discovery, Engine
from hyperfed.engines.causal_learn import FciEngine, GesEngine, LingamEngine, PcEngine
from hyperfed.engines.causal_learn_series import VarLingamEngine
from hyperfed.engines.federation import FederationEngine
from hyperfed.engines.knowledge import read_knowledge
from hyperfed.engines.readers.series import Series, read_series, read_table
from hyperfed.engines.structure import Interaction
from hyperfed.engines.var import VarEngine

__all__ = [
    "Discovery",
    "Engine",
    "FciEngine",
    "FederationEngine",
    "GesEngine",
    "Interaction",
    "LingamEngine",
    "PcEngine",
    "Series",
    "VarEngine",
    "VarLingamEngine",
    "read_knowledge",
    "read_series",
    "read_table",
]
