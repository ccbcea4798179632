"""Release a private round: from clipped effects to noised means, and to the published graph.

No other module sees values before their noise.

1. Each client's effects become integers of bounded norm (`clipping`). The sum and its noise are
   integers; only their total is turned back into numbers.
2. "central": the coordinator adds the noise once to the sum. "local": each client adds it to its
   own message (`noised_message`). "shares": each adds a share under masks, and the sum that helpers
   open is what is turned back (`opened_means`).
3. With discovery "selected" each client names its strongest edges, counts are noised, and only
   edges that reach the threshold get a mean at all.
4. A mean is shown where it stands out of noise: with probability 0.95 no mean of pure noise is.
   That is decided on noised values, and costs nothing.
5. Counts of clients and samples behind an edge are data too, and are not released: they read 0.
   `measured_by` is the number of clients summed.
6. A late update counts less: its clipped effects are multiplied by a weight of at most 1, which is
   public.
7. Nothing here is logged, and no error names a value.

What it does not do: decide whether it may (`accountant`, the round's reserve), sign, or write.
"""

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from hyperfed.errors import PrivacyError
from hyperfed.hypergraph.evidence import Evidence, StoreEvidence
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import Z95
from hyperfed.packets import Claims, Update
from hyperfed.privacy.clipping import clip_l2, to_grid
from hyperfed.privacy.discrete_gaussian import RandomBytes, discrete_gaussian
from hyperfed.privacy.mechanisms import PlannedRelease, Selection
from hyperfed.privacy.noise_source import NoiseSource, fresh_noise
from hyperfed.privacy.slots import Keys, dense, public_slots
from hyperfed.tables.tables import EdgeTable, unpack_keys
from hyperfed.tables.vocabulary import Vocabulary

__all__ = [
    "Released",
    "central_means",
    "local_means",
    "noise_cut",
    "noised_message",
    "opened_means",
    "opened_noise",
    "released_graph",
    "slots_of",
]

_FALSE_EDGES = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Holds noised means, which may leave this module."""

    keys: Keys
    """uint64[slots], ascending: the edges that have a mean."""
    mean: npt.NDArray[np.float64]
    """float64[slots]: the noised means."""
    std: float
    """Standard deviation of the noise on each mean."""
    clients: int
    """Number of clients that were summed."""

    @property
    def cut(self) -> float:
        """The smallest |mean| that stands out of the noise (rule 4 of the module)."""
        return noise_cut(self.std, len(self.keys))


def noise_cut(std: float, slots: int) -> float:
    """Return the level that |noise| stays below in every slot with probability 0.95."""
    return -std * NormalDist().inv_cdf(_FALSE_EDGES / (2 * max(slots, 1)))


def slots_of(
    tables: Sequence[EdgeTable],
    planned: PlannedRelease,
    *,
    vocabulary: Vocabulary,
    lags: Sequence[int],
    noise: NoiseSource = fresh_noise,
) -> Keys:
    """Return uint64[slots], ascending: the edges that get a mean.

    They are all edges of the vocabulary; with discovery "selected" they are those chosen by counts,
    which `noise` hides. That has to be charged.
    """
    return (
        public_slots(len(vocabulary), lags)
        if planned.selection is None
        else _selected(tables, planned.selection, noise)
    )


def central_means(
    tables: Sequence[EdgeTable],
    weights: Sequence[float],
    planned: PlannedRelease,
    *,
    vocabulary: Vocabulary,
    lags: Sequence[int],
    slots: Keys | None = None,
    label: str = "",
    noise: NoiseSource = fresh_noise,
) -> Released:
    """Return the means of the clients' clipped effects, noised once.

    `weights` holds one weight in (0, 1] for each client. `slots` are those of `slots_of`, where
    they were chosen before. `label` tells the means of several groups apart. Raises PrivacyError
    where there are no clients, a weight is out of range, or the night is of local noise.
    """
    _check(tables, weights)
    if planned.mechanism.place != "central":
        raise PrivacyError("is not planned for a coordinator", subject="night")
    if slots is None:
        slots = slots_of(tables, planned, vocabulary=vocabulary, lags=lags, noise=noise)
    total = np.zeros(len(slots), dtype=np.int64)
    for table, weight in zip(tables, weights, strict=True):
        total += to_grid(
            clip_l2(dense(table, slots), planned.clip_norm) * weight,
            clip_norm=planned.clip_norm,
            bound=planned.bound,
        )
    which = hashlib.sha256(np.ascontiguousarray(slots, dtype="<u8").tobytes()).hexdigest()
    stream = noise(f"means/{label}/{which}", planned.mechanism, total)
    total += discrete_gaussian(planned.mechanism.sigma, len(slots), random_bytes=stream)
    share = math.fsum(weights)
    mean = total.astype(np.float64) * (planned.clip_norm / planned.bound / share)
    return Released(keys=slots, mean=mean, std=planned.noise_std / share, clients=len(tables))


def local_means(
    tables: Sequence[EdgeTable],
    weights: Sequence[float],
    planned: PlannedRelease,
    *,
    vocabulary: Vocabulary,
    lags: Sequence[int],
) -> Released:
    """Return the means of messages that their clients have noised.

    Raises PrivacyError where a message does not speak about every possible edge, where there are no
    clients, or where a weight is out of range.
    """
    _check(tables, weights)
    slots = public_slots(len(vocabulary), lags)
    total = np.zeros(len(slots), dtype=np.float64)
    for table, weight in zip(tables, weights, strict=True):
        if not np.array_equal(table.keys, slots):
            raise PrivacyError("does not speak about every possible edge", subject="noised message")
        total += weight * table.effect.astype(np.float64)
    share = math.fsum(weights)
    return Released(
        keys=slots,
        mean=total / share,
        std=planned.noise_std * math.sqrt(math.fsum(w * w for w in weights)) / share,
        clients=len(tables),
    )


def opened_means(
    steps: npt.NDArray[np.int64],
    planned: PlannedRelease,
    *,
    clients: int,
    vocabulary: Vocabulary,
    lags: Sequence[int],
) -> Released:
    """Return the means of an opened sum of `clients` messages, all shares in it (R-202).

    steps: int64[possible edges], the sum in whole steps. The noise is that of all shares.
    """
    return Released(
        keys=public_slots(len(vocabulary), lags),
        mean=steps.astype(np.float64) * (planned.clip_norm / planned.bound / clients),
        std=opened_noise(planned, clients=clients),
        clients=clients,
    )


def opened_noise(planned: PlannedRelease, *, clients: int) -> float:
    """Return the standard deviation of the noise on a mean of so many clients' shares."""
    return planned.noise_std / math.sqrt(clients)


def noised_message(
    update: Update,
    planned: PlannedRelease,
    *,
    vocabulary: Vocabulary,
    lags: Sequence[int],
    random_bytes: RandomBytes = os.urandom,
) -> Update:
    """Return what a client sends instead of its update: a noised effect for every possible edge.

    The message holds nothing else. Each call draws anew and has to be charged. Raises PrivacyError
    where the night is not of local noise, or where the update has no whole edge table.
    """
    if planned.mechanism.place != "local" or update.edges is None:
        raise PrivacyError(
            "needs a whole edge table and a night of local noise",
            subject="noised message",
            remedy="Send the whole table, not changes",
        )
    slots = public_slots(len(vocabulary), lags)
    grid = to_grid(
        clip_l2(dense(update.edges, slots), planned.clip_norm),
        clip_norm=planned.clip_norm,
        bound=planned.bound,
    )
    noised = grid + discrete_gaussian(
        planned.mechanism.sigma, len(slots), random_bytes=random_bytes
    )
    source, target, lag = unpack_keys(slots)
    edges = EdgeTable.build(
        source=source,
        target=target,
        lag=lag,
        effect=noised * (planned.clip_norm / planned.bound),
        confidence=1.0,
        stability=1.0,
        hits=1,
        n=0,
    )
    return Update(
        measured=np.arange(len(vocabulary), dtype=np.uint32),
        edges=edges,
        claims=Claims(clip_norm=planned.clip_norm, record_bound=update.claims.record_bound),
    )


def released_graph(
    released: Released, *, vocabulary: Vocabulary, least: float = 0.0
) -> HypergraphStore:
    """Return the graph that is published.

    It holds the means that stand out of the noise and reach `least`, each with the noise's
    interval. Its confidence is how surely a mean is not noise.
    """
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
    return HypergraphStore(
        edges=edges,
        measured=np.arange(len(vocabulary)),
        vocabulary=vocabulary,
        evidence=StoreEvidence(edges=evidence),
    )


def _check(tables: Sequence[EdgeTable], weights: Sequence[float]) -> None:
    if not tables or len(tables) != len(weights) or not all(0 < w <= 1 for w in weights):
        raise PrivacyError(
            "needs clients, and a weight in (0, 1] for each", subject="private release"
        )


def _selected(tables: Sequence[EdgeTable], selection: Selection, noise: NoiseSource) -> Keys:
    """Return uint64[chosen], ascending: edges whose noised count reaches the threshold."""
    named: Mapping[int, npt.NDArray[np.uint64]] = {
        i: _strongest(table, selection.edges_per_client) for i, table in enumerate(tables)
    }
    keys, counts = np.unique(np.concatenate(list(named.values())), return_counts=True)
    scaled = counts.astype(np.int64) * selection.scale
    which = hashlib.sha256(np.ascontiguousarray(keys, dtype="<u8").tobytes()).hexdigest()
    stream = noise(f"counts/{which}", selection.mechanism, scaled)
    noised = scaled + discrete_gaussian(selection.mechanism.sigma, len(keys), random_bytes=stream)
    return np.asarray(keys[noised >= selection.threshold])


def _strongest(table: EdgeTable, most: int) -> npt.NDArray[np.uint64]:
    """Return uint64[<= most]: the keys of the strongest effects, ties by key.

    One client may name no more than these.
    """
    order = np.lexsort((table.keys, -np.abs(table.effect)))[:most]
    return np.asarray(table.keys[np.sort(order)])
