"""Cut a frozen set's rows by key range, and write them to scratch (`Shuffle`).

Each range can then be merged wherever there is a worker.

1. The layout says which counted updates form a shard, where ranges are cut, and which ranges go
   together in a portion. It is chosen once, from a sample that follows from the freeze, and lies in
   scratch: every later process works by it. The result does not depend on it (`merge.ranges`,
   rule 2).
2. `spread` is the map. It reads one shard's updates from `accepted/`, each of their packs once,
   verifies them (R-66), and cuts them; a block is one shard's rows of one range. The small parts of
   each client (variables measured, hyperedges, semantic structure, claims, the largest sample
   count, its accuracy) lie in one object for each shard. It is written last: a shard that has it is
   done.
3. `rows_of` reads a range's blocks, shard after shard, which is in client order.
4. A shard's rows are held in memory while they are cut, about 40 bytes a row. A range's rows are
   held while it is worked on, about three times as much.
5. Ranges are as small as a processor's cache likes them, which is what one process does, too. They
   are larger where there are so many shards, or clients, that blocks would be small.

What it does not do: it does not ask for steps or answer them (`remote`), nor say where tasks run
(the flow does). It does not merge private rounds or baskets, which have no scratch
(`coordinator.elsewhere`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.elsewhere import EdgelessUpdate
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.reader import Stored
from hyperfed.dropbox.scratch import Scratch
from hyperfed.errors import RoundError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import NARROW, WIDE
from hyperfed.merge.eligible_voters import PairVoters
from hyperfed.merge.packed import PackedRows, by_range, pack
from hyperfed.packets import Update
from hyperfed.packets.update import intervened_of
from hyperfed.protocol.objects import Counted, Freeze
from hyperfed.tables.tables import EdgeTable
from hyperfed.trust_scorer import AccuracyModel, accuracy_of

__all__ = ["Shuffle", "ShuffleLayout"]

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_SAMPLED = 8  # how many updates are sampled
_SAMPLED_KEYS = 1 << 14  # about how many keys of each are
_ROWS_A_RANGE, _MOST_ROWS_A_RANGE = 1 << 18, 1 << 21
_ROWS_A_BLOCK, _ROWS_A_CLIENT = 1 << 14, 8  # on average, at least
_MAX_RANGES = 1 << 14
_RANGES_A_PORTION = 64  # at most, but for larger ranges: one object has the answers of all
_ROWS_A_PORTION = 1 << 22  # at least: a task costs a scheduler more than a small portion's step
_RECORDS = {dtype.itemsize: dtype for dtype in (NARROW, WIDE)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShuffleLayout:
    """Says how a frozen set is cut into shards, ranges and portions."""

    shards: Ints
    """int64[shards + 1]: shard i has the counted updates from shards[i] to below shards[i + 1]."""
    cuts: npt.NDArray[np.uint64]
    """uint64[ranges - 1], ascending: range j has the keys from cuts[j - 1] to below cuts[j]."""
    portions: Ints
    """int64[portions + 1]: one task works together on the ranges from portions[k] to below
    portions[k + 1].
    """
    rows: Ints
    """int64[1]: about how many rows all shards have."""

    @classmethod
    def of(
        cls,
        clients: int,
        sample: npt.NDArray[np.uint64],
        *,
        rows: int,
        shards: int,
        rows_a_range: int = 0,
    ) -> Self:
        """Return the layout of a frozen set.

        clients: how many updates are counted. sample: the keys of some of them. rows: about how
        many rows all of them have. shards: how many shards are wanted at most. rows_a_range: about
        how many rows a range is to have; 0: as rule 5 says.
        """
        shards = max(1, min(shards, clients))
        rows_a_range = rows_a_range or _rows_a_range(rows, clients=clients, shards=shards)
        ranges = min(max(min(shards, 2), rows // rows_a_range), _MAX_RANGES)
        ordered = np.sort(sample)
        cuts = (
            np.unique(ordered[np.arange(1, ranges) * len(ordered) // ranges])
            if len(ordered)
            else ordered
        )
        portions = min(shards, len(cuts) + 1, max(2, rows // _ROWS_A_PORTION))
        return cls(
            shards=np.arange(shards + 1) * clients // shards,
            cuts=cuts,
            portions=np.arange(portions + 1) * (len(cuts) + 1) // portions,
            rows=np.array([rows]),
        )

    def ranges_of(self, portion: int) -> range:
        """Return the numbers of a portion's ranges."""
        return range(int(self.portions[portion]), int(self.portions[portion + 1]))


def _rows_a_range(rows: int, *, clients: int, shards: int) -> int:
    """Return about how many rows a range is to have (rule 5)."""
    least = max(
        _ROWS_A_RANGE,
        _ROWS_A_BLOCK * shards,
        _ROWS_A_CLIENT * clients,
        rows // (shards * _RANGES_A_PORTION),
    )
    return min(least, _MOST_ROWS_A_RANGE)


class Shuffle:
    """Cuts a frozen set's rows into blocks in scratch, and reads them.

    Args:
        sets: Reads the frozen set.
        frozen: The freeze.
        keys: The coordinator's key pair, which seals the scratch.
        code: The digest of the code that merges.
        models: Returns the last committed models, newest first.
    """

    def __init__(
        self,
        sets: FrozenSets,
        frozen: Stored[Freeze],
        *,
        key_pair: KeyPair,
        code: str,
        models: Callable[[], Sequence[AccuracyModel]],
    ) -> None:
        self.sets, self.freeze, self._models = sets, frozen.value, models
        self._layout: ShuffleLayout | None = None
        self.scratch = Scratch(
            sets.store,
            key_pair=key_pair,
            round_id=frozen.value.round,
            freeze=frozen.digest,
            code=code,
            limits=sets.limits,
        )

    def layout(self, shards: int = 0, *, rows_a_range: int = 0) -> ShuffleLayout:
        """Return the layout that lies in scratch, or choose one and write it.

        shards: how many shards a new layout has at most; 0: no new one is made. rows_a_range: about
        how many rows a range of a new layout has; 0: as rule 5 says. Raises RoundError where there
        is no layout and none may be made (R-43).
        """
        if self._layout is not None:
            return self._layout
        fields = self.scratch.find("layout")
        if fields is None and not shards:
            raise RoundError(
                "its merge has no layout",
                subject=self.scratch.folder,
                rule="R-43",
                remedy="Let worker and flow run the same code, and run the round again",
            )
        if fields is None:
            self.scratch.put("layout", self._chosen(shards, rows_a_range))
            fields = self.scratch.get("layout")
        self._layout = ShuffleLayout(**fields)
        return self._layout

    def _chosen(self, shards: int, rows_a_range: int) -> dict[str, Array]:
        """Return a new layout as arrays, by a sample that follows from the freeze."""
        counted = self.freeze.counted
        some = [counted[i] for i in sorted({i * len(counted) // _SAMPLED for i in range(_SAMPLED)})]
        keys = [_edges(admitted.update).keys for _, admitted in self.sets.read(self.freeze, some)]
        rows = sum(len(k) for k in keys) * len(counted) // len(keys)
        sample = np.concatenate([k[:: max(1, len(k) // _SAMPLED_KEYS)] for k in keys])
        layout = ShuffleLayout.of(
            len(counted), sample, rows=rows, shards=shards, rows_a_range=rows_a_range
        )
        return {
            "shards": layout.shards,
            "cuts": layout.cuts,
            "portions": layout.portions,
            "rows": layout.rows,
        }

    # -- the map -----------------------------------------------------------------------------------

    def spread(self, shard: int) -> int:
        """Cut one shard's updates, write them to scratch, and return how many rows they have.

        Returns 0 where that was done before. Raises RoundError where an update is gone or changed
        (R-66).
        """
        layout, done = self.layout(), f"clients/{shard:05d}"
        if self.scratch.names(done):
            return 0
        counted = self.freeze.counted[int(layout.shards[shard]) : int(layout.shards[shard + 1])]
        models = self._models()
        read: dict[str, tuple[Array, tuple[Update, int, float]]] = {}
        for item, admitted in self.sets.read(self.freeze, counted):
            table, update = _edges(admitted.update), admitted.update
            if update is not None:
                accuracy = accuracy_of(
                    HypergraphStore(edges=table, measured=update.measured), models
                )
                read[item.client] = (
                    pack(table),
                    (
                        replace(update, edges=EdgeTable.empty()),
                        int(table.n.max()) if len(table) else 0,
                        accuracy,
                    ),
                )
        # they were read in the order of their packs
        records, small = zip(*(read[item.client] for item in counted), strict=True)
        for _ in self.scratch.put_many(_blocks(records, layout.cuts, shard)):
            pass
        self.scratch.put(done, _packed(small))
        return sum(map(len, records))

    # -- what the reduce reads ---------------------------------------------------------------------

    def edgeless(self) -> Iterator[tuple[Counted, EdgelessUpdate, float]]:
        """Yield each counted update without its edges, in the order of client ids.

        With it come its entry in the freeze and its accuracy, as `coordinator.reputation` defines
        it (R-103).
        """
        at, codec = 0, PayloadCodec(limits=self.sets.limits)
        for arrays in self._clients():
            ends = np.cumsum(arrays["packet_size"])
            for i, end in enumerate(ends.tolist()):
                packet = arrays["packet"][end - int(arrays["packet_size"][i]) : end].tobytes()
                one = EdgelessUpdate(
                    update=codec.decode(packet, Update), largest=float(arrays["largest"][i])
                )
                yield self.freeze.counted[at], one, float(arrays["accuracy"][i])
                at += 1

    def eligible_voters(self) -> PairVoters:
        """Return the eligible voters: which clients could have voted on which edge."""
        measured: list[npt.NDArray[np.uint32]] = []
        lags: list[tuple[int, ...] | None] = []
        intervened: list[tuple[int, ...]] = []
        for arrays in self._clients():
            measured += _each_of(arrays, "measured")
            looked_at = _each_of(arrays, "lags")
            lags += [tuple(row[1:].tolist()) if row[0] else None for row in looked_at]
            intervened += [tuple(row.tolist()) for row in _each_of(arrays, "intervened")]
        return PairVoters(measured, lags, intervened)

    def _clients(self) -> Iterator[dict[str, Array]]:
        """Return the small parts of each shard, as `_packed` has made them."""
        shards = len(self.layout().shards) - 1
        return (
            arrays
            for _, arrays in self.scratch.get_many(
                f"clients/{shard:05d}" for shard in range(shards)
            )
        )

    def rows_of(self, number: int) -> PackedRows:
        """Return a range's rows. Raises RoundError where a block is gone or was changed."""
        shards = len(self.layout().shards) - 1
        rows, records = [], []
        for _, block in self.scratch.get_many(
            f"blocks/{number:05d}/{shard:05d}" for shard in range(shards)
        ):
            rows.append(block["rows"].astype(np.int64))
            dtype = _RECORDS[block["records"].shape[1]]
            records.append(block["records"].reshape(-1).view(dtype))
        widest = max((part.dtype for part in records), key=lambda dtype: dtype.itemsize)
        # as bytes: numpy copies records field by field
        parts = [part.astype(widest, copy=False).view(np.uint8) for part in records]
        return PackedRows(packed=np.concatenate(parts).view(widest), rows=np.concatenate(rows))


def _edges(update: Update | None) -> EdgeTable:
    """Return an update's edges. Raises RoundError where it has none (R-66)."""
    if update is None or update.edges is None:
        raise RoundError("an update without edges was counted", subject="shuffle", rule="R-66")
    return update.edges


def _blocks(
    clients: Sequence[Array], cuts: npt.NDArray[np.uint64], shard: int
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield (name, block) for each range, of the records of each client.

    A block is `rows`, how many each client has, and `records`: uint8[rows, bytes of a record], in
    client order.
    """
    gather, dtype, counts = by_range(clients, cuts)
    pieces, end = gather(), 0
    for number, rows in enumerate(counts):
        first, end = end, end + int(rows.sum()) * dtype.itemsize
        if len(pieces) == 1:
            block = pieces[0][first:end]
        else:
            block = np.concatenate(pieces[number * len(rows) : (number + 1) * len(rows)])
        yield (
            f"blocks/{number:05d}/{shard:05d}",
            {"rows": rows.astype(np.int32), "records": block.reshape(-1, dtype.itemsize)},
        )


def _packed(small: Sequence[tuple[Update, int, float]]) -> dict[str, Array]:
    """Return one shard's small parts as arrays.

    The measured variables, the lags and the variables set stand beside the packets, once for all
    clients that have the same: who could have voted on what needs nothing else. Lags come after a
    1; a 0 stands for all.
    """
    lags = [[0] if update.lags is None else [1, *update.lags] for update, _, _ in small]
    packets = [PayloadCodec().encode(update) for update, _, _ in small]
    return {
        **_kinds_of("measured", [update.measured for update, _, _ in small]),
        **_kinds_of("lags", [np.array(numbers, dtype=np.uint32) for numbers in lags]),
        **_kinds_of(
            "intervened",
            [np.array(intervened_of(update), dtype=np.uint32) for update, _, _ in small],
        ),
        "packet": np.frombuffer(b"".join(packets), dtype=np.uint8),
        "packet_size": np.array([len(packet) for packet in packets], dtype=np.int64),
        "largest": np.array([float(n) for _, n, _ in small]),
        "accuracy": np.array([accuracy for _, _, accuracy in small]),
    }


def _kinds_of(name: str, columns: Sequence[npt.NDArray[np.uint32]]) -> dict[str, Array]:
    """Return one column for each client as arrays, each distinct one once; see `_each_of`."""
    kinds: dict[bytes, int] = {}
    kind = [kinds.setdefault(column.tobytes(), len(kinds)) for column in columns]
    return {
        name: np.frombuffer(b"".join(kinds), dtype=np.uint32),
        f"{name}_size": np.array([len(one) // 4 for one in kinds], dtype=np.int64),
        f"{name}_kind": np.array(kind, dtype=np.int64),
    }


def _each_of(arrays: dict[str, Array], name: str) -> list[npt.NDArray[np.uint32]]:
    """Return the column of each client that `_kinds_of` has made these arrays of."""
    distinct = np.split(arrays[name], np.cumsum(arrays[f"{name}_size"])[:-1])
    return [distinct[kind] for kind in arrays[f"{name}_kind"].tolist()]
