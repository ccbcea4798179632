"""The conformance suite finds every fault that it looks for: each of its rules has a store that is
fit but for one fault, as stores, shares and proxies in the field have them.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    HyperfedError,
    ObjectTooLarge,
    TransientError,
    TransportError,
)
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectInfo, ObjectStore, check_prefix
from hyperfed.testing.store_suite import StoreSuite, failures_of

pytestmark = pytest.mark.unit

A_MOMENT_S = 0.2
Data = bytes | memoryview


class Swallows(MemoryStore):
    """Says 200 to a PUT that never came to the store, as a portal on the way does."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        return True


class Overwrites(MemoryStore):
    """Says 412 to a second PUT, and carries it out."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        created = super().put_if_absent(key, data)
        self._objects[key] = bytes(data)
        return created


class TwoWinners(MemoryStore):
    """Looks whether a key is there, and writes it a moment later."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        if key in self._objects:
            return False
        if key.startswith("race/"):
            time.sleep(A_MOMENT_S)
        self._objects[key] = bytes(data)
        return True


class LosesNeighbours(MemoryStore):
    """Writes a folder's table anew for each object, from the one that it has read before."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        table = dict(self._objects)
        if key in table:
            return False
        if key.startswith("same/"):
            time.sleep(A_MOMENT_S / 20)
        self._objects = table | {key: bytes(data)}
        return True


class UnfitByTheProbe(MemoryStore):
    """Accepts a second write below `probe/`, and nowhere else."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        return super().put_if_absent(key, data) or key.startswith("probe/")


class ListsLate(MemoryStore):
    """Lists an object only when the next one was written."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        last = next(reversed(self._objects), "")
        return (info for info in super().list(prefix) if info.key != last)


class RemembersThatThereWasNone(MemoryStore):
    """A cache on the way that keeps 404."""

    def __init__(self) -> None:
        super().__init__()
        self._missed: set[str] = set()

    def head(self, key: str) -> ObjectInfo | None:
        found = None if key in self._missed else super().head(key)
        if found is None:
            self._missed.add(key)
        return found


class ShowsParts(MemoryStore):
    """Writes under the object's own name, in two steps, as `cp` does on a share."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        if key in self._objects:
            return False
        self._objects[key] = bytes(data[: len(data) // 2])
        if len(data) > 100_000:
            time.sleep(A_MOMENT_S)
        self._objects[key] = bytes(data)
        return True


class ClockOff(MemoryStore):
    """Is an hour behind."""

    @property
    def clock_skew_s(self) -> float | None:
        return 3600.0


class TranslatesLines(MemoryStore):
    """Transfers in text mode."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        return super().put_if_absent(key, bytes(data).replace(b"\r\n", b"\n"))


class KeepsTheCallersMemory(MemoryStore):
    """Sends later what the caller may have changed by then."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        created = super().put_if_absent(key, data)
        self._objects[key] = data  # type: ignore[assignment]
        return created

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return bytes(super().read(key, max_bytes=max_bytes))


class KeepsNoEmptyObjects(MemoryStore):
    """Takes an object without bytes for a folder's mark, and drops it."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        return super().put_if_absent(key, data) if len(data) else True


class CutsLargeObjects(MemoryStore):
    """A proxy that ends a body at its own limit."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        return super().put_if_absent(key, data[:500_000])


class CutsToTheCap(MemoryStore):
    """Answers a range, and the adapter does not look how large the whole is."""

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return super().read(key, max_bytes=1 << 30)[:max_bytes]


class AnswersForFolders(MemoryStore):
    """Has an object of no bytes for every folder."""

    def read(self, key: str, *, max_bytes: int) -> bytes:
        if any(name.startswith(f"{key}/") for name in self._objects):
            return b""
        return super().read(key, max_bytes=max_bytes)


class CutsListings(MemoryStore):
    """Ends a listing after its first page, without a word."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter([*super().list(prefix)][:20])


class SortsByFolder(MemoryStore):
    """Sorts as a walk through folders does."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(sorted(super().list(prefix), key=lambda info: info.key.split("/")))


class TakesAPrefixForAFolder(MemoryStore):
    """Lists `inbox/1/` where it was asked for `inbox/1`, which `inbox/10` begins with too."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder = prefix.rstrip("/")
        return (
            info
            for info in super().list(prefix)
            if not folder or info.key == folder or info.key.startswith(f"{folder}/")
        )


class ListsFoldersOnly(MemoryStore):
    """Finds nothing where the prefix is a whole key."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (info for info in super().list(prefix) if info.key != prefix)


class EndsAtAFullPage(MemoryStore):
    """Says IsTruncated and gives no token; the adapter takes that for the end."""

    def list_paged(self, prefix: str, size: int) -> Iterator[ObjectInfo]:
        return iter([*super().list(prefix)][:size])


class StopsAtDeepFolders(MemoryStore):
    """Fails to list what lies deeper than a walk may go."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        found = [*super().list(prefix)]
        if any(info.key.count("/") > 100 for info in found):
            raise TransportError("too many levels of folders", subject=prefix)
        return iter(found)


class TakesAnyKey(MemoryStore):
    """Leaves it to the server what a key may be."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        self._objects[key] = bytes(data)
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        return iter([ObjectInfo(key=key, size=len(self._objects[key])) for key in self._objects])


class HasShortNames(MemoryStore):
    """Takes names of up to 100 bytes, as some file systems with encryption do."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        if any(len(part) > 100 for part in key.split("/")):
            raise TransportError("File name too long", subject=key)
        return super().put_if_absent(key, data)


class IgnoresCase(MemoryStore):
    """Is on a disk of Windows or macOS."""

    def put_if_absent(self, key: str, data: Data) -> bool:
        if key.lower() in {name.lower() for name in self._objects}:
            return False
        return super().put_if_absent(key, data)


class EndsAtAFault(MemoryStore):
    """Gives up many reads at the first that fails."""

    def read_many(
        self, keys: Iterable[str], *, max_bytes: int
    ) -> Iterator[tuple[str, bytes | TransportError]]:
        for key, answer in super().read_many(keys, max_bytes=max_bytes):
            yield key, answer
            if isinstance(answer, TransportError):
                return


class SaysCreatedToMany(MemoryStore):
    """Does not look at the single answers of many writes."""

    def put_many(
        self, objects: Iterable[tuple[str, Data]]
    ) -> Iterator[tuple[str, bool | TransportError]]:
        for key, _ in super().put_many(objects):
            yield key, True


class CannotBeLeft(MemoryStore):
    """Closes its connection where many reads are not taken to their end."""

    closed = False

    def read_many(
        self, keys: Iterable[str], *, max_bytes: int
    ) -> Iterator[tuple[str, bytes | TransportError]]:
        try:
            yield from super().read_many(keys, max_bytes=max_bytes)
        except GeneratorExit:
            self.closed = True
            raise

    def read(self, key: str, *, max_bytes: int) -> bytes:
        if self.closed:
            raise TransientError("the connection is closed", subject=key)
        return super().read(key, max_bytes=max_bytes)


FAULTS: dict[str, type[ObjectStore]] = {
    "a new key is created and read back": Swallows,
    "a second put is refused and changes nothing": Overwrites,
    "a race has exactly one winner whose bytes stay": TwoWinners,
    "writers of different keys do not disturb each other": LosesNeighbours,
    "the probe passes": UnfitByTheProbe,
    "what is written is listed and readable at once": ListsLate,
    "what was missing is found once it is written": RemembersThatThereWasNone,
    "an object appears whole or not at all": ShowsParts,
    "the clocks agree": ClockOff,
    "every byte value survives": TranslatesLines,
    "a memoryview is stored as its bytes and copied": KeepsTheCallersMemory,
    "an empty object is an object": KeepsNoEmptyObjects,
    "a large object comes back whole": CutsLargeObjects,
    "the size cap holds to the byte": CutsToTheCap,
    "a missing object is not found": AnswersForFolders,
    "a listing ascends by key and is complete": CutsListings,
    "a listing ascends by the whole key not by folder": SortsByFolder,
    "a prefix is a prefix of the text": TakesAPrefixForAFolder,
    "a whole key as prefix finds its object": ListsFoldersOnly,
    "a listing in pages is complete": EndsAtAFullPage,
    "a deep folder disturbs no listing": StopsAtDeepFolders,
    "bad keys reach no store": TakesAnyKey,
    "the longest and oddest good keys work": HasShortNames,
    "keys that differ in case are different": IgnoresCase,
    "read many keeps the order and survives bad objects": EndsAtAFault,
    "put many keeps the order says what was there and survives bad keys": SaysCreatedToMany,
    "read many may be abandoned": CannotBeLeft,
}
RULES = [name for name in vars(StoreSuite) if name.startswith("test_")]


def trial_of(store: type[ObjectStore]) -> Any:
    class Trial(StoreSuite):
        many, large, races = 25, 1 << 20, 1

        def make_store(self) -> ObjectStore:
            return store()

    return Trial()


def test_every_rule_has_a_store_that_breaks_it() -> None:
    assert sorted(FAULTS) == sorted(name.removeprefix("test_").replace("_", " ") for name in RULES)
    assert len(set(FAULTS.values())) == len(FAULTS)


@pytest.mark.parametrize("rule", FAULTS)
def test_each_rule_finds_the_store_that_breaks_it_and_passes_a_good_one(rule: str) -> None:
    name = f"test_{rule.replace(' ', '_')}"
    getattr(trial_of(MemoryStore), name)()
    with pytest.raises((AssertionError, HyperfedError)) as caught:
        getattr(trial_of(FAULTS[rule]), name)()
    if isinstance(caught.value, HyperfedError):
        assert not isinstance(caught.value, ConfigError), "a key of ours was refused"


def test_without_pytest_the_broken_rules_are_named_and_a_good_store_breaks_none() -> None:
    assert [rule for rule, problem in failures_of(MemoryStore) if problem] == []
    found = dict(failures_of(CutsToTheCap))
    assert [rule for rule, problem in found.items() if problem] == [
        "the size cap holds to the byte",
        "read many keeps the order and survives bad objects",
    ]
    assert found["the size cap holds to the byte"] == f"{ObjectTooLarge.__name__} was not raised"
    assert dict(failures_of(IgnoresCase))["keys that differ in case are different"] == (
        'not so: store.put_if_absent("key", b"lower")'
    )


def test_a_store_that_refuses_the_first_write_is_not_judged() -> None:
    class Refuses(MemoryStore):
        def put_if_absent(self, key: str, data: Data) -> bool:
            raise AccessDenied("the store refuses it", subject=key)

    with pytest.raises(AccessDenied):
        failures_of(Refuses)
