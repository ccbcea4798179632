"""What an entry of the ledger may say of a mechanism."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from hyperfed.errors import SchemaError
from hyperfed.protocol.entries import Mechanism

pytestmark = pytest.mark.unit

BASIC = Mechanism(kind="basic", epsilon=Decimal(0), delta=Decimal(0))
GAUSSIAN = Mechanism(
    kind="gaussian",
    epsilon=Decimal(1),
    delta=Decimal("0.999"),
    sigma=1,
    sensitivity=(1 << 32) - 1,
    place="local",
    relation="zero-out",
    unit="record",
    selection_delta=Decimal("0.999"),
)


def test_bounds_belong_to_what_a_mechanism_may_say() -> None:
    replace(GAUSSIAN, sigma=(1 << 32) - 1, sensitivity=1, place="central", unit="client")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "laplace"},
        {"epsilon": Decimal("-0.1")},
        {"epsilon": Decimal("NaN")},
        {"epsilon": Decimal("Infinity")},
        {"delta": Decimal("-0.1")},
        {"delta": Decimal(1)},
        {"sigma": 0},
        {"sigma": 1 << 32},
        {"sensitivity": 0},
        {"sensitivity": 1 << 32},
        {"place": ""},
        {"relation": ""},
        {"relation": "replace-one"},
        {"unit": ""},
        {"selection_delta": Decimal("0.9991")},
        {"selection_delta": Decimal("-0.1")},
    ],
    ids=str,
)
def test_a_gaussian_mechanism_says_all_that_its_charge_follows_from(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(SchemaError, match=r"a mechanism is|a gaussian mechanism has"):
        replace(GAUSSIAN, **changes)


@pytest.mark.parametrize(
    "name", ["sigma", "sensitivity", "place", "relation", "unit", "selection_delta"]
)
def test_a_basic_mechanism_says_nothing_else(name: str) -> None:
    with pytest.raises(SchemaError, match="known as"):
        replace(BASIC, **{name: getattr(GAUSSIAN, name)})
