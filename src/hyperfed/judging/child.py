"""A judging process: it is given a round's context, then clients' objects, and answers what they come to.

    python -m hyperfed.judging.child FD [FD]

1. It opens no store, no connection and no file: bytes come over its line; verdicts and what is small of each update go back. Edges it packs and, as soon as it
   is told where ranges are cut, writes into the file that it was given, its part of the spool; before, they go back too.
2. A client's last counted update, where changes refer to it, is asked of the process that started it.
3. It ends when its line does, also where the process that started it was killed.

What it does not do: copy, remember, decide who counts.
"""

import gc
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from hyperfed.admission import Admission, Admitted, Arrival, RoundContext
from hyperfed.collector import seldom_collecting
from hyperfed.compiled import load_kept
from hyperfed.judging.line import receive, send
from hyperfed.judging.messages import BaseWanted, Failed, Part, Work, failure
from hyperfed.merge.packed import PackedTable
from hyperfed.merge.spool import Block, Spool, Spooled
from hyperfed.packets import Update
from hyperfed.validator import PacketValidator, folder_of

__all__ = ["main"]


@seldom_collecting()
def main(arguments: Sequence[str]) -> int:
    """Judge what comes over the line, file descriptor `arguments[0]`, until it ends; edges go into `arguments[1]`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts the round ends the line
    with socket.socket(fileno=int(arguments[0])) as line:
        try:
            context: RoundContext = receive(line)
            gc.freeze()  # what was imported lives as long as the process: it need not be looked at
            load_kept()
            validator = PacketValidator(context=replace(context, base_of=lambda client, digest: _base(line, client, digest)))
            judge = _Judge(validator, *map(int, arguments[1:]))
            send(line, None)  # it is there
            while True:
                send(line, judge.answer(receive(line)))
        except (EOFError, ConnectionError):
            return 0


def _base(line: socket.socket, client: str, digest: bytes) -> Update | None:
    send(line, BaseWanted(client=client, digest=digest))
    answer: Update | Failed | None = receive(line)
    if isinstance(answer, Failed):
        raise answer.error
    return answer


class _Judge:
    def __init__(self, validator: PacketValidator, file: int = -1) -> None:
        self._validator, self._file, self._spool = validator, file, cast(Spool | None, None)

    def answer(self, work: Work | None) -> Part | list[Block] | Failed:
        try:
            if work is None:
                return [] if self._spool is None else self._spool.blocks()
            if work.cut is not None:
                self._spool = Spool.borrowing(self._file, bounds=work.cut.bounds, block_bytes=work.cut.block_bytes)
            return self._judged(work.arrivals)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # whatever it was, the process that asked says it
            return failure(error)

    def _judged(self, arrivals: Sequence[Arrival]) -> Part:
        edges: dict[bytes, PackedTable | Spooled] = {}

        def slim(item: Admitted) -> Admitted:
            """Without what the other process has, and without its edges."""
            if item.update is None:
                return item.kept(update=item.update)
            table, small = item.update.parted()
            edges[item.digest] = self._put(PackedTable.of(table))
            return item.kept(update=small)

        parts = [*self._validator.admit_clients(arrivals, last={folder_of(arrival.key): arrival.key for arrival in arrivals})]
        admitted = tuple(slim(item) for part in parts for item in part.admitted)
        return Part(admission=Admission(admitted=admitted, refused=tuple(r for part in parts for r in part.refused)), edges=edges)

    def _put(self, table: PackedTable) -> PackedTable | Spooled:
        if self._spool is None:
            return table
        return Spooled(file=self._file, number=self._spool.add_packed(table), intervals=table.intervals, largest=table.largest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
