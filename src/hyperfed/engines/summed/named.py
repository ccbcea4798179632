"""Name the engines on sums that a plan can state, and make them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hyperfed.engines.summed.engine import SummedEngine
from hyperfed.engines.summed.graphs import SummedFci, SummedGes, SummedPc
from hyperfed.engines.summed.var import SummedVar
from hyperfed.errors import ConfigError
from hyperfed.statistics import Sums
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["SUMMED_ENGINES", "make_summed_engine"]

SUMMED_ENGINES: Mapping[str, type[SummedEngine]] = MappingProxyType(
    {"var": SummedVar, "pc": SummedPc, "fci": SummedFci, "ges": SummedGes}
)
"""The engines on sums by name."""


def make_summed_engine(
    name: str, sums: Sums, vocabulary: Vocabulary, **options: Any
) -> SummedEngine:
    """Return the engine of a name over sums; options that it does not take are left out.

    options: knowledge, of var short_bias, and of the engines for tables alpha, resamples and seed.
    Raises ConfigError for an unknown name, EngineError where the sums do not suffice.
    """
    kind = SUMMED_ENGINES.get(name)
    if kind is None:
        raise ConfigError(
            "there is no such engine on sums",
            subject=f"engine {name!r:.80}",
            remedy=f"Choose one of {', '.join(SUMMED_ENGINES)}",
        )
    tables = {"knowledge", "alpha", "resamples", "seed"}
    taken = {"knowledge", "short_bias"} if name == "var" else tables
    return kind(sums, vocabulary, **{key: value for key, value in options.items() if key in taken})
