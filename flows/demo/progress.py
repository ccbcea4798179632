"""Show the demonstration's progress: one bar over the nights, and one inside a night.

1. On a terminal two bars stand at the bottom, and a line stays for each stage.
2. Elsewhere (a pipe, a log) there is one line for each stage, without control codes.
3. The time that is left is estimated from the nights that are over; before the first is over, from
   what nights usually take.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from hyperfed.demo import states

__all__ = ["Steps", "progress"]

_START_S, _NIGHT_S = 15.0, 10.0  # measured on two cores; on a first run Prefect makes its database


class Steps:
    """Draws the two bars.

    Stages stay on the screen, and the clients' small steps pass by.
    """

    def __init__(self, bar: Progress, nights: int) -> None:
        self._bar, self._nights = bar, nights
        self._over = bar.add_task("nights", total=nights, what="")
        self._inside = bar.add_task("start", total=3, what="the object store starts")
        self._began: list[float] = []

    def say(self, text: str) -> None:
        """Show beside the bar what is going on."""
        self._bar.update(self._inside, what=text)

    def advance(self, text: str) -> None:
        """End a stage, and say so in a line that stays."""
        self._line(f"  [green]\u2713[/green] {text}")
        self._bar.update(self._inside, advance=1)
        if self._began and self._bar.tasks[1].finished:
            self._bar.update(self._over, completed=len(self._began))

    def night(self, number: int, steps: int) -> None:
        """Begin a night of `steps` steps."""
        self._began.append(time.monotonic())
        done = len(self._began) - 1
        usual = (self._began[-1] - self._began[0]) / done if done else _NIGHT_S
        left = usual * (self._nights - done)
        self._bar.update(self._over, what=f"about {_rounded(left)} left")
        self._bar.reset(self._inside, total=steps, description=f"night {number}", what="opens")
        if not self._bar.console.is_terminal:
            self._line(
                f"    night {number} of {self._nights}: {len(states())} states discover, sign, "
                "seal and submit"
            )

    def tick(self, text: str) -> None:
        """Count one small step, and show it beside the bar."""
        self._bar.update(self._inside, advance=1, what=text)
        self._bar.update(
            self._over, completed=len(self._began) - 1 + self._bar.tasks[1].percentage / 100
        )

    def farewell(self, text: str) -> None:
        """Take the bars away, and say something that stays."""
        self._bar.stop()
        self._bar.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Take the bars away."""
        self._bar.stop()

    def _line(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, soft_wrap=True)


def _rounded(seconds: float) -> str:
    """Return a time as an estimate may give it: in tens of seconds, or in minutes."""
    tens = max(10, round(seconds / 10) * 10)
    return f"{tens} s" if tens < 90 else f"{round(tens / 60)} minutes"


@contextmanager
def progress(console: Console, nights: int) -> Iterator[Steps]:
    """Say how long the demonstration will take, then show the bars while the context lasts."""
    console.print(
        f"{len(states())} states, {nights} night{'s' * (nights > 1)}: about "
        f"{_rounded(_START_S + nights * _NIGHT_S)}"
        " (a first run takes longer: Prefect makes its database). Ctrl-C stops everything.",
        highlight=False,
    )
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description:8}"),
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}"),
        console=console,
        transient=True,
    )
    with bar:
        yield Steps(bar, nights)
