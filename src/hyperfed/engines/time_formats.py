"""Read times as people and programs write them.

1. A time is a date (ISO 8601 and what spreadsheets and offices write: `31.01.2026`, `1/31/2026`,
   `2026Q1`, `2026M01`, `Jan 2026`), with or without a time of day; or a plain number.
2. One cell may have several readings, such as 02/03/2026. The whole column decides which reading
   counts (`time_order`).
3. A column's name says that it holds times by one of its words: `date`, `obs_time`, `Year`.

What it does not do: it does not read time zones from names. Without an offset, UTC is meant.
"""

import math
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime

from hyperfed.engines.readers.numbers import plain_number

__all__ = ["DATES", "FORMS", "date_of", "is_date", "moment", "names_time", "number", "step_words"]

_EPOCH = date(1970, 1, 1).toordinal()
_WORDS = frozenset(
    (
        "time",
        "date",
        "datetime",
        "timestamp",
        "year",
        "month",
        "quarter",
        "week",
        "day",
        "hour",
        "minute",
        "period",
    )
)
_WHOLE_NAMES = frozenset(("t", "ds", "step"))
_MONTH_FORMS = (
    "%b %Y",
    "%B %Y",
    "%b-%Y",
    "%Y %b",
    "%Y-%b",
    "%d %b %Y",
    "%d-%b-%Y",
    "%b %d %Y",
    "%b-%y",
    "%d-%b-%y",
)


def names_time(name: str) -> bool:
    """Return whether a column's name says that it holds times."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return any(word.lower() in _WORDS for word in words) or name.strip().lower() in _WHOLE_NAMES


def is_date(cell: str) -> bool:
    """Return whether a cell is a date as people and programs write them, and not a mere number."""
    if not cell.strip() or moment(number, cell) is not None:
        return False
    return any(moment(form, cell) is not None for form in DATES)


def date_of(days: float) -> date:
    """Return the date of a time in days since 1970."""
    return date.fromordinal(math.floor(days) + _EPOCH)


def step_words(days: float) -> str:
    """Return a length of time, in days, as people say it: "1 month", "15 min"."""
    for low, high, word in ((364, 367, "year"), (89, 93, "quarter"), (28, 31.5, "month")):
        if low <= days < high:
            return f"1 {word}"
    seconds = round(days * 86400, 6)
    for unit, word in ((7 * 86400, "week"), (86400, "day"), (3600, "h"), (60, "min")):
        if seconds and seconds % unit == 0:
            count = round(seconds / unit)
            return f"{count} {word}{'s' if count > 1 and word in ('week', 'day') else ''}"
    return f"{seconds:g} s"


def moment(form: Callable[[str], float], cell: str) -> float | None:
    """Return the time that a cell holds, read in this form; None where it holds none.

    Dates are in days since 1970, numbers as they are.
    """
    with suppress(ValueError, OverflowError):
        value = form(cell.strip())
        if math.isfinite(value):
            return value
    return None


def _iso(text: str) -> float:
    """Return the time of an ISO date, in days; without a time zone it is read as UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / 86400


def _matched(
    pattern: str, of: Callable[[re.Match[str]], tuple[int, int, int]]
) -> Callable[[str], float]:
    """Return a reader of dates that match `pattern`, with an optional time of day.

    `of` takes (year, month, day) out of a match.
    """
    expression = re.compile(pattern + r"(?:[ T](?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2}))?)?")

    def form(text: str) -> float:
        match = expression.fullmatch(text)
        if match is None:
            raise ValueError(text)
        hours, minutes, seconds = (int(match[part] or 0) for part in "hms")
        return (
            date(*of(match)).toordinal() - _EPOCH + (hours * 3600 + minutes * 60 + seconds) / 86400
        )

    return form


def _by_month_name(text: str) -> float:
    """Return the day of a date with the name of a month. Raises ValueError."""
    for form in _MONTH_FORMS:
        with suppress(ValueError):
            return float(datetime.strptime(text, form).replace(tzinfo=UTC).toordinal() - _EPOCH)
    raise ValueError(text)


def number(text: str) -> float:
    """Return the number in a cell. Raises ValueError where there is none."""
    return plain_number(text)


DATES: tuple[Callable[[str], float], ...] = (
    _iso,
    _matched(r"(\d{4})[-/. ]?[Qq]([1-4])", lambda f: (int(f[1]), 3 * int(f[2]) - 2, 1)),
    _matched(r"[Qq]([1-4])[-/. ]?(\d{4})", lambda f: (int(f[2]), 3 * int(f[1]) - 2, 1)),
    _matched(r"(\d{4})[-/.]?[Mm]?(\d{2})", lambda f: (int(f[1]), int(f[2]), 1)),
    _matched(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", lambda f: (int(f[1]), int(f[2]), int(f[3]))),
    _matched(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})", lambda f: (int(f[3]), int(f[2]), int(f[1]))),
    _matched(r"(\d{1,2})/(\d{1,2})/(\d{4})", lambda f: (int(f[3]), int(f[1]), int(f[2]))),
    _matched(r"(\d{1,2})[-/.](\d{4})", lambda f: (int(f[2]), int(f[1]), 1)),
    _by_month_name,
)
FORMS = (*DATES, number)
