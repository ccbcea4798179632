"""A coordinator on a machine that lacks something: reads one JSON document a line, forks, and the
child takes what it lacks from itself and runs round 1.

Says how each ended: "ended", "refused KIND" for an error of ours that says what is missing,
"killed" for a child that died, and "unknown ..." for an error that would be called our bug.
"""

import contextlib
import json
import os
import resource
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from hyperfed.coordinator import streamed
from hyperfed.coordinator.release_marks import ReleaseMarks
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.dropbox.ledger_copy import LedgerCopy
from hyperfed.errors import HyperfedError
from hyperfed.merge.spool import Spool
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.machine_faults import as_ours
from hyperfed.testing.federation import SmallFederation

NOWHERE = "/proc/hyperfed"
"""A folder that nobody can make, not even root."""


def _open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def _pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0])


def _lack(lack: str, share: float) -> None:
    """Take from this process what it is to lack; share: how far it comes, in [0, 1)."""
    if lack == "descriptors":
        most = _open_files() - 1 + int(6 * share)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    elif lack == "memory":
        most = _pages() * resource.getpagesize() + int(share * (6 << 20))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    elif lack == "home":
        os.environ["HYPERFED_STATE"] = os.environ["HOME"] = NOWHERE
    elif lack == "temporary folder":
        tempfile.tempdir = os.environ["TMPDIR"] = NOWHERE
    elif lack == "disk":
        most = int(6000 * share)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def _run(folder: str, lack: str, share: float, private: bool) -> str:
    fed = SmallFederation()
    # rows go to a file at once, as those of a large round do
    streamed.Spool = partial(Spool, memory_bytes=0, block_bytes=64)  # type: ignore[misc, assignment]
    os.environ["HYPERFED_STATE"] = f"{folder}.state"
    _lack(lack, share)
    try:
        runner = RoundRunner(
            FilesystemStore(Path(folder)),
            key_pair=fed.coordinator,
            now=fed.night(1),
            fingerprint=fed.fingerprint,
            copy=LedgerCopy.in_state(fed.fingerprint),
            marks=ReleaseMarks.in_state(fed.fingerprint),
        )
        runner.run(1)
    except BaseException as error:
        ours = as_ours(error)
        kind = "refused" if isinstance(ours, HyperfedError) else "unknown"
        return f"{kind} {type(ours).__name__} {' '.join(str(ours).split())[:200]}"
    return "ended"


def main() -> None:
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.write(writing, _run(**order).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().decode(errors="replace")
        status = os.waitpid(child, 0)[1]
        print(said if said and os.WIFEXITED(status) else "killed", flush=True)


if __name__ == "__main__":
    main()
