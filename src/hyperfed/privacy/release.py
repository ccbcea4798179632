"""A night's release: from clipped effects to noised means, and to the store that is published. The only place that sees values before their noise.

1. Each client's effects become integers of bounded norm (`clipping`); the sum and its noise are integers; only then they become numbers again.
2. "central": the coordinator adds the noise once to the sum. "local": each client adds it to its own message (`noised_message`).
3. With discovery "selected" each client names its strongest edges, counts are noised, and only edges above the threshold get a mean at all.
4. A mean is shown where it stands out of noise: with probability 0.95 no mean of pure noise is. That is decided on noised values, and costs nothing.
5. Counts of clients and samples behind an edge are data too, and are not released: they read 0. `measured_by` is the number of clients summed.
6. A late update counts less: its clipped effects are multiplied by a weight of at most 1, which is public.
7. Nothing here is logged, and no error names a value.

What it does not do: decide whether it may (`accountant`, the round's reserve), sign, write.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from hyperfed.errors import PrivacyError
from hyperfed.hypergraph import Evidence, HypergraphStore, StoreEvidence
from hyperfed.packets import Claims, Update
from hyperfed.privacy.clipping import clip_l2, to_grid
from hyperfed.privacy.discrete_gaussian import RandomBytes, discrete_gaussian
from hyperfed.privacy.mechanisms import Night, Selection
from hyperfed.privacy.slots import Keys, dense, public_slots
from hyperfed.tables import EdgeTable, unpack_keys
from hyperfed.vocabulary import Vocabulary

__all__ = ["Released", "central_means", "local_means", "noise_cut", "noised_message", "released_store", "slots_of"]

Z95 = 1.959963984540054
_FALSE_EDGES = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What may leave. keys: uint64[slots] ascending; mean: float64[slots], noised; std: of the noise on each; clients: summed."""

    keys: Keys
    mean: npt.NDArray[np.float64]
    std: float
    clients: int

    @property
    def cut(self) -> float:
        return noise_cut(self.std, len(self.keys))


def noise_cut(std: float, slots: int) -> float:
    """What |noise| stays below in every one of `slots` with probability 0.95 (Bonferroni)."""
    return -std * NormalDist().inv_cdf(_FALSE_EDGES / (2 * max(slots, 1)))


def slots_of(tables: Sequence[EdgeTable], night: Night, *, vocabulary: Vocabulary, max_lag: int, random_bytes: RandomBytes = os.urandom) -> Keys:
    """uint64[slots], ascending: all of the vocabulary; with discovery "selected" those chosen by noised counts, which each call draws, and pays for, anew."""
    return public_slots(len(vocabulary), max_lag) if night.selection is None else _selected(tables, night.selection, random_bytes)


def central_means(
    tables: Sequence[EdgeTable],
    weights: Sequence[float],
    night: Night,
    *,
    vocabulary: Vocabulary,
    max_lag: int,
    slots: Keys | None = None,
    random_bytes: RandomBytes = os.urandom,
) -> Released:
    """Means of the clients' clipped effects, noised once. weights: of each client, in (0, 1]; slots: of `slots_of`, if chosen before. Raises PrivacyError."""
    _check(tables, weights)
    if night.mechanism.place != "central":
        raise PrivacyError("is not planned for a coordinator", subject="night")
    if slots is None:
        slots = slots_of(tables, night, vocabulary=vocabulary, max_lag=max_lag, random_bytes=random_bytes)
    total = np.zeros(len(slots), dtype=np.int64)
    for table, weight in zip(tables, weights, strict=True):
        total += to_grid(clip_l2(dense(table, slots), night.clip_norm) * weight, clip_norm=night.clip_norm, bound=night.bound)
    total += discrete_gaussian(night.mechanism.sigma, len(slots), random_bytes=random_bytes)
    share = math.fsum(weights)
    mean = total.astype(np.float64) * (night.clip_norm / night.bound / share)
    return Released(keys=slots, mean=mean, std=night.noise_std / share, clients=len(tables))


def local_means(tables: Sequence[EdgeTable], weights: Sequence[float], night: Night, *, vocabulary: Vocabulary, max_lag: int) -> Released:
    """Means of messages that their clients have noised. Raises PrivacyError where a message is not one."""
    _check(tables, weights)
    slots = public_slots(len(vocabulary), max_lag)
    total = np.zeros(len(slots), dtype=np.float64)
    for table, weight in zip(tables, weights, strict=True):
        if not np.array_equal(table.keys, slots):
            raise PrivacyError("does not speak about every possible edge", subject="noised message")
        total += weight * table.effect.astype(np.float64)
    share = math.fsum(weights)
    return Released(keys=slots, mean=total / share, std=night.noise_std * math.sqrt(math.fsum(w * w for w in weights)) / share, clients=len(tables))


def noised_message(update: Update, night: Night, *, vocabulary: Vocabulary, max_lag: int, random_bytes: RandomBytes = os.urandom) -> Update:
    """What a client sends instead of its update: a noised effect for every possible edge, and nothing else. Each call draws anew and has to be charged."""
    if night.mechanism.place != "local" or update.edges is None:
        raise PrivacyError("needs a whole edge table and a night of local noise", subject="noised message", remedy="Send the whole table, not changes")
    slots = public_slots(len(vocabulary), max_lag)
    grid = to_grid(clip_l2(dense(update.edges, slots), night.clip_norm), clip_norm=night.clip_norm, bound=night.bound)
    noised = grid + discrete_gaussian(night.mechanism.sigma, len(slots), random_bytes=random_bytes)
    source, target, lag = unpack_keys(slots)
    edges = EdgeTable.build(source=source, target=target, lag=lag, effect=noised * (night.clip_norm / night.bound), confidence=1.0, stability=1.0, hits=1, n=0)
    return Update(
        measured=np.arange(len(vocabulary), dtype=np.uint32), edges=edges, claims=Claims(clip_norm=night.clip_norm, record_bound=update.claims.record_bound)
    )


def released_store(released: Released, *, vocabulary: Vocabulary, least: float = 0.0) -> HypergraphStore:
    """The store that is published: means that stand out of the noise and reach `least`, with the noise's interval. confidence: how surely it is no noise."""
    keep = np.abs(released.mean) >= max(released.cut, least, 1e-300)
    mean, rows = released.mean[keep], int(keep.sum())
    source, target, lag = unpack_keys(released.keys[keep])
    sure = np.array([math.erf(abs(x) / (released.std * math.sqrt(2))) for x in mean.tolist()])
    edges = EdgeTable.build(
        source=source,
        target=target,
        lag=lag,
        effect=mean,
        ci_low=mean - Z95 * released.std,
        ci_high=mean + Z95 * released.std,
        confidence=sure,
        stability=np.ones(rows),
        hits=np.zeros(rows, dtype=np.int64),
        n=np.zeros(rows, dtype=np.int64),
    )
    nothing = np.zeros(rows)
    evidence = Evidence(
        vote=np.sign(mean) * sure,
        support=nothing,
        reporting=nothing,
        measured_by=np.full(rows, released.clients),
        samples=nothing,
        std_error=np.full(rows, released.std),
        tau2=nothing,
        i2=nothing,
        pooled=np.ones(rows, dtype=bool),
    )
    return HypergraphStore(edges=edges, measured=np.arange(len(vocabulary)), vocabulary=vocabulary, evidence=StoreEvidence(edges=evidence))


def _check(tables: Sequence[EdgeTable], weights: Sequence[float]) -> None:
    if not tables or len(tables) != len(weights) or not all(0 < w <= 1 for w in weights):
        raise PrivacyError("needs clients, and a weight in (0, 1] for each", subject="private release")


def _selected(tables: Sequence[EdgeTable], selection: Selection, random_bytes: RandomBytes) -> Keys:
    """uint64[chosen], ascending: edges whose noised count of clients reaches the threshold."""
    named: Mapping[int, npt.NDArray[np.uint64]] = {i: _strongest(table, selection.edges_per_client) for i, table in enumerate(tables)}
    keys, counts = np.unique(np.concatenate(list(named.values())), return_counts=True)
    scaled = counts.astype(np.int64) * selection.scale
    noised = scaled + discrete_gaussian(selection.mechanism.sigma, len(keys), random_bytes=random_bytes)
    return np.asarray(keys[noised >= selection.threshold])


def _strongest(table: EdgeTable, most: int) -> npt.NDArray[np.uint64]:
    """uint64[<= most]: the keys of the strongest effects, ties by key: what one client may name at most."""
    order = np.lexsort((table.keys, -np.abs(table.effect)))[:most]
    return np.asarray(table.keys[np.sort(order)])
