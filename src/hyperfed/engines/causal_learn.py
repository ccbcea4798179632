"""Find edges in a table by causal-learn: PC, GES, FCI and DirectLiNGAM.

1. `PcEngine` and `FciEngine` test independence by partial correlations (Fisher's z) at level
   `alpha`; `GesEngine` scores by BIC. Their graphs have marks (`marks`): an edge without direction
   is half a vote each way. FCI allows for causes that nobody measured, and reports x <-> y.
2. `LingamEngine` is DirectLiNGAM: linear effects and non-Gaussian noise, so that every edge has a
   direction. Its matrix has the target in the row and the source in the column, which is turned
   here; its effects are the library's own.
3. Knowledge goes in where the library takes it: PC and FCI take forbidden and required edges,
   DirectLiNGAM takes which variable has no path to which. `TableFit.held_to` does the rest.

Sources: Spirtes, Glymour & Scheines 2000 (PC, FCI); Chickering 2002, JMLR 3 (GES); Shimizu et al.
2011, JMLR 12 (DirectLiNGAM); Zheng et al. 2024, JMLR 25 (causal-learn).

What it does not do: it knows nothing of time (`causal_learn_series`).
"""

import contextlib
import importlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.engines.marks import MarkedGraph
from hyperfed.engines.table import TableEngine, TableFit, TableFound
from hyperfed.errors import ConfigError, EngineError

__all__ = [
    "FciEngine",
    "GesEngine",
    "LingamEngine",
    "PcEngine",
    "TestingFit",
    "found_of_marks",
    "module_of_causal_learn",
    "quietly",
]

Floats = npt.NDArray[np.float64]


def module_of_causal_learn(name: str) -> Any:
    """Return a module of causal-learn. Raises ConfigError where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of its dependencies, as they are imported
            return importlib.import_module(f"causallearn.{name}")
    except ImportError as exc:
        raise ConfigError(
            f"causal-learn cannot be imported: {exc}",
            subject="engine",
            remedy="pip install causal-learn",
        ) from exc


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what the library prints, and its warnings, out of a command's output."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def found_of_marks(graph: Any) -> TableFound:
    """Return what a graph of causal-learn says."""
    marked = MarkedGraph.of_causal_learn(graph.graph)
    return TableFound(votes=marked.votes, confounded=marked.confounded, endpoints=marked.texts)


@dataclass(frozen=True, kw_only=True)
class TestingFit(TableFit):
    """Fits by tests of independence at one level."""

    alpha: float = 0.05
    """The level of the tests, in (0, 1)."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise EngineError(
                f"alpha is {self.alpha!r:.40}; a level between 0 and 1 is needed", subject="engine"
            )

    def _background(self, width: int) -> Any:
        """Return what is known as the library takes it, or None where nothing is."""
        if not (self.forbidden or self.required):
            return None
        nodes = [
            module_of_causal_learn("graph.GraphNode").GraphNode(f"X{i + 1}") for i in range(width)
        ]
        background = module_of_causal_learn(
            "utils.PCUtils.BackgroundKnowledge"
        ).BackgroundKnowledge()
        for source, target in self.forbidden:
            background.add_forbidden_by_node(nodes[source], nodes[target])
        for source, target in self.required:
            background.add_required_by_node(nodes[source], nodes[target])
        return background


@dataclass(frozen=True, kw_only=True)
class PcFit(TestingFit):
    """Fits PC in its stable form."""

    def prepare(self) -> None:
        """Import the library. Raises ConfigError where it is not installed."""
        module_of_causal_learn("search.ConstraintBased.PC")

    def find(self, data: Floats) -> TableFound:
        """Return the graph that PC finds."""
        module = module_of_causal_learn("search.ConstraintBased.PC")
        with quietly():
            result = module.pc(
                data,
                self.alpha,
                "fisherz",
                background_knowledge=self._background(data.shape[1]),
                show_progress=False,
            )
        return found_of_marks(result.G)


@dataclass(frozen=True, kw_only=True)
class FciFit(TestingFit):
    """Fits FCI."""

    def prepare(self) -> None:
        """Import the library. Raises ConfigError where it is not installed."""
        module_of_causal_learn("search.ConstraintBased.FCI")

    def find(self, data: Floats) -> TableFound:
        """Return the partial ancestral graph that FCI finds."""
        module = module_of_causal_learn("search.ConstraintBased.FCI")
        with quietly():
            result, _ = module.fci(
                data,
                "fisherz",
                self.alpha,
                background_knowledge=self._background(data.shape[1]),
                show_progress=False,
            )
        return found_of_marks(result)


@dataclass(frozen=True, kw_only=True)
class GesFit(TableFit):
    """Fits GES with BIC."""

    def prepare(self) -> None:
        """Import the library. Raises ConfigError where it is not installed."""
        module_of_causal_learn("search.ScoreBased.GES")

    def find(self, data: Floats) -> TableFound:
        """Return the equivalence class that GES finds."""
        module = module_of_causal_learn("search.ScoreBased.GES")
        with quietly():
            result = module.ges(data, "local_score_BIC")
        return found_of_marks(result["G"])


@dataclass(frozen=True, kw_only=True)
class LingamFit(TableFit):
    """Fits DirectLiNGAM."""

    def prepare(self) -> None:
        """Import the library. Raises ConfigError where it is not installed."""
        module_of_causal_learn("search.FCMBased.lingam")

    def find(self, data: Floats) -> TableFound:
        """Return the graph and effects that DirectLiNGAM finds."""
        module = module_of_causal_learn("search.FCMBased.lingam")
        paths = None
        if self.earlier:
            paths = np.full((data.shape[1],) * 2, -1.0)
            for source, target in self.earlier:
                paths[target, source] = 0.0  # the row is the target
        with quietly():
            model = module.DirectLiNGAM(prior_knowledge=paths).fit(data)
        effect = np.asarray(model.adjacency_matrix_, dtype=np.float64).T
        return TableFound(votes=(effect != 0).astype(np.float64), effect=effect)


class PcEngine(TableEngine):
    """Finds edges in a table by PC; its option is `alpha`, 0.05 unless given."""

    fit: ClassVar[type[TableFit]] = PcFit


class FciEngine(TableEngine):
    """Finds edges in a table by FCI; its option is `alpha`, 0.05 unless given."""

    fit: ClassVar[type[TableFit]] = FciFit


class GesEngine(TableEngine):
    """Finds edges in a table by GES."""

    fit: ClassVar[type[TableFit]] = GesFit


class LingamEngine(TableEngine):
    """Finds edges in a table by DirectLiNGAM."""

    fit: ClassVar[type[TableFit]] = LingamFit
