"""Offer the ways in which people read a model in Python, each in one line.

1. `print(model)` and a notebook show a short summary, with what a reader must know.
2. `to_dataframe`, `to_networkx` and `plot` hand the graph to other libraries, which are imported
   when they are asked for. A suppressed edge is named in each, because an edge that is left out
   reads as absent.
3. `explain` says in sentences what is known of one pair of variables, `compare` what changed
   between two models.

What it does not do: it writes no file (`hyperfed.evidence` does), and computes nothing that the
round did not.
"""

from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from hyperfed.hypergraph.change import Change
    from hyperfed.hypergraph.explanation import Explanation
    from hyperfed.hypergraph.global_model import GlobalModel

__all__ = ["ModelReading"]


class ModelReading:
    """Reads a `GlobalModel`, for people and for other libraries."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return a short summary: what the model is of, its strongest edges, its warnings."""
        from hyperfed.hypergraph.model_summary import summary_text

        return summary_text(self._model)

    def _repr_html_(self) -> str:
        """Return the summary as HTML, for notebooks."""
        from hyperfed.hypergraph.model_summary import summary_html

        return summary_html(self._model)

    def to_dataframe(self, *, library: Literal["pandas", "arrow"] | None = None) -> Any:
        """Return a table with one row for each edge, strongest vote first, then suppressed edges.

        The columns are those of `rows`, and `status`. The table is a pandas.DataFrame, or a
        pyarrow.Table where pandas is not installed; `library` asks for one of them. What is not
        known is missing, never 0. Raises ConfigError where the library is not installed.
        """
        from hyperfed.hypergraph.frames import model_frame

        return model_frame(self._model, library)

    def to_networkx(self) -> Any:
        """Return the edges as a networkx.MultiDiGraph, with their evidence.

        Nodes are the names of the vocabulary, with `domain`, `unit` and `measured`. An edge's key
        is its lag; its attributes are those of `rows` that are known. Edges that are suppressed are
        in `graph.graph["suppressed"]`. Raises ConfigError where networkx is not installed.
        """
        from hyperfed.hypergraph.frames import model_networkx

        return model_networkx(self._model)

    def plot(self, ax: Any = None, *, edges: int = 60) -> Any:
        """Draw the strongest edges with matplotlib, and return the axes.

        Blue, solid lines raise their target and orange, dashed lines lower it; the width says
        |vote|. `ax` are the axes to draw on; None makes some. Raises ConfigError where matplotlib
        is not installed.
        """
        from hyperfed.hypergraph.plotting import plot_model

        return plot_model(self._model, ax, edges)

    def explain(self, source: int | str, target: int | str) -> "Explanation":
        """Return what is known of the edges from one variable to another, at every lag.

        Raises BoundsError for an unknown variable.
        """
        from hyperfed.hypergraph.explanation import explain

        return explain(self._model, source, target)

    def compare(self, other: "GlobalModel") -> "Change":
        """Return what changed from this model to the other, edge by edge."""
        from hyperfed.hypergraph.change import change_between

        return change_between(self._model, other)

    @property
    def _model(self) -> "GlobalModel":
        return cast("GlobalModel", self)
