"""Decimals, instants, booleans and numbers as they travel: one spelling each, and no type stands
for another.
"""

import tracemalloc
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from hyperfed.codec import from_record, to_record
from hyperfed.errors import SchemaError

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "1e5",
        "1E+5",
        "1E+999999999999999999",
        "9E-999999999999999999",
        "NaN",
        "Infinity",
        "-0",
        "0.10",
        "01",
        "+1",
        "1.",
        ".5",
        " 1",
        "1_0",
        "\u0661",
        "",
        "1" * 65,
        "0." + "0" * 70 + "1",
    ],
)
def test_a_decimal_has_one_spelling_and_no_exponent(text: str) -> None:
    """Twenty characters of exponent must not become a gigabyte of zeros."""
    tracemalloc.start()
    try:
        with pytest.raises(SchemaError):
            from_record(Decimal, text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "text",
    ["0", "10", "0.5", "-2.25", "100000", "0.000001", "12345678901234567890123456789.123456789"],
)
def test_a_decimal_is_exact(text: str) -> None:
    number = Decimal(text)
    assert to_record(number) == text
    assert to_record(number * 10 / 10) == to_record(number) or len(text) > 28
    assert from_record(Decimal, text) == number


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1E+100", "1E-100"])
def test_a_decimal_without_a_spelling_is_not_written(number: str) -> None:
    with pytest.raises(SchemaError):
        to_record(Decimal(number))


def test_an_instant_is_exact_and_in_range() -> None:
    assert from_record(datetime, to_record(NOW)) == NOW
    for micros in (2**63, -(2**63), 2**64 - 1):
        with pytest.raises(SchemaError, match="instant"):
            from_record(datetime, micros)
    with pytest.raises(SchemaError, match="time zone"):
        to_record(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


@dataclass(frozen=True, eq=False)
class Flags:
    COLUMNS = MappingProxyType({"flags": np.bool_})

    flags: Any


def test_a_boolean_column_holds_only_zero_and_one() -> None:
    assert from_record(Flags, {"flags": ["|b1", memoryview(b"\0\1")]}).flags.tolist() == [
        False,
        True,
    ]
    with pytest.raises(SchemaError, match="boolean"):
        from_record(Flags, {"flags": ["|b1", memoryview(b"\0\2")]})


def test_what_is_not_finite_is_not_written() -> None:
    with pytest.raises(SchemaError, match="finite"):
        to_record(np.array([1.0, float("nan")]))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, True),
        (int, 1.0),
        (bool, 1),
        (bool, 0),
        (float, 1),
        (float, True),
        (str, memoryview(b"x")),
        (str, b"x"),
        (bytes, "x"),
    ],
)
def test_types_do_not_stand_for_each_other(kind: type, value: Any) -> None:
    """Also where a record has no check of its own. A binary field is bytes or a view of them."""
    with pytest.raises(SchemaError) as caught:
        from_record(kind, value)
    assert caught.value.rule == "R-11"
