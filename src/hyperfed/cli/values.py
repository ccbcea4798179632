"""Define the types of option values: lengths of time, instants, decimals, lists of names.

A value that does not fit its type is wrong usage, exit code 2.

1. A value is checked when the command line is read, before anything is opened, asked or written.
2. What only a domain object can check (a budget, a threshold) is checked there, and `as_usage`
   reports it as wrong usage.

What it does not do: read settings or files.
"""

import contextlib
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from hyperfed.errors import ConfigError, HyperfedError

if TYPE_CHECKING:
    from click import ParamType

    _Type = ParamType[Any]
else:
    _Type = click.ParamType

__all__ = [
    "Assignment",
    "Block",
    "Duration",
    "Instant",
    "Lags",
    "Names",
    "Number",
    "Override",
    "Range",
    "as_usage",
]

_SPELT = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|nan)", re.IGNORECASE)
"""How people spell a number. Python reads 1_000 and digits of other scripts too."""
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(_Type):
    """Reads a length of time in seconds, as a float.

    `least` and `most` are the shortest and the longest time that are accepted, in seconds. With
    `whole` no fraction of a second is accepted.
    """

    name = "time"

    def __init__(self, *, least: float = 0.0, most: float = math.inf, whole: bool = False) -> None:
        self.least, self.most, self.whole = least, most, whole

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd]?)", str(value).strip())
        if match is None:
            self.fail(
                f"{value!r:.40} is no length of time: write it as 90s, 30m, 24h or 1d", param, ctx
            )
        seconds = float(match[1]) * _UNITS[match[2]]
        if seconds < self.least:
            self.fail(
                f"{value!r:.40} is too short: at least {self.least:g} s are needed", param, ctx
            )
        if seconds > self.most:
            self.fail(f"{value!r:.40} is too long: at most {self.most:.0f} s are taken", param, ctx)
        if self.whole and seconds != int(seconds):
            self.fail(f"{value!r:.40} is no whole number of seconds", param, ctx)
        return seconds


class Instant(_Type):
    """Reads an instant with its time zone, as a datetime in UTC."""

    name = "instant"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r:.40} is no instant: write it as 2027-01-01T00:00:00Z", param, ctx)
        if moment.tzinfo is None:
            self.fail(
                f"{value!r:.40} has no time zone: write it as 2027-01-01T00:00:00Z", param, ctx
            )
        return moment.astimezone(UTC)


class Number(_Type):
    """Reads a number above 0, kept as the decimal that it is written as.

    With `zero` 0 is accepted too.
    """

    name = "number"

    def __init__(self, *, zero: bool = False) -> None:
        self.zero = zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        try:
            number = Decimal(str(value) if _SPELT.fullmatch(str(value)) else "NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or number < 0 or (number == 0 and not self.zero):
            self.fail(
                f"{value!r:.40} is no number {'of at least' if self.zero else 'above'} 0",
                param,
                ctx,
            )
        return number


class Names(_Type):
    """Reads names with commas between them, as a tuple of at least one name."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(",") if name.strip())
        if not names:
            self.fail(f"{value!r:.40} names nothing: write it as output,employment", param, ctx)
        return names


class Lags(_Type):
    """Reads whole numbers of at least 0 with commas between them, ascending, each once."""

    name = "lags"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",")]
        if not all(word.isascii() and word.isdigit() for word in words):
            self.fail(f"{value!r:.40} are no lags: write them as 1,2", param, ctx)
        return tuple(sorted({int(word) for word in words}))


class Assignment(_Type):
    """Reads NAME=TEXT, as (name, text)."""

    name = "assignment"

    def __init__(self, example: str) -> None:
        self.example = example

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, _, text = (part.strip() for part in str(value).rpartition("="))
        if not name or not text:
            self.fail(f"{value!r:.60} is not NAME=VALUE: write it as {self.example}", param, ctx)
        return name, text


class Range(_Type):
    """Reads NAME=LOW:HIGH, as (name, [low, high]).

    An end that is left out is None.
    """

    name = "range"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, list[float | None]]:
        if isinstance(value, tuple):
            return value
        name, _, text = (part.strip() for part in str(value).rpartition("="))
        low, colon, high = (part.strip() for part in text.partition(":"))
        ends = [end for end in (low, high) if end]
        if not name or not colon or not ends or not all(map(_SPELT.fullmatch, ends)):
            self.fail(f"{value!r:.60} is not NAME=LOW:HIGH: write it as output=0:1000", param, ctx)
        return name, [float(end) if end else None for end in (low, high)]


class Override(_Type):
    """Reads NAME=VALUE, as a name and a bool, an int, a float, lags or a text."""

    name = "override"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not name or not equals:
            self.fail(f"{value!r:.60} is not NAME=VALUE: write it as vote_min=0.25", param, ctx)
        if text in ("true", "false"):
            return name, text == "true"
        if name == "lags":
            return name, Lags().convert(text, param, ctx) if text else ()
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                number = kind(text)
                if not _SPELT.fullmatch(text):
                    self.fail(f"{text!r:.40} is no number: write it as 1000", param, ctx)
                return name, number
        return name, text


class Block(_Type):
    """Names a saved block of Prefect, written as TYPE/NAME, or "off"."""

    name = "block"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != "off" and not re.fullmatch(r"[^/\s]+/[^/\s]+", str(value)):
            self.fail(
                f"{value!r:.60} is not TYPE/NAME: write it as custom-webhook/ops, or off",
                param,
                ctx,
            )
        return str(value)


@contextlib.contextmanager
def as_usage() -> Iterator[None]:
    """Report what a domain object refuses as wrong usage: only options have gone into it.

    Raises ConfigError.
    """
    try:
        yield
    except HyperfedError as exc:
        raise ConfigError(
            exc.problem, subject=exc.subject, rule=exc.rule, remedy=exc.remedy
        ) from exc
