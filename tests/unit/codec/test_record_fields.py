"""A record: each field has exactly its type and bounds, what a record refuses is a PacketError."""

from decimal import Decimal
from typing import Any

import pytest

from hyperfed.codec import pack, to_record, unpack
from hyperfed.errors import BoundsError, SchemaError
from hyperfed.packets import CausalSemanticPack, EdgeDelta
from hyperfed.registry.registry import Budget, Registry
from tests.unit.codec.documents import PACKETS, RAW, SEMANTIC, document, refused


def changed(value: Any, **fields: Any) -> bytes:
    """The document of a record with these fields replaced by plain values."""
    record = to_record(value) | fields
    return document(
        kind=type(value).__name__, payload=pack({k: v for k, v in record.items() if v is not ...})
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lag", True),
        ("lag", 1.0),
        ("lag", -1),
        ("lag", 1 << 16),
        ("lag", None),
        ("source_idx", 1 << 24),
        ("source_idx", "0"),
        ("effect", 1),
        ("effect", "1"),
        ("effect", None),
        ("effect", True),
        ("confidence", 1.0000001),
        ("confidence", -1e-9),
        ("stability", 2.0),
        ("extra", 1),
        ("effect", ...),
    ],
)
def test_a_field_has_exactly_its_type_and_bounds(field: str, value: Any) -> None:
    error = refused(changed(PACKETS["PathPack"], **{field: value}))
    assert isinstance(error, SchemaError | BoundsError)
    assert "PathPack" in error.subject


def test_unknown_fields_are_named_quoted() -> None:
    error = refused(changed(PACKETS["PathPack"], **{"\x1b[31m": 1}))
    assert "\x1b" not in str(error)
    assert "x1b" in str(error)


def test_what_a_record_would_sort_or_round_is_not_its_one_form() -> None:
    for fields in (
        {"confounders": [3, 1]},
        {"dag_edges": [[1, 0, 0.5], [0, 1, 0.5]]},
        {"confounders": [1, 1]},
        {"dag_edges": [[0, 1, 1]]},
    ):
        refused(changed(SEMANTIC, **fields), CausalSemanticPack)
    refused(changed(PACKETS["EdgeDelta"], ci_delta=[0.0]), EdgeDelta)
    refused(changed(PACKETS["EdgeDelta"], ci_delta=[0.0, 0.0, 0.0]), EdgeDelta)


@pytest.mark.parametrize(
    "act",
    [
        {"a": [1]},
        {"a": {"b": 1}},
        {"a": b"x"},
        {"a": "x" * 2001},
        {"x" * 201: 1},
        {f"{i:03d}": 1 for i in range(65)},
        [1],
        {"a": 2**63},
    ],
)
def test_an_intervention_is_flat_and_small(act: Any) -> None:
    refused(changed(SEMANTIC, interventions=[act]), CausalSemanticPack)


def test_what_a_record_itself_refuses_comes_out_as_a_packet_error(objects: dict[str, Any]) -> None:
    """A registry's own checks raise RegistryError and ConfigError; through the codec they are
    PacketErrors.
    """
    registry = to_record(objects["Registry"])
    for fields in (
        {"federation": "../x"},
        {"window_s": 0},
        {"threshold": 0},
        {"coordinators": []},
        {"clients": registry["clients"][::-1]},
    ):
        error = refused(document(kind="Registry", payload=pack(registry | fields)), Registry)
        assert isinstance(error, SchemaError | BoundsError)


def test_a_budget_is_finite() -> None:
    with pytest.raises(Exception, match="finite"):
        Budget(epsilon=Decimal("NaN"))


def test_a_payload_with_trailing_bytes_or_too_many_values_is_refused() -> None:
    refused(document(payload=RAW + b"\0"))
    refused(document(), max_values=5)
    assert unpack(RAW)
