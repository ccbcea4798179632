"""Print what a command answers: tables for people, one JSON document for programs, errors for both.

1. `--json` prints exactly one JSON document on stdout, also for an error: {"ok", "exit_code", ...}.
   What only people need is left out then. `ok` is true where the exit code is 0; otherwise there is
   an "error". The answer itself ends the command, so that the process cannot report anything else.
2. Text that came from elsewhere (reasons, names, organisations) is shown with its control
   characters spelt out, so that a drop-box cannot drive a terminal.
3. An error is printed as problem, object, rule and remedy. A traceback is printed only where
   --debug asks for it.
4. The exit codes (`CODES`) are part of the interface.

rich is imported when the first table is drawn. What it does not do: decide or translate.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from hyperfed import errors

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "CODES",
    "Output",
    "bear_any_text",
    "clean",
    "console",
    "error_document",
    "exit_code_of",
    "grouped",
    "instant",
    "leave_stdout",
    "listed",
    "plain",
    "say_error",
    "show_pairs",
    "show_table",
]

CODES = {
    0: "done",
    1: "refused or failed: data, packet, key, registry or round",
    2: "a wrong option, file or setting",
    3: "the object store or the Prefect server, or the way to it",
    4: "not yet, or nothing there",
    5: "this machine lacks room, memory, threads or a right",
    70: "an error in hyperfed itself",
    130: "interrupted",
}
"""Each exit code and what it means."""
_PIPE_WIDTH = 160  # columns where there is no terminal
_LEAST_WIDTH = 40  # a table that is narrower would drop cells


def exit_code_of(error: BaseException) -> int:
    """Return the exit code for an error (`CODES`)."""
    match error:
        case errors.ConfigError():
            return 2
        case errors.MachineError():
            return 5
        case errors.ObjectNotFound() | errors.QuorumPending() | errors.QuorumMissed():
            return 4
        case errors.TransportError():
            return 3
        # not open yet, waiting for an earlier round, or opened without this client
        case errors.RoundError(rule="R-60" | "R-96"):
            return 4
        case errors.HyperfedError():
            return 1
        case KeyboardInterrupt():
            return 130
    return 70


def error_document(error: BaseException, code: int) -> dict[str, Any]:
    """Return an error as a document for programs."""
    if isinstance(error, errors.HyperfedError):
        document = {
            "problem": error.problem,
            "subject": error.subject,
            "rule": error.rule,
            "remedy": error.remedy,
        }
    else:
        document = {
            "problem": str(error) or type(error).__name__,
            "subject": "",
            "rule": "",
            "remedy": "",
        }
    return {"ok": False, "exit_code": code, "error": {"kind": type(error).__name__, **document}}


def say_error(error: BaseException, *, as_json: bool, code: int) -> None:
    """Print an error: as JSON on stdout, or for people on stderr."""
    document = error_document(error, code)
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    shown_error = document["error"]
    subject = f"{clean(shown_error['subject'])}: " if shown_error["subject"] else ""
    rule = f"  [{clean(shown_error['rule'])}]" if shown_error["rule"] else ""
    lines = [f"Error: {subject}{clean(shown_error['problem'])}{rule}"]
    if shown_error["remedy"]:
        lines.append(f"What to do: {clean(shown_error['remedy'])}")
    sys.stderr.write("\n".join(lines) + "\n")


def bear_any_text() -> None:
    """Let stdout and stderr spell out what their encoding does not have.

    A name in Greek or a path that is no text must not end a command whose work is done.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def leave_stdout() -> None:
    """Write nothing more to a stdout that takes nothing more, not even at the process's end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def clean(value: Any) -> str:
    """Return text for a terminal, in which characters that are not printable are spelt out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value))


def instant(moment: datetime) -> str:
    """Return an instant for people: in UTC, with seconds where they are not 0."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%d %H:%M:%S UTC" if utc.second else "%Y-%m-%d %H:%M UTC")


def grouped(fingerprint: str) -> str:
    """Return a fingerprint in groups of four digits, as people read it out."""
    return " ".join(fingerprint[i : i + 4] for i in range(0, len(fingerprint), 4))


def listed(names: Sequence[str], *, most: int = 12) -> str:
    """Return names in one line: the first `most` of them, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def plain(value: Any) -> Any:
    """Return `value` as JSON can express it.

    Bytes become hexadecimal, instants ISO 8601, columns lists, and dataclasses objects.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


class Output:
    """Writes a command's answer to stdout, and remarks to stderr.

    With `as_json` the answer is one JSON document, and there are no remarks.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def finish(
        self,
        document: Mapping[str, Any],
        render: Callable[["Console"], None],
        *,
        code: int = 0,
        because: str = "",
    ) -> NoReturn:
        """Print the command's answer and end the command with exit code `code`.

        Programs get `document`, and people get what `render` draws. `because` says in one sentence
        why `code` is not 0; a document may say it by an "error" of its own.
        """
        try:
            self._show(document, render, code, because)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has seen enough, and the work is done
            leave_stdout()
        raise click.exceptions.Exit(code)

    def _show(
        self,
        document: Mapping[str, Any],
        render: Callable[["Console"], None],
        code: int,
        because: str,
    ) -> None:
        if self.as_json:
            error = {
                "kind": "Outcome",
                "problem": because or CODES[code],
                "subject": "",
                "rule": "",
                "remedy": "",
            }
            outcome = (
                {"ok": True, "exit_code": 0}
                if code == 0
                else {"ok": False, "exit_code": code, "error": error}
            )
            sys.stdout.write(json.dumps({**outcome, **plain(document)}, indent=2) + "\n")
        else:
            render(console())

    def note(self, text: str) -> None:
        """Print a remark for people on stderr."""
        if not self.as_json:
            sys.stderr.write(f"Note: {clean(text)}\n")

    def progress(self, text: str) -> None:
        """Print one line about what was done so far, for people, on stderr."""
        if not self.as_json:
            sys.stderr.write(f"{clean(text)}\n")

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show a spinner on a terminal while the context lasts, and nothing elsewhere."""
        if self.as_json or not sys.stderr.isatty():
            yield
            return
        with console(stderr=True).status(clean(text)):
            yield

    @contextlib.contextmanager
    def long_step(self, text: str) -> Iterator[Callable[[int, int, float], None]]:
        """Show how far a long step is and the time left: on a terminal, and nothing elsewhere.

        It yields a function that takes how much is done, of how much, and the seconds left.
        """
        if self.as_json or not sys.stderr.isatty():
            yield lambda done, total, left: None
            return
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
        )
        with Progress(*columns, console=console(stderr=True), transient=True) as bar:
            task = bar.add_task(clean(text), total=None, left="")

            def tell(done: int, total: int, seconds_left: float) -> None:
                words = (
                    f"{done} of {total}, {seconds_left:.0f} s left"
                    if seconds_left >= 1
                    else f"{done} of {total}"
                )
                bar.update(task, completed=done, total=total, left=words)

            yield tell


def console(*, stderr: bool = False) -> "Console":
    """Return a console without markup, so that square brackets in names stay what they are.

    A terminal that is too narrow for a table folds the lines itself: nothing is left out.
    """
    from rich.console import Console

    class Ours(Console):
        """A console whose reader may leave: rich would end the process with 1."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() or os.environ.get("COLUMNS") else _PIPE_WIDTH
    to = Ours(file=file, markup=False, highlight=False, emoji=False, width=width)
    to.width = max(to.width, _LEAST_WIDTH)
    return to


def show_pairs(to: "Console", pairs: Mapping[str, Any]) -> None:
    """Print names and values, one pair below the other."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for name, value in pairs.items():
        grid.add_row(clean(name), _cell(value))
    to.print(grid)


def show_table(
    to: "Console",
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Sequence[str] = (),
) -> None:
    """Print a table. `right` names the columns that are aligned right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if title:
        # not the table's own title, which wraps at the table's width
        to.print(clean(title), style="bold")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(clean(name), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    to.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return instant(value)
    return clean(plain(value) if isinstance(value, bytes | Enum) else value)
