"""Hold a graph whose edges have a mark at each end, as constraint-based discovery returns it.

1. The marks are tail, arrow and circle. `ends[i, j]` is the mark at j of the edge between i and j,
   none where there is no edge: x --> y has a tail at x and an arrow at y.
2. As votes, x --> y is a whole one for that direction. An edge that may run either way is half a
   vote each way: x --- y and x o-o y. x o-> y is half a vote for that direction and none for the
   other: y does not cause x, and whether x causes y is not known. x <-> y is no vote for either
   direction: something that was not measured causes both.
3. causal-learn's matrix has the mark at i in `graph[i, j]`, as -1 (tail), 1 (arrow), 2 (circle).
   There 4 and 5 are a tail or an arrow, together with a second edge x <-> y.

Sources: Spirtes, Glymour & Scheines 2000, Causation, Prediction, and Search; Zhang 2008, Artif.
Intell. 172 (marks of a partial ancestral graph).

What it does not do: it does not orient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import EngineError

__all__ = ["ARROW", "CIRCLE", "NONE", "TAIL", "MarkedGraph", "edge_text"]

NONE, TAIL, ARROW, CIRCLE = 0, 1, 2, 3

_LEFT = {TAIL: "-", ARROW: "<", CIRCLE: "o"}
_RIGHT = {TAIL: "-", ARROW: ">", CIRCLE: "o"}
_CAUSAL_LEARN = {0: NONE, -1: TAIL, 1: ARROW, 2: CIRCLE, 4: TAIL, 5: ARROW}

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def edge_text(at_source: int, at_target: int) -> str:
    """Return an edge as people write it: "-->", "o->", "---", "o-o", "<->"; "" where none is."""
    if NONE in (at_source, at_target):
        return ""
    return f"{_LEFT[at_source]}-{_RIGHT[at_target]}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarkedGraph:
    """Holds the marks of all edges between some variables.

    Raises EngineError where an edge has a mark at one end only.
    """

    ends: npt.NDArray[np.int8]
    """int8[variables, variables]: `ends[i, j]` is the mark at j of the edge between i and j."""
    confounded: Bools
    """bool[variables, variables], symmetric: between which there is an edge <->."""

    def __post_init__(self) -> None:
        half = (self.ends == NONE) != (self.ends.T == NONE)
        if half.any():
            i, j = (int(at[0]) for at in np.nonzero(half))
            raise EngineError(
                f"the edge between variables {i} and {j} has a mark at one end only",
                subject="graph",
                remedy="Correct the matrix: an edge has two ends",
            )

    @classmethod
    def of_causal_learn(cls, matrix: Any) -> "MarkedGraph":
        """Return the graph that a matrix of causal-learn describes. Raises EngineError."""
        codes = np.asarray(matrix)
        if codes.ndim != 2 or codes.shape[0] != codes.shape[1]:
            raise EngineError(
                f"its matrix has the shape {codes.shape}",
                subject="graph",
                remedy="Give the graph that causal-learn returned",
            )
        strange = sorted(set(codes.ravel().tolist()) - set(_CAUSAL_LEARN))
        if strange:
            raise EngineError(
                f"its matrix has the mark {strange[0]}, which is none of causal-learn's",
                subject="graph",
                remedy="Give the graph that causal-learn returned",
            )
        at_row = np.vectorize(_CAUSAL_LEARN.__getitem__, otypes=[np.int8])(codes)
        ends = np.ascontiguousarray(at_row.T) if len(codes) else np.zeros((0, 0), np.int8)
        double = np.isin(codes, (4, 5))
        both = (ends == ARROW) & (ends.T == ARROW)
        return cls(ends=ends, confounded=both | (double & double.T))

    @property
    def votes(self) -> Floats:
        """The votes for each direction, float64[source, target] (rule 2 of the module)."""
        there, back = self.ends, self.ends.T
        may_act = (there != NONE) & (back != ARROW)  # no arrow at the source
        whole = may_act & (there == ARROW) & (back == TAIL)
        return np.where(whole, 1.0, np.where(may_act & (there != TAIL), 0.5, 0.0)) + np.where(
            may_act & (there == TAIL) & (back == TAIL), 0.5, 0.0
        )

    def texts(self, source: Sequence[int], target: Sequence[int]) -> list[str]:
        """Return each edge as people write it, from source to target."""
        return [
            edge_text(int(self.ends[j, i]), int(self.ends[i, j]))
            for i, j in zip(source, target, strict=True)
        ]
