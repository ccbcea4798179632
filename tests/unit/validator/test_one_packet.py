"""`PacketValidator.validate`: one packet that is signed, and what a round's context adds."""

from typing import Any

import pytest

from hyperfed.config import Limits
from hyperfed.crypto.envelope import PacketType
from hyperfed.testing.federation import SmallFederation, key_of
from hyperfed.validator.validator import PacketValidator
from tests.unit.validator.broken_packets import BREAKS, CASES, WHO, context, many, send


def test_larger_than_the_limit_is_not_even_parsed() -> None:
    valid, error = PacketValidator(limits=Limits(max_update_bytes=10)).validate(bytes(11))
    assert not valid
    assert "R-80" in str(error)


@pytest.fixture
def signed(fed: SmallFederation) -> bytes:
    return send(fed, sealed=False)


def test_a_signed_packet_cannot_be_judged_without_a_registry(signed: bytes) -> None:
    valid, error = PacketValidator().validate(signed)
    assert not valid
    assert "without a registry" in str(error)
    assert "R-32" in str(error)


def test_a_signed_packet_is_valid_once(fed: SmallFederation, signed: bytes) -> None:
    validator = PacketValidator(fed.registry)
    assert validator.validate(signed) == (True, None)
    valid, error = validator.validate(signed)
    assert not valid
    assert "nonce was seen" in str(error)
    assert "R-89" in str(error)
    assert PacketValidator(fed.registry).validate(signed) == (True, None), (
        "another validator has not seen it"
    )


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"federation": "other"}, "R-83"),
        ({"audience": "clients"}, "R-83"),
        ({"sender": "site-02"}, "R-82"),
        ({"key_pair": key_of("stranger")}, "R-81"),
        ({"nonce": b""}, "R-89"),
        ({"body": b"junk"}, "R-12"),
        ({"type_": PacketType.PLAN}, "R-30"),
    ],
)
def test_a_signed_packet_is_judged_as_far_as_the_registry_goes(
    fed: SmallFederation, changes: dict[str, Any], rule: str
) -> None:
    valid, error = PacketValidator(fed.registry).validate(send(fed, sealed=False, **changes))
    assert not valid
    assert f"[{rule}]" in str(error)


def test_a_revoked_key_is_judged_by_the_round_the_packet_names(
    fed: SmallFederation, signed: bytes
) -> None:
    registry = fed.registry.revoke(
        WHO, from_round=5, previous=b"x" * 32, issued=fed.registry.issued
    )
    valid, error = PacketValidator(registry).validate(signed)
    assert not valid
    assert "R-81" in str(error)


# not: the folder's own rules, changes (their base is the folder's), and what is not even the
# beginning of an envelope
WITHOUT_FOLDER = [
    c for c in CASES if c[0] not in ("R-82", "R-97") and c not in (("R-84", 0), ("R-10", 1))
]


@pytest.mark.parametrize(("rule", "which"), WITHOUT_FOLDER, ids=lambda v: str(v))
def test_with_a_context_all_rules_but_the_folders_are_checked(
    fed: SmallFederation, rule: str, which: int
) -> None:
    data, _, changes = (*BREAKS[rule][which](fed), {})[:3]
    valid, error = PacketValidator(context=context(fed, **changes)).validate(data)
    assert not valid
    assert f"[{rule}]" in str(error)


def test_with_a_context_a_sealed_body_is_looked_into(fed: SmallFederation) -> None:
    good, bad = send(fed), send(fed, body=b"junk")
    validator = PacketValidator(context=context(fed))
    assert validator.validate(good) == (True, None)
    assert not validator.validate(bad)[0]
    blind = PacketValidator(context=context(fed, key_pair=None))
    assert blind.validate(bad)[0], "without a key only the outside can be judged"


def test_an_update_object_is_held_to_the_contexts_policy(fed: SmallFederation) -> None:
    validator = PacketValidator(context=context(fed))
    assert validator.validate(fed.update(WHO)) == (True, None)
    valid, error = validator.validate(many(fed))
    assert not valid
    assert "R-91" in str(error)
