"""What an attack is: from what the liars know, what they send.

1. Liars collude and are omniscient: they see every honest vector of the night before they choose theirs. A rule that stands here stands against less.
2. An attack works on vectors (float64[clients, d]) and, through the same code, on edge tables: a client's table is the vector of its effects over all
   edges that anyone reports. What it sends is a table again, with the confidence and stability of a client that is sure; or `quiet`, with a confidence
   that makes its votes as large as the median honest client's: what liars do who know that who shouts is not heard.
3. `rng` is an argument: the same seed gives the same lie.

Shipped so that users can test their own rules. It attacks no real federation: it makes data.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph import HypergraphStore
from hyperfed.tables import EdgeTable, unpack_keys

__all__ = ["Attack", "effect_matrix"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack(ABC):
    """An attack by `liars` on what the honest clients send. quiet: edge tables of usual confidence, instead of full (rule 2 of the module)."""

    name: ClassVar[str] = ""

    quiet: bool = False

    @abstractmethod
    def vectors(self, honest: Floats, own: Floats, rng: np.random.Generator) -> Floats:
        """float64[liars, d]: what the liars send.

        honest: float64[clients, d], what the others send; own: float64[liars, d], what the liars' own data say.
        """

    def stores(self, honest: Sequence[HypergraphStore], own: Sequence[HypergraphStore], rng: np.random.Generator) -> list[HypergraphStore]:
        """What the liars send as edge tables. honest: of the others; own: what the liars' own data say."""
        if not own:
            return []
        keys, effects = effect_matrix([*honest, *own])
        sent = self.vectors(effects[: len(honest)], effects[len(honest) :], rng)
        sure = self.confidence(honest)
        return [disguised(store, keys, row, confidence=sure) for store, row in zip(own, sent, strict=True)]

    def confidence(self, honest: Sequence[HypergraphStore]) -> float:
        """What liars say they are sure of, in (0, 1]: 1, or where they are quiet the median over honest clients of the root mean square vote they cast."""
        sizes = [float(np.sqrt(np.mean(np.square(store.edges.vote)))) for store in honest if len(store.edges)]
        return min(1.0, max(1e-3, float(np.median(sizes)))) if self.quiet and sizes else 1.0


def effect_matrix(stores: Sequence[HypergraphStore]) -> tuple[npt.NDArray[np.uint64], Floats]:
    """(uint64[edges] the edges that anyone reports, ascending; float64[stores, edges] effects, 0 where not reported)."""
    keys = np.unique(np.concatenate([store.edges.keys for store in stores]))
    effects = np.zeros((len(stores), len(keys)))
    for row, store in zip(effects, stores, strict=True):
        row[np.searchsorted(keys, store.edges.keys)] = store.edges.effect
    return keys, effects


def disguised(store: HypergraphStore, keys: npt.NDArray[np.uint64], effect: Floats, *, confidence: float = 1.0) -> HypergraphStore:
    """`store` with these effects, where not 0: each with a narrow interval, this confidence, full stability, and the sample count of the liar's own."""
    source, target, lag = unpack_keys(keys)
    there = np.isfinite(effect) & (effect != 0) & np.isin(source, store.measured) & np.isin(target, store.measured)
    value = effect[there]
    half = 0.05 * np.abs(value) + 1e-6
    table = EdgeTable.build(
        source=source[there],
        target=target[there],
        lag=lag[there],
        effect=value,
        ci_low=value - half,
        ci_high=value + half,
        confidence=confidence,
        stability=1.0,
        hits=100,
        n=int(store.edges.n.max(initial=0)),
    )
    return HypergraphStore(edges=table, measured=store.measured, vocabulary=store.vocabulary)
