"""What a command says: tables for people, one JSON document for programs, and how an error reads in both.

1. `--json` prints exactly one JSON document on stdout, also for an error: {"ok", "exit_code", ...}; what is for people's eyes only stays away then.
2. Text that came from elsewhere (reasons, names, organisations) is shown with its control characters spelt out: a drop-box cannot drive a terminal.
3. An error is problem, object, rule and what to do; never a traceback unless --debug asks for it.
4. Exit codes: see `CODES`; they are part of the interface.

rich is imported when the first table is drawn. What it does not do: decide anything, translate.
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
from typing import TYPE_CHECKING, Any

from hyperfed import errors

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "CODES",
    "Output",
    "clean",
    "console",
    "error_document",
    "exit_code_of",
    "grouped",
    "instant",
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
    3: "the object store, or the way to it",
    4: "not yet, or nothing there",
    70: "an error in hyperfed itself",
    130: "interrupted",
}
_PIPE_WIDTH = 160  # columns where nobody's terminal says otherwise


def exit_code_of(error: BaseException) -> int:
    """The exit code for an error (`CODES`)."""
    match error:
        case errors.ConfigError():
            return 2
        case errors.ObjectNotFound() | errors.QuorumPending() | errors.QuorumMissed():
            return 4
        case errors.TransportError():
            return 3
        case errors.RoundError(rule="R-60"):  # not open yet, or waiting for an earlier round
            return 4
        case errors.HyperfedError():
            return 1
        case KeyboardInterrupt():
            return 130
    return 70


def error_document(error: BaseException, code: int) -> dict[str, Any]:
    """An error for programs."""
    if isinstance(error, errors.HyperfedError):
        said = {"problem": error.problem, "subject": error.subject, "rule": error.rule, "remedy": error.remedy}
    else:
        said = {"problem": str(error) or type(error).__name__, "subject": "", "rule": "", "remedy": ""}
    return {"ok": False, "exit_code": code, "error": {"kind": type(error).__name__, **said}}


def say_error(error: BaseException, *, as_json: bool, code: int) -> None:
    """Print an error: to stdout as JSON, else to stderr for people."""
    document = error_document(error, code)
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    said = document["error"]
    subject = f"{clean(said['subject'])}: " if said["subject"] else ""
    rule = f"  [{clean(said['rule'])}]" if said["rule"] else ""
    lines = [f"Error: {subject}{clean(said['problem'])}{rule}"]
    if said["remedy"]:
        lines.append(f"What to do: {clean(said['remedy'])}")
    sys.stderr.write("\n".join(lines) + "\n")


def clean(value: Any) -> str:
    """Text for a terminal: what is not printable is spelt out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value))


def instant(moment: datetime) -> str:
    """An instant for people: UTC, to the second where it has any."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%d %H:%M:%S UTC" if utc.second else "%Y-%m-%d %H:%M UTC")


def grouped(fingerprint: str) -> str:
    """A fingerprint in groups of four digits, as people read it out."""
    return " ".join(fingerprint[i : i + 4] for i in range(0, len(fingerprint), 4))


def listed(names: Sequence[str], *, most: int = 12) -> str:
    """Names in one line, the first of them where there are many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def plain(value: Any) -> Any:
    """`value` as JSON can say it: digests in hexadecimal, instants in ISO 8601, columns as lists, dataclasses as objects."""
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
    """Where a command's answer goes."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def finish(self, document: Mapping[str, Any], render: Callable[["Console"], None], *, code: int = 0) -> int:
        """The command's answer: the document for programs, or what `render` draws for people. Returns `code`, the command's exit code."""
        if self.as_json:
            sys.stdout.write(json.dumps({"ok": code == 0, "exit_code": code, **plain(document)}, indent=2) + "\n")
        else:
            render(console())
        return code

    def note(self, text: str) -> None:
        """A remark for people, on stderr."""
        if not self.as_json:
            sys.stderr.write(f"Note: {clean(text)}\n")

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show that something is going on: a spinner on a terminal, nothing elsewhere."""
        if self.as_json or not sys.stderr.isatty():
            yield
            return
        with console(stderr=True).status(clean(text)):
            yield


def console(*, stderr: bool = False) -> "Console":
    """A console without markup, so that square brackets in names stay what they are."""
    from rich.console import Console

    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() or os.environ.get("COLUMNS") else _PIPE_WIDTH
    return Console(file=file, markup=False, highlight=False, emoji=False, width=width)


def show_pairs(to: "Console", pairs: Mapping[str, Any]) -> None:
    """Names and values below each other."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for name, value in pairs.items():
        grid.add_row(clean(name), _cell(value))
    to.print(grid)


def show_table(to: "Console", title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> None:
    """A table; `right` names the columns that are aligned right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if title:
        to.print(clean(title), style="bold")  # not the table's own title, which wraps at the table's width
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
