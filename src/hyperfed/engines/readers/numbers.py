"""Read a cell as a number, as nothing, or as something else, and then say what to do about it.

1. A number is written in plain ASCII: digits, a point, an exponent, a sign. Python also takes
   `1_234`, `inf`, `nan` and the digits of other scripts, which nobody writes as a measurement.
2. Nothing is an empty cell, one of `MARKERS` in any case, or what the user says it is.
3. Anything else is an error, never a guess: a thousands separator, a percent sign and a currency
   change a number by a factor, so the message names what it looks like and how to write it.
"""

import itertools
import math
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["MARKERS", "Missing", "NotANumber", "numbers", "plain_number"]

MARKERS = frozenset(
    ("", "-", "--", ".", "?", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "missing")
)
"""How files write that a value is missing, in lower case."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_POINT_LINE, _COMMA_LINE = re.compile(r"[0-9+\-.eE]*"), re.compile(r"[0-9+\-,eE]*")
_CURRENCIES = "$€£¥₹₽₩¢"
_CODES = r"(?:USD|EUR|GBP|JPY|CHF|CAD|AUD|CNY|INR|SEK|NOK|DKK)"
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:([,.' \u00a0\u202f\u2019])[0-9]{3})+(?:[.,][0-9]+)?")
_TWO_PARTS = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")

Floats = npt.NDArray[np.float64]


class NotANumber(ValueError):
    """Says why a text is no number, what to do, and at which position of its line it stands."""

    def __init__(self, problem: str, remedy: str, at: int = 0) -> None:
        super().__init__(problem)
        self.problem, self.remedy, self.at = problem, remedy, at


class Missing:
    """Knows which texts and numbers mean that a value is missing.

    Args:
        said: What the user says it is, such as ("-999", "refused"). A number stands for its value,
            however it is written; a text for itself, in any case.
    """

    def __init__(self, markers: Sequence[str] = ()) -> None:
        self.texts = MARKERS | {one.strip().casefold() for one in markers}
        self.values = tuple(
            float(one.strip()) for one in markers if _NUMBER.fullmatch(one.strip()) is not None
        )

    def __contains__(self, cell: str) -> bool:
        return cell.strip().casefold() in self.texts

    def emptied(self, values: Floats) -> Floats:
        """Return the values with NaN where one of the user's numbers stands."""
        for value in self.values:
            values[values == value] = math.nan
        return values


def plain_number(text: str, *, decimal: str = ".") -> float:
    """Return the finite number that a text holds, as `decimal` separates its digits.

    Raises NotANumber, which says what the text looks like.
    """
    stripped = text.strip()
    plain = stripped.replace(",", ".") if decimal == "," and "." not in stripped else stripped
    if _NUMBER.fullmatch(plain) is not None and (decimal == "." or "." not in stripped):
        value = float(plain)
        if math.isfinite(value):
            return value
        raise NotANumber(
            f"holds {stripped!r:.40}, which exceeds the largest number", "Use another unit"
        )
    raise _explained(stripped, decimal)


def numbers(cells: Sequence[str], missing: Missing, *, decimal: str = ".") -> Floats:
    """Return a line's numbers, float64[cells], with NaN for what is missing.

    Raises NotANumber, with the position of the cell.
    """
    line = "".join(cells)
    plain = (_POINT_LINE if decimal == "." else _COMMA_LINE).fullmatch(line) is not None
    if plain:
        cells_with_points = cells if decimal == "." else [cell.replace(",", ".") for cell in cells]
        try:
            # Characters of plain numbers alone: what Python takes of them is a plain number.
            values = np.fromiter(map(float, cells_with_points), np.float64, len(cells))
        except ValueError:
            plain = False
        else:
            plain = bool(np.isfinite(values).all())
    if not plain:
        values = np.empty(len(cells))
        for at, cell in enumerate(cells):
            try:
                values[at] = math.nan if cell in missing else plain_number(cell, decimal=decimal)
            except NotANumber as exc:
                raise NotANumber(exc.problem, exc.remedy, at) from None
    return missing.emptied(values)


def _explained(text: str, decimal: str) -> NotANumber:
    """Return the error for a text that is no number."""
    description = f"holds {text!r:.40}"
    if not text:
        return NotANumber("is empty", "Fill it in")
    bare = text.replace("\u2212", "-").replace("\u2013", "-").replace("\u2014", "-")
    if bare != text and _NUMBER.fullmatch(bare.replace(",", ".")):
        return NotANumber(
            f"{description}, whose minus is a typographic dash", "Write it with a hyphen: -1.5"
        )
    if text.endswith("%"):
        return NotANumber(
            f"{description}, a percentage", "Write 12.5 % as 0.125 or as 12.5, everywhere"
        )
    if any(sign in _CURRENCIES for sign in text) or re.search(_CODES, text):
        return NotANumber(f"{description}, an amount of money", "Write the number alone")
    if (grouped := _GROUPED.fullmatch(text)) is not None and grouped[1] != decimal:
        if grouped[1] == "," and _TWO_PARTS.fullmatch(text):
            return NotANumber(
                f"{description}: a thousands separator or a decimal comma",
                "Write 1,234 as 1234; or give --decimal ',' where the comma is decimal",
            )
        return NotANumber(f"{description}, with thousands separators", "Write 1,234.5 as 1234.5")
    if decimal == "." and _TWO_PARTS.fullmatch(text):
        return NotANumber(
            f"{description}, with a decimal comma", "Give --decimal ',', or write 1,5 as 1.5"
        )
    if decimal == "," and _NUMBER.fullmatch(text):
        return NotANumber(
            f"{description}, with a point where the decimals stand after a comma",
            "Write all numbers of a file in one way, or give --decimal .",
        )
    if text.casefold() in ("true", "false", "yes", "no"):
        return NotANumber(f"{description}, a truth value", "Write it as 1 or 0")
    if any(one.isdigit() and not one.isascii() for one in text):
        return NotANumber(
            f"{description}, digits of another script", "Write it in the digits 0 to 9"
        )
    if text.lstrip("+-").casefold() in ("inf", "infinity", "#div/0!", "1.#inf"):
        return NotANumber(
            f"{description}, not a finite number", "Leave the cell empty: it is missing"
        )
    if _NUMBER.fullmatch(text.replace("_", "")):
        return NotANumber(f"{description}, with underscores", "Write 1_234 as 1234")
    words = "".join(itertools.islice(text, 40))
    return NotANumber(
        f"{description}, not a number",
        f"Correct it, pick other columns, or give --missing {words!r} where it means missing",
    )
