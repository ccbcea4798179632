"""`hyperfed` commands in processes of their own, each at a clock of its own, some killed.

A process that has imported everything forks one child for each command, so that a process costs
milliseconds. The parent opens no store: each child begins without threads and connections.

A child that is to be killed sends itself SIGKILL at a point. There is one after each operation on
the store, and one after each time that a local file is replaced, made or erased.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.fault.victim import Doomed

STORE, WRITE, DISK = "store", "write", "disk"
T = TypeVar("T")
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command's process ended."""

    killed: bool
    code: int
    points: tuple[str, ...]
    """What each point that it came to was after: STORE, WRITE or DISK."""
    offered: tuple[tuple[str, str], ...]
    """Key and SHA-256 of every byte string that it offered to the store, also of those refused."""
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
        story = [line.split() for line in out.with_name("story").read_text().splitlines()]
        return Ended(
            killed=os.WIFSIGNALED(status),
            code=0 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status),
            points=tuple(words[1] for words in story if words[0] == "after"),
            offered=tuple((words[1], words[2]) for words in story if words[0] == "offers"),
            output=out.read_text(),
        )


class Points:
    """The points of this process, which dies at one of them; what came before stays on file."""

    def __init__(self, kill_at: int, story: Path) -> None:
        self.left, self.story = kill_at, story

    def tell(self, *words: str) -> None:
        with self.story.open("a") as file:
            print(*words, file=file)

    def after(self, what: str, operation: Callable[[], T]) -> T:
        answer = operation()
        self.tell("after", what)
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    def watch_disk(self) -> None:
        """Let this process come to a point after each change of a local file."""
        for name in ("replace", "link", "unlink"):
            honest = getattr(os, name)

            def counted(*args: Any, honest: Callable[..., Any] = honest, **options: Any) -> Any:
                return self.after(DISK, partial(honest, *args, **options))

            setattr(os, name, counted)


class Counted(Doomed):
    """`inner`, each of whose operations is a point."""

    def __init__(self, inner: Any, points: Points) -> None:
        super().__init__(inner, 0)
        self.points = points

    def _do(self, operation: Callable[[], T]) -> T:
        return self.points.after(STORE, operation)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        self.points.tell("offers", key, hashlib.sha256(data).hexdigest())
        return self.points.after(WRITE, lambda: bool(self.inner.put_if_absent(key, data)))


def _child(asked: Mapping[str, Any]) -> int:
    """Run one command in this process, and return its exit code."""
    import hyperfed.storage.opening
    from hyperfed.cli.app import app
    from hyperfed.cli.invocation import Invocation

    os.environ.update(asked["environment"])
    now, honest = datetime.fromisoformat(asked["now"]), hyperfed.storage.opening.open_store
    Invocation.now = property(lambda _: now)  # type: ignore[assignment]
    points = Points(asked["kill_at"], Path(asked["out"]).with_name("story"))
    points.watch_disk()
    hyperfed.storage.opening.open_store = lambda *args, **options: Counted(
        honest(*args, **options), points
    )
    try:
        app.main(asked["words"], standalone_mode=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0


def _requests() -> Iterator[Mapping[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    import dp_accounting.pld.privacy_loss_distribution  # noqa: F401

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
        out.with_name("story").write_text("")
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
