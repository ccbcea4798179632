"""`hyperfed` commands in processes of their own, each at a clock of its own, some killed.

A process that has imported everything forks one child for each command, so that a process costs
milliseconds. The parent opens no store: each child begins without threads and connections. A child
that is to be killed sends itself SIGKILL at a point of its operations on the store. There is one
before each operation, when what was written to the disk before it is there, and one after it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.fault.victim import Doomed

T = TypeVar("T")
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command's process ended."""

    killed: bool
    code: int
    points: int
    """How many points it came to, where it was not killed."""
    output: str

    @property
    def answer(self) -> Any:
        return json.loads(self.output)


class OwnProcesses:
    """Runs commands one after another, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.own_process"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.close()
        self._parent.wait(30)
        self._parent.stdout.close()

    def run(
        self,
        words: Sequence[str],
        *,
        now: datetime,
        state: Path,
        kill_at: int = 0,
    ) -> Ended:
        """Run a command; `state` is its machine's HYPERFED_STATE, `kill_at` a point, 0 for none."""
        assert self._parent.stdin
        assert self._parent.stdout
        out = self.folder / "output"
        asked = {
            "words": [*words, "--json"],
            "now": now.isoformat(),
            "environment": {"HYPERFED_STATE": str(state), "HYPERFED_REHEARSAL": "1"},
            "kill_at": kill_at,
            "out": str(out),
        }
        print(json.dumps(asked), file=self._parent.stdin, flush=True)
        status = int(self._parent.stdout.readline())
        points = out.with_name("points")
        return Ended(
            killed=os.WIFSIGNALED(status),
            code=0 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status),
            points=int(points.read_text()) if points.exists() else 0,
            output=out.read_text(),
        )


class DoomedAround(Doomed):
    """`inner`, whose process dies by SIGKILL before or after an operation; counts the points."""

    def __init__(self, inner: Any, kill_at: int) -> None:
        super().__init__(inner, 0)
        self.kill_at, self.points = kill_at, 0

    def _reach(self) -> None:
        self.points += 1
        if self.points == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _do(self, operation: Callable[[], T]) -> T:
        self._reach()
        answer = operation()
        self._reach()
        return answer


def _child(asked: Mapping[str, Any]) -> int:
    """Run one command in this process, and return its exit code."""
    import hyperfed.storage.opening
    from hyperfed.cli.app import app
    from hyperfed.cli.invocation import Invocation

    os.environ.update(asked["environment"])
    now, honest = datetime.fromisoformat(asked["now"]), hyperfed.storage.opening.open_store
    Invocation.now = property(lambda _: now)  # type: ignore[assignment]
    stores: list[DoomedAround] = []

    def doomed(*args: Any, **options: Any) -> DoomedAround:
        stores.append(DoomedAround(honest(*args, **options), asked["kill_at"]))
        return stores[-1]

    hyperfed.storage.opening.open_store = doomed
    try:
        app.main(asked["words"], standalone_mode=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    finally:
        points = sum(store.points for store in stores)
        Path(asked["out"]).with_name("points").write_text(str(points))
    return 0


def _requests() -> Iterator[Mapping[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    import hyperfed.cli.client.helper
    import hyperfed.cli.client.submit
    import hyperfed.cli.operator.round_here
    import hyperfed.client.helper_night
    import hyperfed.client.night
    import hyperfed.coordinator.opening
    import hyperfed.coordinator.running
    import hyperfed.engines.structure
    import hyperfed.storage.s3  # noqa: F401

    for asked in _requests():
        out = Path(asked["out"])
        out.with_name("points").unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            code = 70
            try:
                for stream, path in ((1, out), (2, out.with_name("errors"))):
                    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
                code = _child(asked)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
