"""`Judges`: clients' objects, judged by this process and by `others` of its own at once; each takes the next clients when it is free.

1. All of a client's objects are judged by one process, and admission compares nothing between clients: whoever judges them, what they come to is the same.
   Objects of nobody's are judged here, at the end. So are those of a client that sends more than others can be given at once (`heavy`), each as it comes.
2. Others are started only where the work is worth their start (`worth`), and end with the round's judging, however that ends. Where the machine starts no more
   processes those that are there do. One that dies ends the stage for another try: a message that kills its judge is not given to this process.
3. This process alone reads and writes the store, and answers what a judge asks of it.
4. Edges that another process has judged do not come back, once it knows where the spool's ranges are cut: it writes them into the spool itself. The last of
   them are there when `parts` has come to its end.

What it does not do: verify (`validator`), copy, remember (`coordinator.intake`).
"""

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

from hyperfed.admission import Admission, Arrival, RoundContext
from hyperfed.errors import TransientError
from hyperfed.judging.line import receive, send
from hyperfed.judging.messages import BaseWanted, Cut, Failed, Part, Work, failure
from hyperfed.merge.spool import Block, Spool
from hyperfed.validator import Desk, PacketValidator, folder_of

__all__ = ["HEAVY_BYTES", "MOST", "Judges", "seconds_of", "worth"]

_SECONDS_AN_OBJECT, _SECONDS_A_BYTE = 9e-4, 8e-9  # about, of one core, by machine code
_SECONDS_WORTH_ONE = 2.5  # of judging by this process alone, for each other: five times what one takes to start
MOST = 7  # other processes
_BATCH_BYTES, _BATCH_CLIENTS = 1 << 19, 64
HEAVY_BYTES = 8 << 20  # of a client's objects together: above it they are not held until the last has come, and given to nobody else; of one, four times that
_AHEAD = 3  # batches that wait at each judge
_HELD = 4 * _AHEAD  # batches, for each judge, that are judged before an earlier one is
_GRACE_S = 5.0

Batch = list[Arrival]


def worth(sizes: Sequence[int]) -> int:
    """How many other processes are worth starting for objects of these sizes, bytes: none for a small night, at most one a core beside this one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores - 1, MOST, int(seconds_of(sizes) / _SECONDS_WORTH_ONE))


def seconds_of(sizes: Sequence[int]) -> float:
    """About how long one core judges objects of these sizes, bytes."""
    return len(sizes) * _SECONDS_AN_OBJECT + sum(sizes) * _SECONDS_A_BYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """context: the round's; others: how many other processes judge beside this one; spool: what the parts' edges are added to, None: they all come back;
    heavy: clients whose objects come to more than HEAVY_BYTES, and are judged here as they come."""

    context: RoundContext
    others: int = 0
    spool: Spool | None = None
    heavy: Set[str] = frozenset()

    def parts(self, arrivals: Iterable[Arrival], *, last: Mapping[str, str]) -> Generator[Part, None, None]:
        """What arrivals that ascend by key come to, some clients at a time, in the order of their last keys. last: the last key of each client's.

        Close it: that ends the other processes. Raises what the store raised, TransientError where a judging process has died, and OSError where its part of
        the spool could not be written.
        """
        here = PacketValidator(context=self.context)
        if self.others < 1:
            for admission in here.admit_clients(arrivals, last=last):
                yield Part(admission=admission)
            return
        with ExitStack() as stack:
            judges: list[_Judge] = []
            with suppress(_CannotStartError):
                while len(judges) < self.others:
                    judges.append(stack.enter_context(_Judge(self.context, self.spool)))
            pool = stack.enter_context(ThreadPoolExecutor(max(1, len(judges)), thread_name_prefix="hyperfed-judges"))
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            starting = [pool.submit(judge.begin) for judge in judges]
            free: SimpleQueue[_Judge] = SimpleQueue()

            def given(batch: Batch) -> list[Part]:
                judge = free.get()
                try:
                    return [judge.judge(batch)]
                finally:
                    free.put(judge)

            held: deque[Future[list[Part]]] = deque()  # in the order of the batches: a merge finds its clients in theirs
            desk = Desk(here, last=last)  # of heavy clients
            for batch, whose in _batches(arrivals, last, heavy=self.heavy, desk=desk):
                while starting and starting[0].done():
                    free.put(starting.pop(0).result())
                begun = len(judges) - len(starting)
                if isinstance(batch, Admission):
                    held.append(Future())
                    held[-1].set_result([Part(admission=batch)])
                elif whose and sum(not part.done() for part in held) < _AHEAD * begun:
                    held.append(pool.submit(given, batch))
                else:
                    held.append(Future())
                    held[-1].set_result([Part(admission=admission) for admission in here.admit_clients(batch, last=whose)])
                while held and (held[0].done() or len(held) > _HELD * self.others):
                    yield from held.popleft().result()
            while held:
                yield from held.popleft().result()
            if self.spool is not None:
                for settled in [pool.submit(free.get().settle) for _ in range(free.qsize())]:
                    self.spool.adopt(settled.result())


def _batches(arrivals: Iterable[Arrival], last: Mapping[str, str], *, heavy: Set[str], desk: Desk) -> Iterator[tuple[Batch | Admission, dict[str, str]]]:
    """(all objects of some clients, the last key of each); at the end the objects of nobody's, and no last keys. Of a heavy client what its objects come to,
    which the desk has judged."""
    waiting: dict[str, Batch] = {}
    batch: Batch = []
    whose: dict[str, str] = {}
    held = 0
    for arrival in arrivals:
        client = folder_of(arrival.key)
        if client in heavy:
            admission = desk.take(arrival)
            if admission is not None:
                if batch:
                    yield batch, whose
                    batch, whose, held = [], {}, 0
                yield admission, {}
            continue
        waiting.setdefault(client, []).append(arrival)
        if client and last.get(client) == arrival.key:
            own = waiting.pop(client)
            batch += own
            whose[client] = arrival.key
            held += sum(len(a.data or b"") for a in own)
            if held >= _BATCH_BYTES or len(whose) >= _BATCH_CLIENTS:
                yield batch, whose
                batch, whose, held = [], {}, 0
    if batch:
        yield batch, whose
    yield [arrival for left in waiting.values() for arrival in left], {}


class _CannotStartError(Exception):
    """The machine starts no process more."""


class _Judge:
    """Another process that judges. It is this process' child, and ends with it."""

    def __init__(self, context: RoundContext, spool: Spool | None) -> None:
        self._context, self._base_of = replace(context, base_of=None), context.base_of
        self._spool, self._knows_cut = spool, False
        self._line, theirs = socket.socketpair()
        with theirs:
            passed = [theirs.fileno()] if spool is None else [theirs.fileno(), spool.lend()]
            command = [sys.executable, "-P", "-m", "hyperfed.judging.child", *map(str, passed)]
            alone = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # it multiplies no matrices: a thread for each core would only be started
            try:
                self._process = subprocess.Popen(command, pass_fds=passed, env=alone, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603
            except OSError as exc:
                self._line.close()
                raise _CannotStartError from exc

    def __enter__(self) -> "_Judge":
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def begin(self) -> "_Judge":
        """Wait until it is there and has the context; itself. Raises TransientError where it has ended."""
        try:
            send(self._line, self._context)
            receive(self._line)
        except (EOFError, OSError) as exc:
            raise self._ended("before it had begun") from exc
        return self

    def judge(self, batch: Batch) -> Part:
        """What a batch comes to there. Raises TransientError where the process has ended, and what it could not do."""
        cut = None
        if self._spool is not None and self._spool.bounds is not None and not self._knows_cut:
            cut = Cut(bounds=self._spool.bounds, block_bytes=self._spool.block_bytes // 2)  # one is gathered while another is written
            self._knows_cut = True
        answer = self._asked(Work(arrivals=batch, cut=cut), f"while it judged {len(batch)} objects from {batch[0].key} on")
        data = {arrival.key: arrival.data for arrival in batch}
        admission: Admission = answer.admission
        return Part(
            admission=replace(admission, admitted=tuple(replace(item, data=data[item.key]) for item in admission.admitted)),
            edges=answer.edges,
        )

    def settle(self) -> list[Block]:
        """Have it write what it still holds; its blocks. Raises as `judge`."""
        blocks: list[Block] = self._asked(None, "while it wrote what it had judged")
        return blocks

    def _asked(self, work: Work | None, when: str) -> Any:
        try:
            send(self._line, work)
            while isinstance(answer := receive(self._line), BaseWanted):
                send(self._line, self._base(answer))
        except (EOFError, OSError) as exc:
            raise self._ended(when) from exc
        if isinstance(answer, Failed):
            raise answer.error
        return answer

    def _ended(self, when: str) -> TransientError:
        with suppress(subprocess.TimeoutExpired):  # its line ends a moment before it does
            self._process.wait(_GRACE_S)
        code = self._process.poll()
        return TransientError(
            f"has ended{'' if code is None else f' with {code}'} {when}",
            subject="a judging process",
            remedy="The stage is tried again; with HYPERFED_JUDGES=0 one process judges everything",
        )

    def _base(self, asked: BaseWanted) -> object:
        try:
            return None if self._base_of is None else self._base_of(asked.client, asked.digest)
        except Exception as error:  # the judge raises it where it would have been raised here
            return failure(error)
