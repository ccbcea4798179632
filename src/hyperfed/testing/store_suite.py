"""Test any `ObjectStore` for conformance (`StoreSuite`).

Use the suite with pytest, for an adapter of your own too:

    class TestMyStore(StoreSuite):
        def make_store(self):
            return MyStore(...)   # empty at every call: a new bucket, prefix or folder

1. Each test is one rule of `hyperfed.storage.store`, and calls `make_store` itself. Nothing here
   needs pytest: the methods are plain functions that assert.
2. A subclass may change the sizes of the tests (`many`, `large`, `races`).
3. `failures_of` runs the suite without pytest and says which rules a store breaks: `hyperfed check
   store` is made of it.

What it does not do: test credentials and policies, which differ from store to store.
`hyperfed.storage.probe` is the short form for start-up.
"""

import hashlib
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from hyperfed.errors import (
    ConfigError,
    HyperfedError,
    ObjectNotFound,
    ObjectTooLarge,
    TransportError,
)
from hyperfed.storage.probe import probe
from hyperfed.storage.store import ObjectInfo, ObjectStore

__all__ = ["BAD_KEYS", "StoreSuite", "failures_of"]

BAD_KEYS = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a/..",
    ".hidden",
    "a/.incoming",
    "-a",
    "a b",
    "a\\b",
    "a%2fb",
    "a\x00b",
    "a\n",
    "\n",
    "ä",
    "a\u0301",
    "\u2044",
    "a:b",
    "a*",
    "~a",
    "a" * 129,
    "a/" * 256 + "b",
)
_THREADS = 16
_E = TypeVar("_E", bound=Exception)


class StoreSuite(ABC):
    """Tests a store.

    A subclass gives `make_store`.
    """

    many = 1100
    """The number of objects in the listing test; choose it above the store's page size."""
    large = 8 << 20
    """The size of the large object in bytes."""
    races = 5
    """How often threads race for one key."""

    @abstractmethod
    def make_store(self) -> ObjectStore:
        """Return a store without objects."""

    # Create-only (rule 1)

    def test_a_new_key_is_created_and_read_back(self) -> None:
        store = self.make_store()
        assert store.put_if_absent("rounds/00000001/plan", b"the plan") is True
        assert store.read("rounds/00000001/plan", max_bytes=100) == b"the plan"

    def test_a_second_put_is_refused_and_changes_nothing(self) -> None:
        store = self.make_store()
        assert store.put_if_absent("k", b"first") is True
        for again in (b"second, longer", b"first", b"", b"other"):
            assert store.put_if_absent("k", again) is False, "a second write was accepted"
            assert store.read("k", max_bytes=100) == b"first", "a refused write changed the object"
            assert [*store.list("")] == [ObjectInfo(key="k", size=5)]

    def test_a_race_has_exactly_one_winner_whose_bytes_stay(self) -> None:
        store = self.make_store()
        for race in range(self.races):
            key = f"race/{race}"
            start = threading.Barrier(_THREADS)

            def run(racer: int, key: str = key, start: threading.Barrier = start) -> bool:
                start.wait()
                return store.put_if_absent(key, b"%d" % racer * 50)

            with ThreadPoolExecutor(_THREADS) as pool:
                created_by = list(pool.map(run, range(_THREADS)))
            winners = [racer for racer, created in enumerate(created_by) if created]
            assert len(winners) == 1, (
                f"race {race}: {len(winners)} of {_THREADS} were told that they created the object"
            )
            assert store.read(key, max_bytes=1000) == b"%d" % winners[0] * 50

    def test_writers_of_different_keys_do_not_disturb_each_other(self) -> None:
        store = self.make_store()
        with ThreadPoolExecutor(_THREADS) as pool:
            outcomes = list(
                pool.map(
                    lambda i: store.put_if_absent(f"same/folder/{i:02d}", b"%d" % i),
                    range(_THREADS * 2),
                )
            )
        assert outcomes == [True] * (_THREADS * 2)
        assert [info.key for info in store.list("same/")] == [
            f"same/folder/{i:02d}" for i in range(_THREADS * 2)
        ]

    def test_the_probe_passes(self) -> None:
        probe(self.make_store())

    # Written is readable and listed at once (rule 2)

    def test_what_is_written_is_listed_and_readable_at_once(self) -> None:
        store = self.make_store()
        for i in range(20):
            assert store.put_if_absent(f"ledger/{i:012d}", b"x" * i)
            assert store.head(f"ledger/{i:012d}") == ObjectInfo(key=f"ledger/{i:012d}", size=i)
            assert [info.size for info in store.list("ledger/")] == list(range(i + 1))

    def test_what_was_missing_is_found_once_it_is_written(self) -> None:
        """A cache on the way that keeps "there is none" would hide a plan from whoever waits."""
        store = self.make_store()
        for i in range(3):
            key = f"rounds/{i:08d}/plan"
            assert store.head(key) is None
            _raised(ObjectNotFound, partial(store.read, key, max_bytes=10))
            assert [*store.list(f"rounds/{i:08d}/")] == []
            assert store.put_if_absent(key, b"plan") is True
            assert store.read(key, max_bytes=10) == b"plan", "what was written is not found"
            assert store.head(key) == ObjectInfo(key=key, size=4)
            assert [*store.list(f"rounds/{i:08d}/")] == [ObjectInfo(key=key, size=4)]

    def test_an_object_appears_whole_or_not_at_all(self) -> None:
        """Whoever looks while it is written sees no part of it."""
        store = self.make_store()
        data = b"x" * self.large
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(store.put_if_absent, "whole/0", data)
            while True:
                done = written.done()
                assert [info.size for info in store.list("whole/")] in ([], [len(data)])
                info = store.head("whole/0")
                assert info is None or info.size == len(data)
                if done:
                    break
        assert written.result() is True
        assert store.read("whole/0", max_bytes=len(data)) == data

    def test_the_clocks_agree(self) -> None:
        """A store whose clock is off refuses signed requests, and its dates mislead."""
        store = self.make_store()
        assert store.put_if_absent("clock", b"x")
        skew = store.clock_skew_s
        assert skew is None or abs(skew) < 600, f"this clock and the store's differ by {skew:.0f} s"

    # Bytes are kept as they are

    def test_every_byte_value_survives(self) -> None:
        store = self.make_store()
        data = bytes(range(256)) * 3 + b"\r\n\x00"
        assert store.put_if_absent("bytes", data)
        assert store.read("bytes", max_bytes=len(data)) == data

    def test_a_memoryview_is_stored_as_its_bytes_and_copied(self) -> None:
        store = self.make_store()
        buffer = bytearray(b"0123456789")
        assert store.put_if_absent("view", memoryview(buffer)[2:6])
        buffer[:] = b"x" * 10
        assert store.read("view", max_bytes=10) == b"2345"

    def test_an_empty_object_is_an_object(self) -> None:
        store = self.make_store()
        assert store.put_if_absent("empty", b"") is True
        assert store.put_if_absent("empty", b"not empty") is False
        assert store.read("empty", max_bytes=0) == b""
        assert store.read("empty", max_bytes=10) == b""
        assert store.head("empty") == ObjectInfo(key="empty", size=0)
        assert [*store.list("")] == [ObjectInfo(key="empty", size=0)]

    def test_a_large_object_comes_back_whole(self) -> None:
        store = self.make_store()
        block = hashlib.sha256(b"large").digest()
        data = (block * (self.large // len(block) + 1))[: self.large]
        assert store.put_if_absent("large", data)
        read = store.read("large", max_bytes=self.large)
        assert len(read) == self.large
        assert hashlib.sha256(read).digest() == hashlib.sha256(data).digest()

    # The cap (rule 4)

    def test_the_size_cap_holds_to_the_byte(self) -> None:
        store = self.make_store()
        assert store.put_if_absent("ten", b"0123456789")
        assert store.read("ten", max_bytes=10) == b"0123456789"
        for cap in (9, 1, 0):
            error = _raised(ObjectTooLarge, lambda cap=cap: store.read("ten", max_bytes=cap))  # type: ignore[misc]
            assert "holds 10 bytes" in str(error) or f"more than {cap} bytes" in str(error), (
                "the error does not say how large the object is"
            )
            assert "ten" in str(error), "the error names the object"

    # What is missing

    def test_a_missing_object_is_not_found(self) -> None:
        store = self.make_store()
        assert store.put_if_absent("there/object", b"x")
        for key in ("missing", "missing/deeper", "there", "there/objec", "there/object2"):
            refusal = _raised(ObjectNotFound, partial(store.read, key, max_bytes=10))
            assert "there is no such object" in str(refusal)
            assert store.head(key) is None
        assert [*store.list("nothing/")] == []

    # Listing

    def test_a_listing_ascends_by_key_and_is_complete(self) -> None:
        store = self.make_store()
        keys = [f"list/{i:05d}" for i in range(self.many)]
        order = sorted(keys, key=lambda key: hashlib.sha256(key.encode()).digest())
        with ThreadPoolExecutor(_THREADS) as pool:
            assert all(pool.map(lambda key: store.put_if_absent(key, b"x"), order))
        assert [info.key for info in store.list("list/")] == keys
        assert [info.key for info in store.list("list/0000")] == keys[:10]

    def test_a_listing_ascends_by_the_whole_key_not_by_folder(self) -> None:
        store = self.make_store()
        keys = ["a-b", "a.b", "a/b", "a/c/d", "a0", "a_b", "ab", "b/a", "B", "Z/z", "_"]
        for key in keys:
            assert store.put_if_absent(key, b"x")
        assert [info.key for info in store.list("")] == sorted(keys)
        assert [info.key for info in store.list("a")] == [
            key for key in sorted(keys) if key.startswith("a")
        ]

    def test_a_prefix_is_a_prefix_of_the_text(self) -> None:
        store = self.make_store()
        for key in (
            "inbox/1/ann/0",
            "inbox/1/anna/0",
            "inbox/10/ann/0",
            "inbox/2/ann/0",
            "inboxes",
        ):
            assert store.put_if_absent(key, b"x")
        for prefix, count in (
            ("", 5),
            ("inbox", 5),
            ("inbox/", 4),
            ("inbox/1", 3),
            ("inbox/1/", 2),
            ("inbox/1/ann", 2),
            ("inbox/1/ann/", 1),
            ("inbox/3", 0),
        ):
            listed_keys = [info.key for info in store.list(prefix)]
            assert len(listed_keys) == count, (prefix, listed_keys)
            assert all(key.startswith(prefix) for key in listed_keys)

    def test_a_whole_key_as_prefix_finds_its_object(self) -> None:
        store = self.make_store()
        assert store.put_if_absent("a/b", b"xyz")
        assert [*store.list("a/b")] == [ObjectInfo(key="a/b", size=3)]

    def test_a_listing_in_pages_is_complete(self) -> None:
        """A store that ends a listing without a word loses updates."""
        store = self.make_store()
        keys = [f"inbox/00000001/site-{i:02d}/0" for i in range(11)]
        for key in keys:
            assert store.put_if_absent(key, b"x")
        for size in (1, 2, 5, 11, 1000):
            assert [info.key for info in store.list_paged("inbox/", size)] == keys, size
            assert [info.key for info in store.list_paged("inbox/00000001/site-0", size)] == keys[
                :10
            ]
        assert [*store.list_paged("nothing/", 2)] == []

    def test_a_deep_folder_disturbs_no_listing(self) -> None:
        store = self.make_store()
        deep = "/".join("d" * 120)
        assert store.put_if_absent(f"inbox/{deep}", b"x")
        assert store.put_if_absent("inbox/e", b"x")
        assert [info.key for info in store.list("inbox/")] == [f"inbox/{deep}", "inbox/e"]
        assert store.read(f"inbox/{deep}", max_bytes=1) == b"x"

    # Keys

    def test_bad_keys_reach_no_store(self) -> None:
        store = self.make_store()
        for key in BAD_KEYS:
            _raised(ConfigError, lambda key=key: store.put_if_absent(key, b"x"))  # type: ignore[misc]
            _raised(ConfigError, lambda key=key: store.read(key, max_bytes=1))  # type: ignore[misc]
            _raised(ConfigError, lambda key=key: store.head(key))  # type: ignore[misc]
        for prefix in ("/", "..", "../", "a/../", "a//", "ä", "a\x00", "."):
            _raised(ConfigError, lambda prefix=prefix: [*store.list(prefix)])  # type: ignore[misc]
        assert [*store.list("")] == []

    def test_the_longest_and_oddest_good_keys_work(self) -> None:
        store = self.make_store()
        keys = [
            "a" * 128,
            "/".join(["x" * 100] * 5),
            "a..b",
            "a.",
            "A/_/0",
            "1-2_3.4",
            "x.tar.gz",
            "e.sock",
            "con",
        ]
        for key in keys:
            assert store.put_if_absent(key, key.encode()), key
        for key in keys:
            assert store.read(key, max_bytes=600) == key.encode()
        assert [info.key for info in store.list("")] == sorted(keys)

    def test_keys_that_differ_in_case_are_different(self) -> None:
        store = self.make_store()
        assert store.put_if_absent("Key", b"upper")
        assert store.put_if_absent("key", b"lower")
        assert store.read("Key", max_bytes=9) == b"upper"

    # Many at once

    def test_read_many_keeps_the_order_and_survives_bad_objects(self) -> None:
        store = self.make_store()
        for i in range(30):
            assert store.put_if_absent(f"m/{i:02d}", b"%02d" % i * (100 if i == 7 else 1))
        keys = [f"m/{i:02d}" for i in (*range(30), 40)][::-1]
        answers = list(store.read_many(iter(keys), max_bytes=100))
        assert [key for key, _ in answers] == keys
        by_key = dict(answers)
        assert isinstance(by_key["m/40"], ObjectNotFound)
        assert isinstance(by_key["m/07"], ObjectTooLarge)
        assert {key: value for key, value in by_key.items() if isinstance(value, bytes)} == {
            f"m/{i:02d}": b"%02d" % i for i in range(30) if i != 7
        }
        assert list(store.read_many([], max_bytes=1)) == []

    def test_put_many_keeps_the_order_says_what_was_there_and_survives_bad_keys(self) -> None:
        store = self.make_store()
        assert store.put_if_absent("p/03", b"first")
        objects = [(f"p/{i:02d}", b"%02d" % i) for i in range(20)][::-1]
        answers = list(store.put_many(iter(objects)))
        assert answers == [(key, key != "p/03") for key, _ in objects]
        assert store.read("p/03", max_bytes=9) == b"first"
        assert dict(store.read_many([key for key, _ in objects], max_bytes=9)) == dict(objects) | {
            "p/03": b"first"
        }
        assert [
            answer
            for _, answer in store.put_many([(key, memoryview(data)) for key, data in objects])
        ] == [False] * 20
        assert list(store.put_many([])) == []

    def test_read_many_may_be_abandoned(self) -> None:
        store = self.make_store()
        for i in range(20):
            assert store.put_if_absent(f"m/{i:02d}", b"x")
        answers: Iterator[tuple[str, bytes | TransportError]] = store.read_many(
            [f"m/{i:02d}" for i in range(20)], max_bytes=10
        )
        assert next(answers) == ("m/00", b"x")
        del answers
        assert store.read("m/19", max_bytes=10) == b"x"


def failures_of(make_store: Callable[[], ObjectStore]) -> list[tuple[str, str]]:
    """Return each rule of the suite, and what a store does instead, "" where it holds.

    `make_store` gives a store without objects at every call. The trials are fewer and smaller than
    in the tests. Raises AccessDenied where the store refuses the first of them, and TransportError
    where it cannot be reached.
    """

    class Trial(StoreSuite):
        many, large, races = 25, 1 << 20, 2

        def make_store(self) -> ObjectStore:
            return make_store()

    make_store().put_if_absent("begun", b"")  # what cannot be reached or written breaks no rule
    trial, outcomes = Trial(), []
    for name in (name for name in vars(StoreSuite) if name.startswith("test_")):
        problem = ""
        try:
            getattr(trial, name)()
        except AssertionError as error:
            problem = str(error).partition("\n")[0] or _unmet(error)
        except HyperfedError as error:
            problem = str(error)
        outcomes.append((name.removeprefix("test_").replace("_", " "), problem[:400]))
    return outcomes


def _unmet(error: AssertionError) -> str:
    """Return the expectation that did not hold, as the line of the suite says it."""
    frames = traceback.extract_tb(error.__traceback__)
    line = next((frame.line for frame in reversed(frames) if frame.filename == __file__), "") or ""
    return f"not so: {line.removeprefix('assert ')}"


def _raised(kind: type[_E], call: Callable[[], object]) -> _E:
    """Return the error of this kind that `call` raises, or raise AssertionError."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")
