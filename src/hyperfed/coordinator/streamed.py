"""A round whose edges are never all in memory: they lie in a spool of this process, and of each client only what is small is held.

1. `Streaming` takes each update as it is judged, or read from `accepted/`: its edges go into the spool (`merge.spool`), the rest is kept.
2. `Streamed` merges from there, to the bytes of a merge from memory, and says each client's accuracy by reading the spool once more.
3. A private round, or one with baskets, needs whole tables and is not streamed (`may_stream`).

What it does not do: verify (`frozen` does before), write, decide who counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph import HypergraphStore
from hyperfed.merge.electorate import PairElectorate
from hyperfed.merge.packed import PackedTable
from hyperfed.merge.ranges import Ranges
from hyperfed.merge.spool import Spool, Spooled
from hyperfed.packets import PolicyPack, Update
from hyperfed.protocol.reputation import Judge, accuracy_of
from hyperfed.reconciler import Reconciliation, SmallThings, StoreReconciler

__all__ = ["Streamed", "Streaming", "may_stream", "merged_elsewhere"]


def may_stream(policy: PolicyPack) -> bool:
    """Whether a round's merge needs no whole tables: what a private round or a basket holds before its noise goes nowhere."""
    return policy.privacy == "none" and not policy.basket_minimum


def merged_elsewhere(
    reconciler: StoreReconciler,
    ranges: Ranges,
    stores: Sequence[HypergraphStore],
    *,
    clients: tuple[str, ...],
    base: npt.NDArray[np.float64],
    losses: Sequence[float | None],
    shares: Sequence[float],
    largest: Mapping[str, float],
) -> Reconciliation:
    """What `reconciler.merge` gives of stores whose edges lie in ranges. clients: sorted; largest: the largest sample count of each one's edges."""
    part = np.asarray(shares, dtype=np.float64)
    weighed = base * part
    if reconciler.n_cap:
        least = [max((int(store.hyperedges.n.max()) if len(store.hyperedges) else 0), 1) for store in stores]
        samples = [min(max(largest[client], n), reconciler.n_cap) for client, n in zip(clients, least, strict=True)]
        weighed = weighed * np.array(samples, dtype=np.float64)
    small = [SmallThings.of(store) for store in stores]
    return reconciler.merge_ranges(ranges, small, clients=clients, base=weighed, losses=losses, shares=part)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Small:
    """What of a spooled update is held. update: without edges; entry: of its edges in the spool; largest: their largest sample count."""

    update: Update
    entry: int
    largest: float


@dataclass(slots=True, kw_only=True, eq=False)
class Streaming:
    """Updates on their way into a merge, by the digest of their packets. expected: how many will come, a guess; variables: of the vocabulary."""

    expected: int = 1
    variables: int = 0
    spool: Spool = field(default_factory=lambda: Spool())
    small: dict[bytes, Small] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spool.expected, self.spool.variables = max(1, self.expected), self.variables

    def add(self, digest: bytes, update: Update) -> Small:
        """Take an update whose deltas are resolved; what is small of it."""
        edges, small = update.parted()
        return self.add_packed(digest, small, PackedTable.of(edges))

    def add_packed(self, digest: bytes, update: Update, edges: PackedTable | Spooled) -> Small:
        """The same of an update without edges, and its edges."""
        self.small[digest] = Small(update=update, entry=self.spool.add_packed(edges), largest=edges.largest)
        return self.small[digest]


@dataclass(slots=True, kw_only=True, eq=False)
class Streamed:
    """`coordinator.federation.Elsewhere` of a spool. held: what each client sent; models: the last committed ones, newest first, asked for once."""

    spool: Spool
    held: Mapping[str, Small]
    models: Callable[[], Sequence[Judge]]

    @property
    def accuracy(self) -> dict[str, float]:
        """Of each client; the spool is read once where there is a model to compare with."""
        models = [model for model in self.models() if model.evidence is not None]
        client_of = {small.entry: client for client, small in self.held.items()}
        found = dict.fromkeys(self.held, 1.0)
        for entry, table in self.spool.tables() if models else ():
            client = client_of.get(entry)
            if client is not None:
                found[client] = accuracy_of(HypergraphStore(edges=table, measured=self.held[client].update.measured), models)
        return found

    def merge(
        self,
        reconciler: StoreReconciler,
        stores: Sequence[HypergraphStore],
        *,
        clients: tuple[str, ...],
        base: npt.NDArray[np.float64],
        losses: Sequence[float | None],
        shares: Sequence[float],
    ) -> Reconciliation:
        ranges = self.spool.ranges([self.held[c].entry for c in clients], PairElectorate([self.held[c].update.measured for c in clients]))
        largest = {client: small.largest for client, small in self.held.items()}
        return merged_elsewhere(reconciler, ranges, stores, clients=clients, base=base, losses=losses, shares=shares, largest=largest)
