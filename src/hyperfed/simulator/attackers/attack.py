"""Define an attack: a function from what the liars know to what they send.

1. Liars collude and know everything: they see every honest vector of the night before they choose
   theirs. A rule that withstands them withstands liars that know less.
2. An attack works on vectors (float64[clients, d]). The same code attacks edge tables: a client's
   vector holds its effects over all edges that anyone reports, and what a liar sends is a table
   again, with full stability. A loud liar also claims full confidence. A quiet one claims the
   confidence that makes its votes as large as the median honest client's, because loud votes lose
   weight.
3. `rng` is an argument, so that the same seed gives the same lie.

Users can test their own rules with the attacks. The attacks make data, and touch no real
federation.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.config import MAX_EFFECT
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.tables.tables import EdgeTable, unpack_keys

__all__ = ["Attack", "effect_matrix"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack(ABC):
    """Defines an attack by liars on what the honest clients send.

    Subclasses give `vectors` and a name.
    """

    name: ClassVar[str] = ""
    """The name by which the attack is chosen."""

    quiet: bool = False
    """Whether edge tables claim a usual confidence instead of full (rule 2 of the module)."""

    @abstractmethod
    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        """Return what the liars send, float64[liars, d].

        Args:
            honest: What the others send, float64[clients, d].
            own: What the liars' own data say, float64[liars, d].
            rng: The generator of whatever the attack draws.
        """

    def graphs(
        self,
        honest: Sequence[HypergraphStore],
        own_graphs: Sequence[HypergraphStore],
        rng: np.random.Generator,
    ) -> list[HypergraphStore]:
        """Return what the liars send as edge tables, in the order of `own_graphs`.

        `honest` holds what the others send, and `own_graphs` what the liars' own data say.
        """
        if not own_graphs:
            return []
        keys, effects = effect_matrix([*honest, *own_graphs])
        sent = self.vectors(effects[: len(honest)], effects[len(honest) :], rng)
        sure = self.confidence(honest)
        return [
            disguised(graph, keys, row, confidence=sure)
            for graph, row in zip(own_graphs, sent, strict=True)
        ]

    def confidence(self, honest: Sequence[HypergraphStore]) -> float:
        """Return the confidence that the liars claim, in (0, 1].

        Loud liars claim 1. Quiet ones claim the median over honest clients of the root mean square
        of a client's votes.
        """
        sizes = [
            float(np.sqrt(np.mean(np.square(graph.edges.vote))))
            for graph in honest
            if len(graph.edges)
        ]
        return min(1.0, max(1e-3, float(np.median(sizes)))) if self.quiet and sizes else 1.0


def effect_matrix(graphs: Sequence[HypergraphStore]) -> tuple[npt.NDArray[np.uint64], Floats]:
    """Return the keys of all edges that anyone reports, and the effects that each graph reports.

    The keys are uint64[edges], ascending. The effects are float64[graphs, edges], 0 where a graph
    does not report an edge.
    """
    keys = np.unique(np.concatenate([graph.edges.keys for graph in graphs]))
    effects = np.zeros((len(graphs), len(keys)))
    for row, graph in zip(effects, graphs, strict=True):
        row[np.searchsorted(keys, graph.edges.keys)] = graph.edges.effect
    return keys, effects


def disguised(
    graph: HypergraphStore,
    keys: npt.NDArray[np.uint64],
    effect: Floats,
    *,
    confidence: float = 1.0,
    width: float | None = None,
) -> HypergraphStore:
    """Return `graph` with these effects in place of its own.

    Effects that are 0, not finite, or of variables that the graph did not measure are left out. The
    others have a narrow interval, full stability and the largest sample count of the liar's own
    edges.

    Args:
        graph: What the liar's own data say.
        keys: The edges, uint64[edges], ascending.
        effect: Their effects, float64[edges].
        confidence: The confidence that is claimed, in (0, 1].
        width: The width of the intervals; None: about a tenth of the effect.
    """
    source, target, lag = unpack_keys(keys)
    there = (
        np.isfinite(effect)
        & (effect != 0)
        & np.isin(source, graph.measured)
        & np.isin(target, graph.measured)
    )
    # a larger effect would be refused, and would move nothing
    value = np.clip(effect[there], -MAX_EFFECT, MAX_EFFECT)
    half = width / 2 if width is not None else 0.05 * np.abs(value) + 1e-6
    table = EdgeTable.build(
        source=source[there],
        target=target[there],
        lag=lag[there],
        effect=value,
        ci_low=np.maximum(value - half, -MAX_EFFECT),
        ci_high=np.minimum(value + half, MAX_EFFECT),
        confidence=confidence,
        stability=1.0,
        hits=100,
        n=int(graph.edges.n.max(initial=0)),
    )
    return HypergraphStore(edges=table, measured=graph.measured, vocabulary=graph.vocabulary)
