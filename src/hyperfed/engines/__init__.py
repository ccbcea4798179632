"""Causal discovery engines: `Engine` is the one method a library must offer; `VarEngine` comes with Hyperfed, `FederationEngine` is a federation below."""

from hyperfed.engines.base import Discovery, Engine
from hyperfed.engines.csv_data import read_csv
from hyperfed.engines.federation import FederationEngine
from hyperfed.engines.var import VarEngine

__all__ = ["Discovery", "Engine", "FederationEngine", "VarEngine", "read_csv"]
