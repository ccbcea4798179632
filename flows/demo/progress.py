"""The demonstration's progress bar."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hyperfed.demo import states

__all__ = ["Steps", "progress"]


class Steps:
    """The progress bar: big steps stay on the screen, the clients' small ones pass by."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar, self._task = bar, bar.add_task("starting the object store", total=total)

    def say(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def advance(self, text: str) -> None:
        self._bar.console.print(f"  [green]✓[/green] {text}", highlight=False)
        self._bar.update(self._task, advance=1)

    def tick(self, text: str) -> None:
        self._bar.update(self._task, advance=1, description=text)

    def close(self) -> None:
        self._bar.stop()


@contextmanager
def progress(console: Console, nights: int) -> Iterator[Steps]:
    """The bar, for three steps of preparation and for each night its clients and the round."""
    bar = Progress(SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"), console=console, transient=True)
    with bar:
        yield Steps(bar, 3 + nights * (len(states()) + 1))
