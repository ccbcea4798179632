"""Let Ctrl-C end a command that waits for an object store, whatever the store does.

1. The first Ctrl-C is Python's own: it raises KeyboardInterrupt, and the command cleans up.
2. The command may be stuck even then: in a request whose library does not check for signals, or at
   its end, where Python waits for threads with open requests. After `_GRACE_S` seconds it is ended
   with exit code 130.
3. Once the command has said how it ended, nothing is left to clean up. A Ctrl-C that comes while
   Python shuts down ends it at once, where Python would print a traceback.

What it does not do: end commands that have no store open. They end by themselves.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

__all__ = ["end_at_once", "end_promptly"]

_GRACE_S = 2.0
_INTERRUPTED = 130


def end_promptly(applies: Callable[[], bool]) -> None:
    """Let Ctrl-C end this process within seconds, where `applies` returns True at that moment.

    Call it from the main thread.
    """
    heard, rings = os.pipe()
    os.set_blocking(rings, False)
    signal.set_wakeup_fd(rings, warn_on_full_buffer=False)
    listener = threading.Thread(
        target=_listen, args=(heard, applies), name="interrupts", daemon=True
    )
    with contextlib.suppress(RuntimeError):  # no more threads here: the first Ctrl-C has to do
        listener.start()


def end_at_once() -> None:
    """Let any further Ctrl-C end this process without a word, unless Ctrl-C is ignored here.

    Call it from the main thread.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)


def _end(*_: object) -> None:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(_INTERRUPTED)


def _listen(heard: int, applies: Callable[[], bool]) -> None:
    while number := os.read(heard, 1):
        if number[0] == signal.SIGINT and applies():
            time.sleep(_GRACE_S)
            with contextlib.suppress(Exception):
                if threading.main_thread().is_alive():  # otherwise it has said so already
                    sys.stderr.write("Interrupted.\n")
            _end()
