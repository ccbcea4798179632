"""A helper that is killed: reads "operations folder instant" lines, forks, and the child visits
until it sends itself SIGKILL after that operation. Says "killed" or "ended" for each.
"""

import os
import sys
from datetime import datetime
from pathlib import Path

from hyperfed.client.helper_memory import HelperMemory
from hyperfed.client.helper_night import HelperNight
from hyperfed.storage.filesystem import FilesystemStore
from tests.fault.victim import Doomed
from tests.secure_night import SecureNight


def main() -> None:
    fed = SecureNight().federation  # the same keys as in the test: they follow from names
    for line in sys.stdin:
        operations, folder, instant = line.split()
        child = os.fork()
        if child == 0:
            store = Doomed(FilesystemStore(Path(folder) / "box"), int(operations))
            memory = HelperMemory(Path(folder) / "help-1")
            session = fed.session("help-1", store=store)
            HelperNight(session, memory).visit(now=datetime.fromisoformat(instant))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write("killed\n" if os.WIFSIGNALED(status) else "ended\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
