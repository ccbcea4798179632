"""The privacy budget that the roots sign, and gossip's share of it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from hyperfed.codec import PayloadCodec
from hyperfed.errors import RegistryError
from hyperfed.registry.budget import Budget
from hyperfed.registry.registry import Registry
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "fields",
    [
        {"epsilon": Decimal(0)},
        {"epsilon": Decimal("NaN")},
        {"epsilon": Decimal("Infinity")},
        {"delta": Decimal(1)},
        {"delta": Decimal("-0.1")},
        {"delta": Decimal("NaN")},
        {"unit": "row"},
        {"minimum_support": 0},
        {"gossip_epsilon": Decimal(2)},
        {"gossip_delta": Decimal("0.00001")},
        {"gossip_epsilon": Decimal(10), "gossip_delta": Decimal("0.00001")},
        {"gossip_epsilon": Decimal(2), "gossip_delta": Decimal("0.0001")},
        {"gossip_epsilon": Decimal("-1"), "gossip_delta": Decimal("0.00001")},
        {"gossip_epsilon": Decimal("NaN"), "gossip_delta": Decimal("0.00001")},
    ],
)
def test_what_a_budget_may_not_say(fields: dict[str, Any]) -> None:
    with pytest.raises(RegistryError):
        Budget(**fields)


def test_what_just_fits_a_budget() -> None:
    small = Decimal("0.000001")
    Budget(epsilon=small, delta=Decimal(0))
    Budget(gossip_epsilon=small, gossip_delta=small)
    Budget(unit="record", delta=1 - small, gossip_epsilon=10 - small, gossip_delta=1 - 2 * small)
    whole = Budget()
    assert whole.rounds is whole


def test_a_registry_without_a_share_for_gossip_has_the_bytes_it_always_had() -> None:
    fed = SmallFederation()
    plain = PayloadCodec().encode(fed.registry)
    budget = replace(
        fed.registry.budget, gossip_epsilon=Decimal(2), gossip_delta=Decimal("0.00001")
    )
    shared = replace(fed.registry, budget=budget)
    assert (plain[1], PayloadCodec().encode(shared)[1]) == (1, 2)  # the schema version
    assert b"gossip" not in plain
    assert PayloadCodec().decode(PayloadCodec().encode(shared), Registry) == shared
    assert budget.rounds == replace(
        fed.registry.budget, epsilon=Decimal(8), delta=Decimal("0.00009")
    )
