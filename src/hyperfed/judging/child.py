"""A judging process: it is given a round's context, then clients' objects, and answers what they come to.

    python -m hyperfed.judging.child FD

1. It opens no store, no connection and no file: bytes come over its line; verdicts, what is small of each update, and packed edges go back.
2. A client's last counted update, where changes refer to it, is asked of the process that started it.
3. It ends when its line does, also where the process that started it was killed.

What it does not do: copy, remember, decide who counts.
"""

import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace

from hyperfed.admission import Admission, Admitted, Arrival, RoundContext
from hyperfed.compiled import load_kept
from hyperfed.judging.line import receive, send
from hyperfed.judging.messages import BaseWanted, Failed, Part, failure
from hyperfed.merge.packed import PackedTable
from hyperfed.packets import Update
from hyperfed.validator import PacketValidator, folder_of

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Judge what comes over the line, file descriptor `arguments[0]`, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts the round ends the line
    with socket.socket(fileno=int(arguments[0])) as line:
        try:
            context: RoundContext = receive(line)
            load_kept()
            validator = PacketValidator(context=replace(context, base_of=lambda client, digest: _base(line, client, digest)))
            send(line, None)  # it is there
            while True:
                send(line, _judged(validator, receive(line)))
        except (EOFError, ConnectionError):
            return 0


def _base(line: socket.socket, client: str, digest: bytes) -> Update | None:
    send(line, BaseWanted(client=client, digest=digest))
    answer: Update | Failed | None = receive(line)
    if isinstance(answer, Failed):
        raise answer.error
    return answer


def _judged(validator: PacketValidator, arrivals: Sequence[Arrival]) -> Part | Failed:
    edges: dict[bytes, PackedTable] = {}

    def slim(item: Admitted) -> Admitted:
        """Without what the other process has; its edges packed."""
        if item.update is None:
            return item.kept(update=item.update)
        table, small = item.update.parted()
        edges[item.digest] = PackedTable.of(table)
        return item.kept(update=small)

    try:
        parts = [*validator.admit_clients(arrivals, last={folder_of(arrival.key): arrival.key for arrival in arrivals})]
        admitted = tuple(slim(item) for part in parts for item in part.admitted)
        return Part(admission=Admission(admitted=admitted, refused=tuple(r for part in parts for r in part.refused)), edges=edges)
    except (EOFError, ConnectionError):
        raise
    except Exception as error:  # whatever it was, the process that asked says it
        return failure(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
