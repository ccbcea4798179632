"""`Shuffle`: a frozen set's rows, cut by key range and left in scratch, so that each range can be merged wherever there is a worker.

1. The layout (which counted updates are whose shard, where ranges are cut, which ranges go together) is chosen once, from a sample that follows from the
   freeze, and lies in scratch: whoever comes second works by it. What comes out does not depend on it (`merge.ranges`, rule 2).
2. `spread` is the map: one shard's updates are read from `accepted/`, each of their packs once, verified (R-66), and cut; a block is one shard's rows of one
   range. What of a client is small (variables measured, hyperedges, semantic structure, claims, the largest sample count, its accuracy) lies in one object a
   shard, written last: a shard that has it is done.
3. `rows_of` reads a range's blocks, shard after shard, which is in client order.
4. A shard's rows are held in memory while they are cut, and a range's while it is worked on: about 40 bytes a row and three times that.

What it does not do: ask and answer steps (`remote`), say where tasks run (the flow does), merge private rounds or baskets, which have no scratch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.coordinator.scratch import Scratch
from hyperfed.dropbox import Stored
from hyperfed.errors import RoundError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.keys import KeyPair
from hyperfed.merge.electorate import PairElectorate
from hyperfed.packets import PolicyPack, Update
from hyperfed.protocol.objects import Counted, Freeze
from hyperfed.protocol.reputation import Judge, accuracy_of
from hyperfed.tables import EdgeTable, votes_of

__all__ = ["BlockRows", "Layout", "Shuffle", "Small", "may_shuffle"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ROWS_A_RANGE = 1 << 21
_SAMPLED = 8  # updates
_SAMPLED_KEYS = 1 << 14  # of each
_MAX_RANGES = 1 << 14
_RANGES_A_LOT = 2  # at least: a task costs a scheduler more than a small lot's step
_COLUMNS = ("effect", "confidence", "stability", "n", "hits")


def may_shuffle(policy: PolicyPack) -> bool:
    """Whether a round may be merged across machines: what a private round or a basket holds before its noise goes nowhere."""
    return policy.privacy == "none" and not policy.basket_minimum


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """shards: int64[shards + 1], shard i has the counted updates [shards[i], shards[i + 1]); cuts: uint64[ranges - 1] ascending, range j has the keys from
    cuts[j - 1] to below cuts[j]; lots: int64[lots + 1], the ranges that one task works on together."""

    shards: Ints
    cuts: npt.NDArray[np.uint64]
    lots: Ints

    @classmethod
    def of(cls, clients: int, sample: npt.NDArray[np.uint64], *, rows: float, shards: int, rows_a_range: int) -> Self:
        """sample: keys of some updates; rows: how many there are in all, about."""
        shards = max(1, min(shards, clients))
        wanted = int(min(max(min(shards, 2), rows // rows_a_range), _MAX_RANGES))
        ordered = np.sort(sample)
        cuts = np.unique(ordered[np.arange(1, wanted) * len(ordered) // wanted]) if len(ordered) else ordered
        lots = min(shards, len(cuts) + 1, max(2, (len(cuts) + 1) // _RANGES_A_LOT))
        return cls(shards=np.arange(shards + 1) * clients // shards, cuts=cuts, lots=np.arange(lots + 1) * (len(cuts) + 1) // lots)

    def ranges_of(self, lot: int) -> range:
        return range(int(self.lots[lot]), int(self.lots[lot + 1]))


@dataclass(frozen=True, slots=True, eq=False)
class BlockRows:
    """One range's rows of all clients, client after client, as `merge.ranges.RangeRows` wants them. rows: int64[clients]."""

    rows: Ints
    arrays: dict[str, Array]

    def keys(self) -> npt.NDArray[np.uint64]:
        return self.arrays["key"]

    def votes(self) -> Floats:
        return votes_of(*(self.arrays[name] for name in _COLUMNS[:3]))

    def column(self, name: str) -> Array:
        return self.arrays[name]

    def widths(self) -> Floats | None:
        return self.arrays.get("width")


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    """What of a client is small. update: its update without edges; largest: its edges' largest sample count; accuracy: see `protocol.reputation`."""

    counted: Counted
    update: Update
    largest: float
    accuracy: float


class Shuffle:
    """A frozen set's shuffle. keys: the coordinator's; code: the digest of the code that merges; models: the last committed ones, newest first."""

    def __init__(self, sets: FrozenSets, frozen: Stored[Freeze], *, keys: KeyPair, code: str, models: Callable[[], Sequence[Judge]]) -> None:
        self.sets, self.freeze, self._models = sets, frozen.value, models
        self._layout: Layout | None = None
        self.scratch = Scratch(sets.store, keys=keys, round_id=frozen.value.round, freeze=frozen.digest, code=code, limits=sets.limits)

    def layout(self, shards: int = 0, *, rows_a_range: int = ROWS_A_RANGE) -> Layout:
        """The layout that is there; else, where `shards` says how many, one that is then there. Raises RoundError."""
        if self._layout is not None:
            return self._layout
        found = self.scratch.find("layout")
        if found is None and not shards:
            raise RoundError(
                "its merge has no layout", subject=self.scratch.folder, rule="R-43", remedy="Worker and flow must run the same code; run the round again"
            )
        if found is None:
            self.scratch.put("layout", self._chosen(shards, rows_a_range))
            found = self.scratch.get("layout")
        self._layout = Layout(**found)
        return self._layout

    def _chosen(self, shards: int, rows_a_range: int) -> dict[str, Array]:
        counted = self.freeze.counted
        some = [counted[i] for i in sorted({i * len(counted) // _SAMPLED for i in range(_SAMPLED)})]
        keys = [_edges(admitted.update).keys for _, admitted in self.sets.read(self.freeze, some)]
        rows = sum(len(k) for k in keys) / len(keys) * len(counted)
        sample = np.concatenate([k[:: max(1, len(k) // _SAMPLED_KEYS)] for k in keys])
        layout = Layout.of(len(counted), sample, rows=rows, shards=shards, rows_a_range=rows_a_range)
        return {"shards": layout.shards, "cuts": layout.cuts, "lots": layout.lots}

    # -- the map -------------------------------------------------------------------------------------------------------------------

    def spread(self, shard: int) -> int:
        """Cut one shard's updates and leave them in scratch; how many rows they have, 0 where that was done before. Raises RoundError (R-66)."""
        layout, done = self.layout(), f"clients/{shard:05d}"
        if self.scratch.names(done):
            return 0
        counted = self.freeze.counted[int(layout.shards[shard]) : int(layout.shards[shard + 1])]
        models = self._models()
        read: dict[str, tuple[EdgeTable, tuple[Update, int, float]]] = {}
        for item, admitted in self.sets.read(self.freeze, counted):
            table, update = _edges(admitted.update), admitted.update
            if update is not None:
                accuracy = accuracy_of(HypergraphStore(edges=table, measured=update.measured), models)
                read[item.client] = (table, (replace(update, edges=EdgeTable.empty()), int(table.n.max()) if len(table) else 0, accuracy))
        tables, small = zip(*(read[item.client] for item in counted), strict=True)  # they were read in the order of their packs
        for _ in self.scratch.put_many(_blocks(tables, layout.cuts, shard)):
            pass
        self.scratch.put(done, _packed(small))
        return sum(len(table) for table in tables)

    # -- what the reduce reads -----------------------------------------------------------------------------------------------------

    def small(self) -> Iterator[Small]:
        """What of each counted client is small, in the order of their ids."""
        at, codec = 0, PayloadCodec(limits=self.sets.limits)
        for arrays in self._clients():
            ends = np.cumsum(arrays["packet_size"])
            for i, end in enumerate(ends.tolist()):
                packet = arrays["packet"][end - int(arrays["packet_size"][i]) : end].tobytes()
                yield Small(
                    counted=self.freeze.counted[at],
                    update=codec.decode(packet, Update),
                    largest=float(arrays["largest"][i]),
                    accuracy=float(arrays["accuracy"][i]),
                )
                at += 1

    def electorate(self) -> PairElectorate:
        """Who could have voted on which edge."""
        measured: list[npt.NDArray[np.uint32]] = []
        for arrays in self._clients():
            distinct = np.split(arrays["measured"], np.cumsum(arrays["measured_size"])[:-1])
            measured += [distinct[kind] for kind in arrays["measured_kind"].tolist()]
        return PairElectorate(measured)

    def _clients(self) -> Iterator[dict[str, Array]]:
        shards = len(self.layout().shards) - 1
        return (arrays for _, arrays in self.scratch.get_many(f"clients/{shard:05d}" for shard in range(shards)))

    def rows_of(self, number: int) -> BlockRows:
        """A range's rows. Raises RoundError where a block is gone or was changed."""
        shards = len(self.layout().shards) - 1
        blocks = [arrays for _, arrays in self.scratch.get_many(f"blocks/{number:05d}/{shard:05d}" for shard in range(shards))]
        rows = np.concatenate([block["rows"] for block in blocks]).astype(np.int64)
        arrays = {name: np.concatenate([block[name] for block in blocks]) for name in ("key", *_COLUMNS)}
        if any("width" in block for block in blocks):
            arrays["width"] = np.concatenate([block.get("width", np.zeros(len(block["key"]))) for block in blocks])
        return BlockRows(rows, arrays)


def _edges(update: Update | None) -> EdgeTable:
    if update is None or update.edges is None:
        raise RoundError("an update without edges was counted", subject="shuffle", rule="R-66")
    return update.edges


def _blocks(tables: Sequence[EdgeTable], cuts: npt.NDArray[np.uint64], shard: int) -> Iterator[tuple[str, dict[str, Array]]]:
    """(name, block) for each range: the rows stay in client order."""
    keys = np.concatenate([table.keys for table in tables])
    place = np.searchsorted(cuts, keys, side="right").astype(np.uint16)
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(len(cuts) + 2))
    client = np.repeat(np.arange(len(tables)), [len(table) for table in tables])[order]
    columns: dict[str, Array] = {name: np.concatenate([getattr(table, name) for table in tables])[order] for name in _COLUMNS}
    if int(columns["n"].max(initial=0)) < 1 << 32:
        columns["n"] = columns["n"].astype(np.uint32)
    if any(table.ci_low is not None for table in tables):
        columns["width"] = np.concatenate([_width(table) for table in tables])[order]
    columns["key"] = keys[order]
    for number, (first, last) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
        rows = np.bincount(client[first:last], minlength=len(tables)).astype(np.int32)
        yield f"blocks/{number:05d}/{shard:05d}", {"rows": rows} | {name: column[first:last] for name, column in columns.items()}


def _width(table: EdgeTable) -> Floats:
    """float64[rows]: the intervals' widths, at most 1e300; 0 where there are none."""
    if table.ci_low is None or table.ci_high is None:
        return np.zeros(len(table))
    with np.errstate(over="ignore"):
        width = table.ci_high.astype(np.float64) - table.ci_low.astype(np.float64)
    return np.minimum(width, 1e300, out=width)


def _packed(small: Sequence[tuple[Update, int, float]]) -> dict[str, Array]:
    """One shard's small things; measured variables once for all who measured the same, for those who need nothing else."""
    kinds: dict[bytes, int] = {}
    kind = [kinds.setdefault(update.measured.tobytes(), len(kinds)) for update, _, _ in small]
    packets = [PayloadCodec().encode(update) for update, _, _ in small]
    return {
        "measured": np.frombuffer(b"".join(kinds), dtype=np.uint32),
        "measured_size": np.array([len(one) // 4 for one in kinds], dtype=np.int64),
        "measured_kind": np.array(kind, dtype=np.int64),
        "packet": np.frombuffer(b"".join(packets), dtype=np.uint8),
        "packet_size": np.array([len(packet) for packet in packets], dtype=np.int64),
        "largest": np.array([float(n) for _, n, _ in small]),
        "accuracy": np.array([accuracy for _, _, accuracy in small]),
    }
