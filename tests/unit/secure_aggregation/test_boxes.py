"""Seeds in boxes: each helper reads its own, and a lie is seen before the freeze."""

import nacl.bindings
import pytest

from hyperfed.errors import RefusedError, SignatureError
from hyperfed.secure_aggregation import check_seeds, mask_message, open_box, open_published_box
from tests.unit.secure_aggregation.sums import SecureRound, group_of


@pytest.fixture(scope="module")
def night() -> SecureRound:
    return SecureRound(group_of(), ("ward-1", "ward-2"))


def test_every_helper_finds_its_seeds_and_they_match(night: SecureRound) -> None:
    sealed = night.messages["ward-1"].sealed
    for helper in night.group.helpers:
        seeds = open_box(sealed.boxes[helper], helper, night.group, night.secret_keys[helper])
        assert set(seeds) == set(night.group.held_by(helper))
        assert not check_seeds(seeds, sealed.commitments, night.context("ward-1"))


def test_a_box_is_nobody_elses(night: SecureRound) -> None:
    box = night.messages["ward-1"].sealed.boxes["h1"]
    with pytest.raises(SignatureError, match="does not open with the key of h2"):
        open_box(box, "h2", night.group, night.secret_keys["h2"])


@pytest.mark.parametrize("change", ["cut", "longer", "flipped"])
def test_a_changed_box_does_not_open(night: SecureRound, change: str) -> None:
    box = bytearray(night.messages["ward-1"].sealed.boxes["h1"])
    if change == "cut":
        del box[-1]
    elif change == "longer":
        box.append(0)
    else:
        box[40] ^= 1
    with pytest.raises(SignatureError, match="box of h1"):
        open_box(bytes(box), "h1", night.group, night.secret_keys["h1"])


def test_unequal_seeds_are_seen_by_the_helper_that_got_the_wrong_one(night: SecureRound) -> None:
    """A client that gives two helpers different seeds of one set blames nobody else."""
    sealed = night.messages["ward-1"].sealed
    seeds = open_box(sealed.boxes["h1"], "h1", night.group, night.secret_keys["h1"])
    names = night.group.held_by("h1")[1]
    assert check_seeds(
        {**seeds, names: bytes(32)}, sealed.commitments, night.context("ward-1")
    ) == [names]
    assert len(check_seeds(seeds, sealed.commitments, night.context("ward-2"))) == len(seeds)


def test_an_accused_client_shows_its_box_to_everyone(night: SecureRound) -> None:
    sealed, key = night.messages["ward-1"].sealed, night.public_keys["h1"]
    shown = open_published_box(
        sealed.boxes["h1"], "h1", night.group, key, sealed.ephemeral_keys["h1"]
    )
    assert shown == open_box(sealed.boxes["h1"], "h1", night.group, night.secret_keys["h1"])
    _, other = nacl.bindings.crypto_box_keypair()
    with pytest.raises(SignatureError, match="not that of the box"):
        open_published_box(sealed.boxes["h1"], "h1", night.group, key, other)


def test_a_helper_without_a_key_has_no_box_and_below_q_nothing_leaves(night: SecureRound) -> None:
    keys = {helper: key for helper, key in night.public_keys.items() if helper != "h3"}
    message = mask_message(
        night.messages["ward-1"].values, night.group, keys, night.context("ward-1")
    )
    assert set(message.sealed.boxes) == set(keys)
    del keys["h2"]
    with pytest.raises(RefusedError, match="have published no key"):
        mask_message(night.messages["ward-1"].values, night.group, keys, night.context("ward-1"))
