"""The one bounded queue: results in order, never more ahead than was said, and no thread left
however it is left.
"""

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfed.storage.work_ahead import WorkAhead, in_order

pytestmark = pytest.mark.unit


def left() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("hyperfed-")]


@given(
    items=st.lists(st.integers(0, 9), max_size=20),
    threads=st.integers(0, 4),
    ahead=st.integers(0, 5),
)
def test_results_come_in_the_items_order_and_nobody_runs_far_ahead(
    items: list[int], threads: int, ahead: int
) -> None:
    asked, done = 0, list[int]()

    def given_out() -> Iterator[int]:
        nonlocal asked
        for item in items:
            asked += 1
            yield item

    squares = in_order(lambda x: x * x, given_out(), threads=threads, ahead=ahead, name="map")
    for result in squares:
        done.append(result)
        # one more was asked for, before a result was taken to make room for it
        assert asked - len(done) <= (0 if threads < 2 else (ahead or threads))
    assert done == [item * item for item in items]
    assert left() == []


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_where_its_result_would_and_ends_the_rest(threads: int) -> None:
    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    results = in_order(work, range(100), threads=threads, name="map")
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert left() == []
    assert list(results) == []


def test_who_leaves_early_drops_what_has_not_begun_and_waits_for_what_has() -> None:
    begun, go_on, ran = threading.Event(), threading.Event(), list[int]()

    def slow(number: int) -> None:
        begun.set()
        assert go_on.wait(30)
        ran.append(number)

    def interrupted() -> None:
        with WorkAhead[None](threads=1, ahead=3, name="x") as queue:
            for number in range(3):
                queue.give(partial(slow, number))
            assert queue.full
            assert begun.wait(30)
            threading.Timer(0.05, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ran == [0]
    assert left() == []


def test_without_threads_work_is_done_as_it_is_given() -> None:
    where: list[str] = []
    queue = WorkAhead[None](threads=0, ahead=0, name="none")
    queue.give(lambda: where.append(threading.current_thread().name))
    assert where == [threading.current_thread().name]
    assert queue.full
    queue.take()
    with pytest.raises(ZeroDivisionError):
        queue.give(lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    assert len(queue) == 0
