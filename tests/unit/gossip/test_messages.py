"""Only noised numbers enter, and only what the plan allows is believed."""

from dataclasses import replace

import numpy as np
import pytest

from hyperfed.errors import PrivacyError, RefusedError, SchemaError
from hyperfed.gossip import NoisedVector, Share
from hyperfed.gossip.messages import believed, decode_share, encode_share
from hyperfed.packets import Claims
from tests.unit.gossip.noised import LENGTH, message, plan_of, vector

PLAN = plan_of(8, degree=2)
SENDER = PLAN.neighbours(0, "c001")[0]
SHARE = Share(round=5, epoch=0, sender=SENDER, weight=1 / 3, values=np.full(LENGTH, 0.1))


def test_there_is_no_way_in_for_exact_numbers() -> None:
    with pytest.raises(PrivacyError, match="is made from a message of local noise only"):
        NoisedVector()
    assert vector(0.5).values.tolist() == [0.5] * LENGTH
    with pytest.raises(ValueError, match="read-only"):
        vector(0.5).values[0] = 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 100},
        {"confidence": 0.9},
        {"stability": 0.9},
        {"claims": Claims()},
        {"ci_low": -1.0, "ci_high": 1.0},
    ],
)
def test_an_update_that_was_not_noised_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(PrivacyError, match="is not a message of local noise"):
        NoisedVector.of_message(message(0.5, **changes), variables=2, lags=(0, 1))


def test_a_message_with_fewer_edges_is_refused() -> None:
    with pytest.raises(PrivacyError, match="fewer edges than are possible"):
        NoisedVector.of_message(message(0.5), variables=3, lags=(0, 1))


def test_a_share_comes_back_from_its_bytes() -> None:
    back = decode_share(encode_share(SHARE))
    assert (back.round, back.epoch, back.sender, back.weight) == (5, 0, SENDER, 1 / 3)
    np.testing.assert_array_equal(back.values, SHARE.values)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x90", b"\x01", encode_share(SHARE)[:-1], encode_share(SHARE) + b"\x00"],
)
def test_bytes_that_are_no_share_are_refused(data: bytes) -> None:
    with pytest.raises(SchemaError):
        decode_share(data)


def test_another_version_is_refused_with_both() -> None:
    data = bytearray(encode_share(SHARE))
    data[1] = 2
    with pytest.raises(SchemaError, match=r"has version 2 .* reads version 1"):
        decode_share(bytes(data))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"round": 6}, "is of round 6; the plan is of round 5"),
        ({"epoch": 10}, "the plan is of round 5 and has 10 epochs"),
        ({"epoch": -1}, "has 10 epochs"),
        ({"sender": "c001"}, "does not send to c001 then"),
        ({"sender": "ghost"}, "does not send to c001 then"),
        ({"values": np.zeros(LENGTH + 1)}, f"{LENGTH} finite numbers are needed"),
        ({"values": np.full(LENGTH, np.nan)}, "not finite"),
        ({"weight": 0.0}, "has a weight of 0.0"),
        ({"weight": -0.1}, "has a weight of -0.1"),
        ({"weight": float("nan")}, "has a weight of nan"),
        ({"weight": 5e-324}, "a weight that does not fit its numbers"),
    ],
)
def test_what_the_plan_does_not_allow_is_refused(changes: dict[str, object], said: str) -> None:
    assert believed(SHARE, PLAN, "c001").weight == SHARE.weight  # the honest twin
    with pytest.raises(RefusedError, match=said):
        believed(replace(SHARE, **changes), PLAN, "c001")  # type: ignore[arg-type]


def test_a_vector_is_shortened_and_a_weight_is_bounded() -> None:
    """A liar's share is at most as long and as heavy as an honest one may be."""
    loud = believed(replace(SHARE, values=np.full(LENGTH, 1e9), weight=1e6), PLAN, "c001")
    assert loud.weight == pytest.approx(4 / 3)
    long = believed(replace(SHARE, values=np.full(LENGTH, 1e9)), PLAN, "c001")
    assert np.linalg.norm(long.values / long.weight) == pytest.approx(PLAN.norm_bound)
