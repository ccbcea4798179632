"""Let Ctrl-C end the demonstration within seconds, say what it stops, and leave nothing running.

1. Whatever the demonstration starts inherits a mark in its environment. On SIGINT or SIGTERM the
   processes that carry it are killed, even where their parent is gone or still starting. None is
   asked: Prefect's server shares this output, and may answer in mid-work with a traceback.
2. A terminal sends Ctrl-C to what was started, too. There it is blocked, since a server that is
   just starting would answer it with a traceback. A thread of this process listens for it.
3. The process then ends at once, whatever its threads wait for, and what they say meanwhile of
   servers that are gone is not heard. A new run begins a new federation, so there is nothing here
   to bring to a good end.

What it does not do: end servers that others have started (`PREFECT_API_URL`). This works on Linux
only.
"""

import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hyperfed.dev.processes import carrying, end_all, named, own_children

__all__ = ["ending_on_ctrl_c"]

MARK = "HYPERFED_DEMO_RUN"
_INTERRUPTED = 130


@contextmanager
def ending_on_ctrl_c(say: Callable[[str], None]) -> Iterator[None]:
    """End this process and what it has started, on SIGINT or SIGTERM while the context lasts.

    `say` shows a person what is stopped.
    """
    mark = secrets.token_hex(8)
    os.environ[MARK] = mark

    def stop(*_: object) -> None:
        say(f"Stopping {named(carrying(MARK, mark)) or 'the demonstration'}")
        logging.disable()
        threading.excepthook = lambda _: None
        end_all(MARK, mark, timeout_s=0.0)
        while children := own_children():  # one that was just forking
            for child in children:
                child.end(timeout_s=0.0)
            end_all(MARK, mark, timeout_s=0.0)
        say("Stopped; nothing is left running. `hyperfed demo` begins anew.")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_INTERRUPTED)

    arrives, writes = os.pipe()
    os.set_blocking(writes, False)

    def listen() -> None:
        while said := os.read(arrives, 64):
            if signal.SIGINT in said:
                stop()

    # Blocked in this thread, Ctrl-C is blocked in what it starts; the listener still receives it.
    listener = threading.Thread(target=listen, name="hyperfed-ctrl-c", daemon=True)
    interrupts = signal.signal(signal.SIGINT, lambda *_: None)
    wakeup = signal.set_wakeup_fd(writes)
    listener.start()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGINT, interrupts)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writes)
        listener.join()
        os.close(arrives)
        os.environ.pop(MARK, None)
