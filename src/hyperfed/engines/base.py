"""What a causal discovery library must offer to take part: one method.

1. An engine is any object with `discover() -> Discovery`. It knows nothing of rounds, clients or vocabularies: it names its variables.
2. A `Discovery` holds the edges as columns with names; `to_edges` maps the names to a round's vocabulary.
3. Variables that the round does not speak about are left out, with the edges that touch them; if none is left, that is an error.

Source: DESIGN section 2 (what travels). It does not decide what is shared: that is the policy, applied by the client's agent.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError, EngineError
from hyperfed.tables import EdgeTable
from hyperfed.vocabulary import Vocabulary

__all__ = ["Discovery", "Engine"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Discovery:
    """What an engine found in one client's data.

    variables: names of all that was measured, also of those without an edge: no edge between measured variables is evidence against one.
    source, target: str[rows], names among `variables`; lag: steps >= 0; effect: change of the target per unit of the source;
    confidence, stability: float[rows] in [0, 1]; n: rows of data behind it; hits: how often the edge was found; ci_low, ci_high: the
    95 % interval, both or neither. Columns may be any sequences of one length, hits and n also scalars. Raises EngineError.
    """

    variables: tuple[str, ...]
    source: Any
    target: Any
    lag: Any
    effect: Any
    confidence: Any
    stability: Any
    hits: Any = 1
    n: Any = 0
    ci_low: Any = None
    ci_high: Any = None

    def __post_init__(self) -> None:
        variables = tuple(self.variables)
        if not all(isinstance(name, str) and name for name in variables):
            raise EngineError("variable names are non-empty texts", subject="discovery")
        if len(set(variables)) != len(variables):
            twice = sorted({name for name in variables if variables.count(name) > 1})
            raise EngineError(f"variables must be named once; twice: {', '.join(twice[:5])}", subject="discovery")
        object.__setattr__(self, "variables", variables)
        for name in ("source", "target"):
            names = np.array(list(getattr(self, name)), dtype=np.str_)
            unknown = ~np.isin(names, np.array(variables, dtype=np.str_))
            if unknown.any():
                raise EngineError(f"{name} names {str(names[np.argmax(unknown)])!r}, which is not among its variables", subject="discovery")
            names.flags.writeable = False
            object.__setattr__(self, name, names)
        if len(self.source) != len(self.target):
            raise EngineError(f"{len(self.source)} sources and {len(self.target)} targets", subject="discovery")

    def __len__(self) -> int:
        return len(self.source)

    def to_edges(self, vocabulary: Vocabulary) -> tuple[npt.NDArray[np.uint32], EdgeTable]:
        """(measured: uint32[variables] ascending, the edge table) in the indices of `vocabulary`.

        Raises EngineError where no variable is in the vocabulary, or where a column breaks a bound of `EdgeTable`.
        """
        index = {name: i for i, name in enumerate(vocabulary.names)}
        order = np.array(sorted(self.variables), dtype=np.str_)
        position = np.array([index.get(str(name), -1) for name in order], dtype=np.int64)
        measured = np.sort(position[position >= 0]).astype(np.uint32)
        if not len(measured):
            known = ", ".join(vocabulary.names[:8])
            raise EngineError("none of the data's variables is in the round's vocabulary", subject=", ".join(self.variables[:8]), remedy=f"It has: {known}")
        source, target = (position[np.searchsorted(order, names)] if len(names) else np.zeros(0, np.int64) for names in (self.source, self.target))
        keep = (source >= 0) & (target >= 0)
        columns: dict[str, Any] = {}
        for name in ("lag", "effect", "confidence", "stability", "hits", "n", "ci_low", "ci_high"):
            value = getattr(self, name)
            if value is None:
                continue
            column = np.asarray(value)
            if column.ndim and len(column) != len(keep):
                raise EngineError(f"{name} has {len(column)} rows where source has {len(keep)}", subject="discovery")
            columns[name] = column[keep] if column.ndim else column
        try:
            return measured, EdgeTable.build(source=source[keep], target=target[keep], **columns)
        except BoundsError as exc:
            raise EngineError(f"the engine's result breaks a bound: {exc}", subject="discovery") from exc


@runtime_checkable
class Engine(Protocol):
    """A discovery engine bound to its data. Any object with this method will do."""

    def discover(self) -> Discovery:
        """Run on the data and return what was found. Raises EngineError where the data cannot be used."""
        ...  # pragma: no cover
