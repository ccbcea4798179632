"""Convert single values that msgpack has no type for: instants, decimals, members of enums.

Instants are integer microseconds since 1970 UTC. Decimals are texts: digits, with a point where
needed. A member of an enum is its value. The errors for a value of a wrong type are here too
(R-11).

What it does not do: it does not know records (`records`).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from hyperfed.codec.fields import Place, spelled, type_name
from hyperfed.errors import SchemaError

__all__ = [
    "decimal_text",
    "expect",
    "expect_binary",
    "micros_of",
    "read_decimal",
    "read_enum",
    "read_instant",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def micros_of(instant: datetime) -> int:
    """Return microseconds since 1970 UTC. Raises SchemaError where the instant has no time zone."""
    if instant.tzinfo is None:
        raise SchemaError(f"instant {instant.isoformat()} has no time zone", rule="R-11")
    return (instant - _EPOCH) // _MICROSECOND


def decimal_text(number: Decimal) -> str:
    """Return digits with a point where needed, without an exponent or a superfluous zero.

    Raises SchemaError beyond 64 digits: an exponent would let a short text stand for a huge number.
    """
    if (
        not number.is_finite()
        or not -64 <= number.adjusted() <= 64
        or len(number.as_tuple().digits) > 64
    ):
        raise SchemaError(f"decimal {str(number)[:80]} cannot travel", rule="R-11")
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def expect(kind: type, plain: Any, where: Place) -> Any:
    """Return `plain` if it is of exactly this type. Raises SchemaError where it is not."""
    if type(plain) is not kind:
        raise SchemaError(
            f"a {type_name(plain)} where a {kind.__name__} belongs",
            subject=spelled(where),
            rule="R-11",
        )
    return plain


def expect_binary(plain: Any, where: Place) -> bytes | memoryview:
    """Return `plain` if it is a binary field. Raises SchemaError where it is not."""
    if type(plain) is bytes or type(plain) is memoryview:
        return plain
    raise SchemaError(
        f"a {type_name(plain)} where a binary field belongs", subject=spelled(where), rule="R-11"
    )


def read_instant(plain: Any, where: Place) -> datetime:
    """Return the instant of so many microseconds since 1970 UTC. Raises SchemaError."""
    micros = expect(int, plain, where)
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise SchemaError(
            f"{micros} microseconds are no instant", subject=spelled(where), rule="R-11"
        ) from None


def read_decimal(plain: Any, where: Place) -> Decimal:
    """Return the decimal that a canonical text spells.

    Raises SchemaError for any other text, also for a second spelling of a number.
    """
    text = expect(str, plain, where)
    # This comes before Decimal: ten bytes of exponent would become gigabytes of zeros.
    if len(text) > 66 or not _DECIMAL.fullmatch(text):
        raise SchemaError(
            f"{text!r:.80} is no canonical decimal number", subject=spelled(where), rule="R-11"
        )
    number = Decimal(text)
    if decimal_text(number) != text:
        raise SchemaError(
            f"{text!r:.80} is no canonical decimal number", subject=spelled(where), rule="R-11"
        )
    return number


def read_enum(members: Mapping[Any, Enum], plain: Any, where: Place) -> Enum:
    """Return the member of an enum with this value. Raises SchemaError where there is none.

    `members` are all members by their values.
    """
    try:
        return members[plain]
    except (KeyError, TypeError):
        values = ", ".join(map(str, members))
        raise SchemaError(
            f"{plain!r:.80} is not one of {values}", subject=spelled(where), rule="R-11"
        ) from None
