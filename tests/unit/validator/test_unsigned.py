"""`PacketValidator.validate`: what nobody signed, an object or the bytes of a document."""

import dataclasses
import re
from typing import Any

import pytest

from hyperfed.codec import PayloadCodec, pack
from hyperfed.config import DEFAULT_LIMITS
from hyperfed.errors import PrivacyError
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.tables.tables import EdgeTable
from hyperfed.validator.validator import PacketValidator

PACKETS = [
    PathPack(0, 1, 0, 0.5, 0.5, 0.5),
    EdgeDelta(0, 1, 0.5, (0, 0), 1),
    PolicyPack(),
    CausalSemanticPack([(0, 1, 1.0)]),
    Claims(loss=1.0),
    Update(measured=[0, 1], edges=EdgeTable.empty()),
    EdgeTable.empty(),
]


@pytest.mark.parametrize("packet", PACKETS, ids=lambda p: type(p).__name__)
def test_a_good_packet_is_valid_as_object_bytes_and_batch(packet: Any) -> None:
    validator = PacketValidator()
    assert validator.validate(packet) == (True, None)
    assert validator.validate([packet, packet]) == (True, None)
    for data in (
        PayloadCodec().encode(packet),
        PayloadCodec(compression="zstd").encode(packet),
        PayloadCodec().encode([packet]),
    ):
        assert (
            validator.validate(data)
            == validator.validate(bytearray(data))
            == validator.validate(memoryview(data))
            == (True, None)
        )


def test_an_empty_batch_is_valid() -> None:
    assert (
        PacketValidator().validate([])
        == PacketValidator().validate(PayloadCodec().encode([]))
        == (True, None)
    )


def smuggled(kind: type, **fields: Any) -> Any:
    """A frozen packet built around its own checks."""
    packet = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(packet, name, value)
    return packet


BAD: dict[str, Any] = {
    "confidence above 1": smuggled(
        PathPack, source_idx=0, target_idx=1, lag=0, effect=0.5, confidence=1.5, stability=0.5
    ),
    "nan": smuggled(
        PathPack,
        source_idx=0,
        target_idx=1,
        lag=0,
        effect=float("nan"),
        confidence=0.5,
        stability=0.5,
    ),
    "a bool": smuggled(
        PathPack, source_idx=True, target_idx=0, lag=1, effect=0.5, confidence=0.5, stability=0.5
    ),
    "a text": smuggled(
        PathPack, source_idx="0", target_idx=1, lag=0, effect=0.5, confidence=0.5, stability=0.5
    ),
    "fields missing": smuggled(PathPack, source_idx=0),
    "a policy that promises what it cannot": smuggled(
        PolicyPack,
        **(
            {f.name: getattr(PolicyPack(), f.name) for f in dataclasses.fields(PolicyPack)}
            | {"privacy": "central", "strategy": "consensus"}
        ),
    ),
    "no table": smuggled(EdgeTable, source=None),
    "nothing": None,
    "a dict": {"source_idx": 0},
    "a number": 5,
    "a batch with a stranger": [PathPack(0, 1, 0, 0.5, 0.5, 0.5), 5],
    "a mixed batch": [PathPack(0, 1, 0, 0.5, 0.5, 0.5), Claims()],
    "no bytes": b"",
    "garbage": b"\xc1\xc1\xc1",
    "a newer document": pack([2, "PathPack"]),
    "a foreign kind": pack([1, "Plan", "", 1, b"\x80"]),
    "an unnamed kind": pack([1, "", "", 1, b"\x90"]),
    "a bad field": pack([1, "PathPack", "", 1, b"\x80"]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_packet_is_not_valid_and_the_error_says_why(name: str) -> None:
    valid, error = PacketValidator().validate(BAD[name])
    assert not valid
    assert error
    assert re.search(r"\[R-\d+\]\. .+", error), f"rule and remedy belong to it: {error}"


@pytest.mark.parametrize("stranger", [None, {"source_idx": 0}, 5, re.compile("a")])
def test_a_stranger_is_called_no_packet(stranger: Any) -> None:
    _, error = PacketValidator().validate(stranger)
    assert error is not None
    assert f"a {type(stranger).__name__} is no packet" in error


@pytest.mark.parametrize(("subject", "said"), [("", "Odd: no"), ("sigma", "sigma: no")])
def test_the_error_names_what_it_is_about(subject: str, said: str) -> None:
    class Odd(Claims):
        def __post_init__(self) -> None:
            raise PrivacyError("no", subject=subject)

    assert str(PacketValidator().validate(object.__new__(Odd))[1]).startswith(said)


def test_a_document_of_no_packet_is_called_one() -> None:
    assert "a 'Plan' is no packet" in str(PacketValidator().validate(BAD["a foreign kind"])[1])


def test_a_packet_as_large_as_the_limit_is_read_and_one_byte_more_is_not() -> None:
    data = PayloadCodec().encode(Claims(loss=1.0))
    for most, valid in ((len(data), True), (len(data) - 1, False)):
        limits = dataclasses.replace(DEFAULT_LIMITS, max_update_bytes=most)
        assert PacketValidator(limits=limits).validate(data)[0] is valid


def test_a_batch_is_valid_where_each_of_its_packets_is() -> None:
    bad = BAD["confidence above 1"]
    valid, error = PacketValidator().validate([PACKETS[0], bad])
    assert (valid, error) == (False, PacketValidator().validate(bad)[1])
