"""Keep a bounded queue of work that threads do ahead of whoever takes its results (`WorkAhead`).

Every bounded parallel loop of the library goes through it.

1. Results are taken in the order in which work was given, whichever thread ends first.
2. At most `ahead` pieces of work are begun or wait for a thread or for being taken. So what the
   queue holds is bounded, whatever there is to do.
3. What a piece of work raises is raised where its result is taken.
4. However the queue is left (at the end, by an error, by Ctrl-C, as an abandoned generator), what
   has not begun is dropped, what has begun is waited for, and no thread is left.
5. Without threads, work is done in the caller's own thread as it is given. Then all calls have one
   order.

What it does not do: it stops no work that has begun. A request ends by its own time-out.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, Self, TypeVar

__all__ = ["WorkAhead", "in_order"]

T = TypeVar("T")
R = TypeVar("R")


class WorkAhead(Generic[R]):
    """Does work in `threads` threads, whose names begin with `hyperfed-` and `name`.

    `ahead` is the most pieces of work at once. It is a context manager. Its methods belong to one
    thread.
    """

    def __init__(self, *, threads: int, ahead: int, name: str) -> None:
        self._ahead = max(1, ahead)
        self._pool = (
            ThreadPoolExecutor(threads, thread_name_prefix=f"hyperfed-{name}") if threads else None
        )
        self._given: deque[Future[R]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return how many results have not been taken."""
        return len(self._given)

    @property
    def full(self) -> bool:
        """Whether a result has to be taken before more work is given."""
        return len(self._given) >= self._ahead

    def give(self, work: Callable[[], R]) -> None:
        """Have a piece of work done. Without threads, it raises what the work raises."""
        if self._pool is not None:
            self._given.append(self._pool.submit(work))
            return
        done: Future[R] = Future()
        done.set_result(work())
        self._given.append(done)

    def take(self) -> R:
        """Wait for the oldest piece of work, and return its result or raise what it raised."""
        return self._given.popleft().result()

    def close(self) -> None:
        """Drop what has not begun, and wait for what has."""
        self._given.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def in_order(
    work: Callable[[T], R], items: Iterable[T], *, threads: int, name: str, ahead: int = 0
) -> Iterator[R]:
    """Yield what `work` returns for each item, in the items' order.

    `threads` threads do the work. They are never more than `ahead` items ahead of the caller, or
    than one item each where that is 0. With one thread, nothing is done before it is asked for, and
    it is done in the caller's own.
    """
    if threads < 2:
        yield from map(work, items)
        return
    with WorkAhead[R](threads=threads, ahead=ahead or threads, name=name) as queue:
        for item in items:
            if queue.full:
                yield queue.take()
            queue.give(partial(work, item))
        while len(queue):
            yield queue.take()
