"""Merge a round whose edges are never all in memory.

The edges lie in a spool of this process, and only the small parts of each update are held.

1. `Streaming` takes each update as it is judged, or read from `accepted/`: its edges go into the
   spool (`merge.spool`), and the rest is kept.
2. `streamed` lets a merge read from there, to the same bytes as a merge from memory. Each client's
   accuracy is computed by reading the spool once more.

What it does not do: it does not verify (`frozen` has done that before), write, or decide who
counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hyperfed.coordinator.elsewhere import EdgelessUpdate, Elsewhere
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge.eligible_voters import PairVoters
from hyperfed.merge.packed import PackedTable
from hyperfed.merge.ranges import Ranges
from hyperfed.merge.spool import Spool
from hyperfed.packets import Update
from hyperfed.packets.fields import keep_checked
from hyperfed.packets.update import intervened_of
from hyperfed.trust_scorer import AccuracyModel, accuracy_of

__all__ = ["Streaming", "streamed"]


@dataclass(slots=True, kw_only=True, eq=False)
class Streaming:
    """Takes updates on their way into a merge: edges into a spool, the rest into memory."""

    expected: int = 1
    """A guess at how many updates will come."""
    variables: int = 0
    """How many variables the vocabulary has."""
    spool: Spool = field(default_factory=lambda: Spool())
    """Holds the edges."""
    held: dict[bytes, EdgelessUpdate] = field(default_factory=dict)
    """Each update without its edges, by the digest of its packet."""
    entries: dict[bytes, int] = field(default_factory=dict)
    """The number of each update's entry in the spool, by the digest of its packet."""
    _measured: dict[bytes, npt.NDArray[np.uint32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spool.expected, self.spool.variables = max(1, self.expected), self.variables

    def add(self, digest: bytes, update: Update) -> EdgelessUpdate:
        """Take an update whose changes are resolved, and return it without its edges."""
        edges, small = update.parted()
        # most clients measured the same variables, and one array does for all of those
        measured = self._measured.setdefault(small.measured.tobytes(), small.measured)
        keep_checked(small, measured=measured)
        packed = PackedTable.of(edges)
        self.entries[digest] = self.spool.add_packed(packed)
        self.held[digest] = EdgelessUpdate(update=small, largest=packed.largest)
        return self.held[digest]


def streamed(
    streaming: Streaming,
    digests: Mapping[str, bytes],
    models: Callable[[], Sequence[AccuracyModel]],
) -> Elsewhere:
    """Return the edges that lie in the spool, for a merge of some updates.

    digests: the digest of each client's update. models: returns the last committed models, newest
    first.
    """
    updates = {client: streaming.held[digest] for client, digest in digests.items()}
    entries = {client: streaming.entries[digest] for client, digest in digests.items()}

    def ranges(clients: Sequence[str]) -> Ranges:
        return streaming.spool.ranges(
            [entries[c] for c in clients],
            PairVoters(
                [updates[c].update.measured for c in clients],
                [updates[c].update.lags for c in clients],
                [intervened_of(updates[c].update) for c in clients],
            ),
        )

    def accuracies() -> dict[str, float]:
        """Read the spool once, where there is a model to compare with; without one all are 1."""
        evident = [model for model in models() if model.evidence is not None]
        client_of = {entry: client for client, entry in entries.items()}
        accuracy = dict.fromkeys(updates, 1.0)
        for entry, table in streaming.spool.tables() if evident else ():
            client = client_of.get(entry)
            if client is not None:
                graph = HypergraphStore(edges=table, measured=updates[client].update.measured)
                accuracy[client] = accuracy_of(graph, evident)
        return accuracy

    largest = {client: one.largest for client, one in updates.items()}
    return Elsewhere(ranges=ranges, largest=largest, accuracies=accuracies)
