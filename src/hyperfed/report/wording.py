"""How a page says things: numbers, times, counts, and text that came from outside.

1. Text from outside (client ids, names of variables, object keys, reasons) is made visible first: control and format characters, which could
   command a terminal, turn reading order around or break a line, are shown as escapes. Every renderer then escapes for its own format (`markdown_text`,
   `html.escape`, rich's `Text`).
2. Times are UTC to the minute, minus signs are minus signs, lists end with a count of what they leave out.

What it does not do: decide what is said (`view`).
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

__all__ = ["MINUS", "and_more", "count", "fixed", "markdown_text", "short_digest", "signed", "significant", "visible", "when"]

MINUS = "\u2212"
_PLAIN = re.compile(
    r"""[^\W_] | [ ,;()'%=-]
    | (?<=[^\W_])_(?=[^\W_])            # inside a word an underscore emphasises nothing
    | :(?=[ ]|$) | (?<=\d):(?=\d)         # no scheme of an address
    | \.(?![^\W\d_]) | (?<!/)/(?!/)       # no host and no authority""",
    re.VERBOSE,
)
_NUMBERED = re.compile(r"\d+[.)]")


def visible(text: str, limit: int = 400) -> str:
    """`text` with control, format, private and unassigned characters as escapes, cut after `limit` characters."""
    cut = text[: limit - 1] + "\u2026" if len(text) > limit else text
    return "".join(c if unicodedata.category(c)[0] != "C" and c not in "\u2028\u2029" else c.encode("unicode_escape").decode() for c in cut)


def markdown_text(text: str, limit: int = 400) -> str:
    """`text` as markdown that renders as the text itself: what could be syntax, HTML or a link becomes a character reference."""
    shown = visible(text, limit).strip()
    opening = _NUMBERED.match(shown)
    out = []
    for i, c in enumerate(shown):
        begins = i == 0 and not c.isalnum()  # of a list or a heading
        numbers = opening is not None and i == opening.end() - 1
        out.append(c if _PLAIN.match(shown, i) and not begins and not numbers else f"&#{ord(c)};")
    return "".join(out)


def count(number: int, what: str, plural: str = "") -> str:
    """ "1 edge", "1,234 edges"."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, and 0 without one."""
    text = f"{value:+.{digits}f}"
    return text[1:] if not float(text) else text.replace("-", MINUS)


def fixed(value: float, digits: int = 2) -> str:
    """A number with so many decimals."""
    text = f"{value:.{digits}f}"
    return (text[1:] if text[0] == "-" and not float(text) else text).replace("-", MINUS)


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits."""
    return f"{value:.{digits}g}".replace("-", MINUS)


def when(time: datetime) -> str:
    """A time in UTC, to the minute (to the second, where it is not a full minute)."""
    utc = time.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M}{f':{utc:%S}' if utc.second else ''} UTC"


def and_more(items: Sequence[str], limit: int = 8) -> str:
    """ "a, b, c and 5 more"."""
    if len(items) <= limit:
        return ", ".join(items)
    return f"{', '.join(items[: limit - 1])} and {len(items) - limit + 1:,} more"


def short_digest(digest: bytes) -> str:
    """The first 12 hexadecimal digits; a dash where there is none."""
    return digest.hex()[:12] or "-"
