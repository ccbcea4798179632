"""Compute a merge whose ranges lie in scratch, where tasks work on them (`RemoteRanges`).

Steps and partials travel through the object store, sealed.

1. A step lies in scratch under an address that follows from its content, so a step that a driver
   asked for before it died is answered already.
2. Each portion has one answer: the partials of its ranges, by ascending keys. It does not matter
   which worker answers: `answer` reads all it needs, and an answer that is there counts.
3. Between steps a worker's process keeps the ballots of the ranges it used last, up to
   `KEPT_BYTES`; rows are read again for the merge. Any other worker can read them, too, so a worker
   that dies costs only the time of its work.
4. Only addresses, numbers of portions and counts go through a scheduler (`Ask`).
5. Of a merge of at most `ROWS_HERE` rows only the last step, which costs most, is asked of tasks.
   The other ten steps are small and follow one another, and a task for each would cost more
   than the step: the driver reads the rows once and does them itself.

What it does not do: it does not know Prefect, nor drive the merge (`aggregation.bounded_trust`).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.codec import pack, unpack
from hyperfed.codec.arrays import pack_arrays
from hyperfed.coordinator.elsewhere import Elsewhere
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.remote.shuffle import Shuffle
from hyperfed.errors import RoundError
from hyperfed.merge.eligible_voters import EligibleVoters, PairVoters
from hyperfed.merge.packed import PackedRows
from hyperfed.merge.ranges import (
    BALLOT_BYTES,
    Agreement,
    InnerProducts,
    Measure,
    Merge,
    Partial,
    RangeWork,
    Squares,
    Step,
)
from hyperfed.merge.rows import MergeRule
from hyperfed.packets.update import intervened_of

__all__ = [
    "KEPT_BYTES",
    "ROWS_HERE",
    "Ask",
    "RemoteRanges",
    "answer",
    "merging",
    "step_of",
    "to_arrays",
]

KEPT_BYTES = 1 << 30
ROWS_HERE = 1 << 24
"""Up to about how many rows the driver does the small steps itself."""
_STEPS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Measure, Squares, Agreement, InnerProducts, Merge)
}
_VOTERS_KEPT = 4

Ask = Callable[[str, Sequence[int]], None]
"""Takes a step's address and the portions that have not answered, and returns when they have."""


def to_arrays(step: Step) -> dict[str, npt.NDArray[Any]]:
    """Return a step as arrays, from which `step_of` makes the same step."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "step": np.frombuffer(type(step).__name__.encode(), dtype=np.uint8)
    }
    for one in fields(step):
        value = getattr(step, one.name)
        if isinstance(value, MergeRule):
            arrays[one.name] = np.frombuffer(pack(asdict(value)), dtype=np.uint8)
        else:
            arrays[one.name] = np.asarray(value, dtype=np.float64).reshape(np.shape(value) or (1,))
            arrays[f"{one.name}.scalar"] = np.array([np.shape(value) == ()])
    return arrays


def step_of(arrays: dict[str, npt.NDArray[Any]]) -> Step:
    """Return the step that `to_arrays` has turned into these arrays.

    Raises RoundError for arrays that are no step (R-43).
    """
    kind = (
        _STEPS.get(arrays["step"].tobytes().decode("ascii", "replace"))
        if "step" in arrays
        else None
    )
    if kind is None or not {one.name for one in fields(kind)} <= arrays.keys():
        raise RoundError("is no step of a merge", subject="scratch", rule="R-43")
    values: dict[str, Any] = {}
    for one in fields(kind):
        array = arrays[one.name]
        if one.name == "rule":
            values[one.name] = MergeRule(**unpack(array.tobytes()))
        else:
            values[one.name] = float(array[0]) if arrays[f"{one.name}.scalar"][0] else array
    step: Step = kind(**values)
    return step


class RemoteRanges:
    """Gives the ranges of a shuffle, as `merge.ranges.Ranges` defines them.

    Args:
        shuffle: The frozen set's rows in scratch.
        eligible_voters: Says which clients could have voted on which edge.
        ask: Has the portions of a step answered, by tasks wherever there are workers.
    """

    def __init__(self, shuffle: Shuffle, *, eligible_voters: EligibleVoters, ask: Ask) -> None:
        self.eligible_voters = eligible_voters
        self._shuffle, self._ask = shuffle, ask
        self._portions = len(shuffle.layout().portions) - 1

    def map(self, step: Step) -> Iterator[Partial]:
        """Yield the step's partial of each range that has rows, by ascending keys.

        Raises RoundError where an answer was changed.
        """
        layout = self._shuffle.layout()
        if layout.rows[0] <= ROWS_HERE and not isinstance(step, Merge):
            ranges = range(len(layout.cuts) + 1)
            done = (_KEPT.do(self._shuffle, number, step) for number in ranges)
            yield from (partial for partial in done if partial is not None)
            return
        scratch, arrays = self._shuffle.scratch, to_arrays(step)
        address = scratch.address(pack_arrays(arrays))
        folder = f"steps/{address}"
        scratch.put(f"{folder}/asked", arrays)
        names = [f"{folder}/{portion:05d}" for portion in range(self._portions)]
        there = scratch.names(f"{folder}/")
        missing = [portion for portion, name in enumerate(names) if name not in there]
        if missing:
            self._ask(address, missing)
        if isinstance(step, Merge):
            _KEPT.forget(scratch.folder)
        for _, answers in scratch.get_many(names):
            yield from _unflattened(answers)


def merging(ask: Ask) -> Callable[[FederationCoordinator, Shuffle], FederationCoordinator]:
    """Return the function that `FrozenMerge.merges_elsewhere` needs.

    It gives an empty coordinator the small parts of the frozen set, and the ranges of a shuffle,
    whose steps `ask` has answered.
    """

    def fill(coordinator: FederationCoordinator, shuffle: Shuffle) -> FederationCoordinator:
        largest, accuracy = dict[str, float](), dict[str, float]()
        measured, lags, intervened = [], [], []
        for counted, one, right in shuffle.edgeless():
            coordinator.hold(counted, one.update)
            largest[counted.client], accuracy[counted.client] = one.largest, right
            measured.append(one.update.measured)
            lags.append(one.update.lags)
            intervened.append(intervened_of(one.update))
        eligible_voters = PairVoters(measured, lags, intervened)
        ranges = RemoteRanges(shuffle, eligible_voters=eligible_voters, ask=ask)
        coordinator.elsewhere = Elsewhere(
            ranges=lambda _: ranges, largest=largest, accuracies=lambda: accuracy
        )
        return coordinator

    return fill


def answer(shuffle: Shuffle, address: str, portion: int) -> int:
    """Do a step on a portion's ranges, write the partials to scratch, and return their number.

    There is one for each range that has rows. Returns 0 where the portion was answered before.
    address: the step's address in scratch. Raises RoundError where a block or the step was changed.
    """
    scratch, name = shuffle.scratch, f"steps/{address}/{portion:05d}"
    if scratch.names(name):
        return 0
    step = step_of(scratch.get(f"steps/{address}/asked"))
    partials = [
        partial
        for number in shuffle.layout().ranges_of(portion)
        if (partial := _KEPT.do(shuffle, number, step)) is not None
    ]
    scratch.put(
        name,
        {
            f"{i:05d}.{field}": array
            for i, partial in enumerate(partials)
            for field, array in partial.items()
        },
    )
    return len(partials)


def _unflattened(answers: dict[str, npt.NDArray[Any]]) -> Iterator[Partial]:
    """Return the partials of a portion's answer, whose arrays are named NUMBER.FIELD."""
    partials: dict[str, Partial] = {}
    for name, array in answers.items():
        number, _, field = name.partition(".")
        partials.setdefault(number, {})[field] = array
    return iter(partials.values())  # names ascend


class _Kept:
    """Keeps ranges and eligible voters between steps, for this process.

    Ranges are kept by scratch folder and number, eligible voters for the `_VOTERS_KEPT` folders
    used last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works: OrderedDict[tuple[str, int], tuple[RangeWork, int]] = OrderedDict()
        self._eligible_voters: OrderedDict[str, EligibleVoters] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}

    def do(self, shuffle: Shuffle, number: int, step: Step) -> Partial | None:
        """Return the step's partial of a range, or None where the range has no rows."""
        key = (shuffle.scratch.folder, number)
        with self._lock:
            work, size = self._works.pop(key, (None, 0))
        if work is None:
            rows = shuffle.rows_of(number)
            size = BALLOT_BYTES * len(rows.packed)
            work = RangeWork(
                load=_Loader(shuffle, number, rows), eligible_voters=self._voters_of(shuffle)
            )
        partial = work.do(step) if size else None
        if not isinstance(step, Merge):
            with self._lock:
                self._works[key] = (work, size)
                while sum(size for _, size in self._works.values()) > KEPT_BYTES:
                    self._works.popitem(last=False)
        return partial

    def forget(self, folder: str) -> None:
        """Drop the ranges of a scratch folder, whose merge has ended."""
        with self._lock:
            for key in [key for key in self._works if key[0] == folder]:
                del self._works[key]

    def _voters_of(self, shuffle: Shuffle) -> EligibleVoters:
        """Return the eligible voters of a shuffle, read once for each scratch folder."""
        folder = shuffle.scratch.folder
        with self._lock:
            loading = self._loading.setdefault(folder, threading.Lock())
        with loading:
            if folder not in self._eligible_voters:
                self._eligible_voters[folder] = shuffle.eligible_voters()
            with self._lock:
                while len(self._eligible_voters) > _VOTERS_KEPT:
                    self._loading.pop(self._eligible_voters.popitem(last=False)[0], None)
            return self._eligible_voters[folder]


class _Loader:
    """Returns a range's rows: the first time from memory, afterwards from scratch."""

    def __init__(self, shuffle: Shuffle, number: int, rows: PackedRows) -> None:
        self._shuffle, self._number, self._rows = shuffle, number, [rows]

    def __call__(self) -> PackedRows:
        return self._rows.pop() if self._rows else self._shuffle.rows_of(self._number)


_KEPT = _Kept()
