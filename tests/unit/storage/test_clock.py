"""The store's date, as stores and caches in the field write it."""

from datetime import UTC, datetime

import pytest

from hyperfed.errors import ConfigError
from hyperfed.storage.clock import check_clock, skew_s
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.rehearsal import RehearsalStore
from hyperfed.storage.retrying import RetryingStore

NOW = datetime(2027, 1, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "age", "skew"),
    [
        ("Fri, 01 Jan 2027 12:00:00 GMT", "", 30),
        ("Fri, 01 Jan 2027 12:00:00 -0000", "", 30),
        ("Fri, 01 Jan 2027 13:00:00 +0100", "", 30),
        ("2027-01-01T12:00:00Z", "", 30),
        ("Fri, 01 Jan 2027 11:00:00 GMT", "3600", 30),
        ("Fri, 01 Jan 2027 12:00:00 GMT", "soon", 30),
        ("Fri, 01 Jan 2027 12:01:00 GMT", "", -30),
        ("", "", None),
        ("yesterday", "", None),
        ("1798804800", "", None),
        ("Fri, 99 Jan 2027 12:00:00 GMT", "", None),
    ],
)
def test_a_date_is_read_or_says_nothing(date: str, age: str, skew: float | None) -> None:
    assert skew_s(date, age, NOW) == skew


class Off(MemoryStore):
    skew = 0.0

    @property
    def clock_skew_s(self) -> float | None:
        return self.skew


@pytest.mark.parametrize(("skew", "says"), [(601.0, "601 s ahead of"), (-4000.0, "4000 s behind")])
def test_a_clock_beyond_tolerance_is_refused_through_every_wrapper(skew: float, says: str) -> None:
    store = Off()
    for wrapped in (store, RetryingStore(store), RehearsalStore(RetryingStore(store))):
        store.skew = 600.0
        check_clock(wrapped, most_s=600)
        store.skew = skew
        with pytest.raises(ConfigError, match=says):
            check_clock(wrapped, most_s=600)


def test_a_store_without_a_clock_is_not_compared() -> None:
    check_clock(MemoryStore(), most_s=0)
