"""Word what a page shows: numbers, times, counts, and text that came from outside.

1. Nothing from outside becomes markup (R-143). Text from outside (client ids, names of variables,
   object keys, reasons) is made visible first. Control and format characters could command a
   terminal, turn the reading order around or break a line, so they are shown as escapes. Every
   renderer then escapes for its own format (`markdown_text`, `html.escape`, rich's `Text`; a table
   of Prefect's shows text as it is).
2. Times are in UTC, to the minute. A minus sign is U+2212, not a hyphen. Lists end with a count of
   what they leave out.

What it does not do: decide what is said (`view`).
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "MINUS",
    "agrees_word",
    "and_more",
    "count",
    "fixed",
    "markdown_text",
    "short_digest",
    "signed",
    "significant",
    "visible",
    "visible_rows",
    "when",
]

MINUS = "\u2212"
"""The minus sign that pages use in place of a hyphen."""
_WHOLE = 0.995  # a weight that reads 1.00
_PLAIN = re.compile(
    r"""[^\W_] | [ ,;()'%=-]
    | (?<=[^\W_])_(?=[^\W_])            # inside a word an underscore emphasises nothing
    | :(?=[ ]|$) | (?<=\d):(?=\d)         # no scheme of an address
    | \.(?![^\W\d_]) | (?<!/)/(?!/)       # no host and no authority""",
    re.VERBOSE,
)
_NUMBERED = re.compile(r"\d+[.)]")


def visible(text: str, limit: int = 400) -> str:
    """Return `text` with control, format, private and unassigned characters as escapes.

    A text of more than `limit` characters is cut, and ends with an ellipsis.
    """
    cut = text[: limit - 1] + "\u2026" if len(text) > limit else text
    return "".join(
        c
        if unicodedata.category(c)[0] != "C" and c not in "\u2028\u2029"
        else c.encode("unicode_escape").decode()
        for c in cut
    )


def visible_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of a table that shows text as it is, with every text in them made visible."""
    return [
        {name: visible(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
        for row in rows
    ]


def markdown_text(text: str, limit: int = 400) -> str:
    """Return markdown that renders as `text` itself, made visible and cut after `limit` characters.

    Whatever could be syntax, HTML or a link becomes a character reference.
    """
    shown = visible(text, limit).strip()
    opening = _NUMBERED.match(shown)
    out = []
    for i, c in enumerate(shown):
        begins = i == 0 and not c.isalnum()  # it could begin a list or a heading
        numbers = opening is not None and i == opening.end() - 1
        out.append(c if _PLAIN.match(shown, i) and not begins and not numbers else f"&#{ord(c)};")
    return "".join(out)


def count(number: int, what: str, plural: str = "") -> str:
    """Return a number with its noun, such as "1 edge" or "1,234 edges".

    `plural` is the noun's plural where it is not `what` with an s.
    """
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign and `digits` decimals; 0 has no sign."""
    text = f"{value:+.{digits}f}"
    return text[1:] if not float(text) else text.replace("-", MINUS)


def fixed(value: float, digits: int = 2) -> str:
    """Return a number with `digits` decimals."""
    text = f"{value:.{digits}f}"
    return (text[1:] if text[0] == "-" and not float(text) else text).replace("-", MINUS)


def agrees_word(weight: float | None, agreement: float | None = None) -> str:
    """Return how a client's votes compared with the others'.

    `weight` is in [0, 1], `agreement` in [-1, 1]. A client without weight whose agreement is above
    0 does not contradict the others: it votes too loudly, or agrees less than its data allow. The
    words never say more: a weight tells no reason.
    """
    if weight is None:
        return "not counted"
    if weight >= _WHOLE:
        return "agrees"
    if weight > 0:
        return "differs in part"
    return "not heard" if agreement is not None and agreement > 0 else "differs"


def significant(value: float, digits: int = 3) -> str:
    """Return a number with `digits` significant digits."""
    return f"{value:.{digits}g}".replace("-", MINUS)


def when(time: datetime) -> str:
    """Return a time in UTC, to the minute, or to the second where it is not a full minute."""
    utc = time.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M}{f':{utc:%S}' if utc.second else ''} UTC"


def and_more(items: Sequence[str], limit: int = 8) -> str:
    """Return a list in words, such as "a, b, c and 5 more" where it has more than `limit` items."""
    if len(items) <= limit:
        return ", ".join(items)
    return f"{', '.join(items[: limit - 1])} and {len(items) - limit + 1:,} more"


def short_digest(digest: bytes) -> str:
    """Return the first 12 hexadecimal digits of a digest, or a dash where it is empty."""
    return digest.hex()[:12] or "-"
