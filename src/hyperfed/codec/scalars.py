"""Single values of a record that msgpack has no type for: instants, decimals, members of a closed set; and what is said of one of a wrong type (R-11).

Instants are integer microseconds since 1970 UTC; decimals are texts, digits with a point where needed; a member of an enum is its value.
What it does not do: know a record (`records`).
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from hyperfed.errors import SchemaError

__all__ = ["decimal_text", "expect", "expect_binary", "micros_of", "read_decimal", "read_enum", "read_instant"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def micros_of(instant: datetime) -> int:
    """Microseconds since 1970 UTC. Raises SchemaError where the instant has no time zone."""
    if instant.tzinfo is None:
        raise SchemaError(f"instant {instant.isoformat()} has no time zone", rule="R-11")
    return (instant - _EPOCH) // _MICROSECOND


def decimal_text(number: Decimal) -> str:
    """Digits with a point where needed, no exponent, no zero too many. Raises SchemaError beyond 64 digits: an exponent costs its writer nothing."""
    if not number.is_finite() or not -64 <= number.adjusted() <= 64 or len(number.as_tuple().digits) > 64:
        raise SchemaError(f"decimal {str(number)[:80]} cannot travel", rule="R-11")
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def expect(kind: type, plain: Any, where: str) -> Any:
    """`plain`, if it is of exactly that type. Raises SchemaError."""
    if type(plain) is not kind:
        raise SchemaError(f"a {_said(plain)} where a {kind.__name__} belongs", subject=where, rule="R-11")
    return plain


def expect_binary(plain: Any, where: str) -> bytes | memoryview:
    """`plain`, if it is a binary field. Raises SchemaError."""
    if type(plain) is bytes or type(plain) is memoryview:
        return plain
    raise SchemaError(f"a {_said(plain)} where a binary field belongs", subject=where, rule="R-11")


def _said(plain: Any) -> str:
    return "binary field" if type(plain) in (bytes, memoryview) else type(plain).__name__


def read_instant(plain: Any, where: str) -> datetime:
    """Raises SchemaError."""
    micros = expect(int, plain, where)
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise SchemaError(f"{micros} microseconds are no instant", subject=where, rule="R-11") from None


def read_decimal(plain: Any, where: str) -> Decimal:
    """Raises SchemaError, also for a second spelling of a number."""
    text = expect(str, plain, where)
    if len(text) > 66 or not _DECIMAL.fullmatch(text):  # before Decimal sees it: ten bytes of exponent would become gigabytes of zeros
        raise SchemaError(f"{text!r:.80} is no canonical decimal number", subject=where, rule="R-11")
    number = Decimal(text)
    if decimal_text(number) != text:
        raise SchemaError(f"{text!r:.80} is no canonical decimal number", subject=where, rule="R-11")
    return number


def read_enum(hint: type[Enum], plain: Any, where: str) -> Enum:
    """Raises SchemaError."""
    try:
        return hint(plain)
    except ValueError:
        known = ", ".join(str(member.value) for member in hint)
        raise SchemaError(f"{plain!r:.80} is not one of {known}", subject=where, rule="R-11") from None
