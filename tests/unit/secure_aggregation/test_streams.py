"""Masks and commitments: bound to everything, and the same everywhere."""

from dataclasses import replace

import numpy as np
import pytest

from hyperfed.errors import SchemaError
from hyperfed.secure_aggregation.streams import MaskContext, commitment, mask

SEED = bytes(range(32))
NAMES = ("h1", "h2")
CONTEXT = MaskContext(
    federation="trial",
    registry_version=3,
    round=12,
    plan_digest=b"p" * 32,
    client="ward-1",
    payload="statistics",
)


def test_the_first_words_are_pinned() -> None:
    """Another implementation must find these; a change of them is a change of the wire."""
    assert mask(SEED, CONTEXT, NAMES, 2).tolist() == [10480151747268447350, 10639031577756311929]
    assert commitment(SEED, CONTEXT, NAMES).hex()[:16] == "a944e7a504137f3f"


def test_a_mask_has_chunks_and_each_a_key_of_its_own() -> None:
    long = mask(SEED, CONTEXT, NAMES, (1 << 16) + 3)
    np.testing.assert_array_equal(mask(SEED, CONTEXT, NAMES, 1000), long[:1000])
    assert set(long[-3:].tolist()).isdisjoint(long[:3].tolist())


@pytest.mark.parametrize(
    "other",
    [
        {"federation": "other"},
        {"registry_version": 4},
        {"round": 13},
        {"plan_digest": b"q" * 32},
        {"client": "ward-2"},
        {"payload": "effects"},
    ],
)
def test_mask_and_commitment_depend_on_every_field(other: dict[str, object]) -> None:
    changed = replace(CONTEXT, **other)  # type: ignore[arg-type]
    assert not np.array_equal(mask(SEED, changed, NAMES, 4), mask(SEED, CONTEXT, NAMES, 4))
    assert commitment(SEED, changed, NAMES) != commitment(SEED, CONTEXT, NAMES)


def test_mask_and_commitment_depend_on_the_set_and_differ_from_each_other() -> None:
    assert not np.array_equal(mask(SEED, CONTEXT, ("h1", "h3"), 4), mask(SEED, CONTEXT, NAMES, 4))
    assert commitment(SEED, CONTEXT, ("h1", "h3")) != commitment(SEED, CONTEXT, NAMES)


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(SchemaError, match="a seed has 31 bytes, not 32"):
        mask(SEED[:-1], CONTEXT, NAMES, 4)
    with pytest.raises(SchemaError, match="a seed has 33 bytes, not 32"):
        commitment(SEED + b"x", CONTEXT, NAMES)
