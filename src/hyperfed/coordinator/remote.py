"""`RemoteRanges`: a merge whose ranges lie in scratch and are worked on by tasks; steps and partials travel through the object store, sealed.

1. A step lies in scratch under an address that follows from its content, so that a step which was asked before (by a driver that died) is answered already.
2. One answer a lot: the partials of its ranges, by ascending keys. Who answers is nobody's business: `answer` reads all it needs, and what is there counts.
3. Between steps a worker's process keeps the ballots of its ranges, the ones used last, up to `KEPT_BYTES`; rows are read again for the merge. Any other
   worker can read them, too: a worker that dies costs its time and nothing else.

Only addresses, numbers of lots and counts go through a scheduler (`Ask`). What it does not do: know Prefect; drive the merge (`aggregation.bounded_trust`).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.codec import pack, unpack
from hyperfed.codec.arrays import pack_arrays
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.shuffle import BlockRows, Shuffle
from hyperfed.coordinator.streamed import merged_elsewhere
from hyperfed.errors import RoundError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.merge.electorate import Electorate, PairElectorate
from hyperfed.merge.ranges import BALLOT_BYTES, Agreement, InnerProducts, Measure, Merge, Partial, RangeWork, Squares, Step
from hyperfed.merge.rows import MergeRule
from hyperfed.reconciler import Reconciliation, StoreReconciler

__all__ = ["KEPT_BYTES", "Ask", "RemoteRanges", "answer", "merging", "step_of", "to_arrays"]

KEPT_BYTES = 1 << 30
_STEPS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Measure, Squares, Agreement, InnerProducts, Merge)}
_ELECTORATES = 4

Ask = Callable[[str, Sequence[int]], None]
"""(address of a step, lots that have not answered): returns when they have."""


def to_arrays(step: Step) -> dict[str, npt.NDArray[Any]]:
    """A step as arrays; `step_of` makes the same of them."""
    arrays: dict[str, npt.NDArray[Any]] = {"step": np.frombuffer(type(step).__name__.encode(), dtype=np.uint8)}
    for one in fields(step):
        value = getattr(step, one.name)
        if isinstance(value, MergeRule):
            arrays[one.name] = np.frombuffer(pack(asdict(value)), dtype=np.uint8)
        else:
            arrays[one.name] = np.asarray(value, dtype=np.float64).reshape(np.shape(value) or (1,))
            arrays[f"{one.name}.scalar"] = np.array([np.shape(value) == ()])
    return arrays


def step_of(arrays: dict[str, npt.NDArray[Any]]) -> Step:
    """Raises RoundError for arrays that are no step."""
    kind = _STEPS.get(arrays["step"].tobytes().decode("ascii", "replace")) if "step" in arrays else None
    if kind is None or not {one.name for one in fields(kind)} <= arrays.keys():
        raise RoundError("is no step of a merge", subject="scratch", rule="R-43")
    values: dict[str, Any] = {}
    for one in fields(kind):
        array = arrays[one.name]
        if one.name == "rule":
            values[one.name] = MergeRule(**unpack(array.tobytes()))
        else:
            values[one.name] = float(array[0]) if arrays[f"{one.name}.scalar"][0] else array
    made: Step = kind(**values)
    return made


class RemoteRanges:
    """`merge.ranges.Ranges` of a shuffle. ask: has the lots of a step answered, by tasks wherever there are workers."""

    def __init__(self, shuffle: Shuffle, *, electorate: Electorate, ask: Ask) -> None:
        self.electorate = electorate
        self._shuffle, self._ask = shuffle, ask
        self._lots = len(shuffle.layout().lots) - 1

    def map(self, step: Step) -> Iterator[Partial]:
        """One partial a range that has rows, by ascending keys. Raises RoundError where an answer was changed."""
        scratch, arrays = self._shuffle.scratch, to_arrays(step)
        folder = f"steps/{scratch.address(pack_arrays(arrays))}"
        scratch.put(f"{folder}/asked", arrays)
        names = [f"{folder}/{lot:05d}" for lot in range(self._lots)]
        there = scratch.names(f"{folder}/")
        missing = [lot for lot, name in enumerate(names) if name not in there]
        if missing:
            self._ask(folder.rpartition("/")[2], missing)
        for _, answers in scratch.get_many(names):
            yield from _unflattened(answers)


@dataclass(slots=True, kw_only=True)
class _Elsewhere:
    """`coordinator.federation.Elsewhere` of a shuffle. largest, accuracy: of each client."""

    ranges: RemoteRanges
    largest: dict[str, float]
    accuracy: dict[str, float]

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
        return merged_elsewhere(reconciler, self.ranges, stores, clients=clients, base=base, losses=losses, shares=shares, largest=self.largest)


def merging(ask: Ask) -> Callable[[FederationCoordinator, Shuffle], FederationCoordinator]:
    """For `RoundRunner.merges_elsewhere`: gives an empty coordinator what is small of the frozen set, and the ranges of a shuffle that `ask` has answered."""

    def fill(coordinator: FederationCoordinator, shuffle: Shuffle) -> FederationCoordinator:
        largest, accuracy = dict[str, float](), dict[str, float]()
        measured = []
        for one in shuffle.small():
            coordinator.hold(one.counted, one.update)
            largest[one.counted.client], accuracy[one.counted.client] = one.largest, one.accuracy
            measured.append(one.update.measured)
        ranges = RemoteRanges(shuffle, electorate=PairElectorate(measured), ask=ask)
        coordinator.elsewhere = _Elsewhere(ranges=ranges, largest=largest, accuracy=accuracy)
        return coordinator

    return fill


def answer(shuffle: Shuffle, address: str, lot: int) -> int:
    """Do a step on a lot's ranges and leave the partials in scratch; how many ranges had rows. Raises RoundError where a block or the step was changed."""
    scratch, name = shuffle.scratch, f"steps/{address}/{lot:05d}"
    if scratch.names(name):
        return 0
    step = step_of(scratch.get(f"steps/{address}/asked"))
    partials = [partial for number in shuffle.layout().ranges_of(lot) if (partial := _KEPT.do(shuffle, number, step)) is not None]
    scratch.put(name, {f"{i:05d}.{field}": array for i, partial in enumerate(partials) for field, array in partial.items()})
    return len(partials)


def _unflattened(answers: dict[str, npt.NDArray[Any]]) -> Iterator[Partial]:
    partials: dict[str, Partial] = {}
    for name, array in answers.items():
        number, _, field = name.partition(".")
        partials.setdefault(number, {})[field] = array
    return iter(partials.values())  # names ascend


class _Kept:
    """What this process keeps between steps: ranges by scratch folder and number, and the electorates of a few folders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works: OrderedDict[tuple[str, int], tuple[RangeWork, int]] = OrderedDict()
        self._electorates: OrderedDict[str, Electorate] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}

    def do(self, shuffle: Shuffle, number: int, step: Step) -> Partial | None:
        """The step's partial of a range; None where it has no rows."""
        key = (shuffle.scratch.folder, number)
        with self._lock:
            work, size = self._works.pop(key, (None, 0))
        if work is None:
            rows = shuffle.rows_of(number)
            size = BALLOT_BYTES * len(rows.keys())
            work = RangeWork(load=_Loader(shuffle, number, rows), electorate=self._electorate(shuffle))
        partial = work.do(step) if size else None
        if not isinstance(step, Merge):
            with self._lock:
                self._works[key] = (work, size)
                while sum(size for _, size in self._works.values()) > KEPT_BYTES:
                    self._works.popitem(last=False)
        return partial

    def _electorate(self, shuffle: Shuffle) -> Electorate:
        folder = shuffle.scratch.folder
        with self._lock:
            loading = self._loading.setdefault(folder, threading.Lock())
        with loading:
            if folder not in self._electorates:
                self._electorates[folder] = shuffle.electorate()
            with self._lock:
                while len(self._electorates) > _ELECTORATES:
                    self._loading.pop(self._electorates.popitem(last=False)[0], None)
            return self._electorates[folder]


class _Loader:
    """Gives a range's rows: once from memory, where they were just read, then from scratch."""

    def __init__(self, shuffle: Shuffle, number: int, rows: BlockRows) -> None:
        self._shuffle, self._number, self._rows = shuffle, number, [rows]

    def __call__(self) -> BlockRows:
        return self._rows.pop() if self._rows else self._shuffle.rows_of(self._number)


_KEPT = _Kept()
