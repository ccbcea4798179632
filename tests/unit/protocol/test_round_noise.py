"""The seed of a round's noise: sealed to the coordinators of the round, bound to its freeze."""

from dataclasses import replace

import pytest

from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import box_key
from hyperfed.errors import SchemaError, SignatureError
from hyperfed.protocol.round_noise import RoundNoise, open_seed
from hyperfed.testing.federation import SmallFederation
from tests.unit.privacy.test_private_night import CENTRAL


@pytest.fixture(scope="module")
def night() -> tuple[SmallFederation, RoundNoise, bytes]:
    fed = SmallFederation(policy=CENTRAL)
    fed.play(1)
    reader = fed.reader()
    noise, frozen = reader.noise(1), reader.freeze(1)
    assert noise is not None
    assert frozen is not None
    return fed, noise.value, frozen.digest


def test_a_coordinator_opens_it_and_nobody_else(
    night: tuple[SmallFederation, RoundNoise, bytes],
) -> None:
    fed, noise, freeze = night
    assert len(open_seed(noise, freeze, fed.coordinator)) == 32
    assert [name for name, _ in noise.boxes] == [fed.coordinator.key_id]
    for stranger in (KeyPair.generate(), KeyPair.generate()):
        with pytest.raises(SignatureError, match="sealed to"):
            open_seed(noise, freeze, stranger)


def test_a_seed_of_another_freeze_does_not_open(
    night: tuple[SmallFederation, RoundNoise, bytes],
) -> None:
    fed, noise, freeze = night
    with pytest.raises(SignatureError, match="is of another freeze"):
        open_seed(noise, b"g" * 32, fed.coordinator)
    with pytest.raises(SignatureError, match="does not open"):
        open_seed(replace(noise, boxes=((noise.boxes[0][0], bytes(80)),)), freeze, fed.coordinator)


def test_a_seed_of_another_length_is_none(night: tuple[SmallFederation, RoundNoise, bytes]) -> None:
    fed, noise, freeze = night
    for length in (0, 16, 31, 33):
        short = replace(noise, boxes=box_key(bytes(length), [fed.coordinator.public]))
        with pytest.raises(SignatureError, match=f"is {length} bytes long"):
            open_seed(short, freeze, fed.coordinator)


@pytest.mark.parametrize(
    "changes", [{"freeze": b""}, {"boxes": ()}, {"boxes": (("b", b""), ("a", b""))}]
)
def test_its_form_is_checked(
    night: tuple[SmallFederation, RoundNoise, bytes], changes: dict[str, object]
) -> None:
    with pytest.raises(SchemaError, match="R-110"):
        replace(night[1], **changes)  # type: ignore[arg-type]
